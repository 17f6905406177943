"""What ``stats()`` says of the live wrong-serve rate, of samples, and of the grey zone."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class LiveRate:
    """How often a namespace's hits by meaning are wrong, as far as that is known.

    Of all processes and since the cache was made, except where it says "window": a new one begins
    when the threshold moves, and when one has shown what it could.

    Attributes:
        samples, wrong: hits whose fresh answer was compared, and those that differed.
        window: samples of this window.
        lower, upper: limits of the wrong-serve rate by the samples of this window, in [0, 1]. They
            hold at all times together with probability ``confidence``.
        last_window, last_lower, last_upper: the same of the window before, when that had the same
            threshold; 0, 0 and 1 without one.
        served: hits by meaning. Up to 255 of each other process may be missing.
        reported_right, reported_wrong: reports. Their ratio says little: people report what is
            wrong.
        reported_lower: lower limit of the wrong-serve rate by the reports of this window.
        step: how many steps the threshold is above the calibration's.
        threshold: the least score that is served at the cache's ``max_wrong``; ``None``: nothing.
        paused: the last step was taken: nothing is served by meaning.
    """

    samples: int
    wrong: int
    window: int
    lower: float
    upper: float
    last_window: int
    last_lower: float
    last_upper: float
    confidence: float
    served: int
    reported_right: int
    reported_wrong: int
    reported_lower: float
    step: int
    threshold: float | None
    paused: bool


@dataclass(frozen=True, slots=True)
class ShadowCounts:
    """Samples of this process.

    Attributes:
        right, wrong: the stored and the fresh answer agreed, or did not.
        undecided: the judge could not say, or the fresh answer was unworthy (cut off, empty).
        dropped: not taken, because too many were under way.
        errors: the model, the judge or the store failed.
    """

    right: int = 0
    wrong: int = 0
    undecided: int = 0
    dropped: int = 0
    errors: int = 0


@dataclass(frozen=True, slots=True)
class GreyCounts:
    """Doubtful pairs of this process.

    Attributes:
        waiting: in the queue now.
        confirmed, refused, undecided: what the verifier said.
        dropped: not verified, because the queue was full.
        errors: the verifier or the store failed.
    """

    waiting: int = 0
    confirmed: int = 0
    refused: int = 0
    undecided: int = 0
    dropped: int = 0
    errors: int = 0
