"""What is read from the folder of data: pairs, streams, and what an adversary would plant."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from benchmarks.bound.exchangeable import Pool
from benchmarks.bound.known import Asked, Known
from benchmarks.bound.streams import Stream, prepare
from benchmarks.bound.threats import PLANTED
from semcache.decision.terms import terms
from semcache.evaluate import Pair, corpus_of, read_pairs, records, unique_texts
from semcache.tuning.parts import components

SEED = 4
PAIRS = ("strict_pairs",)
TRAPS = "prompt_pairs"
NATURAL = "natural"
# A word that is in so many prompts of a stream stands for a subject.
SUBJECT = (8, 150)


def pairs_of(data: Path, part: str, more: Sequence[Path], most: int) -> list[Pair]:
    """The labelled pairs of the pool, each once, in a fixed random order."""
    listed = [pair for name in PAIRS for pair in read_pairs(data / f"{name}.{part}.jsonl.gz")]
    listed += [pair for path in more for pair in read_pairs(path)]
    once = {tuple(sorted((pair.a, pair.b))): pair for pair in listed}
    shuffled = list(once.values())
    random.Random(SEED).shuffle(shuffled)
    return shuffled[:most]


def pool_of(pairs: Sequence[Pair], known: Known) -> Pool:
    """Their scores."""
    texts = unique_texts(pairs)
    vectors = dict(zip(texts, known.vectors(texts, "pairs"), strict=True))
    asked = [Asked(p.a, p.b, float(vectors[p.a] @ vectors[p.b])) for p in pairs]
    linked = components(pairs)
    numbers = {name: number for number, name in enumerate(dict.fromkeys(linked))}
    return Pool(
        np.array([pair.same for pair in pairs]),
        known.scores(asked, corpus_of(texts), "pairs"),
        np.array([numbers[name] for name in linked]),
        [pair.source or "" for pair in pairs],
    )


def prepared(data: Path, part: str, name: str, limit: int, known: Known) -> Stream:
    """A stream of up to ``limit`` prompts, subject by subject.

    A sample of prompts alone would leave most of them without their near neighbours of other
    groups, and every threshold would look better than it is. So subjects (words) are taken in
    random order, each with all groups that have a prompt about it; look-alikes that were written
    for a prompt come with it.
    """
    group: dict[str, str] = {}
    for _, record in records(data / f"{name}.{part}.jsonl.gz"):
        said = record.get("cluster") or record.get("intent")
        if said is not None:
            group.setdefault(" ".join(record["text"].split()), str(said))
    # prompt_stream: "family-answer"
    family = {text: said.partition("-")[0] for text, said in group.items()}
    about: dict[str, set[str]] = {}
    often = Counter(term for text in group for term in set(terms(text)))
    for text in group:
        for term in set(terms(text)):
            if SUBJECT[0] <= often[term] <= SUBJECT[1]:
                about.setdefault(term, set()).add(family[text])
    sizes = Counter(family.values())
    kept: set[str] = set()
    subjects = sorted(about)
    random.Random(SEED).shuffle(subjects)
    for families in [*(about[subject] for subject in subjects), set(sizes)]:
        for one in sorted(families - kept):
            if sum(sizes[other] for other in kept) + sizes[one] <= limit:
                kept.add(one)
    texts = [text for text in group if family[text] in kept]
    return prepare(name, texts, [group[text] for text in texts], known)


def look_alikes(data: Path, part: str, seed: int) -> list[tuple[str, str]]:
    """Pairs that were written to look the same and are not."""
    traps = [
        (record["a"], record["b"])
        for _, record in records(data / f"{TRAPS}.{part}.jsonl.gz")
        if record["label"] == 0 and record.get("domain") != NATURAL
    ]
    return random.Random(seed).sample(traps, min(PLANTED, len(traps)))


def popular(data: Path, part: str) -> list[str]:
    """Questions worth an attack; each in a group of its own."""
    firsts: dict[str, str] = {}
    for _, record in records(data / f"{TRAPS}.{part}.jsonl.gz"):
        firsts.setdefault(record["group"], record["a"])
    return list(firsts.values())
