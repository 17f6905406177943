"""Threads for what nobody waits for: bounded, drained at the end, afresh after a fork.

A job that finds no room is refused rather than queued without end: what runs here costs a sample or
an alias when it does not happen, and nothing else.
"""

from __future__ import annotations

import contextvars
import threading
import time
from collections import deque
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, TypeVar

from semcache.fork import after_fork_in_child
from semcache.observe.events import log

if TYPE_CHECKING:
    import asyncio

T = TypeVar("T")

# Jobs wait for models and judges, not for a processor. More than these at once would be load that
# the app never asked for.
THREADS = 4
ROOM = 32
# How long ``close`` waits for jobs that are under way. They are daemons: what takes longer is lost.
CLOSE_S = 5.0
# A coroutine that has not ended after this long on the caller's loop is given up.
LOOP_S = 300.0
_LOOK_UP_S = 0.5


class Backroom:
    """Runs jobs in up to ``threads`` daemon threads, which end when there is nothing to do."""

    def __init__(self, *, threads: int = THREADS, room: int = ROOM) -> None:
        self._threads = threads
        self._room = room
        self._reset()
        after_fork_in_child(self, Backroom._reset)

    def _reset(self) -> None:
        # Reentrant, because collecting garbage may end an abandoned stream at any moment.
        self._changed = threading.Condition(threading.RLock())
        self._jobs: deque[Callable[[], None]] = deque()
        self._running = 0
        self._workers = 0
        self._closed = False

    def offer(self, job: Callable[[], object]) -> bool:
        """Run ``job`` soon, in this context; false where there is no room, or it is closed."""
        run = contextvars.copy_context().run
        with self._changed:
            if self._closed or len(self._jobs) + self._running >= self._room:
                return False
            self._jobs.append(lambda: run(job))  # type: ignore[arg-type]
            if self._workers < self._threads:
                thread = threading.Thread(target=self._work, name="semcache-online", daemon=True)
                try:
                    thread.start()
                except RuntimeError as error:
                    if not self._workers:
                        self._jobs.pop()
                        log.warning("no thread for background work: %s", error)
                        return False
                else:
                    self._workers += 1
            return True

    def _work(self) -> None:
        while True:
            with self._changed:
                if not self._jobs:
                    self._workers -= 1
                    self._changed.notify_all()
                    return
                job = self._jobs.popleft()
                self._running += 1
            try:
                job()
            except BaseException as error:
                # A job says itself what went wrong; this is the last resort of a daemon.
                log.warning("background work ended with %s", type(error).__name__)
            finally:
                with self._changed:
                    self._running -= 1
                    self._changed.notify_all()

    def drain(self, timeout: float | None = None) -> bool:
        """Wait until nothing is under way, at most ``timeout`` seconds; whether that is so."""
        deadline = None if timeout is None else time.monotonic() + timeout
        with self._changed:
            while self._jobs or self._running:
                left = None if deadline is None else deadline - time.monotonic()
                if left is not None and left <= 0:
                    return False
                self._changed.wait(_LOOK_UP_S if left is None else min(left, _LOOK_UP_S))
            return True

    def close(self, timeout: float = CLOSE_S) -> None:
        """Take no more jobs, wait for those under way, drop what is left. Twice is fine."""
        with self._changed:
            self._closed = True
        if not self.drain(0.0 if _on_a_loop() else timeout):
            with self._changed:
                self._jobs.clear()


def _on_a_loop() -> bool:
    """Whether this thread runs an event loop: jobs may wait for it, so it must not for them."""
    import sys

    if "asyncio" not in sys.modules:
        return False
    return running_loop() is not None


def running_loop() -> asyncio.AbstractEventLoop | None:
    """The event loop of this thread, if it runs one."""
    import asyncio

    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


def loop_here() -> asyncio.AbstractEventLoop | None:
    """``running_loop`` for those who have no other reason to import asyncio."""
    import sys

    return running_loop() if "asyncio" in sys.modules else None


def finish(value: T | Awaitable[T], loop: asyncio.AbstractEventLoop | None) -> T:
    """The value, or what the awaitable comes to, for a thread of the backroom.

    An awaitable runs on ``loop``, where the caller's clients live; without one, or where it has
    ended, on a loop of its own.
    """
    import inspect

    if not inspect.isawaitable(value):
        return value
    import asyncio

    async def wait() -> T:
        return await value

    if loop is None or not loop.is_running():
        return asyncio.run(wait())
    return on_loop(loop, wait)


def on_loop(loop: asyncio.AbstractEventLoop, function: Callable[[], Awaitable[T]]) -> T:
    """Run a coroutine function on another thread's loop and wait for it.

    Raises:
        RuntimeError: the loop ended first.
        TimeoutError: it did not end within ``LOOP_S``.
        Exception: whatever it raised.
    """
    import asyncio

    async def wait() -> T:
        return await function()

    waiting = wait()
    try:
        future = asyncio.run_coroutine_threadsafe(waiting, loop)
    except RuntimeError:
        waiting.close()
        raise
    deadline = time.monotonic() + LOOP_S
    while True:
        try:
            return future.result(_LOOK_UP_S)
        except TimeoutError:
            if future.done():
                raise
            if not loop.is_running():
                future.cancel()
                raise RuntimeError("the event loop has ended") from None
            if time.monotonic() > deadline:
                future.cancel()
                raise
