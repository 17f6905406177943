"""What is left over between two prompts, as numbers: the input of the learned scorer.

The two texts are read and aligned (``align.py``); a feature then says *what* differs (numbers,
names, negation, order, ...) and *how much it matters* (the rarest word left over, by the corpus'
IDF). The verifier's logit stands beside them as one more feature. Every feature is symmetrical in
its two texts, and listed in ``FEATURES`` with a pair on which it speaks.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from semcache.decision import lexicon as lex
from semcache.decision.align import Alignment, Analysis, Content, align, analyse, is_typo
from semcache.decision.vetoes import VETOES, Pair

# The most that a word weighs; the scale of the IDF depends on the size of the corpus.
MOST_WEIGHT = 6.0
LEAST_WEIGHT = 0.1

Weight = Callable[[str], float]

# The vetoes that are features: not what the leftovers describe, nor what is no difference.
REASONS = tuple(name for name in VETOES if name not in ("content", "length", "language"))


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


SCOPE_WORDS = _words(
    """
    all any every each only just both either none free entire whole half most least first last other
    another same new old
    """
)
COMPARATIVES = _words(
    """
    more less most least better worse best worst higher lower highest lowest bigger smaller biggest
    smallest larger largest faster slower cheaper cheapest older younger oldest youngest longer
    shorter longest shortest earlier later latest earliest above below over under
    """
)
TIMES = _words(
    """
    today tomorrow yesterday tonight now monday tuesday wednesday thursday friday saturday sunday
    january february march april june july august september october november december morning
    evening night week month year daily weekly monthly annual spring summer autumn winter
    """
)
PLATFORMS = _words(
    """
    python java javascript typescript rust go ruby php swift kotlin c c++ c# sql bash powershell
    english french spanish german italian portuguese chinese japanese korean arabic hindi dutch
    russian windows mac macos linux ubuntu android ios iphone ipad chrome firefox safari edge excel
    word outlook gmail aws azure gcp docker kubernetes react angular vue django flask
    """
)


@dataclass(frozen=True, slots=True)
class Feature:
    """One feature: a line on it, and two texts that it tells apart from a pair of equal ones."""

    description: str
    example: tuple[str, str]


FEATURES: Mapping[str, Feature] = MappingProxyType(
    {
        "verifier": Feature(
            "Logit of the verifier, which reads both texts together.",
            ("How do I enable dark mode?", "How do I disable dark mode?"),
        ),
        "cosine": Feature(
            "Cosine of the two embeddings, in [-1, 1].",
            ("reset my password", "forgot password"),
        ),
        "bm25": Feature(
            "Normalised BM25 of both directions, in [0, 1].",
            ("reset my password", "forgot password"),
        ),
        "rarest": Feature(
            "Weight (IDF) of the rarest word left over on either side.",
            ("weather in Rome", "weather in Ulaanbaatar"),
        ),
        "rarest_other": Feature(
            "The same on the side that has the lesser one: 0 where one text only adds words.",
            ("weather in Rome", "weather in Ulaanbaatar"),
        ),
        "left_over": Feature(
            "Weight left over on both sides, as a share of all weight, in [0, 1].",
            ("reset my password", "reset my email password"),
        ),
        "words_over": Feature(
            "How many content words are left over on both sides together.",
            ("reset my password", "reset my email password"),
        ),
        "likeness": Feature(
            "How alike in spelling the leftovers are, word by word, in [0, 1]; 1 with none.",
            ("my bank details", "my banking details"),
        ),
        "names": Feature(
            "Names (capitals within a sentence) among the leftovers.",
            ("who founded Apple", "who founded Dell"),
        ),
        "first_word": Feature(
            "1 where the first content word, often the verb of what is wanted, differs.",
            ("cancel my card", "order my card"),
        ),
        "last_word": Feature(
            "1 where the last content word differs.",
            ("my card limit", "my card fee"),
        ),
        "scope": Feature(
            "Words of scope left over: all, only, first, free.",
            ("list the free plans", "list the plans"),
        ),
        "comparative": Feature(
            "Comparatives and superlatives left over.",
            ("which is cheaper", "which is faster"),
        ),
        "time": Feature(
            "Days, months and times left over.",
            ("open on Monday?", "open on Sunday?"),
        ),
        "unit": Feature(
            "Units and currencies left over.",
            ("5 kg in pounds", "5 kg in stones"),
        ),
        "platform": Feature(
            "Languages, systems and products left over.",
            ("sort a list in Python", "sort a list in Ruby"),
        ),
        "length_ratio": Feature(
            "Content words of the shorter text over those of the longer, in [0, 1].",
            ("reset password", "reset the password of my old work account"),
        ),
        "shortest": Feature(
            "Content words of the shorter text, at most 12.",
            ("reset password", "reset password"),
        ),
        "differences": Feature(
            "How many vetoes refuse, whether they are vetoes of the scorer or not.",
            ("Reset my bank password", "Reset my email password"),
        ),
        **{
            name: Feature(f"1 where the veto {name} refuses.", VETOES[name].example)
            for name in REASONS
        },
    }
)


def features(
    query: str,
    candidate: str,
    *,
    cosine: float,
    bm25: float,
    weight: Weight,
    verifier: float | None = None,
) -> dict[str, float]:
    """All features of a pair but ``verifier``, which is there only where a logit is given.

    Pure, symmetrical, never raises. ``weight``: a word's IDF, in nats.

    >>> found = features("reset my pin", "reset my card pin", cosine=0.9, bm25=0.7, weight=len)
    >>> found["words_over"], found["rarest_other"], found["number"]
    (1.0, 0.0, 0.0)
    """
    one, two = analyse(query), analyse(candidate)
    aligned = align(query, candidate)
    values = {"cosine": cosine, "bm25": bm25}
    if verifier is not None:
        values["verifier"] = verifier
    values |= _leftovers(aligned, weight)
    values |= _kinds(aligned, one.names | two.names)
    values |= _shape(one.content, two.content)
    values |= _reasons(one, two, aligned, query == candidate)
    return values


def _leftovers(aligned: Alignment, weight: Weight) -> dict[str, float]:
    left = [_weight(word, weight) for word in aligned.left]
    right = [_weight(word, weight) for word in aligned.right]
    shared = sum(_weight(word, weight) for word in aligned.first)
    spare = sum(left) + sum(right)
    rarest = sorted((max(left, default=0.0), max(right, default=0.0)))
    return {
        "rarest": rarest[1],
        "rarest_other": rarest[0],
        "left_over": spare / (spare + 2 * shared) if spare else 0.0,
        "words_over": float(len(left) + len(right)),
        "likeness": _likeness(aligned.left, aligned.right),
    }


def _weight(word: Content, weight: Weight) -> float:
    return min(max(weight(word.text), LEAST_WEIGHT), MOST_WEIGHT)


def _likeness(left: Sequence[Content], right: Sequence[Content]) -> float:
    """Mean over the leftovers of the longer side of the best likeness on the other."""
    if not left and not right:
        return 1.0
    long, short = sorted((left, right), key=len, reverse=True)
    best = [max((_spelled_alike(a.text, b.text) for b in short), default=0.0) for a in long]
    return sum(best) / len(best)


def _spelled_alike(one: str, two: str) -> float:
    """Dice's coefficient of letter pairs, 1 for a known slip of typing."""
    if one == two or is_typo(one, two):
        return 1.0
    pairs_one = {one[i : i + 2] for i in range(len(one) - 1)}
    pairs_two = {two[i : i + 2] for i in range(len(two) - 1)}
    if not pairs_one or not pairs_two:
        return 0.0
    return 2 * len(pairs_one & pairs_two) / (len(pairs_one) + len(pairs_two))


