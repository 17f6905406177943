"""A stored answer and what is known of it."""

from __future__ import annotations

import datetime
import json
import math
import numbers
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal, get_args

from semcache.answer import dump_json, payload_from_json
from semcache.errors import ConfigurationError, StoreError

Source = Literal["model", "seed", "alias", "note"]

# An entry "from the future" by more than this means that the clock went back; its age is unknown,
# so it is not served. Below it lies what NTP and several machines differ by in practice.
CLOCK_TOLERANCE_S = 60.0

_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h|d|w)")
_UNIT_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}

Ttl = str | int | float | datetime.timedelta | None


def parse_ttl(ttl: Ttl) -> float | None:
    """Seconds of a time to live; ``None`` means "never expires", ``0`` means "do not store".

    Accepts seconds, a ``timedelta``, or text such as ``"1d"``, ``"90m"``, ``"1h30m"``.

    Raises:
        ConfigurationError: negative, not finite, or not a duration.

    >>> parse_ttl("1h30m"), parse_ttl(0), parse_ttl(None)
    (5400.0, 0.0, None)
    """
    if ttl is None:
        return None
    if isinstance(ttl, datetime.timedelta):
        seconds = ttl.total_seconds()
    elif isinstance(ttl, numbers.Real) and not isinstance(ttl, bool):
        seconds = _as_float(ttl)
    elif isinstance(ttl, str):
        seconds = _parse_duration(ttl)
    else:
        raise ConfigurationError(f"ttl must be seconds, a timedelta, text or None, not {ttl!r:.60}")
    if not math.isfinite(seconds) or seconds < 0:
        raise ConfigurationError(
            f"ttl must be a finite number of seconds >= 0, not {ttl!r:.60}; "
            "use None for entries that never expire and 0 for answers that must not be stored"
        )
    return seconds


def _as_float(number: numbers.Real) -> float:
    try:
        return float(number)
    except OverflowError:
        return math.inf


