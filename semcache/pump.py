"""An async stream for many consumers, pumped by one task on demand (see ``streams``)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from typing import Any

from semcache.calls import leading, own_answer
from semcache.flight import Flight
from semcache.streams import LOOK_UP_S, settle, take

AsyncFinish = Callable[[list[Any]], Awaitable[None]]
AsyncFail = Callable[[BaseException], Awaitable[None]]


class PumpedStream:
    """An async iterator shared by the tasks of one event loop, advanced by one task of its own."""

    def __init__(
        self,
        flight: Flight,
        source: AsyncIterator[Any],
        *,
        finish: AsyncFinish,
        fail: AsyncFail,
        depart: Callable[[], None],
    ) -> None:
        self._flight = flight
        self._depart = depart
        self._source = source
        self._finish = finish
        self._fail = fail
        self._consumers = 0
        self._closing = False
        self._fresh: dict[int, Any] = {}
        self._wanted = 0
        self._demand = asyncio.Event()
        self._pump = asyncio.get_running_loop().create_task(self._run())

    def enter(self) -> bool:
        """Become a consumer, before ``consume``; false where the source is being closed."""
        if self._closing:
            return False
        self._consumers += 1
        return True

    async def consume(self) -> AsyncGenerator[Any, None]:
        """All chunks from the first on, for one who entered; raises as ``PulledStream`` does."""
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
                else:
                    self._want(position + 1)
                    await flight.await_change(version, LOOK_UP_S)
        finally:
            self._consumers -= 1
            if self._consumers == 0 and flight.state == "flying":
                self._closing = True
                self._depart()
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
                try:
                    await self._fail(error)
                finally:
                    await self._close()
                if not isinstance(error, Exception):
                    raise
            else:
                try:
                    await self._finish(flight.chunks)
                except Exception as error:  # only with ``strict``
                    flight.fail(error)
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
                self._fresh[len(flight.chunks)] = chunk
                flight.push(own_answer(chunk))

    async def _close(self) -> None:
        close = getattr(self._source, "aclose", None)
        if close is not None:
            try:
                await close()
            except Exception as error:
                # The stream has failed already; a second error must not hide the first.
                del error
