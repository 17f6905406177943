"""The demo's requests through a cache, one result each."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from semcache.cache import SemanticCache
from semcache.decision.decide import Judged
from semcache.demo.model import SimulatedModel, reply_to, usage_of
from semcache.demo.prompts import DemoPrompt, groups
from semcache.outcome import Decision

MAX_CROWD = 16
NO_TIER = "model"


@dataclass(frozen=True, slots=True)
class Served:
    """What came of one request.

    Attributes:
        source: the prompt that the answer was made for.
        seconds: how long the caller waited, the model's share of it in virtual time.
        direct_seconds: how long the model alone would have taken, in virtual time.
    """

    prompt: DemoPrompt
    source: DemoPrompt
    decision: Decision
    seconds: float
    direct_seconds: float

    @property
    def tier(self) -> str:
        """The tier that served, or ``NO_TIER``."""
        return self.decision.tier or NO_TIER

    @property
    def wrong(self) -> bool:
        return not self.prompt.may_share(self.source)

    @property
    def candidate(self) -> Judged | None:
        """The candidate this result is about: of a hit the one served, else the nearest."""
        candidates = self.decision.candidates
        if self.tier == "semantic":
            return next(one for one in candidates if one.found.entry.query == self.source.text)
        return candidates[0] if candidates else None

    @property
    def reason(self) -> str:
        return self.decision.reason


def run(
    cache: SemanticCache, model: SimulatedModel, prompts: Sequence[DemoPrompt]
) -> Iterator[Served]:
    """Send every prompt through the cache; crowds at the same moment, from threads."""
    known = {prompt.id: prompt for prompt in prompts}
    with ThreadPoolExecutor(MAX_CROWD, "semcache-demo") as pool:
        for group in groups(prompts):
            if len(group) == 1:
                yield _request(cache, model, group[0], known)
                continue
            waiting = [pool.submit(_request, cache, model, one, known) for one in group]
            for done in waiting:
                yield done.result()


def _request(
    cache: SemanticCache,
    model: SimulatedModel,
    prompt: DemoPrompt,
    known: Mapping[str, DemoPrompt],
) -> Served:
    decisions: list[Decision] = []
    started = time.perf_counter()
    answer = cache.call(
        prompt.text,
        lambda: model.answer(prompt),
        scope=prompt.scope,
        usage=usage_of,
        on_decision=decisions.append,
    )
    real = time.perf_counter() - started
    decision = decisions[0]
    seconds = real
    if decision.tier in (None, "coalesced"):
        # The caller waited for the model, for which virtual time takes the place of real time.
        seconds += answer["seconds"] * (1 - 1 / model.speed)
    return Served(prompt, known[answer["for"]], decision, seconds, reply_to(prompt).seconds)
