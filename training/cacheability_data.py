"""Prompts for the cacheability head: the labelled set, what was written for it, and silver.

* ``cacheability.tune``: labelled prompt by prompt; the only prompts anything is measured on.
* ``data/cacheability_written.txt``: written for this project, see its head.
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
# Prompts of one intent say much the same; a few of each are enough.
SILVER_AN_INTENT = 12
HARMLESS_A_SET = 900
_HEADING = re.compile(r"\[(\w+)((?: \w+)*)\]")
_BRACE = re.compile(r"\{([^{}]*)\}")


@dataclass(frozen=True, slots=True)
class Prompt:
    """A prompt, its labels, and how it came by them: ``"read"``, ``"written"`` or ``"silver"``."""

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
    """The prompts of ``cacheability_written.txt``, their braces expanded, and the chat turns."""
    found: dict[str, Prompt] = {}
    for name, source in (("written", "semcache written"), ("chat", "chat_turns")):
        for lifetime, flags, line in _sections(HERE / f"cacheability_{name}.txt"):
            for text in expanded(line):
                found.setdefault(text, Prompt(text, lifetime, flags, "written", source))
    return list(found.values())


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
            known = labels.get((source, row["intent"]))
            if known is not None and count[row["intent"]] < SILVER_AN_INTENT:
                count[row["intent"]] += 1
                made.append(Prompt(row["text"], *known, "silver", source))
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