def _parse_duration(text: str) -> float:
    compact = text.strip().lower()
    pieces = _DURATION.findall(compact)
    if not compact.isascii() or not pieces or _DURATION.sub("", compact).strip():
        raise ConfigurationError(
            f'ttl {text!r:.60} is not a duration; write "90s", "15m", "6h", "1d", "2w" or "1h30m"'
        )
    return sum(float(number) * _UNIT_SECONDS[unit] for number, unit in pieces)


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of one upstream call, as the model counted them."""

    input_tokens: int = 0
    output_tokens: int = 0


@dataclass(frozen=True, slots=True)
class Entry:
    """One answer in a store.

    Attributes:
        id: digest of scope and normalised query, 32 hexadecimal digits.
        scope: digest of the scope, 32 hexadecimal digits.
        query: the query text as it was first asked.
        answer: payload bytes (``semcache.answer``), or ``None`` where a store left it out
            (search results); ``Store.get`` always brings it.
        created, expires: seconds since the epoch; ``expires=None`` means never.
        namespace: in clear; tenant: keyed digest or ``None``.
        tags: in clear, for ``invalidate``.
        model, usage, cost (USD), seconds: of the upstream call, where known.
        fingerprint: of the embedder that made the vector, ``None`` where there is no vector.
        hits: how often it was served.
        source: ``"model"`` or ``"seed"`` (imported); an alias is not an entry of its own.
            ``"note"``: no answer, but what the cache learned (``semcache.online.notes``).
        quarantined: reported as wrong: never served by meaning again.
    """

    id: str
    scope: str
    query: str
    answer: bytes | None
    created: float
    expires: float | None = None
    namespace: str = "default"
    tenant: str | None = None
    tags: tuple[str, ...] = ()
    model: str | None = None
    usage: Usage | None = None
    cost: float | None = None
    seconds: float | None = None
    fingerprint: str | None = None
    hits: int = 0
    source: Source = "model"
    quarantined: bool = False

    def is_live(self, now: float) -> bool:
        """Whether it may be served at ``now`` (seconds since the epoch).

        The moment ``expires`` itself is already too late. A clock that went back makes entries
        look as if they came from the future; those are not served either, or a step back of an
        hour would silently give every entry another hour.
        """
        if not now >= self.created - CLOCK_TOLERANCE_S:  # NaN is no time to be served at
            return False
        return self.expires is None or now < self.expires


def entry_to_json(entry: Entry) -> dict[str, Any]:
    """An entry as plain JSON data, with the answer's payload inline (for ``export``).

    Raises:
        StoreError: the answer is not a payload.
    """
    document: dict[str, Any] = {}
    for spec in fields(Entry):
        value = getattr(entry, spec.name)
        if spec.name == "answer" and value is not None:
            try:
                value = json.loads(value)
            except (ValueError, RecursionError) as error:
                raise StoreError(
                    f"entry {entry.id} cannot be exported: its answer is not a semcache payload; "
                    "invalidate it"
                ) from error
        elif spec.name == "usage" and value is not None:
            value = {"input_tokens": value.input_tokens, "output_tokens": value.output_tokens}
        elif spec.name == "tags":
            value = list(value)
        document[spec.name] = value
    return document


def entry_from_json(document: Mapping[str, Any]) -> Entry:
    """The entry that ``entry_to_json`` wrote, its answer byte for byte.

    Raises:
        ConfigurationError: a field is missing, unknown or of the wrong type.
    """
    if not isinstance(document, Mapping):
        raise ConfigurationError(
            f"an exported entry must be a JSON object, not {type(document).__name__}"
        )
    known = {spec.name for spec in fields(Entry)}
    unknown = set(document) - known
    if unknown:
        raise ConfigurationError(f"an exported entry has unknown fields {sorted(unknown)}")
    missing = {"id", "scope", "query", "answer", "created"} - set(document)
    if missing:
        raise ConfigurationError(f"an exported entry lacks the fields {sorted(missing)}")
    for name, value in document.items():
        is_right, expected = _FIELDS[name]
        if not is_right(value):
            raise ConfigurationError(
                f"an exported entry's {name} must be {expected}, not {value!r:.60}"
            )
    values = dict(document)
    values["answer"] = _answer_bytes(values["answer"])
    values["tags"] = tuple(values.get("tags", ()))
    if values.get("usage") is not None:
        values["usage"] = Usage(**values["usage"])
    return Entry(**values)


def _answer_bytes(answer: Any) -> bytes | None:
    if answer is None:
        return None
    try:
        payload_from_json(answer)
        return dump_json(answer)
    except (StoreError, ValueError, RecursionError) as error:
        raise ConfigurationError(
            f"an exported entry's answer is not a payload of this version of semcache: {error}"
        ) from error


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_name(value: Any) -> bool:
    return isinstance(value, str) and value != ""


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _is_time(value: Any) -> bool:
    # Neither infinite nor NaN nor an integer that no float holds; 1e15 s is 30 million years.
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e15


def _is_amount(value: Any) -> bool:
    return value is None or (_is_time(value) and value >= 0)


def _is_usage(value: Any) -> bool:
    return value is None or (
        isinstance(value, Mapping)
        and set(value) == {"input_tokens", "output_tokens"}
        and all(map(_is_count, value.values()))
    )


_FIELDS: dict[str, tuple[Callable[[Any], bool], str]] = {
    "id": (_is_name, "text"),
    "scope": (_is_name, "text"),
    "query": (_is_text, "text"),
    "answer": (lambda value: value is None or isinstance(value, Mapping), "a payload or null"),
    "created": (_is_time, "seconds since the epoch"),
    "expires": (lambda value: value is None or _is_time(value), "seconds since the epoch or null"),
    "namespace": (_is_name, "text"),
    "tenant": (lambda value: value is None or _is_name(value), "text or null"),
    "tags": (lambda value: isinstance(value, list) and all(map(_is_text, value)), "a list of text"),
    "model": (lambda value: value is None or _is_text(value), "text or null"),
    "usage": (_is_usage, "an object of input_tokens and output_tokens, or null"),
    "cost": (_is_amount, "a number >= 0 or null"),
    "seconds": (_is_amount, "a number >= 0 or null"),
    "fingerprint": (lambda value: value is None or _is_name(value), "text or null"),
    "hits": (_is_count, "a whole number >= 0"),
    "source": (lambda value: value in get_args(Source), "one of model, seed, alias, note"),
    "quarantined": (lambda value: isinstance(value, bool), "true or false"),
}
