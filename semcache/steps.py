"""What the engine asks its driver to do: the only way in which it touches the world.

The engine's methods are generators. They yield one of these and receive the result, or have the
error thrown into them. The synchronous and the asynchronous driver (``shell.py``) perform them.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import Any, TypeAlias, TypeVar

from semcache.flight import Flight

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class StoreCall:
    """Call a method of the store; the result is what it returns."""

    method: str
    args: tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Embed:
    """Embed one text; the result is its vector, float32[d] of unit norm.

    ``None`` where the encoder would read only a part of the text.
    """

    text: str


@dataclass(frozen=True, slots=True)
class Verify:
    """Have the verifier read pairs of texts; the result is their logits, in order."""

    pairs: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class AwaitFlight:
    """Wait until a flight has ended, at most ``timeout`` seconds; the result: whether it did."""

    flight: Flight
    timeout: float


@dataclass(frozen=True, slots=True)
class Pause:
    """Wait that many seconds."""

    seconds: float


Step: TypeAlias = StoreCall | Embed | Verify | AwaitFlight | Pause
Steps: TypeAlias = Generator[Step, Any, T]
