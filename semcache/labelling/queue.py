"""Which pair to ask about next.

Two questions can be behind labelling, and they need different pairs:

* *How often is what I serve wrong?* (``served``) Every pair that would be served says equally much
  about the bound, as long as the choice does not depend on anything that has to do with being
  wrong: a uniform sample of what is served, at and above one score. The order is that of a hash,
  so it is random, the same in every session, and does not depend on the file's order. What is
  sampled above one score is sampled above every higher score, too.
* *Where is the border?* (``near``) The pairs next to the threshold are the most uncertain ones.
  They show what the scorer cannot tell; but as they were picked for being doubtful, they are no
  sample of what is served, and ``tune`` shows them without counting them as evidence.

Pairs that a veto refuses are never served, and never asked about.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from semcache.labelling.candidates import Candidate

Pick = Literal["served", "near"]
SALT = "semcache label "


@dataclass(frozen=True, slots=True)
class Asked:
    """A candidate with its score, in the order in which it is asked about."""

    candidate: Candidate
    score: float


def ordered(scored: Sequence[tuple[Candidate, float]], threshold: float, pick: Pick) -> list[Asked]:
    """Which of the candidates without a veto to ask about, in which order.

    >>> some = [(Candidate("a", str(i), {}), i / 10) for i in range(10)]
    >>> [one.score for one in ordered(some, 0.7, "near")][:3]
    [0.7, 0.8, 0.6]
    >>> sorted(one.score for one in ordered(some, 0.7, "served"))
    [0.7, 0.8, 0.9]
    """
    if pick == "near":
        return [
            Asked(candidate, score)
            for candidate, score in sorted(
                scored, key=lambda one: (round(abs(one[1] - threshold), 9), -one[1], _hash(one[0]))
            )
        ]
    served = [Asked(candidate, score) for candidate, score in scored if score >= threshold]
    return sorted(served, key=lambda one: _hash(one.candidate))


def _hash(candidate: Candidate) -> bytes:
    text = SALT + "\0".join(sorted(candidate.key))
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()
