"""What came of the demo, as plain data. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from semcache.demo.model import reply_to
from semcache.demo.run import NO_TIER, Served

EXAMPLES = 5
TIERS = ("exact", "alias", "semantic", "coalesced")


@dataclass(frozen=True, slots=True)
class Trap:
    """A trap and what became of it.

    Attributes:
        outcome: ``"vetoed"``, ``"below"`` (not alike enough) or ``"served"``.
        alike: whether its score alone would have had it served.
    """

    asked: str
    look_alike: str
    difference: str
    outcome: str
    alike: bool
    cosine: float | None
    why: str
    wrong: bool

    def to_json(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.__slots__}


@dataclass(frozen=True, slots=True)
class Ruled:
    """A prompt that the policy had a word on, and what became of each time it was asked.

    Attributes:
        rule: what should be seen in it (``"live"``, ``"action"``, …).
        tiers: what answered, time by time (``"model"``: it was asked again).
        users: who asked, time by time.
        why: the rules that the policy named.
    """

    asked: str
    rule: str
    tiers: tuple[str, ...]
    users: tuple[str | None, ...]
    why: str
    wrong: bool

    def to_json(self) -> dict[str, Any]:
        return {
            name: list(value) if isinstance(value := getattr(self, name), tuple) else value
            for name in self.__slots__
        }


@dataclass(frozen=True, slots=True)
class Summary:
    """The demo in figures. Money in USD, time in seconds (the model's in virtual time)."""

    requests: int
    tiers: dict[str, int]
    misses: int
    refused: int
    upstream_calls: int
    wrong: tuple[Served, ...]
    cost: float
    cost_without: float
    seconds: float
    seconds_without: float
    real_seconds: float
    traps: tuple[Trap, ...]
    examples: tuple[Served, ...]
    policy: tuple[Ruled, ...]

    @property
    def hits(self) -> int:
        return sum(self.tiers.values())

    def to_json(self) -> dict[str, Any]:
        """As plain JSON data."""
        return {
            "requests": self.requests,
            "hits": self.tiers,
            "hit_rate": self.hits / self.requests if self.requests else 0.0,
            "misses": self.misses,
            "refused": self.refused,
            "upstream_calls": self.upstream_calls,
            "wrong": len(self.wrong),
            "wrong_hits": [_pair(served) for served in self.wrong],
            "usd": {
                "without_cache": self.cost_without,
                "with_cache": self.cost,
                "saved": self.cost_without - self.cost,
            },
            "seconds": {
                "without_cache": self.seconds_without,
                "with_cache": self.seconds,
                "saved": self.seconds_without - self.seconds,
                "real": self.real_seconds,
            },
            "traps": [trap.to_json() for trap in self.traps],
            "semantic_hits": [_pair(served) for served in self.examples],
            "policy": [ruled.to_json() for ruled in self.policy],
        }


def summarise(
    results: Sequence[Served], *, calls: int, cost: float, real_seconds: float
) -> Summary:
    """Sum up. ``calls`` and ``cost`` are the model's own count of what it was asked."""
    tiers = Counter(one.tier for one in results)
    return Summary(
        requests=len(results),
        tiers={tier: tiers[tier] for tier in TIERS},
        misses=tiers[NO_TIER],
        refused=sum(one.decision.outcome == "refused" for one in results),
        upstream_calls=calls,
        wrong=tuple(one for one in results if one.wrong),
        cost=cost,
        cost_without=sum(reply_to(one.prompt).cost for one in results),
        seconds=sum(one.seconds for one in results),
        seconds_without=sum(one.direct_seconds for one in results),
        real_seconds=real_seconds,
        traps=tuple(_traps(results)),
        examples=tuple(_examples(results)),
        policy=tuple(_ruled(results)),
    )


def _ruled(results: Sequence[Served]) -> list[Ruled]:
    """The prompts for the policy, each once, in the order they were first asked."""
    asked: dict[str, list[Served]] = {}
    for one in results:
        if one.prompt.kind == "policy":
            asked.setdefault(one.prompt.text, []).append(one)
    return [
        Ruled(
            asked=text,
            rule=ones[0].prompt.rule or "",
            tiers=tuple(one.tier for one in ones),
            users=tuple(one.prompt.user for one in ones),
            why="; ".join(ones[0].decision.policy),
            wrong=any(one.wrong for one in ones),
        )
        for text, ones in asked.items()
    ]


def _traps(results: Sequence[Served]) -> list[Trap]:
    """Every trap that was sprung, the nearest look-alikes first."""
    texts = {one.prompt.id: one.prompt.text for one in results}
    traps = [
        _trap(one, texts.get(one.prompt.look_alike or "", ""))
        for one in results
        if one.prompt.kind == "trap"
    ]
    return sorted(traps, key=lambda trap: -(trap.cosine or 0.0))


def _trap(one: Served, look_alike: str) -> Trap:
    decision = one.decision
    judged = next((c for c in decision.candidates if c.found.entry.query == look_alike), None)
    alike = (
        judged is not None and decision.threshold is not None and judged.score >= decision.threshold
    )
    outcome, why = "below", decision.reason
    if decision.tier is not None:
        outcome = "served"
    elif judged is not None and judged.vetoes:
        outcome = "vetoed"
        why = "; ".join(f"{veto.name}: {veto.detail}" for veto in judged.vetoes)
    elif judged is not None and decision.threshold is not None:
        why = f"score {judged.score:.3f} < {decision.threshold:.3f}"
    return Trap(
        asked=one.prompt.text,
        look_alike=look_alike,
        difference=one.prompt.difference or "",
        outcome=outcome,
        alike=alike,
        cosine=None if judged is None else judged.found.cosine,
        why=why,
        wrong=one.wrong,
    )


def _examples(results: Sequence[Served]) -> list[Served]:
    """Some hits by meaning in which the words differ most: the ones worth reading."""
    hits = [one for one in results if one.tier == "semantic" and not one.wrong]

    def cosine(one: Served) -> float:
        return (one.candidate.found.cosine or 0.0) if one.candidate else 0.0

    chosen: dict[str, Served] = {}
    for one in sorted(hits, key=cosine):
        chosen.setdefault(one.prompt.intent, one)
    return list(chosen.values())[:EXAMPLES]


def _pair(served: Served) -> dict[str, Any]:
    judged = served.candidate
    return {
        "asked": served.prompt.text,
        "served_answer_of": served.source.text,
        "tier": served.tier,
        "cosine": None if judged is None else judged.found.cosine,
        "score": None if judged is None else judged.score,
    }
