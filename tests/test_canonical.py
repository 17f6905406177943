"""Canonical JSON: one spelling for what is the same, different ones for what is not."""

from __future__ import annotations

import datetime
import enum
import json
import math
import os
import random
import subprocess
import sys
import unicodedata
from collections import OrderedDict, UserDict, deque, namedtuple
from dataclasses import dataclass
from decimal import Decimal, localcontext
from fractions import Fraction
from pathlib import Path
from types import MappingProxyType
from typing import Any
from uuid import UUID

import numpy as np
import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st

from semcache.canonical import MAX_DEPTH, canonical_json
from semcache.errors import ConfigurationError

scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary()
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=15,
)


def shuffled(value: Any, order: random.Random) -> Any:
    """The same value with the keys of every mapping in another order."""
    if isinstance(value, dict):
        pairs = [(key, shuffled(item, order)) for key, item in value.items()]
        order.shuffle(pairs)
        return dict(pairs)
    return [shuffled(item, order) for item in value] if isinstance(value, list) else value


def in_form(value: Any, form: Any) -> Any:
    """The same value with every text in another Unicode normalisation form."""
    if isinstance(value, str):
        return unicodedata.normalize(form, value)
    if isinstance(value, dict):
        return {in_form(key, form): in_form(item, form) for key, item in value.items()}
    return [in_form(item, form) for item in value] if isinstance(value, list) else value


@given(values, st.randoms(use_true_random=False))
def test_order_of_keys_does_not_matter(value: Any, order: random.Random) -> None:
    assert canonical_json(shuffled(value, order)) == canonical_json(value)


@given(values)
def test_unicode_form_does_not_matter(value: Any) -> None:
    composed = in_form(value, "NFC")
    assert canonical_json(in_form(composed, "NFD")) == canonical_json(composed)


def test_keys_that_differ_in_unicode_form_do_not_bring_back_the_order() -> None:
    assert canonical_json({"é": 1, "e\u0301": 2}) == canonical_json({"e\u0301": 2, "é": 1})


@given(values)
def test_white_space_and_layout_of_json_text_do_not_matter(value: Any) -> None:
    plain = json.loads(json.dumps(value, default=repr))
    text = json.dumps(plain, indent=3, sort_keys=True)
    assert canonical_json(json.loads(text)) == canonical_json(plain)


@given(values)
def test_output_is_ascii_json(value: Any) -> None:
    text = canonical_json(value)
    assert text.isascii()
    json.loads(text)


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**60), 2**60)
    | st.text(st.characters(codec="utf-8")),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(st.characters(exclude_characters="$", codec="utf-8")), inner)
    ),
    max_leaves=8,
)


@given(json_values, json_values)
def test_two_json_values_share_a_form_only_if_they_are_equal(one: Any, other: Any) -> None:
    as_nfc = (in_form(one, "NFC"), in_form(other, "NFC"))
    same = json.dumps(as_nfc[0], sort_keys=True) == json.dumps(as_nfc[1], sort_keys=True)
    assert (canonical_json(one) == canonical_json(other)) == same


@given(st.integers(-(2**53), 2**53))
def test_spellings_of_a_whole_number_are_one(number: int) -> None:
    forms = [number, float(number), Decimal(number), Decimal(f"{number}.000"), Fraction(number)]
    forms += [np.int64(number), np.float64(number)]
    assert {canonical_json(form) for form in forms} == {str(number)}


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_spellings_of_a_float_are_one(number: float) -> None:
    text = repr(number)
    spelled = [Decimal(text), Decimal(text + "0" if "." in text and "e" not in text else text)]
    forms = [number, np.float64(number), json.loads(text)]
    if not number.is_integer() or abs(number) < 2**53:
        forms += spelled
    assert len({canonical_json(form) for form in forms}) == 1


@given(st.floats(), st.floats())
def test_different_floats_differ(one: float, other: float) -> None:
    same = one == other or (math.isnan(one) and math.isnan(other))
    assert (canonical_json(one) == canonical_json(other)) == same


