"""One call for many callers, inside a process.

A *flight* is an upstream call that is under way. Whoever asks for the same id meanwhile follows it
instead of calling. A flight ends in one of three ways:

* it *lands*: followers take its result;
* it *fails*: followers with the same id take its error, for theirs would have been the same call;
* it is *abandoned* (its leader was cancelled or interrupted): the next follower leads.

``Flights`` hands out the two roles; ``Flight`` is the meeting point of threads and event loops.
Waiting is by one-shot wake-up callbacks, so a thread and a task wait for the same flight alike.
Several processes on one store meet through the store's lease instead (see ``calls``).
"""

from __future__ import annotations

import itertools
import sys
import threading
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from semcache.fork import after_fork_in_child

if TYPE_CHECKING:
    import asyncio

    from semcache.stores.base import Vector

State = Literal["flying", "landed", "failed", "abandoned"]


@dataclass(frozen=True, slots=True)
class Asked:
    """What a flight is about, for comparing it by meaning with another request."""

    scope: str
    query: str
    terms: tuple[str, ...]
    vector: Vector
    fingerprint: str


class Flight:
    """One upstream call under way. All methods are thread-safe."""

    def __init__(self, id: str, key: Hashable, sequence: int) -> None:
        self.id = id
        self.key = key
        self.sequence = sequence
        self.asked: Asked | None = None
        self.state: State = "flying"
        self.result: Any = None
        self.error: BaseException | None = None
        self.chunks: list[Any] = []
        self.stream: Any = None
        self.version = 0
        self._lock = threading.RLock()
        self._wakers: list[Callable[[], None]] = []
        self._loop = _running_loop()
        self._thread = threading.get_ident()

    @property
    def led_by_this_loop(self) -> bool:
        """Whether the leader is a task of the event loop that runs in this very thread.

        Blocking this thread to wait for it would stop the leader, too.
        """
        return self._loop is not None and self._loop is _running_loop()

    @property
    def led_from_here(self) -> bool:
        """Whether the leader is of this thread or of the event loop that runs in it."""
        return self._thread == threading.get_ident() or self.led_by_this_loop

    def push(self, chunk: Any) -> None:
        """Add a chunk of a stream, for all who follow it live."""
        with self._lock:
            self.chunks.append(chunk)
            wakers = self._changed()
        _wake(wakers)

    def nudge(self) -> None:
        """Wake all who wait, to look again."""
        with self._lock:
            wakers = self._changed()
        _wake(wakers)

    def land(self, result: Any) -> None:
        self._settle("landed", result, None)

    def fail(self, error: BaseException) -> None:
        self._settle("failed", None, error)

    def abandon(self) -> None:
        self._settle("abandoned", None, None)

    def _settle(self, state: State, result: Any, error: BaseException | None) -> None:
        with self._lock:
            if self.state != "flying":
                return
            self.state, self.result, self.error = state, result, error
            wakers = self._changed()
        _wake(wakers)

    def _changed(self) -> list[Callable[[], None]]:
        self.version += 1
        wakers, self._wakers = self._wakers, []
        return wakers

    def on_change(self, version: int, wake: Callable[[], None]) -> bool:
        """Call ``wake`` once at the next change; ``False`` if ``version`` is already the past."""
        with self._lock:
            if self.version != version or self.state != "flying":
                return False
            self._wakers.append(wake)
            return True

    def wait(self, version: int, timeout: float | None = None) -> bool:
        """Block until something changed since ``version``; ``False`` after ``timeout`` seconds."""
        changed = threading.Event()
        if not self.on_change(version, changed.set):
            return True
        return changed.wait(timeout)

    async def await_change(self, version: int, timeout: float | None = None) -> bool:
        """``wait`` for a task; cancelling it leaves the flight alone."""
        import asyncio

        loop = asyncio.get_running_loop()
        changed = loop.create_future()

        def settle() -> None:
            if not changed.done():
                changed.set_result(None)

        def wake() -> None:
            try:
                loop.call_soon_threadsafe(settle)
            except RuntimeError:  # that event loop has been closed: nobody waits there any more
                pass

        if not self.on_change(version, wake):
            return True
        try:
            await asyncio.wait_for(changed, timeout)
        except TimeoutError:
            return False
        return True


def _wake(wakers: list[Callable[[], None]]) -> None:
    for wake in wakers:
        wake()


def _running_loop() -> asyncio.AbstractEventLoop | None:
    if "asyncio" not in sys.modules:  # importing it takes longer than all of semcache
        return None
    import asyncio

    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


class Flights:
    """The flights of one cache in this process."""

    def __init__(self) -> None:
        self._reset()
        after_fork_in_child(self, Flights._reset)

    def _reset(self) -> None:
        # The leaders of inherited flights live in the parent and will never land here.
        # Reentrant, because collecting garbage may end an abandoned stream at any moment.
        self._lock = threading.RLock()
        self._flights: dict[Hashable, Flight] = {}
        self._sequence = itertools.count()

    def join(self, id: str, key: Hashable) -> tuple[Flight, bool]:
        """The flight under ``key``, and whether the caller leads it (it was just made)."""
        with self._lock:
            flight = self._flights.get(key)
            if flight is not None:
                return flight, False
            flight = self._flights[key] = Flight(id, key, next(self._sequence))
            return flight, True

    def leave(self, flight: Flight) -> None:
        """Take a flight off the board; those who follow it already still see it end."""
        with self._lock:
            if self._flights.get(flight.key) is flight:
                del self._flights[flight.key]

    def earlier(self, flight: Flight) -> list[Flight]:
        """Flights of the same scope and kind that took off before, oldest first.

        Only earlier ones: two that followed each other would both wait for ever.
        """
        mine = flight.asked
        if mine is None:
            return []
        with self._lock:
            others = [
                other
                for other in list(self._flights.values())
                if other.sequence < flight.sequence
                and other.asked is not None
                and other.asked.scope == mine.scope
                and other.asked.fingerprint == mine.fingerprint
                and _kind(other.key) == _kind(flight.key)
            ]
        return sorted(others, key=lambda other: other.sequence)

    def led_from_here(self, id: str, key: Hashable) -> bool:
        """Whether this thread or its event loop leads a flight for ``id`` under another key.

        Blocking here for it, or waiting for a stream that was parked here, could be for ever.
        """
        with self._lock:
            flights = list(self._flights.values())
        return any(one.id == id and one.key != key and one.led_from_here for one in flights)

    def led_by_this_loop(self, id: str) -> bool:
        """Whether a task of the event loop in this very thread leads a flight for ``id``."""
        with self._lock:
            flights = list(self._flights.values())
        return any(one.id == id and one.led_by_this_loop for one in flights)


def _kind(key: Hashable) -> Hashable:
    return key[1:] if isinstance(key, tuple) else None
