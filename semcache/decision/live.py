"""The bound, watched in operation: when the threshold tightens, and when it may relax again.

A calibration is evidence about the pairs it was made from. Whether the promise holds for *this*
traffic is seen only here, from two kinds of observations:

* **Samples** (``shadow_rate``): hits drawn at random whose fresh answer was compared with the
  stored one. Their mean is the wrong-serve rate itself, and its confidence sequence gives a lower
  and an upper limit that hold at all times.
* **Reports** (``report_wrong``): people report what annoys them, so their share says little about
  the rate. But every reported serve was one, so reports over *all* serves are a lower limit of it.
  There is no upper limit in them: what nobody reported may be wrong all the same.

A lower limit above ``max_wrong``, of either kind, tightens: by one step, by two if it is twice the
bound, and so on, for who is far off must not find out step by step. An upper limit of the samples
at or below it relaxes, one step at a time, and never below what the calibration allows.

Both are counted in *windows*. A new one begins after each step, because another threshold is
another population; and also when the window has shown what it could (the bound holds, with nothing
to relax; or it is broken, with nothing to tighten), when it contradicts itself (its limits cross:
the rate has changed), and after ``LONGEST / max_wrong`` samples, or hits where reports are counted.
Otherwise a change for the worse would have to outweigh all of the good past: 5 % of wrong answers
show after 150 samples (median of 25 simulated runs), but after 5,000 right ones not within 20,000.
Each window has the full confidence, so in the long run one in twenty may act on chance: that costs
hits when it tightens, and when it relaxes the next window has to notice.

Pure values; ``semcache.online.live`` keeps them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

from semcache.decision.confidence_sequence import (
    CONFIDENCE,
    ConfidenceSequence,
    lower_limit_of_counts,
)

if TYPE_CHECKING:
    from semcache.decision.calibration import Calibration

# A step up goes to the next threshold that would serve at most this share of the pairs that the
# calibration was made from and that were served before. So a step means the same whether scores lie
# close together or far apart: a quarter of the hits, and it takes three to halve them.
STEP_KEEPS = 0.75

LONGEST = 20.0

Move = Literal["tightened", "relaxed"]


@dataclass(frozen=True, slots=True)
class Counts:
    """Hits by meaning, and what was said of them."""

    served: int = 0
    right: int = 0
    wrong: int = 0


@dataclass(frozen=True, slots=True)
class Live:
    """What is known of one group of traffic.

    Attributes:
        step: how many steps the threshold is above the calibration's.
        window: the confidence sequence of the samples of this window.
        last: that of the window before, if the threshold was the same.
        reports: hits and reports of this window.
        samples, samples_wrong: of all time.
        all_reports: of all time.
    """

    step: int = 0
    window: ConfidenceSequence = field(default_factory=ConfidenceSequence)
    last: ConfidenceSequence | None = None
    reports: Counts = Counts()
    samples: int = 0
    samples_wrong: int = 0
    all_reports: Counts = Counts()

    def sampled(self, wrong: bool) -> Live:
        """After one more sample."""
        return replace(
            self,
            window=self.window.observe(float(wrong)),
            samples=self.samples + 1,
            samples_wrong=self.samples_wrong + wrong,
        )

    def counted(self, more: Counts) -> Live:
        """After so many more hits and reports."""
        return replace(
            self, reports=_sum(self.reports, more), all_reports=_sum(self.all_reports, more)
        )

    @property
    def reports_lower(self) -> float:
        """Lower limit of the wrong-serve rate by the reports of this window alone."""
        wrong, served = self.reports.wrong, self.reports.served
        # A report may be about a hit of another process, or of one window before.
        return lower_limit_of_counts(wrong, max(wrong, served), self.window.confidence)

    @property
    def lower(self) -> float:
        """The greater of the two lower limits."""
        return max(self.window.lower, self.reports_lower)

    def moved(self, max_wrong: float, highest: int) -> tuple[Live, Move | None]:
        """The next state, and which way the threshold moves, if it does.

        Args:
            max_wrong: the bound.
            highest: the step at which nothing is served any more.
        """
        broken = self.lower > max_wrong
        if broken and self.step < highest:
            steps = int(self.lower / max_wrong)
            return self._afresh(min(self.step + steps, highest)), "tightened"
        holds = self.window.upper <= max_wrong and not broken
        if holds and self.step > 0:
            return self._afresh(self.step - 1), "relaxed"
        changed = self.window.lower > self.window.upper
        if broken or holds or changed or self.window.n >= LONGEST / max_wrong:
            return self._afresh(self.step), None
        if self.reports.served >= LONGEST / max_wrong:
            return replace(self, reports=Counts()), None
        return self, None

    def _afresh(self, step: int) -> Live:
        return replace(
            self,
            step=step,
            window=ConfidenceSequence(self.window.confidence),
            last=self.window if step == self.step and self.window.n else None,
            reports=Counts(),
        )

    def to_json(self) -> dict[str, Any]:
        """As plain JSON data."""
        return {
            "step": self.step,
            "window": self.window.to_json(),
            "last": None if self.last is None else self.last.to_json(),
            "reports": _counts_to_json(self.reports),
            "samples": self.samples,
            "samples_wrong": self.samples_wrong,
            "all_reports": _counts_to_json(self.all_reports),
        }

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Live:
        """What ``to_json`` wrote.

        Raises:
            ValueError, KeyError, TypeError: it is not that.
        """
        state = cls(
            step=int(document["step"]),
            window=ConfidenceSequence.from_json(document["window"]),
            last=None
            if document["last"] is None
            else ConfidenceSequence.from_json(document["last"]),
            reports=_counts(document["reports"]),
            samples=int(document["samples"]),
            samples_wrong=int(document["samples_wrong"]),
            all_reports=_counts(document["all_reports"]),
        )
        if state.step < 0 or not 0 <= state.samples_wrong <= state.samples:
            raise ValueError("not a live state")
        return state


def fresh(confidence: float = CONFIDENCE) -> Live:
    """The state of a group of which nothing is known."""
    return Live(window=ConfidenceSequence(confidence))


def _sum(one: Counts, two: Counts) -> Counts:
    return Counts(one.served + two.served, one.right + two.right, one.wrong + two.wrong)


def _counts_to_json(counts: Counts) -> list[int]:
    return [counts.served, counts.right, counts.wrong]


def _counts(document: Any) -> Counts:
    served, right, wrong = map(int, document)
    if min(served, right, wrong) < 0:
        raise ValueError("not counts")
    return Counts(served, right, wrong)


def steps_up(calibration: Calibration, max_wrong: float) -> tuple[float, ...]:
    """The thresholds that tightening goes through, the calibration's own first.

    All of them are on the calibration's grid and have its support for ``max_wrong``; after the last
    one nothing is served by meaning. Empty where the calibration has no support at all.
    """
    allowed = calibration.threshold(max_wrong)
    if allowed is None:
        return ()
    steps = [allowed]
    above = [point for point in reversed(calibration.points) if point.threshold >= allowed]
    served = above[0].served
    for point in above[1:]:
        if point.served > served * STEP_KEEPS:
            continue
        if replace(calibration, floor=point.threshold).threshold(max_wrong) is None:
            break
        steps.append(point.threshold)
        served = point.served
    return tuple(steps)


def tightened(calibration: Calibration, max_wrong: float, step: int) -> Calibration | None:
    """The calibration after so many steps up; ``None`` where nothing may be served any more.

    Whatever bound a call asks for, no threshold below that of the step at ``max_wrong`` is used.
    """
    if step <= 0:
        return calibration
    steps = steps_up(calibration, max_wrong)
    return replace(calibration, floor=steps[step]) if step < len(steps) else None
