"""Judges: do the stored answer and a fresh one say the same?

A model rarely says the same thing in the same words twice, so comparing two answers is a judgement,
and what a live rate is worth depends on it: a judge that calls every rewording a difference
tightens the threshold for nothing, one that calls everything the same never does. Give the cache
the strictest one that a rewording passes: often a prompt to a small model, as a function.
"""

from __future__ import annotations

from collections.abc import Awaitable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from semcache.errors import ConfigurationError

if TYPE_CHECKING:
    from semcache.embedders.base import Embedder
    from semcache.verifiers.base import Verifier

# On 500 sentence pairs each of stsb.tune and mrpc.tune with the shipped encoder: from .75 up lie
# 96 % and 82 % of the rewordings, and 14 % and 45 % of the others, which are alike too; below .5
# lie none and 1 % of the rewordings. With .75 for both, every tenth right answer would be counted
# as wrong, and the cache would pause itself for nothing.
DEFAULT_SAME = 0.75
DEFAULT_DIFFERENT = 0.5
# A logit of 0 is "undecided"; this is a probability of .88.
DEFAULT_LOGIT = 2.0


@dataclass(frozen=True, slots=True)
class Compared:
    """What a judge gets to see.

    Attributes:
        query: the prompt that was asked.
        candidate: the prompt that the stored answer was recorded under.
        stored, fresh: the two answers as callers get them; for a stream, the list of its chunks.
        stored_text, fresh_text: their text, as far as they have any.
    """

    query: str
    candidate: str
    stored: Any
    fresh: Any
    stored_text: str
    fresh_text: str


@runtime_checkable
class AnswerJudge(Protocol):
    """Any function of this shape, also a coroutine function, is a judge.

    Called in a thread of the cache, by several at once; a coroutine runs on the event loop of the
    caller whose hit is compared, if there is one.
    """

    def __call__(self, compared: Compared, /) -> bool | Awaitable[bool | None] | None:
        """Whether the two answers say the same; ``None``: cannot say, the sample does not count."""
        ...


@dataclass(frozen=True, slots=True)
class ExactJudge:
    """The same answer, but for white space. For answers that repeat: numbers, labels, JSON.

    >>> ExactJudge()(Compared("", "", "a", "a", "Use  the link.", "Use the link.\\n"))
    True
    """

    def __call__(self, compared: Compared, /) -> bool:
        if compared.stored_text or compared.fresh_text:
            return compared.stored_text.split() == compared.fresh_text.split()
        return bool(compared.stored == compared.fresh)


@dataclass(frozen=True, slots=True)
class EmbeddingJudge:
    """The cosine of the two texts. Cheap, and blind to details: "Yes" and "No, never" may pass.

    Cannot say between the two limits, where a text is longer than the embedder reads, and where
    there is none.

    Attributes:
        same: the cosine from which on two answers are the same, in (0, 1].
        different: the cosine below which they are not, at most ``same``.

    Raises:
        ConfigurationError: a limit is out of range.
    """

    embedder: Embedder
    same: float = DEFAULT_SAME
    different: float = DEFAULT_DIFFERENT

    def __post_init__(self) -> None:
        if not -1.0 <= self.different <= self.same <= 1.0 or self.same <= 0.0:
            raise ConfigurationError(
                f"same must be a cosine in (0, 1] and different at most that, not "
                f"{self.same!r} and {self.different!r}"
            )

    def __call__(self, compared: Compared, /) -> bool | None:
        stored, fresh = compared.stored_text.strip(), compared.fresh_text.strip()
        if not stored or not fresh:
            return None
        if stored.split() == fresh.split():
            return True
        if not self.embedder.fits(stored) or not self.embedder.fits(fresh):
            return None
        one, two = self.embedder.embed([stored, fresh])
        cosine = float(one @ two)
        if cosine >= self.same:
            return True
        return False if cosine < self.different else None


@dataclass(frozen=True, slots=True)
class VerifierJudge:
    """A verifier reads both answers together. Cannot say where it would read only a part.

    Attributes:
        least: the logit from which on two answers are the same.
    """

    verifier: Verifier
    least: float = DEFAULT_LOGIT

    def __call__(self, compared: Compared, /) -> bool | None:
        stored, fresh = compared.stored_text.strip(), compared.fresh_text.strip()
        if not stored or not fresh:
            return None
        if stored.split() == fresh.split():
            return True
        if not self.verifier.fits(stored, fresh):
            return None
        return float(self.verifier.score([(stored, fresh)])[0]) >= self.least


def checked(judge: object) -> AnswerJudge:
    """``judge``, if it can be called. Raises ``ConfigurationError``."""
    if not callable(judge):
        raise ConfigurationError(
            f"judge must be a function of a Compared (ExactJudge(), say), not {judge!r:.60}"
        )
    return judge
