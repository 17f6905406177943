"""Keeps the state of the watch over the bound: one a namespace, in the store, seen by everybody.

The rules are in ``decision.live``. A state changes under a lease, so that processes do not
overwrite each other's samples, and is read again every few seconds. Hits are counted in memory and
written with the next change, so a process that is killed loses some: then the rate seems a little
worse than it is. A state that the store lost is written again from memory.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING, Any

from semcache.decision.live import Counts, Live, Move, fresh, steps_up, tightened
from semcache.fork import after_fork_in_child
from semcache.observe.events import Event, log
from semcache.observe.learning import LiveRate
from semcache.online.notes import live_ids, live_note, said
from semcache.steps import Pause, Steps, StoreCall

if TYPE_CHECKING:
    from semcache.decision.calibration import Calibration
    from semcache.engine import Engine
    from semcache.entry import Entry

Amend = Callable[[Live], Live]

# A step that another process made is in force here after at most so long.
REFRESH_S = 5.0
# So many hits are counted before they are written by themselves.
FLUSH = 256
# Changing a state takes two operations of the store, so nobody holds the lease for long. Who cannot
# get it goes on without: it may then overwrite one observation of another process.
LEASE_S = 2.0
PAUSES_S = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.2, 0.2, 0.2, 0.2)


class LiveRates:
    """The states of one cache's namespaces. All methods are thread-safe."""

    def __init__(self, engine: Engine, max_wrong: float) -> None:
        self._engine = engine
        self._max_wrong = max_wrong
        encoder = "" if engine.embedder is None else engine.embedder.fingerprint
        self._about = engine.scorer.name, encoder
        self._reset()
        after_fork_in_child(self, LiveRates._reset)

    def _reset(self) -> None:
        self._lock = threading.RLock()
        self._states: dict[str, Live] = {}
        self._read_at: dict[str, float] = {}
        self._served: Counter[str] = Counter()
        self._waiting: dict[str, list[Amend]] = {}
        self._calibrations: dict[int, Calibration | None] = {}

    @cached_property
    def _steps(self) -> tuple[float, ...]:
        return steps_up(self._engine.calibration, self._max_wrong)

    # -- what the engine asks -----------------------------------------------------------------

    def step(self, namespace: str) -> int:
        """How many steps the threshold of this namespace is above the calibration's."""
        state = self._states.get(namespace)
        return 0 if state is None else state.step

    def calibration(self, namespace: str) -> Calibration | None:
        """What is in force for this namespace; ``None`` where the tier is paused."""
        step = self.step(namespace)
        if step == 0:
            return self._engine.calibration
        if step not in self._calibrations:
            made = tightened(self._engine.calibration, self._max_wrong, step)
            self._calibrations[step] = made
        return self._calibrations[step]

    def strictest(self) -> Calibration:
        """The last step before the pause: what samples are drawn from while it lasts."""
        last = max(0, len(self._steps) - 1)
        return tightened(self._engine.calibration, self._max_wrong, last) or (
            self._engine.calibration
        )

    def count(self, namespace: str) -> bool:
        """Count a hit by meaning; true where the counts are due to be written.

        As long as nothing was learned there is nothing to compare them with, and they wait.
        """
        with self._lock:
            self._served[namespace] += 1
            return self._served[namespace] % FLUSH == 0 and namespace in self._states

    def refresh(self, namespace: str, *, now: bool = False) -> Steps[None]:
        """Read the state again, if the last time was long enough ago."""
        engine = self._engine
        clock = engine.clock()
        read_at = self._read_at.get(namespace)
        if not now and read_at is not None and 0 <= clock - read_at < REFRESH_S:
            return
        self._read_at[namespace] = clock
        id, _ = live_ids(engine.keys, namespace, *self._about)
        note: Entry | None = yield from engine.store(None, "get", id, clock)
        state = _state(note)
        if state is not None:
            self._states[namespace] = state

    # -- what is learned ----------------------------------------------------------------------

    def sampled(self, namespace: str, wrong: bool) -> Steps[None]:
        """Take in a sample. Raises ``StoreError``."""
        yield from self._change(namespace, lambda state: state.sampled(wrong))

    def reported(self, namespace: str, *, right: int = 0, wrong: int = 0) -> Steps[None]:
        """Take in reports, and the hits counted until now. Raises ``StoreError``."""
        more = Counts(0, right, wrong)
        yield from self._change(namespace, lambda state: state.counted(more))

    def forget(self, namespace: str) -> Steps[None]:
        """Begin anew: no step up, nothing sampled or reported. Raises ``StoreError``."""
        confidence = self._engine.calibration.confidence
        yield from self._change(namespace, lambda state: fresh(confidence))

    def _change(self, namespace: str, amend: Amend) -> Steps[None]:
        """Amend the state. Whoever has the lease does it for all who wait in this process."""
        engine = self._engine
        id, scope = live_ids(engine.keys, namespace, *self._about)
        with self._lock:
            waiting = self._waiting.setdefault(namespace, [])
            waiting.append(amend)
        token: str | None = None
        for pause in PAUSES_S:
            if not any(one is amend for one in waiting):
                return
            token = yield StoreCall("lease", (id, LEASE_S, engine.clock()))
            if token is not None:
                break
            yield Pause(pause)
        with self._lock:
            amends, waiting[:] = list(waiting), []
            served = self._served.pop(namespace, 0) if amends else 0
        try:
            if amends:
                note: Entry | None = yield StoreCall("get", (id, engine.clock()))
                known = _state(note) or self._states.get(namespace)
                state = known or fresh(engine.calibration.confidence)
                state, moves = self._amended(state.counted(Counts(served)), amends)
                kept = live_note(id, scope, namespace, state.to_json(), engine.clock())
                yield StoreCall("put", (kept, None, ()))
        except BaseException:
            with self._lock:
                waiting[:0] = amends
                self._served[namespace] += served
            raise
        finally:
            if token is not None:
                yield StoreCall("release", (id, token))
        if amends:
            self._states[namespace] = state
            self._read_at[namespace] = engine.clock()
            for before, after, move in moves:
                self._tell(namespace, before, after, move)

    def _amended(
        self, state: Live, amends: list[Amend]
    ) -> tuple[Live, list[tuple[Live, Live, Move]]]:
        """The state after these, one by one, and each step of the threshold on the way."""
        moves: list[tuple[Live, Live, Move]] = []
        for amend in amends:
            amended = amend(state)
            state, move = amended.moved(self._max_wrong, len(self._steps))
            if move is not None:
                moves.append((amended, state, move))
        return state, moves

    def _tell(self, namespace: str, before: Live, after: Live, move: Move) -> None:
        where = f"namespace {namespace!r:.60}"
        if move == "tightened":
            kind = "samples" if before.window.lower > self._max_wrong else "reports"
            why = (
                f"{where}: wrong serves are at least {before.lower:.2%} by {kind}, "
                f"more than max_wrong={self._max_wrong:g}"
            )
        else:
            why = (
                f"{where}: wrong serves are at most {before.window.upper:.2%} by samples, "
                f"max_wrong={self._max_wrong:g}"
            )
        paused = after.step >= len(self._steps)
        now = "nothing is served by meaning" if paused else f"threshold {self._steps[after.step]:g}"
        message = f"{why}; {move}: {now}"
        self._engine.listeners.emit(Event(move, reason=message))
        if move == "tightened":
            log.warning("%s", message)
        else:
            log.info("%s", message)

    def flush(self, run: Callable[[Any], Any]) -> None:
        """Write the hits that were counted, where there is something to compare them with."""
        for namespace in {*self._served, *self._waiting}:
            counted = self._served[namespace] and namespace in self._states
            if counted or self._waiting.get(namespace):
                try:
                    run(self.reported(namespace))
                except Exception as error:
                    log.info("counts of hits were not written: %s", type(error).__name__)

    def namespaces(self) -> list[str]:
        """Those of which anything is known here."""
        return list(self._states)

    # -- what stats() shows -------------------------------------------------------------------

    def shown(self) -> dict[str, LiveRate]:
        """What is known, by namespace."""
        return {name: self._shown(name, state) for name, state in sorted(self._states.items())}

    def _shown(self, namespace: str, state: Live) -> LiveRate:
        paused = 0 < len(self._steps) <= state.step
        reports = state.all_reports
        return LiveRate(
            samples=state.samples,
            wrong=state.samples_wrong,
            window=state.window.n,
            lower=state.window.lower,
            upper=state.window.upper,
            last_window=0 if state.last is None else state.last.n,
            last_lower=0.0 if state.last is None else state.last.lower,
            last_upper=1.0 if state.last is None else state.last.upper,
            confidence=state.window.confidence,
            served=reports.served + self._served[namespace],
            reported_right=reports.right,
            reported_wrong=reports.wrong,
            reported_lower=state.reports_lower,
            step=state.step,
            threshold=None if paused or not self._steps else self._steps[state.step],
            paused=paused,
        )


def _state(note: Entry | None) -> Live | None:
    document: Any = said(note)
    if document is None:
        return None
    try:
        return Live.from_json(document)
    except (ValueError, KeyError, TypeError):
        return None
