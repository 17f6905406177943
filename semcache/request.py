"""What a request *is*: a query text inside a scope.

``Request.from_chat`` takes a chat call apart: the text of the last user message is the *query*,
everything else (system prompt, earlier turns, tools, parameters, images) is *scope*. Two requests
may share an answer exactly when scope and normalised query agree; by meaning only inside one scope.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from semcache.canonical import nfc
from semcache.errors import ConfigurationError
from semcache.scope import Scope

History = Literal["exact", "ignore"]

# Parameters of chat APIs that change how an answer is delivered or billed, never what it says.
# Everything else, known or unknown, is scope. ``user`` is not here: it may stand for a person.
HARMLESS_PARAMETERS = frozenset(
    {"stream", "stream_options", "timeout", "prompt_cache_key", "prompt_cache_retention"}
    | {"service_tier", "extra_headers", "store", "metadata"}
)

_QUOTED_RUN = re.compile(r"""(["'`])(?:(?!\1).)*?\s{2,}(?:(?!\1).)*?\1""", re.DOTALL)


def normalise_query(text: str) -> str:
    """The form of a query that the exact tier compares: NFC, trimmed, white space collapsed.

    Case and punctuation stay, they carry meaning in code and names. So does white space where it
    carries meaning: text with a code fence, with lines of differing indentation (Python, YAML), or
    with a run of blanks inside quotes keeps its layout; only line endings and outer blanks go.

    >>> normalise_query("  How do\\n I  reset it? ")
    'How do I reset it?'
    """
    text = nfc(text)
    stripped = text.strip()
    if layout_matters(text):
        lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
        return "\n".join(line.rstrip() for line in lines).strip("\n")
    return " ".join(stripped.split())


def layout_matters(text: str) -> bool:
    """Whether white space inside ``text`` may change what it asks (code, tables, quoted blanks)."""
    if "\n" not in text and "  " not in text and "\t" not in text:
        return False
    if "```" in text or "~~~" in text:
        return True
    if len(_indentations(text)) > 1:
        return True
    return _QUOTED_RUN.search(text) is not None


def _indentations(text: str) -> set[int]:
    """Depths of indentation among the non-blank lines after the first."""
    lines = [line.expandtabs() for line in text.splitlines()[1:] if line.strip()]
    return {len(line) - len(line.lstrip()) for line in lines}


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
            messages: in order; at least one user message with text. ``content`` is a string or a
                list of parts; parts that are not text enter the scope by content.
            history: ``"exact"`` puts every other turn into the scope; ``"ignore"`` keeps only
                system and developer messages there.
            harmless: names among ``parameters`` that do not change the answer and are left out.
            parameters: every other parameter of the call; ``None`` means "not given".

        Raises:
            ConfigurationError: no user message with text, or a value without canonical form.
        """
        if history not in ("exact", "ignore"):
            raise ConfigurationError(f'history must be "exact" or "ignore", not {history!r}')
        position = _last_user(messages)
        query, rest = _split_content(messages[position].get("content"))
        turns: list[Any] = []
        for index, message in enumerate(messages):
            if index == position:
                others = {k: v for k, v in message.items() if k not in ("role", "content")}
                turns.append({"role": "user", "query": True, "parts": rest, **others})
            elif history == "exact" or message.get("role") in ("system", "developer"):
                turns.append(_canonical_turn(message))
        scope = Scope(
            model=model,
            tenant=tenant,
            user=user,
            namespace=namespace,
            # A lone user message without attachments has no history: the same scope as a plain
            # text prompt, so that a decorator and a chat client can share answers.
            history=[] if turns == [{"role": "user", "query": True, "parts": []}] else turns,
            tools=tools,
            tool_choice=tool_choice,
            response_format=response_format,
            params={k: v for k, v in parameters.items() if k not in harmless and v is not None},
        )
        return cls(query, scope)


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
    if not isinstance(content, Sequence):
        raise ConfigurationError(
            f"the last user message has no content to look up (got {type(content).__name__}); "
            "content must be a string or a list of parts"
        )
    texts: list[str] = []
    rest: list[Any] = []
    for part in content:
        if isinstance(part, str):
            texts.append(part)
        elif isinstance(part, Mapping) and part.get("type") in ("text", "input_text"):
            texts.append(str(part.get("text", "")))
            extra = {k: v for k, v in part.items() if k not in ("type", "text")}
            if extra:
                rest.append({"text": len(texts), **extra})
        else:
            # Where an image stands between two texts matters, so its place is kept.
            rest.append({"after": len(texts), "part": part})
    if len(texts) > 1:
        rest.append({"texts": [len(text) for text in texts]})
    return "\n".join(texts), rest


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
        try:
            function["arguments"] = {"json": json.loads(function["arguments"])}
        except ValueError:
            pass
    return {**call, "function": function}