def test_decimals_are_compared_digit_by_digit_in_any_context() -> None:
    one, other = Decimal("1." + "1" * 40), Decimal("1." + "1" * 39 + "2")
    with localcontext() as context:
        context.prec = 3
        in_low_precision = canonical_json(one)
        assert in_low_precision != canonical_json(other)
    assert canonical_json(one) == in_low_precision


@pytest.mark.parametrize(
    ("number", "near"),
    [
        (10**5000, 10**5000 + 1),
        (Decimal("1e999999999"), Decimal("1e999999998")),
        (Decimal("1e-999999999"), Decimal(0)),
    ],
    ids=["int", "large", "small"],
)
def test_numbers_of_any_size_have_a_form(number: Any, near: Any) -> None:
    assert canonical_json(number) != canonical_json(near)
    assert len(canonical_json(number)) < 5000


def test_infinities_and_nan_are_numbers_of_their_own() -> None:
    assert canonical_json(Decimal("Infinity")) == canonical_json(math.inf)
    assert canonical_json(Decimal("NaN")) == canonical_json(math.nan)
    forms = [canonical_json(v) for v in (math.inf, -math.inf, math.nan, "nan", "inf", None)]
    assert len(set(forms)) == len(forms)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (True, 1),
        (False, 0),
        (None, "null"),
        (1, "1"),
        (None, False),
        ([], {}),
        ([], None),
        ("", None),
        ([1, 2], [2, 1]),
        ([1, 2], {1, 2}),
        ([[1], 2], [1, [2]]),
        ({1: "a"}, {"1": "a"}),
        ({True: "a"}, {1: "a"}),
        ({None: "a"}, {"null": "a"}),
        (b"a", "a"),
        (b"a", b"b"),
        (b"", None),
        ({"$bytes": "x"}, {"$$bytes": "x"}),
        ({1: "a"}, {"$key:1": "a"}),
        (datetime.date(2024, 1, 1), datetime.datetime(2024, 1, 1)),
        (datetime.date(2024, 1, 1), "2024-01-01"),
        (datetime.timedelta(seconds=1), 1),
        (UUID(int=1), str(UUID(int=1))),
        (np.bool_(True), 1),
        (np.array([1, 2]), np.array([1.0, 2.0])),
        (np.array([[1, 2]]), np.array([1, 2])),
    ],
)
def test_different_things_differ(one: Any, other: Any) -> None:
    assert canonical_json(one) != canonical_json(other)


def as_caller_data(value: Any) -> Any:
    return json.loads(canonical_json(value))


@given(st.binary() | st.floats() | st.frozensets(st.integers()) | st.dates() | st.uuids())
def test_callers_data_is_never_mistaken_for_a_tagged_value(value: Any) -> None:
    if canonical_json(value).startswith("{"):
        assert canonical_json(as_caller_data(value)) != canonical_json(value)


class Colour(enum.Enum):
    RED = "red"


class Size(enum.Enum):
    RED = "red"


class Level(enum.IntEnum):
    HIGH = 3


class Tone(str, enum.Enum):  # noqa: UP042 - formats as "Tone.KIND", StrEnum as "kind"
    KIND = "kind"


Pair = namedtuple("Pair", ["x", "y"])


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (Tone.KIND, "kind"),
        ({Tone.KIND: 1}, {"kind": 1}),
        (Level.HIGH, 3),
        ((1, [2]), [1, (2,)]),
        (Pair(1, 2), [1, 2]),
        (deque([1, 2]), [1, 2]),
        (range(3), [0, 1, 2]),
        (OrderedDict(b=1, a=2), {"a": 2, "b": 1}),
        (MappingProxyType({"a": 1}), {"a": 1}),
        (UserDict({"a": 1}), {"a": 1}),
        (bytearray(b"a"), b"a"),
        (memoryview(b"abcd")[::2], b"ac"),
        (np.bool_(True), True),
        (np.float32(0.5), 0.5),
        (Fraction(1, 4), 0.25),
        (-0.0, 0),
    ],
)
def test_same_things_by_another_type_are_the_same(one: Any, other: Any) -> None:
    assert canonical_json(one) == canonical_json(other)


