"""What was recorded is what comes back, in type and value, or it is refused."""

from __future__ import annotations

import collections
import dataclasses
import datetime
import decimal
import enum
import json
import math
import struct
import sys
from typing import Annotated, Any, NamedTuple
from zoneinfo import ZoneInfo

import numpy as np
import pydantic
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from semcache.answer import (
    MAX_DEPTH,
    PLAIN,
    Codec,
    codec_for,
    decode_payload,
    encode_answer,
    encode_stream,
)
from semcache.errors import AnswerError, ConfigurationError, StoreError

# Lone surrogates and NUL included, and keys that look like our own tags.
texts = st.text(st.characters(exclude_categories=()), max_size=20)
tags = st.sampled_from(["$", "$dict", "$tuple", "$bytes", "$float", "$int", "$text", "$new", "v"])
keys = texts | tags | st.integers() | st.booleans() | st.none() | st.floats() | st.binary()
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | texts | st.binary(),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.lists(inner, max_size=4).map(tuple)
        | st.dictionaries(keys, inner, max_size=4)
        | st.dictionaries(tags, inner, max_size=2)
    ),
    max_leaves=20,
)


def identical(one: Any, other: Any) -> bool:
    """Equal in type, order and bits all the way down."""
    if type(one) is not type(other):
        return False
    if isinstance(one, float):
        return struct.pack(">d", one) == struct.pack(">d", other)
    if isinstance(one, dict):
        return identical(list(one.items()), list(other.items()))
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(identical, one, other))
    return bool(one == other)


def back(value: Any) -> Any:
    return decode_payload(encode_answer(value)).data


@given(values)
@settings(max_examples=500, suppress_health_check=[HealthCheck.too_slow])
def test_an_answer_comes_back_identical(value: Any) -> None:
    assert identical(back(value), value)


@given(st.lists(values, max_size=5))
def test_a_stream_comes_back_chunk_by_chunk(chunks: list[Any]) -> None:
    payload = decode_payload(encode_stream(chunks))
    assert payload.kind == "stream"
    assert identical(payload.data, chunks)


@given(values)
def test_the_same_answer_gives_the_same_payload(value: Any) -> None:
    assert encode_answer(back(value)) == encode_answer(value)


@given(values)
def test_a_payload_is_json_that_any_reader_takes(value: Any) -> None:
    document = json.loads(encode_answer(value).decode("utf-8"), parse_constant=pytest.fail)
    assert document["v"] == 1


NEGATIVE_NAN = struct.unpack(">d", bytes.fromhex("fff8000000000001"))[0]


@pytest.mark.parametrize(
    "value",
    [
        math.nan,
        NEGATIVE_NAN,
        math.inf,
        -math.inf,
        -0.0,
        5e-324,
        sys.float_info.max,
        2**63,
        -(2**64),
        10**5000,
        -(10**5000),
        True,
        1,
        1.0,
        "",
        "\0",
        "a\0b",
        "\ud800",
        "\udc00\ud800",
        "\ud83d" + "\ude00",
        "\U0001f600",
        "e\u0301",
        "\u2028\ufeff",
        {"\ud83d" + "\ude00": 1},
        b"",
        bytes(range(256)),
        (),
        ((),),
        [()],
        ([1, (2,)], {"a": (3, {"b": ()})}),
        {},
        {"$dict": [["a", 1]]},
        {"$tuple": [1]},
        {"$bytes": "AA=="},
        {"$unknown": 1},
        {"$": {"$": {"$": 1}}},
        {"a": 1, "$b": 2},
        {1: "a", "1": "b", None: "c", (1, 2): "d", b"x": "e", 2.5: "f"},
        {True: "a"},
        {"b": 1, "a": 2},
    ],
    ids=range(40),
)
def test_hard_cases_come_back_identical(value: Any) -> None:
    assert identical(back(value), value)
    assert identical(back([value]), [value])


def test_megabytes_come_back() -> None:
    value = {
        "text": "Grüße, 漢字 \0 " * 500_000,
        "data": bytes(5_000_000),
        "many": list(range(10**5)),
    }
    payload = encode_answer(value)
    assert decode_payload(payload).data == value
    assert len(payload) < 20_000_000


class Text(str):
    pass


class Level(enum.IntEnum):
    HIGH = 1


class Tone(enum.StrEnum):
    KIND = "kind"


class Named(NamedTuple):
    x: int


@dataclasses.dataclass
class Usage:
    tokens: int


