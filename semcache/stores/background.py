"""Slow work beside the callers: one thread per store, alive only while there is something to do."""

from __future__ import annotations

import logging
import threading
import weakref
from collections.abc import Callable, Hashable
from typing import Any

_log = logging.getLogger(__name__)


class Background:
    """Runs named tasks one after another in a daemon thread; a task asked for twice runs once.

    Args:
        run: a bound method; held weakly, so that a forgotten store ends its thread.

    Attributes:
        step: held by a task around each of its short steps. Who holds it knows that no task is in
            the middle of something (``fork`` needs that).
        stopping: a long task looks at this between steps and returns early.
    """

    def __init__(self, run: Callable[[Any], None]) -> None:
        self._run = weakref.WeakMethod(run)
        self.step = threading.Lock()
        self.stopping = False
        self._changed = threading.Condition()
        self._waiting: dict[Hashable, None] = {}
        self._active: Hashable | None = None
        self._thread: threading.Thread | None = None

    def ask(self, task: Hashable) -> None:
        """Have ``task`` run soon; returns at once."""
        with self._changed:
            if self.stopping:
                return
            self._waiting[task] = None
            if self._thread is None:
                self._thread = threading.Thread(
                    target=self._work, name="semcache-store", daemon=True
                )
                try:
                    self._thread.start()
                except RuntimeError:  # the interpreter is shutting down, or no thread is to be had
                    self._thread = None
                    self._waiting.clear()

    def settle(self, timeout: float) -> bool:
        """Wait until nothing is left to do; ``False`` if that took longer than ``timeout`` s."""
        with self._changed:
            return self._changed.wait_for(self._idle, timeout)

    def stop(self) -> None:
        """Drop what is waiting and return when the running task has ended."""
        with self._changed:
            self.stopping = True
            self._waiting.clear()
            if self._thread is not threading.current_thread():
                self._changed.wait_for(self._idle)

    def after_fork_in_child(self) -> None:
        """Threads do not survive a fork; what they were doing is asked for again when needed."""
        self._changed = threading.Condition()
        self._waiting = {}
        self._active = None
        self._thread = None

    def _idle(self) -> bool:
        return not self._waiting and self._active is None

    def _work(self) -> None:
        while True:
            with self._changed:
                run = self._run()
                if run is None or not self._waiting:
                    self._waiting.clear()
                    self._thread = None
                    return
                self._active = next(iter(self._waiting))
                del self._waiting[self._active]
            try:
                run(self._active)
            except Exception as error:
                # Nobody waits for the outcome: the search does without, and asks again.
                _log.warning("semcache background work failed: %s", error)
            finally:
                del run
                with self._changed:
                    self._active = None
                    self._changed.notify_all()
