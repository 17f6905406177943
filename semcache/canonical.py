"""One spelling for every value that means the same: the bytes that keys are digests of.

Rules, each of which ``tests/test_canonical.py`` checks as a property:

* object keys are sorted, insignificant white space is gone;
* text is NFC (Unicode Standard Annex #15); lone surrogates survive as escapes;
* ``1``, ``1.0`` and ``Decimal("1.00")`` are one number, ``True`` is not ``1``;
* a list and a tuple are one sequence; a set is its sorted elements, and is not a list;
* an enum member that *is* a string or a number is that value, any other is its class and value;
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
import math
import numbers
import sys
import typing
import unicodedata
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from functools import lru_cache
from json.encoder import encode_basestring_ascii
from typing import Any

from semcache.errors import ConfigurationError

# Deeper than any real request, and far below the interpreter's own recursion limit.
MAX_DEPTH = 200

# Up to here an integer is written in full. The interpreter may be told to refuse to print more
# than 640 digits (``sys.set_int_max_str_digits``), and the largest float has 309.
_MAX_DIGITS = 600
_MAX_BITS = 1990

_INTEGERS = (int, numbers.Integral)
_BYTES = (bytes, bytearray, memoryview)
_TIMES = (datetime.datetime, datetime.date, datetime.time)


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
    try:
        return _form(value, 0)
    except RecursionError:
        raise _too_deep() from None


def _too_deep() -> ConfigurationError:
    return ConfigurationError(
        f"a request parameter is nested deeper than {MAX_DEPTH} levels (or contains itself); "
        "pass a flatter value"
    )


def _form(value: Any, depth: int) -> str:
    # The exact types of JSON first: nearly every value is one, and the checks below are slow.
    kind = type(value)
    if kind is str:
        return encode_basestring_ascii(nfc(value))
    if value is None:
        return "null"
    if kind is bool:
        return "true" if value else "false"
    if depth > MAX_DEPTH:
        raise _too_deep()
    if kind is dict:
        return _mapping(value, depth)
    if kind is list or kind is tuple:
        return _sequence(value, depth)
    if isinstance(value, str):
        return encode_basestring_ascii(nfc(str.__str__(value)))
    if isinstance(value, numbers.Number):
        return _number(value)
    if isinstance(value, Mapping):
        return _mapping(value, depth)
    if isinstance(value, _BYTES):
        return _tagged("bytes", hashlib.sha256(bytes(value)).hexdigest(), depth)
    if isinstance(value, AbstractSet):
        items = sorted(_form(item, depth + 2) for item in value)
        return '{"$set":[' + ",".join(items) + "]}"
    if isinstance(value, Sequence):
        return _sequence(value, depth)
    return _object(value, depth)


def _sequence(value: Sequence[Any], depth: int) -> str:
    return "[" + ",".join([_form(item, depth + 1) for item in value]) + "]"


def _mapping(value: Mapping[Any, Any], depth: int) -> str:
    # Sorted as a whole, not by key alone: two keys that differ only in their Unicode form have
    # one spelling here, and must not bring back the order in which they were given.
    pairs = [_key(key, depth) + ":" + _form(item, depth + 1) for key, item in value.items()]
    pairs.sort()
    return "{" + ",".join(pairs) + "}"


def _key(key: Any, depth: int) -> str:
    if isinstance(key, str):
        text = nfc(str.__str__(key))
        return encode_basestring_ascii("$" + text if text.startswith("$") else text)
    # {1: …} and {"1": …} are different mappings in Python, so they are different here.
    return encode_basestring_ascii("$key:" + _form(key, depth + 1))


def _tagged(tag: str, value: Any, depth: int) -> str:
    return '{"$' + tag + '":' + _form(value, depth + 1) + "}"


def _object(value: Any, depth: int) -> str:
    if isinstance(value, enum.Enum):
        return _tagged("enum", [_name(type(value)), value.value], depth)
    if isinstance(value, _TIMES):
        return _tagged("time", [type(value).__name__, value.isoformat()], depth)
    if isinstance(value, datetime.timedelta):
        return _tagged("microseconds", value // datetime.timedelta(microseconds=1), depth)
    # Whoever has a UUID has imported its module, which takes longer than this one.
    if (uuid := sys.modules.get("uuid")) is not None and isinstance(value, uuid.UUID):
        return _tagged("uuid", str(value), depth)
    if isinstance(value, type):
        return _class(value)
    if typing.get_origin(value) is not None:
        return _type(value)
    if (parts := _fields(value)) is not None:
        return _tagged("model", [_name(type(value)), parts], depth)
    if type(value).__module__ == "numpy" and hasattr(value, "dtype"):
        return _numpy(value, depth)
    raise _no_form(value)


def _no_form(value: Any) -> ConfigurationError:
    return ConfigurationError(
        f"a value of type {_name(type(value))} has no canonical form and cannot be part of a "
        "cache key; pass plain data (str, numbers, lists, dicts, bytes), a dataclass or a pydantic "
        "model, or leave it out with scope="
    )


def _name(kind: type) -> str:
    return f"{kind.__module__}.{kind.__qualname__}"


def _fields(value: Any) -> dict[str, Any] | None:
    """The fields of a pydantic model or a dataclass as they are, not as they would be dumped.

    A dump leaves out excluded fields and masks secrets, which would make two values one.
    """
    declared = getattr(type(value), "model_fields", None)
    if isinstance(declared, dict):
        extra = getattr(value, "model_extra", None) or {}
        return {name: getattr(value, name, None) for name in declared} | extra
    if dataclasses.is_dataclass(value):
        return {f.name: getattr(value, f.name, None) for f in dataclasses.fields(value)}
    return None


def _numpy(value: Any, depth: int) -> str:
    """A numpy truth value, or an array by type, shape and content."""
    if value.dtype.kind == "b" and value.shape == ():
        return "true" if value else "false"
    if value.dtype.hasobject:
        raise _no_form(value)
    content = [value.dtype.str, list(value.shape), value.tobytes()]
    return _tagged("array", content, depth)


# A schema takes pydantic 100 µs and more, and a response_format is the same class in every call.
@lru_cache(maxsize=256)
def _class(kind: type) -> str:
    return _type(kind)


def _type(kind: Any) -> str:
    """A response_format given as a type: its schema is what the model sees, where it has one."""
    name = _name(kind) if isinstance(kind, type) else repr(kind)
    return _tagged("type", [name, _schema(kind)], 0)


def _schema(kind: Any) -> Any:
    described = hasattr(kind, "model_json_schema") or hasattr(kind, "__annotations__")
    if not described and typing.get_origin(kind) is None:
        return None
    from pydantic import TypeAdapter

    try:
        return TypeAdapter(kind).json_schema()
    except Exception:  # pydantic has a dozen ways to say that a type has no JSON schema
        return {name: repr(hint) for name, hint in getattr(kind, "__annotations__", {}).items()}


def _number(value: Any) -> str:
    if isinstance(value, _INTEGERS):
        return _integer(int(value))
    if isinstance(value, float):
        return _float(float(value))
    if isinstance(value, decimal.Decimal):
        return _decimal(value)
    if isinstance(value, numbers.Real):
        try:
            as_float = float(value)
        except OverflowError:
            as_float = math.inf
        if as_float == value or as_float != as_float:
            return _float(as_float)
        if isinstance(value, numbers.Rational):
            return _odd_number(f"{int(value.numerator):x}/{int(value.denominator):x}")
    raise _no_form(value)


def _odd_number(text: str) -> str:
    return '{"$number":"' + text + '"}'


def _integer(value: int) -> str:
    if value.bit_length() > _MAX_BITS:
        return _odd_number(hex(value))
    return int.__repr__(value)


def _float(value: float) -> str:
    if not math.isfinite(value):
        return _odd_number(float.__repr__(value))
    return int.__repr__(int(value)) if value.is_integer() else float.__repr__(value)


def _decimal(value: decimal.Decimal) -> str:
    if value.is_nan():
        return _odd_number(str(value).lower())
    if value.is_infinite():
        return _odd_number("inf" if value > 0 else "-inf")
    # By digits and not by arithmetic, which would round to the precision of the current context.
    sign, digits, exponent = value.as_tuple()
    text = "".join(map(str, digits)).lstrip("0")
    stripped = text.rstrip("0")
    if not stripped:
        return "0"
    exponent = int(exponent) + len(text) - len(stripped)
    if exponent >= 0 and len(stripped) + exponent <= _MAX_DIGITS:
        return "-" * sign + stripped + "0" * exponent
    # repr(float) is the shortest text that reads back as that float; a Decimal that says no more
    # than that is the same number, one that says more is another.
    shortest = float.__repr__(float(value))
    if decimal.Decimal(shortest) == value:
        return shortest
    return _odd_number(f"{'-' * sign}{stripped}e{exponent}")
