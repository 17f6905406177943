"""When to stop asking something that fails, and when to ask again.

A pure state machine; time is passed in. Closed: everything passes. After ``after`` failures in a
row it opens: nothing passes for ``pause`` seconds, doubled with every further failure up to
``longest``. Then one call is let through; its success closes the breaker, its failure opens it
again. (Nygard, *Release It!*, 2007, "Circuit Breaker".)
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, field

from semcache.fork import after_fork_in_child


@dataclass(eq=False)
class Breaker:
    """Thread-safe; all times in seconds on any clock that only goes forward."""

    after: int = 1
    pause: float = 1.0
    longest: float = 30.0
    reason: str = ""
    _failures: int = 0
    _open_until: float = 0.0
    _probing: bool = False
    _lock: threading.RLock = field(default_factory=threading.RLock, repr=False)

    def __post_init__(self) -> None:
        after_fork_in_child(self, Breaker._new_lock)

    def _new_lock(self) -> None:
        self._lock = threading.RLock()

    @property
    def is_open(self) -> bool:
        """Whether the last thing known is that it fails."""
        return self._failures >= self.after

    def allows(self, now: float) -> bool:
        """Whether a call may be made at ``now``."""
        if self._failures < self.after:
            return True
        with self._lock:
            if now < self._open_until:
                return False
            # This caller probes; the others go on waiting for what it finds out.
            self._open_until = now + self._current_pause()
            self._probing = True
            return True

    def succeeded(self) -> None:
        if self._failures:
            with self._lock:
                self._failures = 0
                self._probing = False
                self.reason = ""

    def failed(self, now: float, reason: str) -> None:
        with self._lock:
            if self.is_open and not self._probing:
                return  # of many calls under way when it broke, one tells enough
            self._probing = False
            self._failures += 1
            self.reason = reason
            if self._failures >= self.after:
                self._open_until = now + self._current_pause()

    def _current_pause(self) -> float:
        return min(self.longest, self.pause * 2.0 ** min(self._failures - self.after, 16))