@pytest.mark.parametrize(
    "value",
    [
        Text("a"),
        Level.HIGH,
        Tone.KIND,
        Named(1),
        Usage(1),
        {1},
        frozenset(),
        bytearray(b"a"),
        1j,
        decimal.Decimal(1),
        datetime.date(2024, 1, 1),
        collections.OrderedDict(a=1),
        collections.defaultdict(int),
        collections.Counter("a"),
        np.float64(1),
        np.int64(1),
        np.array([1.0]),
        object(),
        range(3),
        iter([]),
        Exception("x"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_would_come_back_as_something_else_is_refused_by_name(value: Any) -> None:
    for answer in (value, [value], {"a": (value,)}):
        with pytest.raises(AnswerError, match=type(value).__name__):
            encode_answer(answer)
    with pytest.raises(AnswerError):
        encode_stream(["a", value])


@pytest.mark.parametrize(
    "wrap", [lambda v: [v], lambda v: (v,), lambda v: {"a": v}, lambda v: {1: v}]
)
def test_nesting_comes_back_or_is_refused(wrap: Any) -> None:
    value: Any = 0
    for _ in range(MAX_DEPTH // 2):
        value = wrap(value)
    assert back(value) == value
    for _ in range(100_000):
        value = wrap(value)
    with pytest.raises(AnswerError, match="nested"):
        encode_answer(value)
    itself: list[Any] = []
    itself.append(wrap(itself))
    with pytest.raises(AnswerError, match="contains itself"):
        encode_answer(itself)


def test_deep_in_the_callers_stack_it_is_still_our_error() -> None:
    value: Any = 0
    for _ in range(MAX_DEPTH - 1):
        value = (value,)
    payload = encode_answer(value)

    def deeper(frames: int) -> None:
        if frames:
            deeper(frames - 1)
        else:
            with pytest.raises(AnswerError):
                encode_answer(value)
            with pytest.raises(StoreError):
                decode_payload(payload)

    depth = len(__import__("inspect").stack(0))
    deeper(sys.getrecursionlimit() - depth - 150)


def document(data: Any, kind: str = "value", version: Any = 1) -> bytes:
    return json.dumps({"v": version, "kind": kind, "data": data}).encode()


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"hello",
        b"null",
        b"[]",
        b"1",
        b"{}",
        b"\xff\xfe\x00",
        b'{"v":1,"kind":"value"}',
        b"[" * 100_000,
        document({"$new": 1}),
        document({"$tuple": 5}),
        document({"$bytes": "?"}),
        document({"$bytes": 5}),
        document({"$float": "zz"}),
        document({"$float": "00"}),
        document({"$int": "zz"}),
        document({"$text": "/w=="}),
        document({"$dict": [[[1], 2]]}),
        document({"$dict": [[1]]}),
        document("abc", kind="stream"),
        document(None, kind="other"),
        document(None, version=2),
        document(None, version=None),
        encode_answer("hello")[:-3],
    ],
    ids=range(24),
)
def test_what_is_no_payload_is_a_store_error_that_says_what_to_do(payload: bytes) -> None:
    with pytest.raises(StoreError, match="invalidate"):
        decode_payload(payload)


@given(st.binary())
def test_no_bytes_whatever_break_the_reader(payload: bytes) -> None:
    try:
        decode_payload(payload)
    except StoreError:
        pass


def test_a_payload_of_a_newer_version_says_so() -> None:
    with pytest.raises(StoreError, match=r"version 2.*upgrade"):
        decode_payload(document("x", version=2))


# --- codecs ------------------------------------------------------------------------------------


class Source(pydantic.BaseModel):
    url: str = pydantic.Field(alias="href")


class Reply(pydantic.BaseModel):
    text: str
    score: float = 0.0
    sources: list[Source] = []
    at: datetime.datetime | None = None
    tags: set[str] = set()
    extra: Any = None


class Special(Reply):
    more: int = 1


class Strict(pydantic.BaseModel, strict=True, frozen=True):
    pair: tuple[int, int]
    day: datetime.date
    tone: Tone


class Open(pydantic.BaseModel, extra="allow"):
    pass


class Hidden(pydantic.BaseModel):
    text: str
    inner: str = pydantic.Field(default="", exclude=True)


class Secret(pydantic.BaseModel):
    key: pydantic.SecretStr


class Private(pydantic.BaseModel):
    text: str
    _seen: int = pydantic.PrivateAttr(default=0)


class Fussy(pydantic.BaseModel):
    text: str

    @pydantic.field_validator("text")
    @classmethod
    def known(cls, value: str) -> str:
        return {"a": "a"}[value]


@dataclasses.dataclass(eq=False)
class Node:
    value: float
    children: list[Node] = dataclasses.field(default_factory=list)


@dataclasses.dataclass
class Pair:
    left: int
    right: tuple[int, ...]


def through(annotation: Any, value: Any) -> Any:
    codec = codec_for(annotation)
    return codec.from_plain(decode_payload(encode_answer(codec.to_plain(value))).data)


SOURCE = Source(href="https://example.org")
NOW = datetime.datetime(2024, 5, 6, 7, 8, 9, 10, tzinfo=datetime.UTC)


@pytest.mark.parametrize(
    ("annotation", "value"),
    [
        (Reply, Reply(text="hi", score=0.1, sources=[SOURCE], at=NOW, tags={"a", "b"})),
        (Reply, Reply(text="\0", score=math.inf, extra={"a": [1, 1.0, True, None]})),
        (Reply | None, None),
        (Reply | None, Reply(text="hi")),
        (list[Reply], [Reply(text="a"), Reply(text="b")]),
        (list[Reply], []),
        (dict[int, Reply], {1: Reply(text="a")}),
        (tuple[Reply, int], (Reply(text="a"), 2)),
        (Annotated[Reply, "note"], Reply(text="a")),
        (Reply | str, "only text"),
        (Strict, Strict(pair=(1, 2), day=datetime.date(2024, 1, 1), tone=Tone.KIND)),
        (Open, Open.model_validate({"a": 1, "b": [2.0]})),
        (Hidden, Hidden(text="a")),
        (Pair, Pair(1, (2, 3))),
        (list[Pair], [Pair(1, ())]),
    ],
    ids=range(15),
)
def test_models_and_dataclasses_come_back_equal_and_of_their_type(
    annotation: Any, value: Any
) -> None:
    result = through(annotation, value)
    assert result == value
    assert type(result) is type(value)


def test_what_has_no_equality_of_its_own_is_compared_field_by_field() -> None:
    result = through(Node, Node(math.nan, [Node(1.5)]))
    assert math.isnan(result.value)
    assert result.children[0].value == 1.5


def test_a_model_that_holds_nan_can_be_recorded() -> None:
    assert math.isnan(through(list[Reply], [Reply(text="a", score=math.nan)])[0].score)


def with_private() -> Private:
    value = Private(text="a")
    value._seen = 1
    return value


@pytest.mark.parametrize(
    ("annotation", "value"),
    [
        (Reply, {"text": "a dict"}),
        (Reply, None),
        (Reply, Special(text="a subclass")),
        (list[Reply], [Special(text="a subclass")]),
        (list[Reply], (Reply(text="a"),)),
        (Reply, Reply(text="a", extra=(1, 2))),
        (Reply, Reply(text="a", extra=Level.HIGH)),
        (Reply, Reply(text="a", extra=decimal.Decimal(1))),
        (Reply, Reply(text="a", extra=object())),
        (Reply, Reply.model_construct(text=5)),
        (Reply, Reply(text="a", at=NOW.astimezone(ZoneInfo("Europe/Berlin")), extra={1})),
        (Hidden, Hidden(text="a", inner="kept out")),
        (Secret, Secret(key=pydantic.SecretStr("x"))),
        (Private, with_private()),
        (Fussy, Fussy.model_construct(text="b")),
        (Pair, Pair(1, [2])),  # type: ignore[arg-type]
        (Pair, Pair("1", ())),  # type: ignore[arg-type]
    ],
    ids=range(17),
)
def test_a_value_that_would_come_back_different_is_refused(annotation: Any, value: Any) -> None:
    with pytest.raises(AnswerError, match="codec="):
        codec_for(annotation).to_plain(value)


def test_a_model_that_has_changed_since_is_a_store_error() -> None:
    with pytest.raises(StoreError, match="does not fit"):
        codec_for(Reply).from_plain({"txt": "a"})


@pytest.mark.parametrize(
    "annotation", [None, str, int, list[str], dict[str, Any], Any, "Reply", str | None, float]
)
def test_plain_annotations_need_no_codec(annotation: Any) -> None:
    assert codec_for(annotation) is PLAIN


def test_a_codec_of_ones_own() -> None:
    codec = Codec(to_plain=str, from_plain=decimal.Decimal)
    value = decimal.Decimal("1.10")
    result = codec.from_plain(decode_payload(encode_answer(codec.to_plain(value))).data)
    assert str(result) == "1.10"


def test_an_annotation_pydantic_cannot_read_is_refused_when_the_codec_is_made() -> None:
    class Weird:
        pass

    with pytest.raises(ConfigurationError, match="codec="):
        codec_for(tuple[Reply, Weird])
