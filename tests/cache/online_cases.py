"""What the tests of learning in operation share: prompts whose likeness the test says."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from semcache import CachePolicy
from semcache.decision.calibration import Calibration, Point
from semcache.embedders.base import BaseEmbedder, Kind

if TYPE_CHECKING:
    from numpy.typing import NDArray

# From .95 (18 degrees) up; a step keeps at most three quarters: .95, .97, .99, and then nothing.
THRESHOLDS = {0.99: 400, 0.98: 550, 0.97: 700, 0.96: 850, 0.95: 1000}


class Clock:
    """A clock that the test sets."""

    def __init__(self, now: float = 1_000_000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


class AngleEmbedder(BaseEmbedder):
    """A prompt ends with its angle in degrees ("at 15"), or the test names it in ``angles``.

    "at 15/120" is 15 degrees from 0, too, but in another direction.
    """

    fingerprint = "angles"
    dimension = 4

    def __init__(self, **angles: float) -> None:
        self.angles: dict[str, float] = dict(angles)
        self.broken = False

    def embed(self, texts: Sequence[str], kind: Kind = "query") -> NDArray[np.float32]:
        if self.broken:
            raise OSError("the embedder is out of order")
        return np.array([self._vector(text) for text in texts], dtype=np.float32)

    def _vector(self, text: str) -> list[float]:
        said, _, towards = text.split()[-1].partition("/")
        angle = math.radians(self.angles[text] if text in self.angles else float(said))
        around = math.radians(float(towards or 0))
        sine = math.sin(angle)
        return [math.cos(angle), sine * math.cos(around), sine * math.sin(around), 0.0]

    def fits(self, text: str) -> bool:
        return True


def evidence(vetoes: tuple[str, ...] = ()) -> Calibration:
    """A calibration for cosine, with support for 1 % from .95 up."""
    return Calibration(
        scorer="cosine",
        encoder=None,
        vetoes=vetoes,
        floor=0.95,
        points=tuple(
            Point(threshold, served, 0, 3.0 / served, 0.999)
            for threshold, served in THRESHOLDS.items()
        ),
    )


def by_angle(**options: Any) -> dict[str, Any]:
    """Options of ``open``: the cosine of the angles decides, and nothing else."""
    return {
        "embedder": AngleEmbedder(),
        "scorer": "cosine",
        "calibration": evidence(),
        "vetoes": [],
        "policy": CachePolicy.off(),
    } | options
