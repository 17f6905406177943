"""Keeps the leases of running calls alive, so that a lease can be short and a call long."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from semcache.fork import after_fork_in_child
from semcache.observe.events import log

Renew = Callable[[str, str], bool]


class LeaseKeeper:
    """One daemon thread that renews every lease in hand, three times within its life.

    It runs only while there is something to renew. A process that dies stops renewing, and its
    leases end by themselves: that is the point of them.

    Args:
        renew: extends the lease of (id, token); ``False`` where it was lost. May raise.
        lease_s: life of a lease in seconds.
        stalled_s: a stream that has not moved for so long is not renewed any more: its consumer
            may have parked it for ever, and others shall not wait for that.
    """

    def __init__(self, renew: Renew, lease_s: float, stalled_s: float) -> None:
        self._renew = renew
        self._every = lease_s / 3
        self._stalled_s = stalled_s
        self._reset()
        after_fork_in_child(self, LeaseKeeper._reset)

    def _reset(self) -> None:
        self._held: dict[str, tuple[str, Callable[[], int] | None]] = {}
        self._moved: dict[str, tuple[int, float]] = {}
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None

    def hold(self, id: str, token: str, progress: Callable[[], int] | None = None) -> None:
        """Keep this lease. ``progress`` counts the chunks of a stream."""
        with self._changed:
            self._held[token] = (id, progress)
            if self._thread is not None:
                return
            thread = threading.Thread(target=self._run, name="semcache-lease", daemon=True)
            try:
                thread.start()
            except RuntimeError as error:
                # No more threads: the lease ends by itself, which at worst costs a second call.
                log.warning("leases are not renewed: %s", error)
            else:
                self._thread = thread

    def drop(self, token: str | None) -> None:
        if token is not None:
            with self._changed:
                self._held.pop(token, None)
                self._moved.pop(token, None)

    def close(self) -> None:
        with self._changed:
            self._held.clear()
            self._changed.notify_all()

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait(self._every)
                if not self._held:
                    self._thread = None
                    return
                due = [
                    (id, token)
                    for token, (id, progress) in list(self._held.items())
                    if progress is None or self._is_moving(token, progress())
                ]
            for id, token in due:
                try:
                    kept = self._renew(id, token)
                except Exception:
                    continue  # the store is failing; the engine says so at its own next step
                if not kept:
                    self.drop(token)

    def _is_moving(self, token: str, count: int) -> bool:
        now = time.monotonic()
        seen, since = self._moved.get(token, (-1, now))
        if count != seen:
            self._moved[token] = (count, now)
            return True
        return now - since < self._stalled_s
