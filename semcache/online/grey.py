"""Doubtful pairs are verified after the answer; a confirmed one becomes an alias.

``decision.doubtful`` says which pairs these are. They wait in a bounded queue, and one who may take
longer (a larger model, a prompt to one) looks at some of them an hour. Confirmed, the wording is an
alias of the entry: the next caller who uses it gets the stored answer as an exact hit. Nothing
waits for this, and nothing is lost but that when the process dies.

A pair is offered only if the wording did not get an answer of its own: a call whose answer was
recorded hits by itself next time, and verifying it would be money for nothing.
"""

from __future__ import annotations

import math
import threading
from collections import OrderedDict, deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from semcache.decision.doubtful import BAND, SOFT_VETOES, doubtful, least_doubtful
from semcache.errors import ConfigurationError
from semcache.fork import after_fork_in_child
from semcache.observe.events import Event, log
from semcache.observe.learning import GreyCounts
from semcache.online import feedback
from semcache.online.backroom import Backroom, finish, loop_here
from semcache.steps import Steps, StoreCall

if TYPE_CHECKING:
    from semcache.candidates import SearchResult
    from semcache.decision.decide import Judged, Verdict
    from semcache.engine import Engine, Prepared
    from semcache.entry import Entry
    from semcache.verifiers.base import Verifier

# Pairs that were verified are not verified again by this process.
REMEMBERED = 4096
HOUR_S = 3600.0
# A verifier's logit of 3 is a probability of .95. What is confirmed is served without another look.
DEFAULT_LOGIT = 3.0


@dataclass(frozen=True, slots=True)
class GreyPair:
    """What is to be verified: may the stored answer be served for ``query``?

    Attributes:
        query: the prompt that was asked.
        candidate: the prompt that the answer was recorded under.
        answer: the stored answer as plain data.
        score: the scorer's value, a little too low or vetoed.
        vetoes: names of the soft vetoes against it.
    """

    query: str
    candidate: str
    answer: Any
    score: float
    vetoes: tuple[str, ...]


Verify = Callable[[GreyPair], "bool | Awaitable[bool | None] | None"]


