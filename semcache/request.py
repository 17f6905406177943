"""What a request *is*: a query text inside a scope.

``Request.from_chat`` takes a chat call apart: the text of the last user message is the *query*,
everything else (system prompt, earlier turns, tools, parameters, images) is *scope*. Two requests
may share an answer exactly when scope and normalised query agree; by meaning only inside one scope.
"""

from __future__ import annotations

import decimal
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from semcache.canonical import canonical_json, nfc
from semcache.errors import ConfigurationError
from semcache.scope import INSTRUCTING_ROLES, Scope, query_turn

History = Literal["exact", "ignore"]

# Parameters of chat APIs that change how an answer is delivered or billed, never what it says.
# Everything else, known or unknown, is scope. ``user`` is not here: it may stand for a person.
HARMLESS_PARAMETERS = frozenset(
    {"stream", "stream_options", "timeout", "prompt_cache_key", "prompt_cache_retention"}
    | {"service_tier", "store", "metadata"}
)

# White space that is more than a word boundary: a run of blanks, or anything but a single blank.
_LAYOUT = re.compile(r"\s{2,}|[^\S ]")
_APOSTROPHE = re.compile(r"(?<=\w)'(?=\w)")
# The end of a line after which a line break is syntax: a statement or block, or a line comment.
_CODE_LINE = re.compile(r"[;{}]$|(?:^|\s)(?:#|//|--)")
# The end of a line that introduces what follows line by line: a block or a list.
_OPENING = (":", "{", "(", "[", "?")


def normalise_query(text: str) -> str:
    """The form of a query that the exact tier compares: NFC, trimmed, white space collapsed.

    Case and punctuation stay, they carry meaning in code and names. So does white space where it
    carries meaning (``layout_matters``): such a text keeps its layout; only outer white space,
    blanks at the ends of lines and the kind of line ending go.

    >>> normalise_query("  How do\\n I  reset it? ")
    'How do I reset it?'
    """
    text = nfc(text).strip()
    if not layout_matters(text):
        return " ".join(text.split())
    return "\n".join([line.rstrip() for line in _lines(text)])


def layout_matters(text: str) -> bool:
    """Whether white space inside ``text`` may change what it asks.

    It may in code (a fence; lines of differing indentation, as in Python and YAML; an indented
    block; a line that ends as a statement or in a comment), in a list of one item a line, and
    inside quotes. It errs towards yes: that costs a hit, the other way costs a wrong answer.
    """
    if "\n" not in text and "  " not in text and "\t" not in text and "\r" not in text:
        return False
    if "```" in text or "~~~" in text:
        return True
    lines = [line for line in _lines(text) if line and not line.isspace()]
    return (len(lines) > 1 and _is_layout(lines)) or any(
        _LAYOUT.search(quoted) for mark in "\"'`" for quoted in _quoted(text, mark)
    )


def _lines(text: str) -> list[str]:
    return text.replace("\r\n", "\n").replace("\r", "\n").split("\n")


def _is_layout(lines: list[str]) -> bool:
    """Whether breaks or indentation of these non-blank lines (two or more) may be syntax."""
    depths = [len(line) - len(line.lstrip()) for line in map(str.expandtabs, lines)]
    depths[0] = 0  # a query is trimmed
    if len(set(depths[1:])) > 1:
        return True
    for position, line in enumerate(lines[:-1]):
        stripped = line.rstrip()
        if stripped.endswith(_OPENING) and (
            depths[position + 1] > depths[position] or position + 2 < len(lines)
        ):
            return True
        if _CODE_LINE.search(stripped):
            return True
    return False


def _quoted(text: str, mark: str) -> list[str]:
    """The stretches of ``text`` that may stand between two quotation marks of this kind."""
    if mark == "'":
        text = _APOSTROPHE.sub("", text)
    pieces = text.split(mark)
    # With an even number of marks every second stretch is inside; with an odd one, who knows.
    return pieces[1:-1:2] if len(pieces) % 2 else pieces[1:-1]


@dataclass(frozen=True, slots=True)
class Request:
    """A query in its scope. ``query`` is the text as the caller gave it, any length, any Unicode.

    >>> Request("How do I reset my password?", Scope(model="gpt-5")).query
    'How do I reset my password?'
    """

    query: str
    scope: Scope = field(default_factory=Scope)

    def __post_init__(self) -> None:
        if not isinstance(self.query, str):
            raise ConfigurationError(
                f"the query must be a str, got {type(self.query).__name__}; "
                "for chat messages use Request.from_chat(messages, model=...)"
            )

    @classmethod
    def from_chat(
        cls,
        messages: Sequence[Mapping[str, Any]],
        *,
        model: str | None = None,
        tenant: str | None = None,
        user: str | None = None,
        namespace: str = "default",
        history: History = "exact",
        tools: Any = None,
        tool_choice: Any = None,
        response_format: Any = None,
        harmless: frozenset[str] = HARMLESS_PARAMETERS,
        **parameters: Any,
    ) -> Request:
        """A request from chat messages (``{"role", "content", …}``) and the call's parameters.

        Args:
            messages: in order, at least one by the user (the last such is the query). ``content``
                is a string or a list of parts; parts that are not text enter the scope by content.
                A pydantic object, as clients return them, is taken for the fields set in it.
            history: ``"exact"`` puts every other turn into the scope; ``"ignore"`` leaves out the
                turns before the query, except system and developer messages. What follows the
                query (tool calls and their results) is always scope.
            harmless: names among ``parameters`` that do not change the answer and are left out.
            parameters: every other parameter of the call; ``None`` means "not given".

        Raises:
            ConfigurationError: no user message with content, or a value without canonical form.

        >>> request = Request.from_chat(
        ...     [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}],
        ...     model="gpt-5",
        ... )
        >>> request == Request("Hi", Scope(model="gpt-5", system="Be brief."))
        True
        """
        if history not in ("exact", "ignore"):
            raise ConfigurationError(f'history must be "exact" or "ignore", not {history!r}')
        turns = _plain_messages(messages)
        position = _last_user(turns)
        query, rest = _split_content(turns[position].get("content"))
        others = {k: v for k, v in turns[position].items() if k not in ("role", "content")}
        system, first = _leading_system(turns)
        past: list[Any] = []
        for index, turn in enumerate(turns[first:], first):
            if index == position:
                past.append(query_turn(rest, others))
            elif history == "exact" or index > position or turn.get("role") in INSTRUCTING_ROLES:
                past.append(_canonical_turn(turn))
        scope = Scope(
            model=model,
            tenant=tenant,
            user=user,
            namespace=namespace,
            system=system,
            # A lone user message without attachments has no history: the same scope as a plain
            # text prompt, so that a decorator and a chat client can share answers.
            history=() if past == [query_turn((), {})] else past,
            tools=tools,
            tool_choice=tool_choice,
            response_format=response_format,
            params={k: v for k, v in parameters.items() if k not in harmless and v is not None},
        )
        return cls(query, scope)


