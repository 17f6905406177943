"""The scorers that come with semcache, by name."""

from __future__ import annotations

import re

from semcache.decision.scorers import CosineScorer, HybridScorer, Scorer
from semcache.errors import ConfigurationError

NAMES = ("learned", "lexical", "hybrid", "cosine")


def scorer_named(name: str) -> Scorer:
    """The built-in scorer of that name.

    ``learned`` needs a verifier; ``lexical`` is the same without one. Another alpha than the usual
    one is part of the name, as a calibration has it.

    >>> scorer_named("hybrid(alpha=0.8)")
    HybridScorer(alpha=0.8)

    Raises:
        ConfigurationError: there is none; the message lists the names.
    """
    if name == "cosine":
        return CosineScorer()
    if name == "hybrid":
        return HybridScorer()
    if alpha := re.fullmatch(r"hybrid\(alpha=([0-9.e-]+)\)", name):
        return HybridScorer(_number(alpha[1]))
    if name in NAMES:
        from semcache.decision.learned import LearnedScorer  # reads its trees

        return LearnedScorer(name)
    raise ConfigurationError(f"no scorer {name!r:.60}; this version knows {', '.join(NAMES)}")


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError as error:
        raise ConfigurationError(f"alpha is a number, not {text!r:.30}") from error
