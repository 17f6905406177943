"""The scorers that come with semcache, by name."""

from __future__ import annotations

from semcache.decision.scorers import CosineScorer, HybridScorer, Scorer
from semcache.errors import ConfigurationError

NAMES = ("learned", "lexical", "hybrid", "cosine")


def scorer_named(name: str) -> Scorer:
    """The built-in scorer of that name.

    ``learned`` needs a verifier; ``lexical`` is the same without one.

    Raises:
        ConfigurationError: there is none; the message lists the names.
    """
    if name == "cosine":
        return CosineScorer()
    if name == "hybrid":
        return HybridScorer()
    if name in NAMES:
        from semcache.decision.learned import LearnedScorer  # reads its trees

        return LearnedScorer(name)
    raise ConfigurationError(f"no scorer {name!r:.60}; this version knows {', '.join(NAMES)}")