def _plain_messages(messages: Any) -> list[Mapping[str, Any]]:
    if not isinstance(messages, Sequence) or isinstance(messages, str | bytes):
        raise ConfigurationError(
            f"chat messages must be a list of mappings, not {type(messages).__name__}"
        )
    return [_plain_message(message) for message in messages]


def _plain_message(message: Any) -> Mapping[str, Any]:
    if not isinstance(message, Mapping):
        dump = getattr(message, "model_dump", None)
        if not callable(dump):
            raise ConfigurationError(
                'a chat message must be a mapping with "role" and "content", '
                f"not {type(message).__name__}"
            )
        message = dump(exclude_unset=True)
    # APIs take a field that is null for one that is not there, and clients write both.
    return {key: value for key, value in message.items() if value is not None}


def _leading_system(turns: Sequence[Mapping[str, Any]]) -> tuple[str | None, int]:
    """The text of a system message that opens the chat, and where the rest begins."""
    first = turns[0]
    if set(first) == {"role", "content"} and first["role"] == "system":
        content = first["content"]
        if isinstance(content, str):
            return content, 1
    return None, 0


def _last_user(messages: Sequence[Mapping[str, Any]]) -> int:
    for index in range(len(messages) - 1, -1, -1):
        if messages[index].get("role") == "user":
            return index
    raise ConfigurationError(
        "a chat request needs a message with role 'user' to be looked up by; got roles "
        f"{[message.get('role') for message in messages]}"
    )


def _split_content(content: Any) -> tuple[str, list[Any]]:
    """The text of a user message, and its other parts in order."""
    if isinstance(content, str):
        return content, []
    if not isinstance(content, Sequence) or isinstance(content, bytes | bytearray | memoryview):
        raise ConfigurationError(
            f"the last user message has no content to look up (got {type(content).__name__}); "
            "content must be a string or a list of parts"
        )
    texts: list[str] = []
    rest: list[Any] = []
    for part in map(_plain_part, content):
        text = _text_of(part)
        if text is None:
            # Where an image stands between two texts matters, so its place is kept.
            rest.append({"after": len(texts), "part": part})
            continue
        texts.append(text)
        extra = {} if isinstance(part, str) else {k: part[k] for k in set(part) - {"type", "text"}}
        if extra:
            rest.append({"text": len(texts), "with": extra})
    if len(texts) > 1:
        # Where one text ends and the next begins, in words: white space stays insignificant.
        rest.append({"words": [len(text.split()) for text in texts]})
    return "\n".join(texts), rest


def _plain_part(part: Any) -> Any:
    dump = None if isinstance(part, str | Mapping) else getattr(part, "model_dump", None)
    return dump(exclude_unset=True) if callable(dump) else part


def _text_of(part: Any) -> str | None:
    if isinstance(part, str):
        return part
    if isinstance(part, Mapping) and part.get("type") in ("text", "input_text"):
        text = part.get("text")
        return text if isinstance(text, str) else None
    return None


def _canonical_turn(message: Mapping[str, Any]) -> dict[str, Any]:
    """An earlier turn; JSON text in tool-call arguments is compared as JSON, not as text."""
    turn = dict(message)
    calls = turn.get("tool_calls")
    if isinstance(calls, Sequence) and not isinstance(calls, str):
        turn["tool_calls"] = [_canonical_call(call) for call in calls]
    return turn


def _canonical_call(call: Any) -> Any:
    if not isinstance(call, Mapping) or not isinstance(call.get("function"), Mapping):
        return call
    function = dict(call["function"])
    if isinstance(function.get("arguments"), str):
        function["arguments"] = _canonical_arguments(function["arguments"])
    return {**call, "function": function}


def _canonical_arguments(arguments: str) -> str:
    """Arguments that are a JSON text in canonical form; any other text as it is."""
    try:
        # Decimal: 1e400 and 1e500 are two numbers, as floats both would be infinite.
        parsed = json.loads(arguments, parse_float=decimal.Decimal, object_pairs_hook=_unique_keys)
        return canonical_json(parsed)
    except (ValueError, ArithmeticError, RecursionError):
        return arguments


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    document = dict(pairs)
    if len(document) != len(pairs):
        raise ValueError("a key occurs twice; which one counts is for the reader to decide")
    return document
