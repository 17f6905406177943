"""Entries: how long they live, and how they travel."""

from __future__ import annotations

import datetime
import json
import math
from dataclasses import fields, replace
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from semcache.answer import encode_answer, encode_stream
from semcache.entry import (
    CLOCK_TOLERANCE_S,
    Entry,
    Usage,
    entry_from_json,
    entry_to_json,
    parse_ttl,
)
from semcache.errors import ConfigurationError, StoreError

DAY = 86_400.0


@pytest.mark.parametrize(
    ("ttl", "seconds"),
    [
        (None, None),
        (0, 0.0),
        ("0s", 0.0),
        (1, 1.0),
        (1.5, 1.5),
        (np.int64(5), 5.0),
        (np.float32(0.5), 0.5),
        (Fraction(1, 2), 0.5),
        ("250ms", 0.25),
        ("90s", 90.0),
        ("15m", 900.0),
        ("6h", 21_600.0),
        ("1d", DAY),
        ("2w", 14 * DAY),
        ("1h30m", 5_400.0),
        ("1d 2h 3m 4s 5ms", DAY + 7_384.005),
        (" 1.5H ", 5_400.0),
        ("1 d", DAY),
        (datetime.timedelta(hours=1, microseconds=1), 3_600.000001),
        (datetime.timedelta(0), 0.0),
    ],
)
def test_ttl_means_seconds(ttl: Any, seconds: float | None) -> None:
    assert parse_ttl(ttl) == seconds


@pytest.mark.parametrize(
    "ttl",
    [
        -1,
        -0.001,
        "-1h",
        datetime.timedelta(seconds=-1),
        math.nan,
        math.inf,
        10**400,
        "9" * 400 + "d",
        True,
        False,
        "",
        " ",
        "1",
        "1x",
        "d",
        "1hx",
        "x1h",
        "1h,2m",
        "1.h",
        "1..5h",
        "1e3s",
        "١d",
        "never",
        "None",
        b"1d",
        [1],
        datetime.date(2024, 1, 1),
        1j,
    ],
    ids=range(28),
)
def test_what_is_no_ttl_is_refused(ttl: Any) -> None:
    with pytest.raises(ConfigurationError, match="ttl"):
        parse_ttl(ttl)


@given(st.timedeltas(min_value=datetime.timedelta(0)))
def test_a_timedelta_means_its_seconds(delta: datetime.timedelta) -> None:
    assert parse_ttl(delta) == delta.total_seconds() == parse_ttl(delta.total_seconds())


@given(st.integers(0, 99), st.integers(0, 99), st.integers(0, 99))
def test_parts_of_a_duration_add_up(days: int, hours: int, minutes: int) -> None:
    expected = datetime.timedelta(days=days, hours=hours, minutes=minutes).total_seconds()
    assert parse_ttl(f"{days}d{hours}h{minutes}m") == expected


def entry(**changes: Any) -> Entry:
    base = Entry(
        id="0" * 32, scope="1" * 32, query="Hi", answer=encode_answer("Hello"), created=0.0
    )
    return replace(base, **changes)


times = st.floats(0, 4e9)
lifetimes = st.floats(0.001, 1e9)


@given(times, lifetimes, st.floats(0, 1, exclude_max=True))
def test_lives_until_it_expires_and_not_a_moment_longer(
    created: float, ttl: float, share: float
) -> None:
    expires = created + ttl
    one = entry(created=created, expires=expires)
    assert one.is_live(created) == (created < expires)
    inside = created + share * ttl
    assert one.is_live(inside) == (inside < expires)
    assert one.is_live(math.nextafter(expires, 0)) or expires == created
    assert not one.is_live(expires)
    assert not one.is_live(math.nextafter(expires, math.inf))


@given(times, st.floats(0, 1e10))
def test_without_expiry_it_lives_for_ever(created: float, later: float) -> None:
    assert entry(created=created).is_live(created + later)


@given(st.floats(1e6, 4e9), lifetimes | st.none(), st.floats(CLOCK_TOLERANCE_S + 1, 1e6))
def test_a_clock_that_went_back_gives_no_entry_more_time(
    created: float, ttl: float | None, step: float
) -> None:
    one = entry(created=created, expires=None if ttl is None else created + ttl)
    assert not one.is_live(created - step)


@pytest.mark.parametrize("ttl", [100.0, None])
def test_small_differences_between_clocks_do_not_matter(ttl: float | None) -> None:
    one = entry(created=1e9, expires=None if ttl is None else 1e9 + ttl)
    assert one.is_live(1e9 - 1)
    assert one.is_live(1e9 - CLOCK_TOLERANCE_S)
    assert not one.is_live(1e9 - CLOCK_TOLERANCE_S - 1)


