"""What a verifier is, and the checks that its pairs and scores go through.

A verifier reads two prompts *together*, which a vector comparison cannot, and is asked only about
candidates that are already near. Its logit is a feature of the decision, never the decision: what a
logit means in wrong serves is the calibration's business, and a calibration is bound to the
verifier's fingerprint.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from semcache.errors import SemcacheError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Pair = tuple[str, str]


class VerifierError(SemcacheError):
    """A pair could not be scored: damaged files, or scores that are not finite numbers."""


@runtime_checkable
class Verifier(Protocol):
    """Anything that scores pairs of prompts; safe to call from many threads."""

    @property
    def fingerprint(self) -> str:
        """Short stable name of the scores, safe in keys: ``[A-Za-z0-9._-]``.

        Two verifiers share it only if the same pair gets the same score from both.
        """
        ...

    def score(self, pairs: Sequence[Pair]) -> NDArray[np.float32]:
        """Logits of "one answer serves both": float32 ``[n]``, finite, 0 = undecided.

        Symmetric: ``(a, b)`` and ``(b, a)`` get the same score. A pair's score does not depend on
        the other pairs. Raises VerifierError.
        """
        ...

    async def ascore(self, pairs: Sequence[Pair]) -> NDArray[np.float32]:
        """`score` without blocking the event loop."""
        ...

    def fits(self, a: str, b: str) -> bool:
        """False when the verifier would read only part of the pair: then its score says nothing
        about the rest, and must not be what a hit rests on."""
        ...


class BaseVerifier(ABC):
    """A `Verifier` that runs on this machine: `ascore` is `score` in a thread."""

    @property
    @abstractmethod
    def fingerprint(self) -> str: ...

    @abstractmethod
    def score(self, pairs: Sequence[Pair]) -> NDArray[np.float32]: ...

    @abstractmethod
    def fits(self, a: str, b: str) -> bool: ...

    async def ascore(self, pairs: Sequence[Pair]) -> NDArray[np.float32]:
        """`score` in asyncio's default thread pool."""
        return await asyncio.to_thread(self.score, pairs)


def checked_pairs(pairs: Sequence[Pair]) -> list[Pair]:
    """``pairs`` as a list of pairs of strings.

    Raises VerifierError for a bare string and for any element that is not two strings.

    >>> checked_pairs([("a", "b")])
    [('a', 'b')]
    """
    if isinstance(pairs, str):
        raise VerifierError("score() takes a list of pairs, got one string: write score([(a, b)])")
    listed: list[Pair] = []
    for i, pair in enumerate(pairs):
        match pair:
            case (str(a), str(b)):
                listed.append((a, b))
            case _:
                raise VerifierError(
                    f"pair {i} is not two strings but {str(pair)[:60]!r}: pass [(a, b), …]"
                )
    return listed


def checked_scores(values: Sequence[float], n: int) -> NDArray[np.float32]:
    """What a model returned, as float32 ``[n]``.

    Raises VerifierError where there are not ``n`` finite numbers.

    >>> checked_scores([1.5, -2.0], 2).tolist()
    [1.5, -2.0]
    """
    import numpy as np

    scores = np.asarray(values, dtype=np.float32)
    if scores.shape != (n,) or not np.isfinite(scores).all():
        raise VerifierError(
            f"the verifier returned {scores.shape} scores for {n} pairs, or one that is not "
            "finite: check the model file; such a score is never used"
        )
    return scores
