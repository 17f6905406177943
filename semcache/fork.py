"""Objects that must start afresh in a forked child: locks, threads and connections do not survive.

``os.register_at_fork`` holds what it is given for ever, so it is given one function; the objects
are held weakly.
"""

from __future__ import annotations

import os
import weakref
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

_resets: weakref.WeakKeyDictionary[object, Callable[[object], None]] = weakref.WeakKeyDictionary()


def after_fork_in_child(owner: T, reset: Callable[[T], None]) -> None:
    """Call ``reset(owner)`` in every forked child, for as long as ``owner`` lives."""
    _resets[owner] = reset  # type: ignore[assignment]


def _reset_all() -> None:
    for owner, reset in list(_resets.items()):
        reset(owner)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_reset_all)