def test_enums_that_are_no_text_are_told_apart_by_class() -> None:
    assert canonical_json(Colour.RED) != canonical_json(Size.RED)
    assert canonical_json(Colour.RED) != canonical_json("red")


@given(st.lists(st.text() | st.integers() | st.frozensets(st.text())))
def test_order_of_a_set_does_not_matter(items: list[Any]) -> None:
    backwards = items[::-1]
    assert canonical_json(set(items)) == canonical_json(set(backwards))


def test_order_of_a_set_does_not_depend_on_the_process() -> None:
    script = "from semcache.canonical import canonical_json as c; print(c({'a','b','c',1,(2,'d')}))"
    root = str(Path(__file__).parent.parent)
    outputs = {
        subprocess.run(
            [sys.executable, "-c", script],
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": root},
            capture_output=True,
            check=True,
        ).stdout
        for seed in ("1", "2", "3")
    }
    assert len(outputs) == 1


def test_nested_sets_do_not_grow_out_of_hand() -> None:
    value: frozenset[Any] = frozenset(["x"])
    for _ in range(50):
        value = frozenset([value])
    assert len(canonical_json(value)) < 2000


def test_content_of_bytes_is_not_in_the_form() -> None:
    assert "secret" not in canonical_json({"image": b"secret"})


class Reply(pydantic.BaseModel):
    text: str
    key: pydantic.SecretStr = pydantic.SecretStr("")
    hidden: int = pydantic.Field(default=0, exclude=True)


class Open(pydantic.BaseModel, extra="allow"):
    pass


@dataclass
class Point:
    x: int
    y: Any = None


def test_models_and_dataclasses_are_compared_by_class_and_fields() -> None:
    assert canonical_json(Point(1, [2])) == canonical_json(Point(1, (2,)))
    assert canonical_json(Point(1)) != canonical_json(Point(2))
    assert canonical_json(Point(1)) != canonical_json({"x": 1, "y": None})
    assert canonical_json(Open.model_validate({"a": 1})) != canonical_json(
        Open.model_validate({"a": 2})
    )


class Plain(pydantic.BaseModel):
    text: str
    hidden: int = pydantic.Field(default=0, exclude=True)


def test_what_a_dump_would_leave_out_counts() -> None:
    assert canonical_json(Plain(text="a", hidden=1)) != canonical_json(Plain(text="a", hidden=2))
    with pytest.raises(ConfigurationError, match="SecretStr"):
        canonical_json(Reply(text="a", key=pydantic.SecretStr("x")))


def test_a_class_is_its_name_and_schema() -> None:
    def made(hint: Any) -> Any:
        return pydantic.create_model("Same", __module__="m", value=(hint, ...))

    assert canonical_json(made(int)) == canonical_json(made(int))
    assert canonical_json(made(int)) != canonical_json(made(str))
    assert canonical_json(Reply) != canonical_json(Point)
    assert canonical_json(list[Point]) != canonical_json(list[Plain])
    assert canonical_json(list[Point]) == canonical_json(list[Point])


@pytest.mark.parametrize("value", [object(), lambda: 1, iter([]), 1j, np.array([object()])])
def test_what_has_no_form_is_an_error_that_names_the_type(value: Any) -> None:
    with pytest.raises(ConfigurationError, match=type(value).__name__):
        canonical_json({"a": [value]})


def nested(levels: int, wrap: Any) -> Any:
    value: Any = 0
    for _ in range(levels):
        value = wrap(value)
    return value


@pytest.mark.parametrize(
    "wrap", [lambda v: [v], lambda v: (v,), lambda v: {"a": v}, lambda v: frozenset([v]), Point]
)
def test_nesting_has_a_limit_and_a_clear_error(wrap: Any) -> None:
    canonical_json(nested(50, wrap))
    for levels in (MAX_DEPTH + 1, 100_000):
        value = nested(levels, wrap)
        with pytest.raises(ConfigurationError, match="nested"):
            canonical_json(value)


def test_a_value_that_contains_itself_is_an_error() -> None:
    value: list[Any] = []
    value.append(value)
    with pytest.raises(ConfigurationError, match="contains itself"):
        canonical_json(value)
