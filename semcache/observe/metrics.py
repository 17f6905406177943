"""Counts of one cache in this process: a listener of its own events."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from semcache.fork import after_fork_in_child
from semcache.observe.events import Event
from semcache.observe.learning import GreyCounts, LiveRate, ShadowCounts
from semcache.stores.base import StoreStats


@dataclass(frozen=True, slots=True)
class CacheStats:
    """What a cache did since it was opened in this process, and what its store holds.

    Attributes:
        hits: number by tier (exact, alias, semantic, coalesced).
        saved_input_tokens, saved_output_tokens, saved_usd, saved_seconds: of the upstream calls
            that hits made unnecessary, as far as their usage and cost were known.
        semantic: why the semantic tier is off, or ``"on"``.
        reasons: number of times by reason, of answers that were not stored.
        live: by namespace, how often hits by meaning are wrong (``docs/online.md``).
        shadow, grey: samples and doubtful pairs of this process.
    """

    hits: Mapping[str, int]
    misses: int
    refused: int
    bypassed: int
    stored: int
    not_admitted: int
    store_errors: int
    embedding_errors: int
    verifier_errors: int
    reported_wrong: int
    saved_input_tokens: int
    saved_output_tokens: int
    saved_usd: float
    saved_seconds: float
    semantic: str = "on"
    reasons: Mapping[str, int] = field(default_factory=dict)
    store: StoreStats | None = None
    live: Mapping[str, LiveRate] = field(default_factory=dict)
    shadow: ShadowCounts = field(default_factory=ShadowCounts)
    grey: GreyCounts = field(default_factory=GreyCounts)
    reported_right: int = 0

    @property
    def requests(self) -> int:
        """Lookups and calls, whatever came of them; ``refused`` ones are among the misses."""
        return sum(self.hits.values()) + self.misses + self.bypassed

    @property
    def hit_rate(self) -> float:
        """Share of requests served without a call of their own, in [0, 1]."""
        return sum(self.hits.values()) / self.requests if self.requests else 0.0

    def to_json(self) -> dict[str, Any]:
        """As plain JSON data."""
        return {**asdict(self), "requests": self.requests, "hit_rate": self.hit_rate}


class Metrics:
    """Thread-safe counters, fed by events."""

    def __init__(self) -> None:
        self._reset()
        after_fork_in_child(self, Metrics._reset)

    def _reset(self) -> None:
        # Reentrant, because collecting garbage may end an abandoned stream at any moment.
        self._lock = threading.RLock()
        self._counts: Counter[str] = Counter()
        self._hits: Counter[str] = Counter()
        self._reasons: Counter[str] = Counter()
        self._usd = 0.0
        self._seconds = 0.0

    def __call__(self, event: Event) -> None:
        with self._lock:
            if event.kind in ("hit", "coalesced"):
                self._hits[event.tier or "coalesced"] += 1
                if event.usage is not None:
                    self._counts["input_tokens"] += event.usage.input_tokens
                    self._counts["output_tokens"] += event.usage.output_tokens
                self._usd += event.cost or 0.0
                self._seconds += event.saved_seconds or 0.0
            else:
                self._counts[event.kind] += 1
                if event.kind == "not-admitted":
                    self._reasons[event.reason] += 1
                elif event.kind == "shadow":
                    self._counts["shadow:" + event.reason] += 1

    def snapshot(
        self,
        *,
        semantic: str,
        store: StoreStats | None,
        live: Mapping[str, LiveRate] | None = None,
        grey: GreyCounts | None = None,
    ) -> CacheStats:
        with self._lock:
            counts = self._counts
            return CacheStats(
                hits={
                    tier: self._hits[tier] for tier in ("exact", "alias", "semantic", "coalesced")
                },
                misses=counts["miss"] + counts["refused"],
                refused=counts["refused"],
                bypassed=counts["bypass"],
                stored=counts["stored"],
                not_admitted=counts["not-admitted"],
                store_errors=counts["store-error"],
                embedding_errors=counts["embedding-error"],
                verifier_errors=counts["verifier-error"],
                reported_wrong=counts["reported-wrong"],
                saved_input_tokens=counts["input_tokens"],
                saved_output_tokens=counts["output_tokens"],
                saved_usd=self._usd,
                saved_seconds=self._seconds,
                semantic=semantic,
                reasons=dict(self._reasons),
                store=store,
                live={} if live is None else dict(live),
                shadow=ShadowCounts(
                    right=counts["shadow:right"],
                    wrong=counts["shadow:wrong"],
                    undecided=counts["shadow:undecided"],
                    dropped=counts["shadow:dropped"],
                    errors=counts["shadow-error"],
                ),
                grey=GreyCounts() if grey is None else grey,
                reported_right=counts["reported-right"],
            )
