"""Answers as bytes, and back exactly as they were.

A payload is versioned JSON: ``{"v": 1, "kind": "value" | "stream", "data": …}``. Python values that
JSON does not have are tagged (``{"$tuple": […]}``, ``{"$bytes": "<base64>"}``, …); a mapping of the
caller's own whose key starts with ``$`` is written as ``{"$dict": [[key, value], …]}``, so nothing
the caller stores can be mistaken for a tag. Text that is not Unicode (lone surrogates) is tagged
too: two escapes in a row would come back as one character. What cannot come back equal and of the
same type is refused with ``AnswerError`` instead of being stored approximately. No pickle: reading
a payload can never run code.

Dataclasses and pydantic models are recorded through a ``Codec`` that knows their type (the
``cached`` decorator makes one from the return annotation).
"""

from __future__ import annotations

import base64
import dataclasses
import datetime
import json
import math
import struct
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from semcache.errors import AnswerError, ConfigurationError, StoreError

PAYLOAD_VERSION = 1
Kind = Literal["value", "stream"]
MAX_DEPTH = 200


@dataclass(frozen=True, slots=True)
class Payload:
    """What one payload holds: a single value, or the chunks of a stream in order."""

    kind: Kind
    data: Any


def encode_answer(value: Any) -> bytes:
    """The payload of a single answer.

    Raises:
        AnswerError: some part of ``value`` would not come back as it is; says which type.

    >>> decode_payload(encode_answer({"text": "hi", "scores": (1, 2.5)})).data
    {'text': 'hi', 'scores': (1, 2.5)}
    """
    return _dump("value", value)


def encode_stream(chunks: list[Any]) -> bytes:
    """The payload of a stream: every chunk as it came, in order. Raises ``AnswerError``."""
    return _dump("stream", list(chunks))


def decode_payload(payload: bytes) -> Payload:
    """What ``payload`` holds.

    Raises:
        StoreError: not a payload, or one of a newer version of semcache.
    """
    try:
        # json.loads would look for white space around it, and guess the encoding of bytes, both of
        # which take longer than reading.
        text = payload.decode()
        document, end = _read_json(text)
        if end != len(text):
            raise StoreError(_UNREADABLE)
        return payload_from_json(document)
    except (ValueError, RecursionError) as error:
        raise StoreError(_UNREADABLE) from error


def payload_from_json(document: Any) -> Payload:
    """What a payload holds that has been read as JSON; raises ``StoreError`` as above."""
    if not isinstance(document, dict) or not {"v", "kind", "data"} <= document.keys():
        raise StoreError(_UNREADABLE)
    version, kind, data = document["v"], document["kind"], document["data"]
    if version != PAYLOAD_VERSION or kind not in ("value", "stream"):
        raise StoreError(
            f"a stored answer has payload version {version!r}, kind {kind!r}; this semcache reads "
            f"version {PAYLOAD_VERSION}: upgrade semcache or invalidate the entry"
        )
    if kind == "stream" and not isinstance(data, list):
        raise StoreError(_UNREADABLE)
    try:
        return Payload(kind, _untag(data))
    except (ValueError, TypeError, RecursionError) as error:
        raise StoreError(_UNREADABLE) from error


_read_json = json.JSONDecoder().raw_decode
_UNREADABLE = "a stored answer cannot be read (not a semcache payload); invalidate it"


def _dump(kind: Kind, value: Any) -> bytes:
    try:
        return dump_json({"v": PAYLOAD_VERSION, "kind": kind, "data": _tag(value, 0)})
    except RecursionError:
        raise _too_deep() from None


def dump_json(document: Any) -> bytes:
    """The one spelling of a payload, so that an export and its import give the same bytes."""
    return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()


def _too_deep() -> AnswerError:
    return AnswerError(f"the answer is nested deeper than {MAX_DEPTH} levels (or contains itself)")


def _tag(value: Any, depth: int) -> Any:
    kind = type(value)
    if value is None or kind is bool:
        return value
    if kind is str:
        return value if _is_unicode(value) else {"$text": _base64(_surrogate_bytes(value))}
    if kind is int:
        # Beyond 64 bits other readers of JSON round; beyond 4300 digits Python itself refuses.
        return value if value.bit_length() < 64 else {"$int": hex(value)}
    if kind is float:
        return value if math.isfinite(value) else {"$float": _float_text(value)}
    if kind is bytes:
        return {"$bytes": _base64(value)}
    if depth > MAX_DEPTH:
        raise _too_deep()
    if kind is list:
        return [_tag(item, depth + 1) for item in value]
    if kind is dict:
        if all(map(_is_plain_key, value)):
            return {key: _tag(item, depth + 1) for key, item in value.items()}
        return {"$dict": [[_tag(k, depth + 1), _tag(v, depth + 1)] for k, v in value.items()]}
    if kind is tuple:
        return {"$tuple": [_tag(item, depth + 1) for item in value]}
    raise AnswerError(
        f"an answer of type {kind.__module__}.{kind.__qualname__} cannot be recorded so that it "
        "comes back the same; return plain data (str, bytes, numbers, lists, tuples, dicts), or "
        "annotate the function's return type with a dataclass or pydantic model, or pass codec="
    )


def _is_plain_key(key: Any) -> bool:
    return type(key) is str and not key.startswith("$") and _is_unicode(key)


def _is_unicode(text: str) -> bool:
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _surrogate_bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


def _float_text(value: float) -> str:
    text = repr(value)
    # There are 2**53 values that are not a number; all but the usual one are written bit by bit.
    bits = struct.pack(">d", value)
    return text if text != "nan" or bits == struct.pack(">d", math.nan) else bits.hex()