def _kinds(aligned: Alignment, names: frozenset[str]) -> dict[str, float]:
    words = [{word.text, word.key} for word in (*aligned.left, *aligned.right)]

    def among(known: frozenset[str]) -> float:
        return float(sum(not known.isdisjoint(word) for word in words))

    return {
        "names": among(names),
        "scope": among(SCOPE_WORDS),
        "comparative": among(COMPARATIVES),
        "time": among(TIMES),
        "unit": among(lex.UNITS),
        "platform": among(PLATFORMS),
    }


def _shape(one: Sequence[Content], two: Sequence[Content]) -> dict[str, float]:
    short, long = sorted((len(one), len(two)))
    return {
        "first_word": float(bool(long) and [w.key for w in one[:1]] != [w.key for w in two[:1]]),
        "last_word": float(bool(long) and [w.key for w in one[-1:]] != [w.key for w in two[-1:]]),
        "length_ratio": short / long if long else 1.0,
        "shortest": float(min(short, 12)),
    }


def _reasons(one: Analysis, two: Analysis, aligned: Alignment, equal: bool) -> dict[str, float]:
    if equal:
        return dict.fromkeys(("differences", *REASONS), 0.0)
    pair = Pair(one, two, aligned)
    found = {name: float(VETOES[name].check(pair) is not None) for name in REASONS}
    left_over = bool(aligned.left or aligned.right)
    return {"differences": sum(found.values()) + left_over, **found}
