"""What may be stored: complete, natural answers, and nothing else.

Pure. An answer is looked at as plain data, after its codec; the shapes of chat completions and of
responses are recognised wherever they occur. ``refusal`` says why an answer may not be stored.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

# Ends that mean "the model had finished": OpenAI chat completions and responses, Anthropic, Gemini,
# Cohere, Mistral. Everything else (length, max_tokens, content_filter, safety, …) is not natural.
NATURAL_ENDS = frozenset(
    {"stop", "tool_calls", "function_call", "completed", "end_turn", "stop_sequence", "tool_use"}
    | {"complete", "eos", "eos_token"}
)
_NAME = re.compile(r"[A-Za-z_]{1,32}")
_END_FIELDS = ("finish_reason", "stop_reason")


def refusal(plain: Any, *, stream: bool = False, finish_reason: str | None = None) -> str | None:
    """Why this answer must not be stored, as a plain sentence; ``None`` if it may be.

    Args:
        plain: the answer as plain data; for a stream, the list of its chunks.
        finish_reason: how the model ended, where the caller knows it.

    >>> refusal({"choices": [{"finish_reason": "length", "message": {"content": "Once upon"}}]})
    "the answer is cut off or filtered (finish_reason 'length')"
    >>> refusal("Paris") is None
    True
    """
    if finish_reason is not None and finish_reason.lower() not in NATURAL_ENDS:
        return _unnatural("finish_reason", finish_reason)
    if stream:
        return _stream_refusal(plain)
    if plain is None or (isinstance(plain, str | bytes) and not plain.strip()):
        return "the answer is empty"
    return _shape_refusal(plain)


def _stream_refusal(chunks: Sequence[Any]) -> str | None:
    if not chunks or all(chunk is None or chunk in ("", b"") for chunk in chunks):
        return "the answer is empty"
    reasons = (_shape_refusal(chunk) for chunk in chunks)
    return next((reason for reason in reasons if reason), None)


def _unnatural(field: str, value: str) -> str:
    # Only a name is repeated: reasons are told in events, which hold no text of an answer.
    named = f"{field} {value!r}" if _NAME.fullmatch(value) else field
    return f"the answer is cut off or filtered ({named})"


def _shape_refusal(plain: Any) -> str | None:
    """Signs of an unworthy answer in the response objects of chat APIs."""
    if not isinstance(plain, Mapping):
        return None
    if plain.get("error"):
        return "the answer is an error"
    for field in _END_FIELDS:
        value = plain.get(field)
        if isinstance(value, str) and value.lower() not in NATURAL_ENDS:
            return _unnatural(field, value)
    if plain.get("object") == "response" and plain.get("status") not in ("completed", None):
        return _unnatural("status", str(plain.get("status")))
    message = plain.get("message")
    for part in (plain, message if isinstance(message, Mapping) else {}):
        if isinstance(part.get("refusal"), str) and part["refusal"]:
            return "the model refused to answer"
    if _incomplete_calls(message if isinstance(message, Mapping) else plain):
        return "a tool call is incomplete (its arguments are not JSON)"
    choices = plain.get("choices")
    if isinstance(choices, Sequence) and not isinstance(choices, str):
        reasons = (_shape_refusal(choice) for choice in choices)
        return next((reason for reason in reasons if reason), None)
    return None


def _incomplete_calls(message: Mapping[str, Any]) -> bool:
    import json

    calls = message.get("tool_calls")
    if not isinstance(calls, Sequence) or isinstance(calls, str):
        return False
    for call in calls:
        function = call.get("function") if isinstance(call, Mapping) else None
        arguments = function.get("arguments") if isinstance(function, Mapping) else None
        if isinstance(arguments, str) and arguments:
            try:
                json.loads(arguments)
            except ValueError:
                return True
    return False
