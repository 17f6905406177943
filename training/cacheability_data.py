"""Prompts for the cacheability head: the labelled set, what was written for it, and silver.

* ``cacheability.tune``: labelled prompt by prompt; the only prompts anything is measured on.
* ``data/cacheability_read.txt``: prompts of the ``*.tune`` streams, read for this project (by id).
* ``data/cacheability_written.txt``, ``cacheability_domains.txt``: written for this project.
* ``data/cacheability_chat.txt``: turns of real chats, read for this project.
* ``web_queries.tune`` and ``prompts.tune``: taken as safe (``harmless``), at a low weight.
* ``data/cacheability_intents.txt``: prompts of clinc150 and banking77 labelled by their intent.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from semcache.decision.cacheability import FLAGS, LIFETIMES

HERE = Path(__file__).parent / "data"
# Prompts of one intent say much the same; a few of each are enough. Of intents that are safe for
# everybody there are fewer, and their prompts differ more.
SILVER_AN_INTENT = {"clinc150_stream": (22, 60), "banking77_stream": (25, 25)}  # unsafe, safe
HARMLESS_A_SET = 1500
_HEADING = re.compile(r"\[(\w+)((?: \w+)*)\]")
# "How do I freeze my card" is said of a personal intent too, and has one answer for everybody.
_HOW_TO = re.compile(
    r"\bhow (?:do|can|could|would|should|may|must) (?:i|we|you|one)\b"
    r"(?! (?:usually )?(?:reference|refer|address|say|have|owe|spend|earn|make))"
    r"|\bhow to\b|\bhow i (?:can|could|do|should|change|get)\b"
    r"|\bwalk me through the (?:process|steps)|\bsteps (?:do|should|to)\b"
    r"|\bprocess (?:of|for|to)\b|\bprocedure\b|\bis there (?:a|any) way\b"
    r"|\bwhat (?:do|should|can|must) i (?:need to )?do\b|\bdon'?t know how\b"
    r"|\bwhere (?:do|can|should|would) i (?:go|find|look|see|check|get)\b"
    r"|\bthe (?:best|easiest|quickest) way to\b",
    re.IGNORECASE,
)
# Prompts of these intents that sound like one are not: "do you know how to refer to me".
_NEVER_HOW_TO = {
    "account_blocked", "gas", "how_busy", "income", "restaurant_reservation", "traffic",
    "user_name", "whisper_mode",
}  # fmt: skip
# "What are the calories in this": the intent is timeless, such a prompt is not.
_POINTS = re.compile(r"\b(?:this|that|these|my|here|nearby|near me|around)\b", re.IGNORECASE)
_BRACE = re.compile(r"\{([^{}]*)\}")


@dataclass(frozen=True, slots=True)
class Prompt:
    """A prompt, its labels, and how it came by them.

    ``origin``: ``"read"`` (the labelled set), ``"reread"`` (read for this project), ``"written"``,
    ``"silver"`` (by intent) or ``"harmless"``.
    """

    text: str
    lifetime: str
    flags: frozenset[str]
    origin: str
    source: str


def plain(text: str) -> str:
    """Letters and digits only: what tells two prompts apart when data are split."""
    return "".join(c for c in text.casefold() if c.isalnum())


def order(text: str) -> str:
    """A place in an order that is random and always the same."""
    return hashlib.sha256(("semcache cacheability " + plain(text)).encode()).hexdigest()


def rows(path: Path) -> list[dict[str, Any]]:
    with gzip.open(path, "rt", encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def labelled(path: Path) -> list[Prompt]:
    """The prompts of a labelled file."""
    return [
        Prompt(row["text"], row["lifetime"], frozenset(row["flags"]), "read", row["source"])
        for row in rows(path)
    ]


def written() -> list[Prompt]:
    """The prompts written for semcache, their braces expanded, and the chat turns."""
    found: dict[str, Prompt] = {}
    for name, source in (
        ("written", "semcache written"),
        ("domains", "semcache written"),
        ("chat", "chat_turns"),
    ):
        for lifetime, flags, line in _sections(HERE / f"cacheability_{name}.txt"):
            for text in expanded(line):
                found.setdefault(text, Prompt(text, lifetime, flags, "written", source))
    return list(found.values())


def reread(data: Path) -> list[Prompt]:
    """The prompts whose ids ``cacheability_read.txt`` lists."""
    texts: dict[tuple[str, str], str] = {}
    made: list[Prompt] = []
    for lifetime, flags, line in _sections(HERE / "cacheability_read.txt"):
        source, _, ids = line.partition(": ")
        if (source, "") not in texts:
            texts[source, ""] = ""
            for row in rows(data / f"{source}.tune.jsonl.gz"):
                texts[source, row["id"].rsplit("-", 1)[1]] = row["text"]
        made += [Prompt(texts[source, id], lifetime, flags, "reread", source) for id in ids.split()]
    return made


def silver(data: Path) -> list[Prompt]:
    """Prompts that have their labels from their intent, at most ``SILVER_AN_INTENT`` of each."""
    labels = {
        (source, intent): (lifetime, flags)
        for lifetime, flags, line in _sections(HERE / "cacheability_intents.txt")
        for source, _, names in [line.partition(": ")]
        for intent in names.split()
    }
    made: list[Prompt] = []
    for source in sorted({source for source, _ in labels}):
        count: Counter[str] = Counter()
        for row in sorted(rows(data / f"{source}.tune.jsonl.gz"), key=lambda r: order(r["text"])):
            intent = row["intent"]
            if (source, intent) not in labels:
                continue
            lifetime, flags = labels[source, intent]
            unsafe = lifetime == "live" or bool(flags)
            if source == "clinc150_stream":
                if flags & {"personal", "action"} and _HOW_TO.search(row["text"]):
                    if intent in _NEVER_HOW_TO:
                        continue
                    lifetime, flags = "months", frozenset()
                elif not unsafe and _POINTS.search(row["text"]):
                    continue
            if count[intent] < SILVER_AN_INTENT[source][not unsafe]:
                count[intent] += 1
                made.append(Prompt(row["text"], lifetime, flags, "silver", source))
    return made


def harmless(data: Path) -> list[str]:
    """Prompts of sets in which hardly one in thirty is unsafe, less those that look it.

    In ``cacheability.tune`` 6 of 630 prompts of these two sets have a flag or are live.
    """
    texts: list[str] = []
    for name in ("web_queries", "prompts"):
        found = sorted({row["text"] for row in rows(data / f"{name}.tune.jsonl.gz")}, key=order)
        texts += found[:HARMLESS_A_SET]
    return texts


def _sections(path: Path) -> Iterator[tuple[str, frozenset[str], str]]:
    """Every line of the file with the labels of the heading above it."""
    lifetime, flags = "", frozenset[str]()
    for number, line in enumerate(path.read_text("utf-8").splitlines(), 1):
        text = line.strip()
        if not text or text.startswith("#"):
            continue
        if heading := _HEADING.fullmatch(text):
            lifetime, flags = heading[1], frozenset(heading[2].split())
            if lifetime not in LIFETIMES or not flags <= set(FLAGS):
                raise ValueError(f"{path}, line {number}: unknown label in {text}")
            continue
        yield lifetime, flags, text


def expanded(line: str) -> list[str]:
    """The n-th alternative of every brace together; shorter braces begin anew.

    >>> expanded("{set|stop} {a timer|the alarm|it}")
    ['set a timer', 'stop the alarm', 'set it']
    """
    braces = [brace.split("|") for brace in _BRACE.findall(line)]
    texts = []
    for turn in range(max(map(len, braces), default=1)):
        choice = iter(brace[turn % len(brace)] for brace in braces)
        text = _BRACE.sub(lambda _, choice=choice: next(choice), line)  # type: ignore[misc]
        texts.append(" ".join(text.split()).replace(" ?", "?").replace(" ,", ","))
    return texts
