"""Threads of our own for blocking work on behalf of event loops.

Not asyncio's default pool: that one is the app's. Were it full of calls that wait for us, our own
writes would wait behind them, and both for ever. What runs here never waits for another caller.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from semcache.fork import after_fork_in_child

if TYPE_CHECKING:
    from concurrent.futures import ThreadPoolExecutor

T = TypeVar("T")

# SQLite writes one at a time and an encoder keeps a core busy; more threads would only wait.
THREADS = 8


class _Pool:
    """The pool, made when first needed; a forked child makes its own."""

    def __init__(self) -> None:
        self._forget()
        after_fork_in_child(self, _Pool._forget)

    def _forget(self) -> None:
        self._executor: ThreadPoolExecutor | None = None

    def get(self) -> ThreadPoolExecutor:
        if self._executor is None:
            from concurrent.futures import ThreadPoolExecutor

            self._executor = ThreadPoolExecutor(THREADS, thread_name_prefix="semcache")
        return self._executor


_pool = _Pool()


async def in_thread(function: Callable[..., T], *args: object) -> T:
    """Run ``function(*args)`` in a thread of ours, in this task's context."""
    import asyncio  # here, because importing it takes longer than all of semcache
    import contextvars

    call = contextvars.copy_context().run
    return await asyncio.get_running_loop().run_in_executor(_pool.get(), call, function, *args)
