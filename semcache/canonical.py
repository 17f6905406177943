"""One spelling for every value that means the same: the bytes that keys are digests of.

Rules, each of which ``tests/test_canonical.py`` checks as a property:

* object keys are sorted, insignificant white space is gone;
* text is NFC (Unicode Standard Annex #15); lone surrogates survive as escapes;
* ``1``, ``1.0`` and ``Decimal("1.00")`` are one number, ``True`` is not ``1``;
* a list and a tuple are one sequence; a set is its sorted elements, and is not a list;
* bytes enter by their SHA-256, never in clear;
* a value with no canonical form is an error, never ``repr`` (which may hold an address).

The output is JSON by RFC 8259 wherever the input is; other types are tagged objects whose key
starts with ``$``, and keys of the caller's own that start so are escaped by doubling it.
"""

from __future__ import annotations

import dataclasses
import datetime
import decimal
import enum
import hashlib
import json
import math
import unicodedata
import uuid
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Any

from semcache.errors import ConfigurationError

# Deeper than any real request, and far below the interpreter's own recursion limit.
MAX_DEPTH = 200


def nfc(text: str) -> str:
    """``text`` in Unicode normalisation form C; lone surrogates stay as they are."""
    return text if text.isascii() else unicodedata.normalize("NFC", text)


def canonical_json(value: Any) -> str:
    """The canonical JSON of ``value``, ASCII only.

    Raises:
        ConfigurationError: ``value`` holds something that has no canonical form, or is nested
            deeper than ``MAX_DEPTH``.

    >>> canonical_json({"b": 1.0, "a": (True, None)})
    '{"a":[true,null],"b":1}'
    """
    parts: list[str] = []
    _write(value, parts, 0)
    return "".join(parts)


def _write(value: Any, parts: list[str], depth: int) -> None:
    if depth > MAX_DEPTH:
        raise ConfigurationError(
            f"a request parameter is nested deeper than {MAX_DEPTH} levels (or contains itself); "
            "pass a flatter value"
        )
    if value is None or value is True or value is False:
        parts.append({None: "null", True: "true", False: "false"}[value])
    elif isinstance(value, enum.Enum):
        _write(value.value, parts, depth + 1)
    elif isinstance(value, str):
        parts.append(_quote(value))
    elif isinstance(value, int | float | decimal.Decimal):
        parts.append(_number(value))
    elif isinstance(value, Mapping):
        _write_mapping(value, parts, depth)
    elif isinstance(value, bytes | bytearray | memoryview):
        _write_tagged("bytes", hashlib.sha256(value).hexdigest(), parts, depth)
    elif isinstance(value, AbstractSet):
        _write_tagged("set", sorted(canonical_json(item) for item in value), parts, depth)
    elif isinstance(value, Sequence):
        _write_sequence(value, parts, depth)
    else:
        _write_object(value, parts, depth)


def _write_sequence(value: Sequence[Any], parts: list[str], depth: int) -> None:
    parts.append("[")
    for position, item in enumerate(value):
        if position:
            parts.append(",")
        _write(item, parts, depth + 1)
    parts.append("]")


def _write_mapping(value: Mapping[Any, Any], parts: list[str], depth: int) -> None:
    keyed = sorted(((_key(key), item) for key, item in value.items()), key=lambda pair: pair[0])
    parts.append("{")
    for position, (key, item) in enumerate(keyed):
        if position:
            parts.append(",")
        parts.append(key)
        parts.append(":")
        _write(item, parts, depth + 1)
    parts.append("}")


def _key(key: Any) -> str:
    if isinstance(key, str) and not isinstance(key, enum.Enum):
        return _quote("$" + key if key.startswith("$") else key)
    # {1: …} and {"1": …} are different mappings in Python, so they are different here.
    return _quote("$key:" + canonical_json(key))


def _write_tagged(tag: str, value: Any, parts: list[str], depth: int) -> None:
    parts.append('{"$' + tag + '":')
    _write(value, parts, depth + 1)
    parts.append("}")


def _write_object(value: Any, parts: list[str], depth: int) -> None:
    if isinstance(value, datetime.datetime | datetime.date | datetime.time):
        _write_tagged("time", value.isoformat(), parts, depth)
    elif isinstance(value, datetime.timedelta):
        _write_tagged("seconds", value.total_seconds(), parts, depth)
    elif isinstance(value, uuid.UUID):
        _write_tagged("uuid", str(value), parts, depth)
    elif isinstance(value, type):
        # A response_format given as a class: its schema is what the model sees, where it has one.
        schema = getattr(value, "model_json_schema", None)
        content = schema() if callable(schema) else None
        name = f"{value.__module__}.{value.__qualname__}"
        _write_tagged("type", [name, content], parts, depth)
    elif callable(dump := getattr(value, "model_dump", None)):
        _write_tagged("model", [type(value).__qualname__, dump(mode="json")], parts, depth)
    elif dataclasses.is_dataclass(value):
        fields = {f.name: getattr(value, f.name) for f in dataclasses.fields(value)}
        _write_tagged("model", [type(value).__qualname__, fields], parts, depth)
    else:
        raise ConfigurationError(
            f"a value of type {type(value).__module__}.{type(value).__qualname__} has no "
            "canonical form and cannot be part of a cache key; pass plain data (str, numbers, "
            "lists, dicts, bytes), a dataclass or a pydantic model, or leave it out with scope="
        )


def _quote(text: str) -> str:
    return json.dumps(nfc(text))


def _number(value: int | float | decimal.Decimal) -> str:
    if isinstance(value, int):
        return int.__repr__(value)
    if isinstance(value, float):
        if math.isfinite(value):
            return str(int(value)) if value.is_integer() else float.__repr__(value)
        return f'{{"$number":"{float.__repr__(value)}"}}'
    if not value.is_finite():
        return f'{{"$number":"{str(value).lower()}"}}'
    if value == value.to_integral_value():
        return str(int(value))
    as_float = float(value)
    # repr(float) is the shortest text that reads back as that float; a Decimal that says no more
    # than that is the same number, one that says more is another.
    if decimal.Decimal(float.__repr__(as_float)) == value:
        return float.__repr__(as_float)
    return f'{{"$number":"{value.normalize()}"}}'
