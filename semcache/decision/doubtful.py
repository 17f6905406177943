"""The grey zone: candidates that are neither sure enough to serve nor different enough to forget.

A candidate is doubtful if it would be served but for a little: its score lies in a band below the
threshold, or above it and only *soft* vetoes speak against it. A soft veto is one that fires
because the rules do not know better (a word is left over on one side), not because they know that
something differs (another number, a negation).

Pure. Which of them is verified, and by whom, is the business of ``semcache.online.grey``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from semcache.decision.calibration import Calibration
    from semcache.decision.decide import Judged, Verdict

# "get rid of" for "delete", "a card" for "cards", a preposition in a long text: paraphrases that
# the rules cannot tell from differences.
SOFT_VETOES = frozenset({"content", "inflection", "grammar"})
# Scores are within 0 and 1, and those of LearnedScorer are probabilities.
BAND = 0.15


def least_doubtful(calibration: Calibration, max_wrong: float, band: float) -> float | None:
    """The score from which on a candidate may be doubtful; ``None`` where there is no threshold."""
    threshold = calibration.threshold(max_wrong)
    return None if threshold is None else threshold - band


def doubtful(
    query: str, verdict: Verdict, *, least: float, enabled: frozenset[str], soft: frozenset[str]
) -> Judged | None:
    """The best candidate that is worth verifying; ``None`` where none is, or one was served.

    Args:
        least: see ``least_doubtful``.
        enabled: the vetoes that are on.
        soft: those that do not rule a candidate out by themselves.
    """
    if verdict.served is not None:
        return None
    from semcache.decision.vetoes import vetoes

    for judged in verdict.judged:
        if judged.score < least:
            break  # best first
        entry = judged.found.entry
        if entry.quarantined:
            continue
        # Below the threshold nobody has looked at what differs.
        against = judged.vetoes or vetoes(query, entry.query, enabled)
        if all(veto.name in soft for veto in against):
            return judged
    return None
