"""Pairs to be labelled: from files, or from the neighbours within the scopes of a cache."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from semcache.errors import ConfigurationError
from semcache.evaluate import records

if TYPE_CHECKING:
    from semcache.entry import Entry
    from semcache.stores.base import Store, Vector

# Below this cosine nothing is ever served, so nobody needs to read it.
LEAST_COSINE = 0.6
# How many nearest neighbours of an entry may be asked about.
NEIGHBOURS = 3
# Rows of the similarity matrix at a time: 1,024 x 100,000 entries are 400 MB of float32.
ROWS = 1024
KEPT = ("source", "group", "domain")


@dataclass(frozen=True, slots=True)
class Candidate:
    """Two prompts that nobody has judged yet, and what helps to judge them.

    Attributes:
        about: ``source``, ``group`` and ``domain`` of the pair, kept with its label.
        answers: the stored answers to both, where they come from a cache.
    """

    a: str
    b: str
    about: Mapping[str, str]
    answers: tuple[str, str] | None = None

    @property
    def key(self) -> frozenset[str]:
        """The pair without its order."""
        return frozenset((self.a, self.b))


def from_file(path: Path, *, again: bool) -> list[Candidate]:
    """The pairs without a label; with ``again``, all of them.

    Raises:
        ConfigurationError: unreadable, or a line without two texts (named by its number).
    """
    found = []
    for number, record in records(path):
        a, b = (record.get(x) if isinstance(record, Mapping) else None for x in ("a", "b"))
        if not isinstance(a, str) or not isinstance(b, str):
            raise ConfigurationError(f"{path}, line {number}: a and b must be text")
        if again or record.get("label") in (None, ""):
            found.append(Candidate(a, b, _about(record, path)))
    return found


def _about(record: Mapping[str, Any], path: Path) -> dict[str, str]:
    said = {name: str(record[name]) for name in KEPT if record.get(name) not in (None, "")}
    return {"source": path.name, **said}


def from_store(store: Store, fingerprint: str, now: float) -> list[Candidate]:
    """Neighbours within each scope of a cache: an entry beside those nearest to it.

    Entries are what was *missed* when it was asked: pairs that were served by meaning share one
    entry, and are not among these.
    """
    scopes: dict[str, list[tuple[Entry, Vector]]] = {}
    for entry, vector, _ in store.iterate():
        usable = entry.is_live(now) and not entry.quarantined and entry.source != "note"
        if usable and vector is not None and entry.fingerprint == fingerprint:
            scopes.setdefault(entry.scope, []).append((entry, vector))
    found: dict[frozenset[str], Candidate] = {}
    for members in scopes.values():
        for one, two in _neighbours([vector for _, vector in members]):
            candidate = _beside(members[one][0], members[two][0])
            if len(candidate.key) == 2:
                found.setdefault(candidate.key, candidate)
    return list(found.values())


def _beside(one: Entry, two: Entry) -> Candidate:
    from semcache.answer_text import text_of

    first, second = sorted((one, two), key=lambda entry: (entry.created, entry.id))
    # The later one would have been asked while the earlier one was stored.
    answers = tuple("" if e.answer is None else text_of(e.answer) for e in (second, first))
    return Candidate(
        second.query, first.query, {"source": f"cache {one.namespace}"}, (answers[0], answers[1])
    )


def _neighbours(vectors: Sequence[Vector]) -> Iterator[tuple[int, int]]:
    import numpy as np

    if len(vectors) < 2:
        return
    matrix = np.stack(vectors)
    for start in range(0, len(matrix), ROWS):
        cosines = matrix[start : start + ROWS] @ matrix.T
        for i, row in enumerate(cosines, start):
            row[i] = -1.0
            nearest = np.argsort(-row, kind="stable")[:NEIGHBOURS]
            yield from ((i, int(j)) for j in nearest if row[j] >= LEAST_COSINE)
