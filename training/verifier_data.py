"""What the verifier is trained on: which sets, how much of each, and what is held aside.

Only sets whose licence lets the weights ship are listed (see ../shared/data/README.md, and the
model card). Only ``*.tune`` files are read.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

SEP = 102  # [SEP] in the word table of BERT

KINDS = [
    "same",
    "number",
    "date_time",
    "entity",
    "version_id",
    "negation",
    "antonym",
    "role_swap",
    "scope",
    "comparison",
    "attribute",
    "location",
    "unit_currency",
    "language_platform",
    "question_type",
    "person_possession",
    "condition_exception",
    "order",
    "format_length",
    "subset_superset",
    "tense_status",
    "other_intent",
]
"""The kinds of difference of prompt_pairs; a pair of another kind, or of none, has kind -1."""

POSITIVE_SHARE = 0.4
"""Each source is weighted to this share of positives, so that a logit means the same in all of
them and the look of a source is no hint (prompt_pairs has 27 %, strict_pairs 60 %)."""


@dataclass(frozen=True)
class Pair:
    a: str
    b: str
    label: int
    kind: int
    source: str
    group: str
    """Pairs of one group are on one side of the line between training and held aside."""
    natural: bool = False


@dataclass(frozen=True)
class Source:
    """A set, its share of the training pairs, and which part of its groups is held aside."""

    name: str
    share: float
    held: int
    """One in ``held`` groups is held aside; 0 for none."""
    keep: Callable[[dict[str, Any]], bool] = lambda row: True


SOURCES = (
    Source("prompt_pairs", 0.40, 12),
    Source("strict_pairs", 0.28, 10),
    Source("paws_wiki", 0.03, 8),
    # Same intent is coarser than same question: only the negatives keep the rule.
    Source("banking77_pairs", 0.03, 0, lambda row: row["label"] == 0),
    Source("checklist_templates", 0.04, 5),  # whole templates are held aside
    Source("gptcache_mock", 0.01, 0),
    Source("stsb", 0.03, 0, lambda row: row.get("kind") != "main-news"),
)
CONTRAST_SHARE = 0.18


def held_aside(key: str, one_in: int) -> bool:
    """A fixed choice by hash, the same for every seed."""
    return one_in > 0 and int(hashlib.sha1(key.encode()).hexdigest(), 16) % one_in == 0


def read_rows(path: Path) -> list[dict[str, Any]]:
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def read_source(folder: Path, source: Source) -> tuple[list[Pair], list[Pair]]:
    """(training pairs, pairs held aside)."""
    rows = read_rows(folder / f"{source.name}.tune.jsonl.gz")
    groups = row_groups(rows, source.name)
    train: list[Pair] = []
    held: list[Pair] = []
    for row, group in zip(rows, groups, strict=True):
        kind = KINDS.index(row["kind"]) if row.get("kind") in KINDS else -1
        natural = row.get("domain") == "natural"
        pair = Pair(row["a"], row["b"], row["label"], kind, source.name, group, natural)
        if held_aside(group, source.held):
            held.append(pair)
        elif source.keep(row):
            train.append(pair)
    return train, held


def row_groups(rows: list[dict[str, Any]], name: str) -> list[str]:
    """A group for every row: the set's own, the template, or the connected component of texts."""
    if name == "prompt_pairs":
        return [row["group"] for row in rows]
    if name == "checklist_templates":
        return [row["kind"] for row in rows]
    parent: dict[str, str] = {}

    def find(text: str) -> str:
        while (above := parent.setdefault(text, text)) != text:
            parent[text] = parent.setdefault(above, above)
            text = parent[text]
        return text

    for row in rows:
        first, second = sorted((find(row["a"]), find(row["b"])))
        parent[second] = first
    return [find(row["a"]) for row in rows]


def read_contrast(path: Path) -> list[Pair]:
    """The pairs that contrast.py wrote (it leaves out what is held aside)."""
    return [
        Pair(
            row["a"],
            row["b"],
            row["label"],
            KINDS.index(row["kind"]) if row.get("kind") in KINDS else -1,
            "contrast",
            "",
        )
        for row in read_rows(path)
    ]


def class_weights(pairs: list[Pair]) -> tuple[float, float]:
    """Weights of (negatives, positives) that bring the source to `POSITIVE_SHARE`."""
    share = sum(pair.label for pair in pairs) / len(pairs)
    if not 0 < share < 1:
        return 1.0, 1.0
    return (1 - POSITIVE_SHARE) / (1 - share), POSITIVE_SHARE / share


def encode(tokenizer: Any, a: str, b: str, flip: bool) -> list[int]:
    """``[CLS] a [SEP] b [SEP]``; ``flip`` swaps the two."""
    first, second = (b, a) if flip else (a, b)
    ids: list[int] = tokenizer.encode(first, second).ids
    return ids


def canonical(a: str, b: str) -> bool:
    """True where the pair is to be flipped: the run time scores one order, the sorted one."""
    return b < a


def readable(ids: list[int], longest: int) -> bool:
    """Short enough, and both texts have tokens."""
    middle = ids.index(SEP)
    return len(ids) <= longest and 1 < middle < len(ids) - 2


def bare_tokenizer(source: Path) -> Any:
    tokenizer = Tokenizer.from_file(str(source / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return tokenizer


class Mixture:
    """An endless stream of batches of one length, drawn from the sources by their shares.

    Pairs of a source come in a fresh random order each time round, each in a random order of its
    two texts: the run time scores one order, but nothing may hang on it.
    """

    CHUNK = 2048
    """Pairs that are sorted into batches together: with about 60 lengths in use, batches fill."""

    def __init__(
        self,
        parts: list[tuple[float, list[Pair]]],
        tokenizer: Any,
        longest: int,
        batch_tokens: int,
        seed: int,
    ) -> None:
        self.parts, self.tokenizer, self.longest = parts, tokenizer, longest
        self.batch_tokens = batch_tokens
        self.random = random.Random(seed)
        self.weights = [class_weights(pairs) for _, pairs in parts]
        self.queues: list[list[int]] = [[] for _ in parts]

    def chunk(self) -> Iterator[list[tuple[list[int], Pair, float]]]:
        """Batches of (ids, pair, weight) made of `CHUNK` pairs."""
        shares = [share for share, _ in self.parts]
        by_length: dict[int, list[tuple[list[int], Pair, float]]] = {}
        for part in self.random.choices(range(len(shares)), shares, k=self.CHUNK):
            pair = self._next(part)
            ids = encode(self.tokenizer, pair.a, pair.b, self.random.random() < 0.5)
            if readable(ids, self.longest):
                row = (ids, pair, self.weights[part][pair.label])
                by_length.setdefault(len(ids), []).append(row)
        batches = []
        for length, rows in by_length.items():
            size = max(4, self.batch_tokens // length)
            batches += [rows[i : i + size] for i in range(0, len(rows), size)]
        self.random.shuffle(batches)
        yield from batches

    def _next(self, part: int) -> Pair:
        if not self.queues[part]:
            self.queues[part] = list(range(len(self.parts[part][1])))
            self.random.shuffle(self.queues[part])
        return self.parts[part][1][self.queues[part].pop()]
