"""Streams for many consumers: every chunk is pulled once and reaches all, in order, live.

Nothing is pulled that nobody asked for, as with a plain generator. When the source is exhausted the
stream is recorded; when the last consumer leaves before that, the source is closed and nothing is.

Two ways to share a source, because their worlds differ. An iterator can be advanced by any thread,
so whichever consumer needs the next chunk pulls it (``PulledStream``): no thread of our own, and a
consumer that stops or dawdles holds up nobody. An async generator belongs to one task (cancel
scopes and timeouts inside it check that), so one task pumps it on demand (``PumpedStream``).
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

from semcache.calls import Landed, leading, own_answer, own_copy
from semcache.errors import StreamInterrupted
from semcache.flight import Flight

Finish = Callable[[list[Any]], object]
Fail = Callable[[BaseException], None]
AsyncFinish = Callable[[list[Any]], Awaitable[None]]
AsyncFail = Callable[[BaseException], Awaitable[None]]

# A waiting consumer looks up this often even without a wake-up, as a last resort.
_LOOK_UP_S = 5.0


class PulledStream:
    """An iterator shared by threads.

    Args:
        source: advanced by one thread at a time; closed when nobody wants it any more.
        finish: called once with all chunks when the source is exhausted, before consumers end.
        fail: called once when it raised or was left.
    """

    def __init__(self, flight: Flight, source: Iterator[Any], finish: Finish, fail: Fail) -> None:
        self._flight = flight
        self._source = source
        self._finish = finish
        self._fail = fail
        self._pulling = threading.Lock()
        self._counting = threading.Lock()
        self._consumers = 0

    def consume(self) -> Iterator[Any]:
        """All chunks from the first on.

        Raises:
            StreamInterrupted: somebody else's interruption broke the source after some chunks.
            Exception: whatever the source raised.
        """
        flight, position = self._flight, 0
        with self._counting:
            self._consumers += 1
        try:
            while True:
                version = flight.version
                if position < len(flight.chunks):
                    position += 1
                    yield flight.chunks[position - 1]
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
                    flight.wait(version, _LOOK_UP_S)
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
            flight.push(chunk)

    def _leave(self) -> None:
        with self._counting:
            self._consumers -= 1
            last = self._consumers == 0
        if last and self._flight.state == "flying":
            close = getattr(self._source, "close", None)
            try:
                if close is not None:
                    close()
            finally:
                self._fail(GeneratorExit())


class PumpedStream:
    """An async iterator shared by the tasks of one event loop, advanced by one task of its own."""

    def __init__(
        self, flight: Flight, source: AsyncIterator[Any], finish: AsyncFinish, fail: AsyncFail
    ) -> None:
        self._flight = flight
        self._source = source
        self._finish = finish
        self._fail = fail
        self._consumers = 0
        self._wanted = 0
        self._demand = asyncio.Event()
        self._pump = asyncio.get_running_loop().create_task(self._run())

    async def consume(self) -> AsyncGenerator[Any, None]:
        """All chunks from the first on; raises as ``PulledStream.consume`` does."""
        flight, position = self._flight, 0
        self._consumers += 1
        try:
            while True:
                version = flight.version
                if position < len(flight.chunks):
                    position += 1
                    yield flight.chunks[position - 1]
                elif flight.state != "flying":
                    settle(flight, position)
                    return
                else:
                    self._want(position + 1)
                    await flight.await_change(version, _LOOK_UP_S)
        finally:
            self._consumers -= 1
            if self._consumers == 0 and flight.state == "flying":
                self._pump.cancel()
                await asyncio.gather(self._pump, return_exceptions=True)

    def _want(self, count: int) -> None:
        if count > self._wanted:
            self._wanted = count
            self._demand.set()

    async def _run(self) -> None:
        flight = self._flight
        try:
            try:
                await self._pump_all()
            except BaseException as error:
                await self._close()
                await self._fail(error)
                if not isinstance(error, Exception):
                    raise
            else:
                await self._finish(flight.chunks)
        finally:
            if flight.state == "flying":
                # Cancelled before or while it ended: nobody may wait for it for ever.
                flight.abandon()

    async def _pump_all(self) -> None:
        flight = self._flight
        with leading(flight.id):
            while True:
                while len(flight.chunks) >= self._wanted:
                    self._demand.clear()
                    await self._demand.wait()
                try:
                    chunk = await anext(self._source)
                except StopAsyncIteration:
                    return
                flight.push(chunk)

    async def _close(self) -> None:
        close = getattr(self._source, "aclose", None)
        if close is not None:
            try:
                await close()
            except Exception as error:
                # The stream has failed already; a second error must not hide the first.
                del error


def settle(flight: Flight, position: int) -> None:
    """Return if the flight landed; raise what one gets who saw ``position`` chunks of it."""
    if flight.state == "failed" and flight.error is not None:
        raise own_copy(flight.error)
    if flight.state == "abandoned":
        raise StreamInterrupted(
            f"the stream was interrupted after {position} chunks by the caller that led it; "
            "call again"
        )


def replay(landed: Landed) -> list[Any]:
    """The chunks of a flight that landed without streaming (its leader found a stored answer)."""
    return own_answer(landed.answer) if landed.is_stream else [own_answer(landed.answer)]