@dataclass(frozen=True, slots=True)
class GreyZone:
    """What happens to candidates that are nearly sure.

    Attributes:
        verify: a ``Verifier``, stronger than the one that decides, or a function of a ``GreyPair``
            (a coroutine function too) that says whether one answer serves both; ``None``: cannot
            say. It runs in a thread of the cache.
        per_hour: how many are verified in any hour, by this process.
        queue: how many may wait; more are dropped.
        band: a candidate is doubtful down to so far below the threshold, in (0, 1).
        soft: vetoes that do not rule a candidate out by themselves.
        least: the logit from which on a ``Verifier`` confirms.

    Raises:
        ConfigurationError: an attribute that cannot be.

    >>> GreyZone(lambda pair: "password" in pair.candidate, per_hour=20).queue
    256
    """

    verify: Verify | Verifier
    per_hour: int = 60
    queue: int = 256
    band: float = BAND
    soft: frozenset[str] = SOFT_VETOES
    least: float = DEFAULT_LOGIT

    def __post_init__(self) -> None:
        if not callable(self.verify) and not hasattr(self.verify, "score"):
            raise ConfigurationError("verify must be a Verifier or a function of a GreyPair")
        for name in ("per_hour", "queue"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise ConfigurationError(f"{name} must be a positive whole number, not {value!r}")
        if not 0.0 < self.band < 1.0 or not math.isfinite(self.least):
            raise ConfigurationError("band must lie between 0 and 1, and least be a logit")
        object.__setattr__(self, "soft", frozenset(self.soft))


@dataclass(frozen=True, slots=True)
class _Waiting:
    """A request whose answer was not in the cache, and what had come near."""

    prepared: Prepared
    verdict: Verdict
    result: SearchResult
    max_wrong: float
    loop: Any


class Grey:
    """The queue, and the work on it."""

    def __init__(
        self, engine: Engine, zone: GreyZone, backroom: Backroom, run: Callable[[Any], Any]
    ) -> None:
        self._engine = engine
        self._zone = zone
        self._backroom = backroom
        self._run = run
        self._reset()
        after_fork_in_child(self, Grey._reset)

    def _reset(self) -> None:
        self._lock = threading.RLock()
        self._queue: deque[_Waiting] = deque()
        self._pairs: OrderedDict[tuple[str, str], None] = OrderedDict()
        self._spent: deque[float] = deque()
        self._counts = {"confirmed": 0, "refused": 0, "undecided": 0, "dropped": 0, "errors": 0}

    def offer(
        self, prepared: Prepared, verdict: Verdict, result: SearchResult, max_wrong: float
    ) -> None:
        """Look at what came near this request, soon, if there is a budget for it."""
        # Only a glance here: what takes time is done where nobody waits.
        least = least_doubtful(self._engine.calibration, max_wrong, self._zone.band)
        if least is None or not any(judged.score >= least for judged in verdict.judged):
            return
        with self._lock:
            if len(self._queue) >= self._zone.queue:
                self._counts["dropped"] += 1
                return
            self._queue.append(_Waiting(prepared, verdict, result, max_wrong, loop_here()))
        self._backroom.offer(self.work)

    def work(self) -> None:
        """Verify what waits, as far as the budget goes. The rest waits for the next one's visit."""
        while True:
            now = self._engine.clock()
            with self._lock:
                if not self._queue or not self._affordable(now):
                    return
                # Spent before it is known whether it is needed: others are at work here, too.
                self._spent.append(now)
                waiting = self._queue.popleft()
            asked = True
            try:
                pair = self._doubtful(waiting)
                asked = pair is not None and self._settle(waiting, pair)
            except BaseException as error:
                self._said(waiting, "errors", type(error).__name__)
            if not asked:
                with self._lock:
                    if now in self._spent:  # or the hour is over, or the process was forked
                        self._spent.remove(now)

    def _affordable(self, now: float) -> bool:
        while self._spent and not 0 <= now - self._spent[0] < HOUR_S:
            self._spent.popleft()
        return len(self._spent) < self._zone.per_hour

    def _doubtful(self, waiting: _Waiting) -> Judged | None:
        """The pair to verify; ``None`` where there is none, or it was verified before."""
        engine = self._engine
        least = least_doubtful(engine.calibration, waiting.max_wrong, self._zone.band)
        if least is None:
            return None
        found = doubtful(
            waiting.prepared.request.query,
            waiting.verdict,
            least=least,
            enabled=engine.vetoes & frozenset(engine.calibration.vetoes),
            soft=self._zone.soft,
        )
        if found is None:
            return None
        pair = waiting.prepared.id, found.found.entry.id
        with self._lock:
            if pair in self._pairs:
                return None
            self._pairs[pair] = None
            if len(self._pairs) > REMEMBERED:
                self._pairs.popitem(last=False)
        return found

    def _settle(self, waiting: _Waiting, judged: Judged) -> bool:
        """Have a pair verified; false where that was not needed any more."""
        entry: Entry | None = self._run(self._still_wanted(waiting, judged))
        if entry is None:
            return False
        said = self._ask(waiting, judged, entry)
        if said:
            self._run(self._alias(waiting, judged))
        self._said(waiting, "undecided" if said is None else "confirmed" if said else "refused")
        return True

    def _still_wanted(self, waiting: _Waiting, judged: Judged) -> Steps[Entry | None]:
        """The entry in question, unless it is gone, forbidden, or not needed any more."""
        engine, prepared = self._engine, waiting.prepared
        now = engine.clock()
        known: Entry | None = yield StoreCall("get", (prepared.id, now))
        if known is not None:
            return None
        left = yield from feedback.unreported(engine, prepared, waiting.result)
        id = judged.found.entry.id
        if left is None or all(found.entry.id != id for found in left.candidates):
            return None
        entry: Entry | None = yield StoreCall("get", (id, now))
        return None if entry is None or entry.answer is None or entry.id != id else entry

    def _alias(self, waiting: _Waiting, judged: Judged) -> Steps[None]:
        # Asked once more: the answer may have been reported wrong while the verifier thought.
        if (yield from self._still_wanted(waiting, judged)) is not None:
            prepared = waiting.prepared
            yield StoreCall("alias", (prepared.id, judged.found.entry.id, prepared.scope))

    def _ask(self, waiting: _Waiting, judged: Judged, entry: Entry) -> bool | None:
        from semcache.answer import decode_payload

        query, verify = waiting.prepared.request.query, self._zone.verify
        if not callable(verify):
            if not verify.fits(query, entry.query):
                return None
            return float(verify.score([(query, entry.query)])[0]) >= self._zone.least
        assert entry.answer is not None
        pair = GreyPair(
            query,
            entry.query,
            decode_payload(entry.answer).data,
            judged.score,
            tuple(veto.name for veto in judged.vetoes),
        )
        said = finish(verify(pair), waiting.loop)
        return None if said is None else bool(said)

    def _said(self, waiting: _Waiting, what: str, why: str = "") -> None:
        with self._lock:
            self._counts[what] += 1
        prepared = waiting.prepared
        reason = what if not why else f"{what}: {why}"
        self._engine.listeners.emit(Event("grey", prepared.id, prepared.scope, reason=reason))
        if why:
            log.warning("a doubtful pair was not verified: %s", why)

    def counts(self) -> GreyCounts:
        """What became of the pairs in this process."""
        with self._lock:
            return GreyCounts(waiting=len(self._queue), **self._counts)

    def close(self) -> None:
        """Let go of what waits."""
        with self._lock:
            self._queue.clear()
