"""All that is learned in operation, as the engine and the cache see it."""

from __future__ import annotations

import random as chance
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from semcache.observe.learning import GreyCounts, LiveRate
from semcache.online import feedback
from semcache.online.backroom import Backroom
from semcache.online.grey import Grey, GreyZone
from semcache.online.live import LiveRates
from semcache.online.shadow import Shadow, chosen_judge
from semcache.steps import Steps

if TYPE_CHECKING:
    from semcache.candidates import SearchResult
    from semcache.decision.decide import Verdict
    from semcache.engine import Controls, Encoded, Engine, Prepared
    from semcache.entry import Entry
    from semcache.judges import AnswerJudge
    from semcache.outcome import Hit

REPORTED = "refused: reported wrong for this wording or one near it"
UNKNOWN = "the store cannot say whether this was reported wrong"
PAUSED = "paused: too many hits were wrong"


class Online:
    """What a cache learns while it runs, on top of an engine.

    Args:
        run: performs steps in the calling thread.
        judge: compares answers; default: by the cosine of their embeddings.
        grey: what to do with doubtful pairs; ``None``: nothing.
        random: uniform in [0, 1); default: Python's, which a forked child seeds anew.
    """

    def __init__(
        self,
        engine: Engine,
        run: Callable[[Any], Any],
        *,
        max_wrong: float,
        shadow_rate: float,
        judge: AnswerJudge | None,
        grey: GreyZone | None,
        random: Callable[[], float] | None,
    ) -> None:
        self._engine = engine
        self._run = run
        self.backroom = Backroom()
        self.rates = LiveRates(engine, max_wrong)
        self.shadow = Shadow(
            engine,
            self.rates,
            self.backroom,
            run,
            judge=chosen_judge(judge, engine.embedder, shadow_rate),
            random=random or chance.random,
            max_wrong=max_wrong,
        )
        self.grey = None if grey is None else Grey(engine, grey, self.backroom, run)

    # -- for the engine -----------------------------------------------------------------------

    def begins(
        self, prepared: Prepared, controls: Controls, *, dry: bool = False
    ) -> Steps[str | None]:
        """Before a search: put the calibration in force; why there is none."""
        namespace = prepared.request.scope.namespace
        yield from self.rates.refresh(namespace)
        if self.rates.step(namespace) == 0:
            return None
        prepared.calibration = self.rates.calibration(namespace)
        if prepared.calibration is not None:
            return None
        if dry or not self.shadow.can_sample(controls):
            return PAUSED
        # Nothing is served, but what would be can be compared: the model is called anyway.
        prepared.calibration = self.rates.strictest()
        prepared.sampled = True
        return None

    def holds_alias(self, entry: Entry) -> Steps[bool]:
        """Whether an alias is to be asked by meaning instead: the threshold moved since."""
        yield from self.rates.refresh(entry.namespace)
        return self.rates.step(entry.namespace) > 0

    def served(self, entry: Entry) -> None:
        """Count a hit by meaning."""
        if self.rates.count(entry.namespace):
            self.backroom.offer(lambda: self._run(self.rates.reported(entry.namespace)))

    def unreported(
        self,
        prepared: Prepared,
        result: SearchResult,
        verdict: Verdict,
        controls: Controls,
        *,
        thorough: bool = False,
    ) -> Steps[tuple[SearchResult, Verdict]]:
        """The verdict on the candidates that no report forbids."""
        left = yield from feedback.unreported(self._engine, prepared, result)
        if left is result:
            return result, verdict
        if left is None:
            return result, replace(verdict, served=None, reason=UNKNOWN)
        found, again = yield from self._engine.judge(prepared, left, controls, thorough=thorough)
        if again.served is None:
            again = replace(verdict, served=None, reason=REPORTED, refused=True)
        return found, again

    def answered(
        self, prepared: Prepared, controls: Controls, encoded: Encoded, stored: bool
    ) -> None:
        """The model answered this request."""
        self.shadow.answered(prepared, encoded, stored)
        if not stored:
            self.consider(prepared, controls)

    def missed(self, prepared: Prepared, controls: Controls) -> None:
        """A lookup found nothing, or a hit that is held back."""
        self.shadow.wait_for_record(prepared)
        self.consider(prepared, controls)

    def consider(self, prepared: Prepared, controls: Controls) -> None:
        """The request has no answer of its own: is anything doubtful near it?"""
        if self.grey is not None and prepared.near is not None:
            result, verdict = prepared.near
            self.grey.offer(prepared, verdict, result, controls.max_wrong)

    # -- for the cache ------------------------------------------------------------------------

    def report(self, hit: Hit, *, right: bool) -> Steps[None]:
        """Take in what somebody says of a hit by meaning. Raises ``StoreError``."""
        if right:
            if (yield from feedback.right(self._engine, hit)):
                yield from self.rates.reported(hit.entry.namespace, right=1)
        elif (yield from feedback.wrong(self._engine, hit)):
            yield from self.rates.reported(hit.entry.namespace, wrong=1)

    def shown(self, namespace: str) -> Steps[dict[str, LiveRate]]:
        """The live rates that this process knows of, as they are in the store now."""
        for name in {namespace, *self.rates.namespaces()}:
            yield from self.rates.refresh(name, now=True)
        return self.rates.shown()

    def grey_counts(self) -> GreyCounts:
        return GreyCounts() if self.grey is None else self.grey.counts()

    def close(self) -> None:
        """Finish what is under way, as far as that is quick; write the counts."""
        if self.grey is not None:
            self.grey.close()
        self.backroom.close()
        self.rates.flush(self._run)
