"""What a lookup came to, and why: values that answer the next question."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from semcache.entry import Entry

if TYPE_CHECKING:
    from semcache.decision.decide import Judged

Outcome = Literal["hit", "miss", "refused", "bypass"]
Tier = Literal["exact", "alias", "semantic", "coalesced"]


@dataclass(frozen=True, slots=True)
class Decision:
    """Why a request was or was not answered from the cache.

    Attributes:
        outcome: ``"hit"``; ``"miss"``; ``"refused"``: something looked alike and a guard rejected
            it; ``"bypass"``: the cache was not asked (``no_cache``, empty prompt, …).
        tier: which tier served, ``None`` without a hit. ``"alias"`` is an exact repeat of a prompt
            that was once served by meaning.
        reason: one plain sentence.
        id, scope: digests.
        candidates: everything that was judged, best first.
        served: the one of them whose answer is served.
        query: the prompt that was asked.
        threshold: the least score that is served, ``None`` where the bound has no support.
        scorer: name of the scorer.
        policy: the policy's rules that had a say; empty where it was not asked (an exact hit: it
            was asked when that answer was stored).
    """

    outcome: Outcome
    tier: Tier | None
    reason: str
    id: str
    scope: str
    candidates: tuple[Judged, ...] = ()
    threshold: float | None = None
    scorer: str | None = None
    policy: tuple[str, ...] = ()
    served: Judged | None = None
    query: str = field(default="", repr=False)

    @property
    def candidate(self) -> Judged | None:
        """The one served, or else the one that came nearest."""
        if self.served is not None:
            return self.served
        return self.candidates[0] if self.candidates else None

    @property
    def probability(self) -> float | None:
        """Calibrated probability that ``candidate`` has the same answer, in [0, 1]."""
        return None if self.candidate is None else self.candidate.probability

    @property
    def features(self) -> Mapping[str, float]:
        """What the scorer saw in ``candidate``."""
        return {} if self.candidate is None else self.candidate.features

    def to_json(self) -> dict[str, Any]:
        """As plain JSON data, with the candidates' texts."""
        return {
            "outcome": self.outcome,
            "tier": self.tier,
            "reason": self.reason,
            "id": self.id,
            "scope": self.scope,
            "scorer": self.scorer,
            "threshold": self.threshold,
            "policy": list(self.policy),
            "candidates": [
                {
                    "id": judged.found.entry.id,
                    "query": judged.found.entry.query,
                    "cosine": judged.found.cosine,
                    "found_by": judged.found.by,
                    # Without a vector there is no score; JSON has no word for -infinity.
                    "score": judged.score if math.isfinite(judged.score) else None,
                    "probability": judged.probability,
                    "features": dict(judged.features),
                    "vetoes": [{"name": v.name, "detail": v.detail} for v in judged.vetoes],
                }
                for judged in self.candidates
            ],
        }


@dataclass(frozen=True, slots=True)
class Hit:
    """A stored answer, served.

    Attributes:
        answer: as it was recorded; for a stream, the list of its chunks.
        id: of the request; ``entry.id`` is another where it was served by meaning.
        is_stream: whether the answer was recorded as a stream.
    """

    answer: Any
    entry: Entry = field(repr=False)
    decision: Decision = field(repr=False)
    is_stream: bool = False

    @property
    def id(self) -> str:
        return self.decision.id

    @property
    def tier(self) -> Tier:
        assert self.decision.tier is not None
        return self.decision.tier

    @property
    def probability(self) -> float:
        """Probability that this answer fits; 1.0 for an exact hit."""
        found = self.decision.probability
        return 1.0 if found is None else found


@dataclass(frozen=True, slots=True)
class Recorded:
    """What became of an answer that was to be stored. True where it was."""

    stored: bool
    reason: str
    id: str

    def __bool__(self) -> bool:
        return self.stored
