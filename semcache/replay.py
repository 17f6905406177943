"""Replay: a stream of prompts through a whole cache, and what came of it.

The model is simulated: it answers with the *group* of the prompt it was asked, so an answer itself
tells for whom it was made. A prompt that is served the answer of another group got a wrong hit.
"""

from __future__ import annotations

import gzip
import json
import math
import time
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TextIO, cast

from semcache.cache import SemanticCache
from semcache.errors import ConfigurationError
from semcache.outcome import Decision
from semcache.scope import Scope

# In a scope of its own, so that replaying into somebody's cache meets nothing but itself.
SCOPE = Scope(model="simulated", namespace="semcache-replay")
PAIRS_KEPT = 20
PERCENTILES = (50, 95, 99)
# An alias is an exact repeat of a wording; ``coalesced`` cannot come up one prompt at a time.
KIND_OF_TIER = {"exact": "exact", "alias": "exact", "semantic": "semantic"}


@dataclass(frozen=True, slots=True)
class Prompt:
    """One request of a stream. ``group``: which prompts share an answer, ``None`` if unknown."""

    text: str
    group: str | None = None


@dataclass(frozen=True, slots=True)
class WrongHit:
    """A prompt, and the prompt whose answer it was served although theirs differ."""

    prompt: str
    served: str
    group: str | None
    served_group: str | None
    tier: str
    score: float | None


@dataclass(slots=True)
class Replayed:
    """What came of a replay. Latencies in seconds, by ``exact``, ``semantic``, ``miss_overhead``.

    ``miss_overhead`` is what a miss takes in the cache, recording included: the call less the time
    inside the model.
    """

    requests: int = 0
    hits: Counter[str] = field(default_factory=Counter)
    misses: int = 0
    refused: int = 0
    wrong: int = 0
    grouped: bool = False
    upstream_calls: int = 0
    latencies: dict[str, list[float]] = field(
        default_factory=lambda: {"exact": [], "semantic": [], "miss_overhead": []}
    )
    wrong_hits: list[WrongHit] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def hit_rate(self) -> float:
        """Share of requests that were served without the model, in [0, 1]."""
        return sum(self.hits.values()) / self.requests if self.requests else 0.0

    def to_json(self) -> dict[str, Any]:
        """As plain JSON data; what cannot be known (wrong hits without groups) is null."""
        return {
            "requests": self.requests,
            "hits": {"exact": self.hits["exact"], "semantic": self.hits["semantic"]},
            "misses": self.misses,
            "wrong": self.wrong if self.grouped else None,
            "upstream_calls": self.upstream_calls,
            "latency_ms": {
                name: {
                    f"p{percent}": _milliseconds(percentile(seconds, percent))
                    for percent in PERCENTILES
                }
                for name, seconds in self.latencies.items()
            },
            "hit_rate": round(self.hit_rate, 6),
            "refused": self.refused,
            "wrong_hits": [
                {name: getattr(hit, name) for name in WrongHit.__slots__} for hit in self.wrong_hits
            ],
            "seconds": round(self.seconds, 3),
        }


def replay(
    cache: SemanticCache, prompts: Iterable[Prompt], advance: Callable[[], None] = lambda: None
) -> Replayed:
    """Send every prompt through ``cache.call``, one after the other.

    >>> with SemanticCache.open("memory://", embedder=None) as cache:
    ...     done = replay(cache, [Prompt("Hi", "a"), Prompt("Hi", "a"), Prompt("Hi", "b")])
    >>> done.hits["exact"], done.misses, done.wrong, done.upstream_calls
    (2, 1, 1, 1)
    """
    result = Replayed()
    begun = time.perf_counter()
    for prompt in prompts:
        _request(cache, prompt, result)
        advance()
    result.seconds = time.perf_counter() - begun
    return result


def _request(cache: SemanticCache, prompt: Prompt, result: Replayed) -> None:
    inside = 0.0
    decisions: list[Decision] = []

    def model() -> dict[str, str | None]:
        nonlocal inside
        started = time.perf_counter()
        result.upstream_calls += 1
        answer = {"group": prompt.group, "prompt": prompt.text}
        inside = time.perf_counter() - started
        return answer

    started = time.perf_counter()
    answer = cache.call(prompt.text, model, scope=SCOPE, on_decision=decisions.append)
    taken = time.perf_counter() - started
    decision = decisions[0]
    result.requests += 1
    result.grouped = result.grouped or prompt.group is not None
    if decision.tier is None:
        result.misses += 1
        result.refused += decision.outcome == "refused"
        result.latencies["miss_overhead"].append(taken - inside)
        return
    kind = KIND_OF_TIER[decision.tier]
    result.hits[kind] += 1
    result.latencies[kind].append(taken)
    if answer["group"] != prompt.group:
        result.wrong += 1
        if len(result.wrong_hits) < PAIRS_KEPT:
            result.wrong_hits.append(_wrong_hit(prompt, answer, decision))


def _wrong_hit(prompt: Prompt, answer: dict[str, str | None], decision: Decision) -> WrongHit:
    served = answer["prompt"] or ""
    score = next(
        (one.score for one in decision.candidates if one.found.entry.query == served), None
    )
    return WrongHit(prompt.text, served, prompt.group, answer["group"], decision.tier or "", score)


def read_prompts(path: str | Path, group: str | None = None) -> Iterator[Prompt]:
    """The prompts of a file of JSON lines with ``text`` and, if named, the field ``group``.

    Raises:
        ConfigurationError: the file cannot be read, or a line is not such an object.
    """
    source = Path(path)
    try:
        with _opened(source) as file:
            for number, line in enumerate(file, 1):
                if line.strip():
                    yield _prompt(f"{source}, line {number}", line, group)
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"{source} is not UTF-8 text") from error
    except (OSError, EOFError, zlib.error) as error:
        raise ConfigurationError(f"cannot read {source}: {error}") from error


def _opened(source: Path) -> TextIO:
    if source.suffix == ".gz":
        return cast(TextIO, gzip.open(source, "rt", encoding="utf-8"))
    return source.open(encoding="utf-8")


def _prompt(where: str, line: str, group: str | None) -> Prompt:
    try:
        row = json.loads(line)
    except ValueError as error:
        raise ConfigurationError(f"{where}: not JSON ({error})") from error
    if not isinstance(row, dict) or not isinstance(row.get("text"), str):
        raise ConfigurationError(f'{where}: a JSON object with "text" is expected')
    if group is None:
        return Prompt(row["text"])
    if row.get(group) is None:
        known = ", ".join(sorted(set(row) - {"text"})) or "none"
        raise ConfigurationError(f"{where}: there is no field {group!r} (other fields: {known})")
    return Prompt(row["text"], str(row[group]))


def percentile(values: Sequence[float], percent: float) -> float | None:
    """The smallest value that at least ``percent`` % do not exceed; ``None`` of nothing.

    >>> percentile([4.0, 1.0, 3.0, 2.0], 50), percentile([], 50)
    (2.0, None)
    """
    if not values:
        return None
    rank = math.ceil(percent / 100 * len(values))
    return sorted(values)[max(rank, 1) - 1]


def _milliseconds(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds * 1000, 4)
