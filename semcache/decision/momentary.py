"""What an answer says of its own life: the answer has a say in whether, and how long, it is stored.

Pure. An answer is looked at as plain data, after its codec, as in ``semcache.admission``; the
shapes of chat completions, responses and messages are recognised wherever they occur.

* It calls a tool whose name is that of an effect (``send_email``, ``bookTable``): not stored, or a
  repeat would have the app send again, or not send at all.
* It speaks of the asker's own account, says that it did something, or asks back what was meant:
  not stored.
* It says that it holds for now ("as of today", "right now"): stored for hours.

The hints of a response (``Cache-Control``, ``Age``) are read by ``http_hint``; an adapter that sees
them hands them over by the ``headers`` of its ``Codec``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from semcache.observe.events import log

# What an answer that speaks of today is kept for: as long as a prompt of the lifetime "days".
MOMENTARY_TTL_S = 6 * 3600.0
# Such words stand where an answer opens or closes; a page in between is about the subject.
OPENING_LETTERS, CLOSING_LETTERS = 1500, 500
# An answer of more parts than this is not walked to its end.
MOST_PARTS = 4000
MOST_DEPTH = 12


@dataclass(frozen=True, slots=True)
class Say:
    """At most how long an answer may be kept (seconds; ``0``: not at all), and why."""

    max_ttl: float
    reason: str


_EFFECT_VERBS = """
    add apply approve archive assign authorize ban block book buy call cancel change charge close
    commit confirm create deactivate delete deliver deploy disable dispatch email enable execute
    file forward freeze grant insert invite issue kick lock mail make merge message modify move mute
    notify open order pay place play post print provision publish purchase push put refund register
    reject release remind remove rename renew reply report reschedule reserve reset restart revoke
    run save schedule sell send set share ship sign start stop submit subscribe switch terminate
    text trade transfer trigger turn tweet unblock unlock unsubscribe update upgrade upload wire
    withdraw write"""
_READ_VERBS = """
    calculate check compute count describe detect estimate explain fetch find get has is list
    look lookup preview query read resolve retrieve search show summarize translate validate
    view"""
_EFFECTS, _READS = frozenset(_EFFECT_VERBS.split()), frozenset(_READ_VERBS.split())
_NAME_PARTS = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])")

_REFUSED = (
    (
        re.compile(
            r"\bi (?:can(?:'t|not)|don't|do not|am unable to|am not able to|'m unable to)"
            r"(?: \w+){0,3} (?:see|access|view|look up|check|know|have)(?: \w+){0,4} "
            r"your (?:\w+ ){0,2}(?:account|balance|orders?|calendar|schedule|location|emails?|"
            r"messages?|inbox|device|data|files?|bookings?|transactions?|history)"
            r"|\byour (?:current |available |account |outstanding )+balance is\b"
            r"|\byour (?:order|package|parcel|appointment|flight|booking|next \w+) (?:is|will be|"
            r"was|has)\b.{0,40}(?:\d|tomorrow|today|delivered|shipped|arriv)"
        ),
        "the answer is about the asker's own data",
    ),
    (
        re.compile(
            r"\bi(?:'ve| have) (?:just |now |successfully |already )?(?:sent|booked|scheduled|"
            r"cancelled|canceled|deleted|ordered|placed|paid|transferred|reserved|submitted|posted|"
            r"set (?:an? |the |your )|turned (?:on|off)|added .{1,40} to your|updated your|"
            r"created (?:the|your) (?:ticket|event|meeting|reminder|account))"
            r"|\b(?:your|the) (?:email|message|order|payment|transfer|reservation|booking|refund|"
            r"ticket|meeting|appointment) (?:has been|was|is now) (?:sent|placed|made|booked|"
            r"cancelled|canceled|scheduled|confirmed|submitted|processed|created)"
        ),
        "the answer says that it did something",
    ),
    (
        re.compile(
            r"\bi (?:don't|do not|can't|cannot) see (?:any |an |the |your )?(?:attach|image|"
            r"picture|photo|file|document|screenshot|earlier|previous)"
            r"|\bcould you (?:please )?(?:clarify|provide (?:more|some) context|tell me what you "
            r"(?:mean|are referring)|share the (?:text|document|code|image))"
            r"|\bwhat (?:exactly )?(?:are you|you're|you are) referring to\b"
            r"|\bi(?:'m| am) not sure what you(?:'re| are)? (?:mean|referring)"
        ),
        "the answer asks back, so the prompt means nothing by itself",
    ),
)
_MOMENTARY = re.compile(
    r"\bas of (?:today|now|right now|this (?:morning|afternoon|evening|moment|week|writing)|"
    r"the latest (?:data|update)|\d{1,2}(?::\d\d|\s?[ap]m))"
    r"|\b(?:right now|at the moment|at this (?:moment|very moment)|at present|today's (?:date|"
    r"weather|price|forecast|news)|the current (?:time|temperature|price|date) (?:is|in|of)|"
    r"(?:today|tonight|tomorrow) (?:is|will be|it)|in real[ -]time|live (?:data|score))\b"
    r"|\bi (?:don't|do not|can't|cannot) (?:have )?(?:access (?:to )?)?(?:real[ -]time|live|"
    r"current)"
)


def momentary(plain: Any, *, stream: bool = False) -> Say | None:
    """What the answer says against being stored (long), or ``None``. Never raises.

    Args:
        plain: the answer as plain data; for a stream, the list of its chunks.

    >>> momentary("As of today, the shop opens at nine.")
    Say(max_ttl=21600.0, reason='the answer says that it holds for now')
    >>> momentary("I can't see your account balance.").max_ttl
    0.0
    >>> momentary({"tool_calls": [{"function": {"name": "send_email", "arguments": "{}"}}]}).reason
    'the answer calls a tool with side effects (send_email)'
    >>> momentary("Paris is the capital of France.") is None
    True
    """
    names: list[str] = []
    pieces: list[str] = []
    for kind, text in _parts(plain):
        (names if kind == "tool" else pieces).append(text)
    for name in names:
        if has_effect(name):
            return Say(0.0, f"the answer calls a tool with side effects ({name[:60]})")
    text = "".join(pieces) if stream else "\n".join(pieces)
    if len(text) > OPENING_LETTERS + CLOSING_LETTERS:
        text = text[:OPENING_LETTERS] + "\n" + text[-CLOSING_LETTERS:]
    text = " ".join(text.lower().replace("’", "'").split())
    for pattern, reason in _REFUSED:
        if pattern.search(text):
            return Say(0.0, reason)
    if _MOMENTARY.search(text):
        return Say(MOMENTARY_TTL_S, "the answer says that it holds for now")
    return None


def has_effect(tool: str) -> bool:
    """Whether a tool of that name does something to the world, going by the verb it begins with.

    >>> has_effect("send_email"), has_effect("getOrderStatus"), has_effect("gmail.sendDraft")
    (True, False, True)
    """
    for part in _NAME_PARTS.findall(tool):
        word = part.lower()
        if word in _READS:
            return False
        if word in _EFFECTS:
            return True
    return False


def http_hint(headers: Mapping[str, str]) -> Say | None:
    """What the response's ``Cache-Control`` and ``Age`` allow (RFC 9111, sections 5.1 and 5.2.2).

    For adapters whose upstream means these headers: many model APIs send ``no-store`` or
    ``private`` with everything.

    >>> http_hint({"Cache-Control": "max-age=600", "Age": "60"})
    Say(max_ttl=540.0, reason='the response allows 540 s (Cache-Control)')
    """
    fields = {name.lower(): value for name, value in headers.items()}
    control = fields.get("cache-control", "").lower()
    if re.search(r"\bno-(?:store|cache)\b", control):
        return Say(0.0, "the response forbids storing (Cache-Control)")
    found = re.search(r"\bs-maxage\s*=\s*\"?(\d+)", control) or re.search(
        r"\bmax-age\s*=\s*\"?(\d+)", control
    )
    if found is None:
        return None
    age = fields.get("age", "0").strip()
    left = max(0.0, float(found[1][:12]) - (float(age) if age.isdecimal() else 0.0))
    return Say(left, f"the response allows {left:g} s (Cache-Control)")


def hinted(answer: Any, headers: Callable[[Any], Mapping[str, str] | None] | None) -> Say | None:
    """What the headers of the response say that the answer came in; never raises."""
    if headers is None:
        return None
    try:
        given = headers(answer)
        return None if given is None else http_hint(given)
    except Exception as error:
        # The reader is the adapter's; an answer whose headers cannot be read has none.
        log.warning("the headers of an answer could not be read: %s", type(error).__name__)
        return None


def _parts(plain: Any) -> Iterator[tuple[str, str]]:
    """Names of tools that are called (``"tool"``) and texts (``"text"``), in order."""
    left = MOST_PARTS
    stack: list[tuple[Any, int]] = [(plain, 0)]
    while stack and left > 0:
        left -= 1
        value, depth = stack.pop()
        if isinstance(value, str):
            yield "text", value
        elif isinstance(value, Mapping):
            yield from _called(value)
            inner = [
                value[key]
                for key in _INSIDE
                if key in value and not (key == "arguments" or value[key] is None)
            ]
            if depth < MOST_DEPTH:
                stack.extend((item, depth + 1) for item in reversed(inner))
        elif isinstance(value, list | tuple) and depth < MOST_DEPTH:
            stack.extend((item, depth + 1) for item in reversed(value[:MOST_PARTS]))


# Where chat APIs put texts and messages. Arguments of tools are not the answer's own words.
_INSIDE = ("choices", "message", "messages", "delta", "output", "content", "content_block", "item",
           "text", "response", "kwargs")  # fmt: skip


def _called(value: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    if value.get("type") in ("function_call", "tool_use", "custom_tool_call") and isinstance(
        value.get("name"), str
    ):
        yield "tool", value["name"]
    calls = value.get("tool_calls")
    listed = list(calls) if isinstance(calls, Sequence) and not isinstance(calls, str) else []
    listed.append({"function": value.get("function_call")})
    for call in listed:
        if not isinstance(call, Mapping):
            continue
        function = call.get("function")
        name = function.get("name") if isinstance(function, Mapping) else call.get("name")
        if isinstance(name, str) and name:
            yield "tool", name