def _read_float(text: str) -> float:
    if text in ("nan", "inf", "-inf"):
        return float(text)
    bits = bytes.fromhex(text)
    if len(bits) != 8:
        raise ValueError("a float has 8 bytes")
    return float(struct.unpack(">d", bits)[0])


def _read_bytes(text: str) -> bytes:
    return base64.b64decode(text, validate=True)


_READERS: dict[str, Callable[[Any], Any]] = {
    "$float": _read_float,
    "$int": lambda text: int(text, 16),
    "$text": lambda text: _read_bytes(text).decode("utf-8", "surrogatepass"),
    "$bytes": _read_bytes,
    "$tuple": lambda items: tuple([_untag(item) for item in items]),
    "$dict": lambda pairs: {_untag(key): _untag(item) for key, item in pairs},
}


def _untag(value: Any) -> Any:
    if isinstance(value, list):
        return [_untag(item) for item in value]
    if isinstance(value, dict):
        if len(value) == 1:
            tag, content = next(iter(value.items()))
            if tag.startswith("$"):
                if tag not in _READERS:
                    raise ValueError(f"unknown tag {tag}")
                return _READERS[tag](content)
        return {key: _untag(item) for key, item in value.items()}
    return value


@dataclass(frozen=True, slots=True)
class Codec:
    """How values of one type are turned into plain data, and back.

    Args:
        to_plain: value → plain data; raises ``AnswerError`` for what it cannot take.
        from_plain: plain data → value.
        headers: the headers of the response that the value came in (of a stream: the list of its
            chunks), or ``None``. Only for upstreams that mean their ``Cache-Control``: with a
            policy, ``no-store`` refuses storage and ``max-age`` less ``Age`` shortens it.
    """

    to_plain: Callable[[Any], Any]
    from_plain: Callable[[Any], Any]
    headers: Callable[[Any], Mapping[str, str] | None] | None = None


def _same(value: Any) -> Any:
    return value


PLAIN = Codec(_same, _same)


def codec_for(annotation: Any) -> Codec:
    """A codec for a return annotation: pydantic for models and dataclasses, else ``PLAIN``.

    The value that comes back is equal in every field and of the same types, or it is refused. Not
    kept is pydantic's record of which fields were given explicitly: all of them count as given.

    Raises:
        ConfigurationError: pydantic cannot read and write values of that annotation.

    >>> from dataclasses import dataclass
    >>> @dataclass
    ... class Reply:
    ...     text: str
    >>> codec = codec_for(list[Reply])
    >>> codec.to_plain([Reply("hi")])
    [{'text': 'hi'}]
    >>> codec.from_plain([{"text": "hi"}])
    [Reply(text='hi')]
    """
    if not _holds_model(annotation):
        return PLAIN
    from pydantic import PydanticUserError, TypeAdapter

    try:
        adapter: TypeAdapter[Any] = TypeAdapter(annotation)
    except (PydanticUserError, NameError) as error:
        raise ConfigurationError(
            f"answers annotated {annotation} cannot be recorded, because pydantic has no schema "
            "for them; change the annotation or pass codec= with functions of your own"
        ) from error

    def from_plain(plain: Any) -> Any:
        try:
            # What was written as JSON has lists for tuples and text for dates: a strict model
            # would refuse its own values.
            return adapter.validate_python(plain, strict=False)
        except Exception as error:  # validators are the caller's code and may raise anything
            raise StoreError(
                f"a recorded answer does not fit {annotation} any more; invalidate it"
            ) from error

    def to_plain(value: Any) -> Any:
        try:
            plain = adapter.dump_python(value, mode="json", by_alias=True, warnings="error")
            back = from_plain(plain)
        except Exception as error:  # serializers, too
            raise AnswerError(
                f"an answer of type {type(value).__qualname__} cannot be written as {annotation}: "
                "return what the annotation says, or pass codec= with functions of your own"
            ) from error
        if not _identical(back, value, 0):
            raise AnswerError(
                f"an answer of type {type(value).__qualname__} does not come back the same when it "
                f"is written as {annotation}; pass codec= with functions of your own"
            )
        return plain

    return Codec(to_plain, from_plain)


def _identical(one: Any, other: Any, depth: int) -> bool:
    """Equal in type and value all the way down; not a number is itself."""
    if one is other:
        return True
    if type(one) is not type(other) or depth > MAX_DEPTH:
        return False
    if isinstance(one, float):
        return one == other or (one != one and other != other)
    if isinstance(one, datetime.datetime | datetime.time):
        # The name of a time zone is not kept, its offset is.
        return str(one) == str(other)
    if isinstance(one, Mapping):
        pairs = zip(one.items(), other.items(), strict=True)
        return len(one) == len(other) and all(_identical(a, b, depth + 1) for a, b in pairs)
    if isinstance(one, list | tuple):
        pairs = zip(one, other, strict=True)
        return len(one) == len(other) and all(_identical(a, b, depth + 1) for a, b in pairs)
    if hasattr(one, "__pydantic_fields__") or dataclasses.is_dataclass(one):
        return _identical(_state(one), _state(other), depth + 1)
    return bool(one == other)


def _state(value: Any) -> list[Any]:
    """Everything a model or dataclass holds: its fields, extra fields and private attributes."""
    if dataclasses.is_dataclass(value):
        return [getattr(value, spec.name, None) for spec in dataclasses.fields(value)]
    return [
        vars(value),
        getattr(value, "__pydantic_extra__", None),
        getattr(value, "__pydantic_private__", None),
    ]


def _holds_model(annotation: Any) -> bool:
    arguments = typing.get_args(annotation)
    if any(_holds_model(argument) for argument in arguments):
        return True
    kind = typing.get_origin(annotation) or annotation
    return isinstance(kind, type) and (
        hasattr(kind, "model_json_schema") or dataclasses.is_dataclass(kind)
    )
