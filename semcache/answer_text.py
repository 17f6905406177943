"""The words of an answer, whatever object they are in: for comparing two answers."""

from __future__ import annotations

import json
from typing import Any

from semcache.answer import decode_payload

# Where chat APIs keep what was said, and objects that hold it.
_SAID = ("choices", "message", "messages", "delta", "output", "content", "content_block", "item",
         "text", "response", "output_text", "arguments", "tool_calls", "function", "kwargs",
         "name")  # fmt: skip
_DEEPEST = 32


def text_of(payload: bytes) -> str:
    """The text of a stored answer; empty where it has none.

    Chat messages and their chunks give their contents and tool calls; an object of another kind,
    such as structured output, its JSON.

    >>> from semcache.answer import encode_answer, encode_stream
    >>> text_of(encode_stream(["Use ", "the link."]))
    'Use the link.'
    >>> text_of(encode_answer({"id": "x1", "choices": [{"message": {"content": "Hi."}}]}))
    'Hi.'
    >>> text_of(encode_answer({"city": "Paris"}))
    '{"city": "Paris"}'
    """
    content = decode_payload(payload)
    pieces: list[str] = []
    _collect(content.data, pieces, 0)
    return ("" if content.kind == "stream" else "\n").join(pieces)


def _collect(value: Any, pieces: list[str], depth: int) -> None:
    if isinstance(value, str):
        pieces.append(value)
    elif depth > _DEEPEST or value is None:
        return
    elif isinstance(value, dict):
        inside = [value[key] for key in _SAID if value.get(key) is not None]
        if inside:
            for item in inside:
                _collect(item, pieces, depth + 1)
        elif depth == 0:
            pieces.append(json.dumps(value, sort_keys=True, default=repr, ensure_ascii=False))
    elif isinstance(value, list | tuple):
        for item in value:
            _collect(item, pieces, depth + 1)
    elif isinstance(value, bool | int | float):
        pieces.append(repr(value))
