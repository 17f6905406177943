"""Streams for many consumers: every chunk is pulled once and reaches all, in order, live.

Nothing is pulled that nobody asked for, as with a plain generator. When the source is exhausted the
stream is recorded; when the last consumer leaves before that, the source is closed and nothing is.

Two ways to share a source, because their worlds differ. An iterator can be advanced by any thread,
so whichever consumer needs the next chunk pulls it (``PulledStream``): no thread of our own, and a
consumer that stops or dawdles holds up nobody. An async generator belongs to one task (cancel
scopes and timeouts inside it check that), so one task pumps it on demand (``pump.PumpedStream``).
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

from semcache.calls import leading, own_answer, own_copy
from semcache.errors import StreamInterrupted
from semcache.flight import Flight

Finish = Callable[[list[Any]], object]
Fail = Callable[[BaseException], None]

# A waiting consumer looks up this often even without a wake-up, as a last resort.
LOOK_UP_S = 5.0


class PulledStream:
    """An iterator shared by threads.

    Args:
        source: advanced by one thread at a time; closed when nobody wants it any more.
        finish: called once with all chunks when the source is exhausted, before consumers end.
        fail: called once when it raised or was left.
        depart: takes the flight off the board, so that nobody else joins.
    """

    def __init__(
        self,
        flight: Flight,
        source: Iterator[Any],
        *,
        finish: Finish,
        fail: Fail,
        depart: Callable[[], None],
    ) -> None:
        self._flight = flight
        self._depart = depart
        self._source = source
        self._finish = finish
        self._fail = fail
        self._pulling = threading.Lock()
        self._counting = threading.RLock()
        self._consumers = 0
        self._closing = False
        # What was pulled, for the first who takes it; everybody else gets copies of a copy, so
        # that what a consumer does to its chunk reaches neither the others nor the recording.
        self._fresh: dict[int, Any] = {}

    def enter(self) -> bool:
        """Become a consumer, before ``consume``; false where the source is being closed."""
        with self._counting:
            if self._closing:
                return False
            self._consumers += 1
            return True

    def consume(self) -> Iterator[Any]:
        """All chunks from the first on, for one who has entered.

        Raises:
            StreamInterrupted: somebody else's interruption broke the source after some chunks.
            Exception: whatever the source raised.
        """
        flight, position = self._flight, 0
        try:
            while True:
                version = flight.version
                if position < len(flight.chunks):
                    yield take(flight, self._fresh, position)
                    position += 1
                elif flight.state != "flying":
                    settle(flight, position)
                    return
                elif self._pulling.acquire(blocking=False):
                    try:
                        if position == len(flight.chunks) and flight.state == "flying":
                            self._pull()
                    finally:
                        self._pulling.release()
                        # One who found the lock taken waits for a change: this is it.
                        flight.nudge()
                else:
                    flight.wait(version, LOOK_UP_S)
        finally:
            self._leave()

    def _pull(self) -> None:
        flight = self._flight
        try:
            with leading(flight.id):
                chunk = next(self._source)
        except StopIteration:
            self._finish(flight.chunks)
        except BaseException as error:
            self._fail(error)
            raise
        else:
            self._fresh[len(flight.chunks)] = chunk
            flight.push(own_answer(chunk))

    def _leave(self) -> None:
        with self._counting:
            self._consumers -= 1
            if self._consumers or self._flight.state != "flying":
                return
            self._closing = True
            # First off the board, then closed: who asks from now on leads a stream of its own.
            self._depart()
        try:
            self._fail(GeneratorExit())
        finally:
            close = getattr(self._source, "close", None)
            if close is not None:
                close()


def take(flight: Flight, fresh: dict[int, Any], position: int) -> Any:
    """The chunk at ``position``: the very one for the first taker, a copy for the others."""
    try:
        return fresh.pop(position)
    except KeyError:
        return own_answer(flight.chunks[position])


def settle(flight: Flight, position: int) -> None:
    """Return if the flight landed; raise what one gets who saw ``position`` chunks of it."""
    if flight.state == "failed" and flight.error is not None:
        raise own_copy(flight.error)
    if flight.state == "abandoned":
        raise StreamInterrupted(
            f"the stream was interrupted after {position} chunks by the caller that led it; "
            "call again"
        )
