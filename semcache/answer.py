"""Answers as bytes, and back exactly as they were.

A payload is versioned JSON: ``{"v": 1, "kind": "value" | "stream", "data": …}``. Python values that
JSON does not have are tagged (``{"$tuple": […]}``, ``{"$bytes": "<base64>"}``, …); a mapping of the
caller's own whose key starts with ``$`` is written as ``{"$dict": [[key, value], …]}``, so nothing
the caller stores can be mistaken for a tag. What cannot come back equal and of the same type is
refused with ``AnswerError`` instead of being stored approximately. No pickle: reading a payload can
never run code.

Dataclasses and pydantic models are recorded through a ``Codec`` that knows their type (the
``cached`` decorator makes one from the return annotation).
"""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from semcache.errors import AnswerError, StoreError

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
    return _dump("value", _tag(value, 0))


def encode_stream(chunks: list[Any]) -> bytes:
    """The payload of a stream: every chunk as it came, in order. Raises ``AnswerError``."""
    return _dump("stream", [_tag(chunk, 0) for chunk in chunks])


def decode_payload(payload: bytes) -> Payload:
    """What ``payload`` holds.

    Raises:
        StoreError: not a payload, or one of a newer version of semcache.
    """
    try:
        document = json.loads(payload)
        version, kind, data = document["v"], document["kind"], document["data"]
    except (ValueError, KeyError, TypeError) as error:
        raise StoreError(
            "a stored answer cannot be read (not a semcache payload); invalidate it"
        ) from error
    if version != PAYLOAD_VERSION or kind not in ("value", "stream"):
        raise StoreError(
            f"a stored answer has payload version {version!r}, kind {kind!r}; this semcache reads "
            f"version {PAYLOAD_VERSION}: upgrade semcache or invalidate the entry"
        )
    if kind == "stream":
        return Payload("stream", [_untag(chunk) for chunk in data])
    return Payload("value", _untag(data))


def _dump(kind: Kind, data: Any) -> bytes:
    document = {"v": PAYLOAD_VERSION, "kind": kind, "data": data}
    # ASCII escapes keep lone surrogates, which UTF-8 cannot carry.
    return json.dumps(document, ensure_ascii=True, separators=(",", ":")).encode("ascii")


def _tag(value: Any, depth: int) -> Any:
    if depth > MAX_DEPTH:
        raise AnswerError(
            f"the answer is nested deeper than {MAX_DEPTH} levels (or contains itself)"
        )
    kind = type(value)
    if value is None or kind in (str, bool, int):
        return value
    if kind is float:
        return value if math.isfinite(value) else {"$float": repr(value)}
    if kind is list:
        return [_tag(item, depth + 1) for item in value]
    if kind is dict:
        if all(type(key) is str and not key.startswith("$") for key in value):
            return {key: _tag(item, depth + 1) for key, item in value.items()}
        return {"$dict": [[_tag(k, depth + 1), _tag(v, depth + 1)] for k, v in value.items()]}
    if kind is tuple:
        return {"$tuple": [_tag(item, depth + 1) for item in value]}
    if kind is bytes:
        return {"$bytes": base64.b64encode(value).decode("ascii")}
    raise AnswerError(
        f"an answer of type {kind.__module__}.{kind.__qualname__} cannot be recorded so that it "
        "comes back the same; return plain data (str, bytes, numbers, lists, tuples, dicts), or "
        "annotate the function's return type with a dataclass or pydantic model, or pass codec="
    )


_READERS: dict[str, Callable[[Any], Any]] = {
    "$float": float,
    "$tuple": lambda items: tuple(_untag(item) for item in items),
    "$bytes": base64.b64decode,
    "$dict": lambda pairs: {_untag(key): _untag(item) for key, item in pairs},
}


def _untag(value: Any) -> Any:
    if isinstance(value, list):
        return [_untag(item) for item in value]
    if isinstance(value, Mapping):
        if len(value) == 1:
            tag, content = next(iter(value.items()))
            if tag in _READERS:
                return _READERS[tag](content)
        return {key: _untag(item) for key, item in value.items()}
    return value


@dataclass(frozen=True, slots=True)
class Codec:
    """How values of one type are turned into plain data, and back.

    Args:
        to_plain: value → plain data; raises ``AnswerError`` for what it cannot take.
        from_plain: plain data → value.
    """

    to_plain: Callable[[Any], Any]
    from_plain: Callable[[Any], Any]


def _same(value: Any) -> Any:
    return value


PLAIN = Codec(_same, _same)


def codec_for(annotation: Any) -> Codec:
    """A codec for a return annotation: pydantic for models and dataclasses, else ``PLAIN``."""
    if not _holds_model(annotation):
        return PLAIN
    from pydantic import TypeAdapter

    adapter: TypeAdapter[Any] = TypeAdapter(annotation)

    def to_plain(value: Any) -> Any:
        try:
            plain = adapter.dump_python(value, mode="json", by_alias=True, warnings="error")
            back = adapter.validate_python(plain)
        except ValueError as error:
            raise AnswerError(f"the answer does not fit its annotation {annotation}") from error
        if back != value or type(back) is not type(value):
            raise AnswerError(
                f"an answer of type {type(value).__qualname__} does not survive being written as "
                f"{annotation}; pass codec= with functions of your own"
            )
        return plain

    return Codec(to_plain, adapter.validate_python)


def _holds_model(annotation: Any) -> bool:
    import dataclasses
    import typing

    arguments = typing.get_args(annotation)
    if arguments:
        return any(_holds_model(argument) for argument in arguments)
    return isinstance(annotation, type) and (
        hasattr(annotation, "model_json_schema") or dataclasses.is_dataclass(annotation)
    )
