"""What the labels support, and if not what was asked for, how many more it takes."""

from __future__ import annotations

import math
from dataclasses import dataclass

from semcache.decision.binomial import served_needed
from semcache.decision.calibration import Calibration, Point
from semcache.decision.shift import shifted_upper
from semcache.errors import CalibrationError

# Beyond this many times the labels there are, a count of what is needed helps nobody.
MOST_TIMES = 1000.0


class NotEnoughLabels(CalibrationError):
    """The labels cannot support the bound that was asked for."""


@dataclass(frozen=True, slots=True)
class Support:
    """What a calibration is worth for one ``max_wrong``.

    Attributes:
        threshold: ``None`` where the labels do not support the bound.
        at: the measured point at the threshold; where there is none, where testing began.
        needed: how many served pairs, all right, the bound takes; ``None`` if out of reach.
        clean: the most evidence pairs that are served without a wrong one among them.
        tightest: the smallest ``max_wrong`` that these labels support; ``None`` for none below 1.
    """

    max_wrong: float
    confidence: float
    prior: float | None
    threshold: float | None
    at: Point | None
    needed: int | None
    clean: int
    tightest: float | None

    def require(self) -> None:
        """Raises NotEnoughLabels, saying what there is and what it takes, without a threshold."""
        if self.threshold is None:
            raise NotEnoughLabels(self._refusal())

    def _refusal(self) -> str:
        said = (
            f"the labels do not support max_wrong={self.max_wrong:g} at {self.confidence:.0%} "
            "confidence"
        )
        if self.prior is not None:
            said += f" with a prior of {self.prior:g}"
        said += ": it takes "
        if self.needed is None:
            said += f"over {MOST_TIMES:g} times as many labels"
        else:
            said += f"{self.needed:,} served pairs without a wrong one"
        said += f", and the evidence has {self.clean:,}"
        if self.at is not None:
            said += (
                f"; where testing began ({self.at.threshold:.3f}), {self.at.wrong:,} of "
                f"{self.at.served:,} served are wrong (bound {self.at.upper:.2%})"
            )
        if self._wrong_are_too_many():
            said += ". More labels alone will not help: look at the worst false matches"
        elif self.prior is not None:
            said += ". Label more pairs of the same kind, served or not"
        else:
            said += ". Label more pairs that would be served (semcache label)"
        if self.tightest is not None:
            said += f", or ask for --max-wrong {math.ceil(self.tightest * 10_000) / 10_000:g}"
        return said

    def _wrong_are_too_many(self) -> bool:
        return self.at is not None and self.at.wrong > self.max_wrong * self.at.served > 0


def support_of(calibration: Calibration, max_wrong: float) -> Support:
    """What ``calibration`` is worth for ``max_wrong``."""
    threshold = calibration.threshold(max_wrong)
    allowed = [p for p in calibration.points if p.threshold >= calibration.floor]
    at = next((p for p in allowed if p.threshold == threshold), None)
    if at is None:
        at = _first_tested(calibration, allowed, max_wrong)
    return Support(
        max_wrong=max_wrong,
        confidence=calibration.confidence,
        prior=calibration.prior,
        threshold=threshold,
        at=at,
        needed=_needed(calibration, at, max_wrong),
        clean=max((p.served for p in allowed if not p.wrong), default=0),
        tightest=_tightest(calibration),
    )


def _first_tested(calibration: Calibration, points: list[Point], max_wrong: float) -> Point | None:
    needed = served_needed(max_wrong, calibration.confidence)
    start = math.inf if calibration.start is None else calibration.start
    first = next((p for p in points if p.threshold <= start and p.begins(max_wrong, needed)), None)
    return first or (points[-1] if points else None)


def _needed(calibration: Calibration, at: Point | None, max_wrong: float) -> int | None:
    if calibration.prior is None:
        return int(served_needed(max_wrong, calibration.confidence))
    right = 0 if at is None else at.served - at.wrong
    negatives = calibration.pairs - calibration.positives

    def enough(times: float) -> bool:
        assert calibration.prior is not None
        upper = shifted_upper(
            0,
            round(right * times),
            negatives=round(negatives * times),
            positives=round(calibration.positives * times),
            prior=calibration.prior,
            confidence=calibration.confidence,
        )
        return upper <= max_wrong

    if not right or not enough(MOST_TIMES):
        return None
    low, high = 0.0, MOST_TIMES
    while high - low > 1e-3 * high:
        middle = (low + high) / 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return math.ceil(right * high)


def _tightest(calibration: Calibration) -> float | None:
    for upper in sorted({point.upper for point in calibration.points}):
        if upper < 1 and calibration.threshold(upper) is not None:
            return upper
    return None