def test_a_time_that_is_none_serves_nothing() -> None:
    assert not entry().is_live(math.nan)
    assert not entry(created=math.nan).is_live(1.0)
    assert not entry(expires=math.nan).is_live(1.0)


texts = st.text(st.characters(exclude_categories=()), max_size=10)
answers = (st.text() | st.binary() | st.floats() | st.integers()).map(encode_answer)
streams = st.lists(texts | st.tuples(st.integers(), st.floats())).map(encode_stream)
entries = st.builds(
    Entry,
    id=st.uuids().map(lambda u: u.hex),
    scope=st.uuids().map(lambda u: u.hex),
    query=texts,
    answer=st.none() | answers | streams,
    created=times,
    expires=st.none() | times,
    namespace=st.text(min_size=1, max_size=5),
    tenant=st.none() | st.uuids().map(lambda u: u.hex),
    tags=st.lists(texts, max_size=3).map(tuple),
    model=st.none() | texts,
    usage=st.none() | st.builds(Usage, st.integers(0, 2**40), st.integers(0, 2**40)),
    cost=st.none() | st.floats(0, 100),
    seconds=st.none() | st.floats(0, 100),
    fingerprint=st.none() | st.text(min_size=1),
    hits=st.integers(0, 2**40),
    source=st.sampled_from(["model", "seed", "alias"]),
    quarantined=st.booleans(),
)


@given(entries)
def test_an_exported_entry_comes_back_the_same_byte_for_byte(one: Entry) -> None:
    line = json.dumps(entry_to_json(one))
    assert "\n" not in line
    assert entry_from_json(json.loads(line)) == one


@given(entries)
def test_an_export_may_be_reformatted_by_other_tools(one: Entry) -> None:
    text = json.dumps(entry_to_json(one), indent=2, ensure_ascii=True)
    assert entry_from_json(json.loads(text)) == one


def test_an_export_names_every_field() -> None:
    assert set(entry_to_json(entry())) == {spec.name for spec in fields(Entry)}


def test_fields_that_have_a_default_may_be_left_out() -> None:
    document = entry_to_json(entry())
    needed = ("id", "scope", "query", "answer", "created")
    assert entry_from_json({name: document[name] for name in needed}) == entry()


@pytest.mark.parametrize("name", ["id", "scope", "query", "answer", "created"])
def test_a_missing_field_is_named(name: str) -> None:
    document = entry_to_json(entry())
    del document[name]
    with pytest.raises(ConfigurationError, match=name):
        entry_from_json(document)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("id", 5),
        ("id", ""),
        ("scope", None),
        ("query", None),
        ("query", ["Hi"]),
        ("answer", "Hello"),
        ("answer", {"text": "Hello"}),
        ("answer", {"v": 2, "kind": "value", "data": "Hello"}),
        ("answer", {"v": 1, "kind": "value", "data": {"$new": 1}}),
        ("answer", {"v": 1, "kind": "value", "data": "\ud800"}),
        ("created", "2024-01-01"),
        ("created", True),
        ("created", math.nan),
        ("created", None),
        ("created", 10**400),
        ("expires", math.inf),
        ("expires", "1d"),
        ("namespace", ""),
        ("namespace", None),
        ("tenant", 5),
        ("tags", "faq"),
        ("tags", [1]),
        ("tags", None),
        ("model", 5),
        ("usage", [1, 2]),
        ("usage", {"input_tokens": 1}),
        ("usage", {"input_tokens": 1, "output_tokens": 2, "total": 3}),
        ("usage", {"input_tokens": 1.5, "output_tokens": 2}),
        ("cost", "1 USD"),
        ("cost", -1),
        ("seconds", math.nan),
        ("fingerprint", ""),
        ("hits", -1),
        ("hits", 1.0),
        ("hits", True),
        ("source", "elsewhere"),
        ("source", []),
        ("quarantined", 0),
        ("unheard_of", 1),
    ],
)
def test_a_field_of_the_wrong_type_is_named(name: str, value: Any) -> None:
    with pytest.raises(ConfigurationError, match=name):
        entry_from_json({**entry_to_json(entry()), name: value})


@pytest.mark.parametrize("document", [None, [], "x", 5])
def test_what_is_no_object_is_no_entry(document: Any) -> None:
    with pytest.raises(ConfigurationError, match="JSON object"):
        entry_from_json(document)


def test_an_answer_that_is_no_payload_is_not_exported() -> None:
    with pytest.raises(StoreError, match="invalidate"):
        entry_to_json(entry(answer=b"\xff"))
