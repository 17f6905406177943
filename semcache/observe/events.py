"""What happens in a cache, as it happens: small frozen events without any prompt text."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from semcache.entry import Usage

EventKind = Literal[
    "hit", "miss", "refused", "bypass", "coalesced", "stored", "not-admitted", "store-error",
    "embedding-error", "verifier-error", "truncated", "reported-wrong",
    "reported-right", "shadow", "shadow-error", "tightened", "relaxed", "grey",
]  # fmt: skip

log = logging.getLogger("semcache")


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened.

    Attributes:
        kind: what.
        id, scope: digests; empty where there is none.
        tier: of a hit.
        reason: a plain sentence, free of prompt and answer text.
        seconds: how long the lookup or the upstream call took, where measured.
        usage, cost, saved_seconds: of the upstream call that a hit saved, where known.
    """

    kind: EventKind
    id: str = ""
    scope: str = ""
    tier: str | None = None
    reason: str = ""
    seconds: float | None = None
    usage: Usage | None = None
    cost: float | None = None
    saved_seconds: float | None = None


Listener = Callable[[Event], None]


class Listeners:
    """The callbacks of one cache. One that raises is logged and otherwise ignored."""

    def __init__(self) -> None:
        self._listeners: tuple[Listener, ...] = ()

    def add(self, listener: Listener) -> Callable[[], None]:
        """Call ``listener`` for every event from now on; returns a function that undoes it."""
        self._listeners = (*self._listeners, listener)

        def remove() -> None:
            self._listeners = tuple(one for one in self._listeners if one is not listener)

        return remove

    def emit(self, event: Event) -> None:
        for listener in self._listeners:
            try:
                listener(event)
            except Exception:
                log.exception("an event listener of semcache raised; the cache goes on without it")
