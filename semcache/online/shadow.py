"""Samples: a share of the hits goes to the model anyway, and the two answers are compared.

Two ways, and both end in ``settle``:

* **inline**: the hit is held back, as if it were a miss, and remembered. Whoever asked calls the
  model and gets its answer; when that is recorded, it is compared. Should the model fail, the
  remembered answer is served after all.
* **background**: the hit is served, and the model is called for it in a thread of ours (or, for
  coroutines, on the caller's event loop). Needs a call that may be made later and twice, so the
  caller has to say so.

Which hits are sampled is decided by chance alone, so that their share of wrong ones is the rate.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import AsyncGenerator, Callable, Generator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from semcache.answer_text import text_of
from semcache.fork import after_fork_in_child
from semcache.judges import AnswerJudge, Compared, EmbeddingJudge, checked
from semcache.observe.events import Event, log
from semcache.online import feedback
from semcache.online.backroom import Backroom, finish, loop_here

if TYPE_CHECKING:
    from semcache.embedders.base import Embedder
    from semcache.engine import Controls, Encoded, Engine, Facts, Prepared
    from semcache.online.live import LiveRates
    from semcache.outcome import Hit
    from semcache.request import Request
    from semcache.steps import Steps

T = TypeVar("T")
Run = Callable[[Any], Any]
Spare = Callable[[BaseException], "Hit | None"]

# Lookups that were held back and wait for their ``record``. Some never come.
WAITING = 256
WAITING_S = 600.0
SAMPLED = ("semantic", "alias")


@dataclass(frozen=True, slots=True)
class Sample:
    """A hit that waits for a fresh answer to be compared with."""

    hit: Hit
    controls: Controls
    at: float


class Shadow:
    """Draws samples and settles them."""

    def __init__(
        self,
        engine: Engine,
        rates: LiveRates,
        backroom: Backroom,
        run: Run,
        *,
        judge: AnswerJudge | None,
        random: Callable[[], float],
        max_wrong: float,
    ) -> None:
        self._engine = engine
        self._rates = rates
        self._backroom = backroom
        self._run = run
        self._judge = judge
        self._random = random
        self._max_wrong = max_wrong
        self._reset()
        after_fork_in_child(self, Shadow._reset)

    def _reset(self) -> None:
        self._lock = threading.RLock()
        self._waiting: OrderedDict[str, Sample] = OrderedDict()

    # -- which hits ---------------------------------------------------------------------------

    def held_back(self, prepared: Prepared, controls: Controls) -> bool:
        """Whether this request is an inline sample. Drawn once, however often it is asked."""
        if prepared.sampled is None:
            prepared.sampled = (
                controls.shadow == "inline"
                and self.can_sample(controls)
                and self._random() < controls.shadow_rate
            )
        return prepared.sampled

    def can_sample(self, controls: Controls) -> bool:
        """Whether a sample of such a call could be settled at all."""
        return controls.shadow_rate > 0.0 and self._judge is not None and not controls.no_store

    def hold(self, prepared: Prepared, hit: Hit, controls: Controls) -> None:
        """Remember the hit that this request would have been."""
        prepared.held = Sample(hit, controls, self._engine.clock())

    def wait_for_record(self, prepared: Prepared) -> None:
        """A lookup was held back: its ``record`` comes as a request of its own."""
        if prepared.held is not None:
            with self._lock:
                self._waiting[prepared.id] = prepared.held
                self._waiting.move_to_end(prepared.id)
                if len(self._waiting) > WAITING:
                    self._waiting.popitem(last=False)

    def recall(self, prepared: Prepared) -> None:
        """What ``wait_for_record`` remembered, for the ``record`` of the same request."""
        if self._waiting:
            with self._lock:
                sample = self._waiting.pop(prepared.id, None)
            if sample is not None and abs(self._engine.clock() - sample.at) < WAITING_S:
                prepared.held = sample

    # -- inline -------------------------------------------------------------------------------

    def answered(self, prepared: Prepared, encoded: Encoded, stored: bool) -> None:
        """The model answered a request that was held back."""
        sample: Sample | None = prepared.held
        if sample is None:
            return
        prepared.held = None
        payload = encoded.payload
        if not stored or payload is None:
            # Cut off, refused, empty: nobody would have been served that, so it proves nothing.
            self._said(sample.hit, "undecided")
            return
        loop = loop_here()
        if not self._backroom.offer(lambda: self._settle(sample, payload, loop)):
            self._said(sample.hit, "dropped")

    def spared(self, sample: Sample, error: BaseException) -> None:
        """The model failed for a request that was held back, and it is served after all."""
        self._failed(sample.hit, "the model", error)
        engine = self._engine
        engine.emit_hit("hit", sample.hit.decision, sample.hit.entry, engine.timer())

    # -- background ---------------------------------------------------------------------------

    def later(
        self, request: Request, hit: Hit, controls: Controls, call: Callable[[], Any], stream: bool
    ) -> None:
        """Perhaps call the model for a hit that was served. ``call`` blocks until it answered."""
        wanted = controls.shadow == "background" and hit.tier in SAMPLED
        if not wanted or not self.can_sample(controls):
            return
        if self._random() >= controls.shadow_rate:
            return
        sample = Sample(hit, controls, self._engine.clock())
        loop = loop_here()
        if not self._backroom.offer(lambda: self._ask(request, sample, call, stream, loop)):
            self._said(hit, "dropped")

    def _ask(
        self,
        request: Request,
        sample: Sample,
        call: Callable[[], Any],
        stream: bool,
        loop: Any,
    ) -> None:
        from semcache.engine import Facts

        engine, controls = self._engine, sample.controls
        started = time.perf_counter()
        try:
            fresh = call()
        except BaseException as error:
            self._failed(sample.hit, "the model", error)
            return
        facts = Facts(seconds=time.perf_counter() - started, stream=stream)
        encoded = engine.encode(fresh, controls.codec, stream=stream)
        try:
            unworthy = engine.not_stored(fresh, encoded, controls, facts)
        except Exception as error:  # with ``strict``, of the caller's own ``admit``
            self._failed(sample.hit, "admit()", error)
            return
        if encoded.payload is None or unworthy:
            self._said(sample.hit, "undecided")
            return
        if self._settle(sample, encoded.payload, loop) is False:
            # The right answer to this wording is known now, so it need not be asked for again.
            self._keep(request, fresh, encoded, sample, facts)

    def _keep(
        self, request: Request, fresh: Any, encoded: Encoded, sample: Sample, facts: Facts
    ) -> None:
        prepared = self._engine.prepare(request)
        try:
            self._run(self._engine.keep(prepared, fresh, encoded, sample.controls, facts))
        except Exception as error:
            self._failed(sample.hit, "the store", error)

    # -- the verdict --------------------------------------------------------------------------

    def _settle(self, sample: Sample, payload: bytes, loop: Any) -> bool | None:
        """Compare, and learn from it; whether the stored answer was right."""
        hit = sample.hit
        assert self._judge is not None
        try:
            same = finish(self._judge(self._compared(sample, payload)), loop)
        except BaseException as error:
            self._failed(hit, "the judge", error)
            return None
        if same is None:
            self._said(hit, "undecided")
            return None
        self._said(hit, "right" if same else "wrong")
        try:
            self._run(self._learn(sample, bool(same)))
        except Exception as error:
            self._failed(hit, "the store", error)
        return bool(same)

    def _learn(self, sample: Sample, same: bool) -> Steps[None]:
        hit = sample.hit
        if not same:
            yield from feedback.wrong(self._engine, hit)
        # The watch is over the cache's own bound; hits under another one are another population.
        if sample.controls.max_wrong == self._max_wrong:
            yield from self._rates.sampled(hit.entry.namespace, not same)

    def _compared(self, sample: Sample, payload: bytes) -> Compared:
        hit, codec = sample.hit, sample.controls.codec
        assert hit.entry.answer is not None
        stored = self._engine.read(hit.entry, hit.entry.answer, hit.decision, codec)
        fresh = self._engine.read(hit.entry, payload, hit.decision, codec)
        return Compared(
            query=hit.decision.query,
            candidate=hit.entry.query,
            stored=stored.answer,
            fresh=fresh.answer,
            stored_text=text_of(hit.entry.answer),
            fresh_text=text_of(payload),
        )

    def _said(self, hit: Hit, what: str) -> None:
        self._engine.listeners.emit(
            Event("shadow", hit.id, hit.decision.scope, tier=hit.tier, reason=what)
        )

    def _failed(self, hit: Hit, who: str, error: BaseException) -> None:
        reason = f"{who} failed: {type(error).__name__}"
        self._engine.listeners.emit(
            Event("shadow-error", hit.id, hit.decision.scope, tier=hit.tier, reason=reason)
        )
        log.warning("a shadow sample was lost, %s", reason)


def chosen_judge(
    judge: AnswerJudge | None, embedder: Embedder | None, shadow_rate: float
) -> AnswerJudge | None:
    """The judge that was given, or one by the cache's own embedder; ``None`` without either."""
    if judge is not None:
        return checked(judge)
    if embedder is None:
        return None
    if shadow_rate > 0.0:
        log.warning(
            "shadow samples are compared by EmbeddingJudge, which does not see details; for a live "
            "rate to rely on pass judge= (docs/online.md)"
        )
    return EmbeddingJudge(embedder)


def or_stored(fresh: Generator[T, None, None], spare: Spare) -> Generator[T, None, None]:
    """The fresh stream; should it fail before its first chunk, the stored one."""
    begun = False
    try:
        for chunk in fresh:
            begun = True
            yield chunk
        return
    except Exception as error:
        hit = None if begun else spare(error)
        if hit is None:
            raise
    finally:
        fresh.close()
    yield from hit.answer


async def aor_stored(fresh: AsyncGenerator[T, None], spare: Spare) -> AsyncGenerator[T, None]:
    """``or_stored`` for async streams."""
    begun = False
    try:
        async for chunk in fresh:
            begun = True
            yield chunk
        return
    except Exception as error:
        hit = None if begun else spare(error)
        if hit is None:
            raise
    finally:
        await fresh.aclose()
    for chunk in hit.answer:
        yield chunk
