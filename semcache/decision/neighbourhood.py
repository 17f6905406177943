"""What a report of a wrong answer forbids: not only that pair, but its neighbourhood.

Somebody asked *q*, was served the answer of the entry *e*, and that was wrong. Nobody shall get it
again who asks what *q* asks, in whatever words; but who asks what *e* asked still may. Vectors say
which of the two a new prompt is nearer to:

* **the same entry** is out of the question for a prompt that is nearer to *q* than to *e*, and for
  one that is not clearly nearer to *e* (``MARGIN``);
* **any other entry** is for a prompt that all but repeats *q* (``REPEATED``), unless it is nearer
  still: near duplicates of *e* lie beside it and would be as wrong, while an answer recorded for
  *q* itself is the right one.

Pure. The vetoes and the threshold have had their say before; this only ever forbids.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

# The median of what a "please" in front moves the cosine of a prompt to its neighbour (.014) and to
# itself (.019), on 200 prompts of strict_pairs.tune with the shipped encoder.
MARGIN = 0.02
REPEATED = 1.0 - MARGIN

# That many different prompts were wrongly answered by one entry: it serves nothing but its own.
WRONGS_OF_ONE_ENTRY = 3


@dataclass(frozen=True, slots=True)
class Wrong:
    """A report as a new prompt sees it.

    Attributes:
        entry: id of the entry that was wrong for it.
        cosine: of the new prompt and the one that was answered wrongly.
    """

    entry: str
    cosine: float


def forbidden(entry: str, cosine: float, wrongs: Iterable[Wrong]) -> bool:
    """Whether this entry, that near to the new prompt, must not answer it.

    >>> reported = [Wrong("e", 0.97)]
    >>> forbidden("e", 0.95, reported), forbidden("e", 0.995, reported)
    (True, False)
    >>> forbidden("other", 0.95, reported), forbidden("other", 0.95, [Wrong("e", 0.99)])
    (False, True)
    """
    return any(
        wrong.cosine > cosine - MARGIN
        if wrong.entry == entry
        else wrong.cosine >= REPEATED and wrong.cosine > cosine
        for wrong in wrongs
    )
