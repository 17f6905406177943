"""One search of a ``SqliteStore``: candidates by meaning and by rare terms, and the scope's counts.

Everything is read in one view of the file, in as few statements as can be: about six, whatever
``k``. What was read of an entry is remembered, because its row never changes but for
``quarantined``; whether the entry is still there is asked anew each time.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from semcache.candidates import CorpusStats, Found, SearchResult
from semcache.entry import CLOCK_TOLERANCE_S, Entry
from semcache.errors import EmbeddingError
from semcache.stores.limits import OVER_FETCH
from semcache.stores.postings import by_rare_terms, rare_first
from semcache.stores.sqlite.change import batches, marks, padded
from semcache.stores.sqlite.schema import (
    ENTRY_COLUMNS,
    ENTRY_WIDTH,
    entry_of,
    from_column,
    texts_from_column,
    to_column,
)
from semcache.stores.sqlite.vectors import matrix

if TYPE_CHECKING:
    from semcache.stores.base import Vector
    from semcache.stores.sqlite.store import SqliteStore
    from semcache.stores.vector_index import Partition

# How far a search goes on when what it found had expired: 18, 72, 288, 1,152. What is gone is
# forgotten on the way, so the next search goes on where this one ended.
MAX_FETCH = 1152

# Scopes whose counts of terms are remembered, terms of each of them (0.1 KB), and how many new
# entries are read to follow what was put, before it is quicker to count anew.
REMEMBERED_SCOPES = 256
REMEMBERED_TERMS = 4096
FOLLOWED = 16

# Rows remembered: some 3 KB each, the vector included, unless the query is a long one.
REMEMBERED_ROWS = 4096
REMEMBERED_CHARACTERS = 1000

_PLACE = (
    "SELECT s.scope_id, s.documents, s.length, s.average_idf, p.part_id, p.vectors, f.dimension, "
    "(SELECT MAX(seq) FROM vectors v WHERE v.part_id = p.part_id), "
    "(SELECT MAX(seq) FROM entries e WHERE e.scope_id = s.scope_id), (SELECT tick FROM totals) "
    "FROM scopes s "
    "LEFT JOIN fingerprints f ON f.name = ?2 "
    "LEFT JOIN partitions p ON p.scope_id = s.scope_id AND p.fingerprint_id = f.fingerprint_id "
    "WHERE s.digest = ?1"
)


@lru_cache(maxsize=64)
def _select(columns: str, tables: str, scope: str, term: str, width: int) -> str:
    """The statement for ``width`` values of ``term`` in a scope; few different ones are made."""
    return f"SELECT {columns} FROM {tables} WHERE {scope} = ? AND {term} IN ({marks([0] * width)})"


# "+": found by number, and then compared, instead of looked up in the index by scope as well.
_STATE = (
    "e.seq, e.quarantined, u.hits",
    "entries e JOIN uses u ON u.seq = e.seq",
    "+e.scope_id",
    "e.seq",
)
_ROW = (
    f"{ENTRY_COLUMNS.format(answer='NULL')}, e.seq, e.terms, e.part_id, v.vector",
    "entries e JOIN uses u ON u.seq = e.seq LEFT JOIN vectors v ON v.seq = e.seq",
    "+e.scope_id",
    "e.seq",
)
_FREQUENCIES = ("term, df", "terms", "scope_id", "term")
_POSTINGS = ("term, seq", "postings", "scope_id", "term")


class Row:
    """What never changes of an entry's row (``hits`` and ``quarantined`` in ``entry`` do)."""

    __slots__ = ("_cells", "_entry", "_fingerprint", "_terms", "created", "expires")

    def __init__(self, cells: Sequence[Any], fingerprint: str | None) -> None:
        self._cells = cells
        self._fingerprint = fingerprint
        self._entry: Entry | None = None
        self._terms: tuple[str, ...] | None = None
        self.created: float = cells[4]
        self.expires: float | None = cells[5]

    # The rest is worked out when it is asked for: more rows are read than candidates returned.

    @property
    def entry(self) -> Entry:
        if self._entry is None:
            self._entry = entry_of(self._cells, self._fingerprint)
        return self._entry

    @property
    def terms(self) -> tuple[str, ...]:
        if self._terms is None:
            self._terms = texts_from_column(self._cells[ENTRY_WIDTH + 1])
        return self._terms

    def vector_of(self, part_id: int) -> bytes | None:
        """Its vector, where that belongs to this partition."""
        vector: bytes | None
        of_part, vector = self._cells[ENTRY_WIDTH + 2 :]
        return vector if of_part == part_id else None

    @property
    def is_short(self) -> bool:
        return len(self._cells[2]) <= REMEMBERED_CHARACTERS

    def is_live(self, now: float) -> bool:
        """``Entry.is_live``, before there is an entry."""
        if not now >= self.created - CLOCK_TOLERANCE_S:
            return False
        return self.expires is None or now < self.expires


class Rows:
    """The rows read lately, by sequence number, which is never used twice.

    Two generations: when the young one is full it becomes the old one, and what is asked for again
    is young again. Threads need no lock: at worst a row is read once more.
    """

    def __init__(self) -> None:
        self._young: dict[int, Row] = {}
        self._old: dict[int, Row] = {}

    def among(self, seqs: Iterable[int]) -> dict[int, Row]:
        """Those that are known of ``seqs``."""
        young, old = self._young, self._old
        found: dict[int, Row] = {}
        for seq in seqs:
            row = young.get(seq)
            if row is None and (row := old.get(seq)) is not None:
                self.keep(seq, row)
            if row is not None:
                found[seq] = row
        return found

    def keep(self, seq: int, row: Row) -> None:
        if row.is_short:
            if len(self._young) >= REMEMBERED_ROWS // 2:
                self._old, self._young = self._young, {}
            self._young[seq] = row


class Counts:
    """In how many entries a scope's terms occur, as far as somebody asked, as of one view.

    A view of a scope is told from another by its newest entry and the number of its entries: what
    has no later entry than it had, and as many, has the same ones, since no number is used twice.
    So what others put is taken in by reading the few entries that are new, and only after a removal
    everything is asked anew.
    """

    def __init__(self, newest: int, documents: int) -> None:
        self.newest = newest
        self.documents = documents
        self.of: dict[str, int] = {}

    def follow(self, newest: int, documents: int, added: Sequence[tuple[int, str]]) -> None:
        """Go to another view, where ``added`` (number, terms) is newer than what was here.

        Beyond ``FOLLOWED`` there may be more than those, and then as much may be gone.
        """
        if len(added) <= FOLLOWED and documents == self.documents + len(added):
            for _, column in added:
                for term in set(texts_from_column(column)) & self.of.keys():
                    self.of[term] += 1
        else:
            self.of.clear()
        self.newest, self.documents = newest, documents


class Search:
    """One search: what it looks for, and what it has read of it so far."""

    def __init__(
        self,
        store: SqliteStore,
        scope: str,
        fingerprint: str,
        vector: Vector | None,
        terms: Sequence[str],
        k: int,
        now: float,
    ) -> None:
        self.store, self.scope, self.fingerprint = store, scope, fingerprint
        self.vector, self.terms = vector, terms
        self.k, self.now = max(0, k), now
        # Sequence number → row, quarantined, hits; ``None`` where this scope has no such entry.
        self.rows: dict[int, tuple[Row, bool, int] | None] = {}

    def run(self) -> SearchResult:
        vectors = self.store._vectors
        with self.store._connections.reading(short=True) as self.db:
            if not self._begin():
                return self._nothing()
            if self.vector is None or not self.vectors or not self.k:
                return self._look(None)
            partition = vectors.current(
                self.db, self.part_id, self.vectors, self.dimension, self.newest_vector
            )
            if partition is not None:
                return self._look(partition)
        # No connection is held while waiting: others may have exact hits to read.
        partition = vectors.prepared(self.part_id)
        with self.store._connections.reading(short=True) as self.db:
            return self._look(partition) if self._begin() else self._nothing()

    def _begin(self) -> bool:
        """Where the scope is in this view of the file; false where it is not."""
        place = self.db.execute(_PLACE, (self.scope, to_column(self.fingerprint))).fetchone()
        if place is None:
            return False
        self.scope_id, self.documents, self.length, self.average_idf = place[:4]
        self.part_id, self.vectors, self.dimension, self.newest_vector = place[4:8]
        self.newest, self.tick = place[8:]
        if self.vector is not None and self.vectors and self.vector.size != self.dimension:
            raise EmbeddingError(
                f"a vector has {self.vector.size} numbers where this store has {self.dimension} "
                "under the same fingerprint; an embedder that changed needs another fingerprint"
            )
        return True

    def _nothing(self) -> SearchResult:
        return SearchResult((), CorpusStats(frequencies=dict.fromkeys(self.terms, 0)))

    def _look(self, partition: Partition | None) -> SearchResult:
        counts = self._counts()
        frequencies = self._frequencies(counts, self.terms)
        rare = self._rare(frequencies)
        near = [] if partition is None else self._nearest(partition, rare)
        found = self._found(near, self._first_live(rare))
        others = {term for candidate in found for term in candidate.terms}
        frequencies |= self._frequencies(counts, others - frequencies.keys())
        if len(counts.of) <= REMEMBERED_TERMS:
            self.store._counts[self.scope_id] = counts
        corpus = CorpusStats(self.documents, self.length, self.average_idf, frequencies)
        return SearchResult(found, corpus)

    def _counts(self) -> Counts:
        """The counts of this view, for nobody else to use meanwhile."""
        counts = self.store._counts.pop(self.scope_id, None)
        if len(self.store._counts) > REMEMBERED_SCOPES:
            self.store._counts.clear()
        if counts is None:
            return Counts(self.newest, self.documents)
        if (counts.newest, counts.documents) != (self.newest, self.documents):
            added = self.db.execute(
                "SELECT seq, terms FROM entries WHERE scope_id = ? AND seq > ? LIMIT ?",
                (self.scope_id, counts.newest, FOLLOWED + 1),
            ).fetchall()
            counts.follow(self.newest, self.documents, added)
        return counts

    def _among(self, what: tuple[str, str, str, str], values: Sequence[Any]) -> list[Any]:
        """The rows of this scope that have one of ``values``."""
        rows: list[Any] = []
        for batch in batches(values):
            cells = padded(batch)
            rows += self.db.execute(_select(*what, len(cells)), (self.scope_id, *cells))
        return rows

    def _frequencies(self, counts: Counts, terms: Iterable[str]) -> dict[str, int]:
        """In how many entries of the scope each term occurs."""
        known = counts.of
        unknown = [term for term in dict.fromkeys(terms) if term not in known]
        if unknown:
            known.update(dict.fromkeys(unknown, 0))
            for term, df in self._among(_FREQUENCIES, [*map(to_column, unknown)]):
                known[from_column(term)] = df
        return {term: known[term] for term in terms}

    def _rare(self, frequencies: Mapping[str, int]) -> list[int]:
        """Entries that share rare terms, best first."""
        rare = rare_first(self.terms, frequencies, self.documents)
        if not rare or not self.k:
            return []
        listed: dict[str, list[int]] = {term: [] for term, _ in rare}
        for term, seq in self._among(_POSTINGS, [to_column(term) for term, _ in rare]):
            listed[from_column(term)].append(seq)
        return by_rare_terms(rare, self.documents, listed.__getitem__)

    def _first_live(self, seqs: Sequence[int]) -> list[int]:
        live: list[int] = []
        for start in range(0, len(seqs), max(1, self.k)):
            if len(live) >= self.k:
                break
            live += self._live(seqs[start : start + self.k])
        return live[: self.k]

    def _nearest(self, partition: Partition, rare: Sequence[int]) -> list[int]:
        """The nearest live entries, and a few more where their order is not exact."""
        assert self.vector is not None
        count = self.k + (OVER_FETCH if partition.has_graph else 0)
        seqs = partition.search(self.vector, count)
        self._load([*seqs, *rare[: self.k]])
        while True:
            live = self._live(seqs)
            enough = len(live) >= self.k or count >= partition.size
            if enough or (count >= MAX_FETCH and partition.has_graph):
                break
            count *= 4
            seqs = partition.search(self.vector, count)
        gone = [seq for seq in seqs if self._is_gone(seq)]
        if gone:
            self.store._vectors.discard(self.part_id, gone)
        return live

    def _live(self, seqs: Sequence[int]) -> list[int]:
        """Those of ``seqs`` that are entries of this scope, live and not quarantined."""
        self._load(seqs)
        return [
            seq
            for seq in seqs
            if (found := self.rows[seq]) is not None and not found[1] and found[0].is_live(self.now)
        ]

    def _is_gone(self, seq: int) -> bool:
        """Whether no later search may find it: removed, quarantined, or expired for good."""
        found = self.rows[seq]
        if found is None:
            # What was put after this view of the file began is not gone because it is not seen.
            return bool(seq <= self.tick)
        expires = found[0].expires
        return found[1] or (expires is not None and expires <= self.now)

    def _load(self, seqs: Iterable[int]) -> None:
        """Read those of ``seqs`` that have not been read yet."""
        unknown = [seq for seq in dict.fromkeys(seqs) if seq not in self.rows]
        if not unknown:
            return
        self.rows.update(dict.fromkeys(unknown))
        remembered = self.store._rows.among(unknown)
        for seq, quarantined, hits in self._among(_STATE, list(remembered)):
            self.rows[seq] = remembered[seq], quarantined != 0, hits
        new = [seq for seq in unknown if seq not in remembered]
        for cells in self._among(_ROW, new):
            seq, row = cells[ENTRY_WIDTH], Row(cells, self._fingerprint_name(cells[14]))
            self.store._rows.keep(seq, row)
            self.rows[seq] = row, cells[17] != 0, cells[15]

    def _cosines(self, seqs: Iterable[int]) -> dict[int, float]:
        """Exact cosines of those of ``seqs`` that have a vector of this fingerprint."""
        if self.vector is None:
            return {}
        from semcache.stores.vector_index import cosines

        stored: dict[int, bytes] = {}
        for seq in seqs:
            found = self.rows[seq]
            if found is not None and (vector := found[0].vector_of(self.part_id)) is not None:
                stored[seq] = vector
        if not stored:
            return {}
        values = cosines(matrix([*stored.values()]), self.vector)
        return dict(zip(stored, values, strict=True))

    def _found(self, near: Sequence[int], rare: Sequence[int]) -> tuple[Found, ...]:
        cosine = self._cosines(dict.fromkeys([*near, *rare]))
        near = sorted(near, key=lambda seq: (-cosine[seq], -seq))[: self.k]
        by_vector, by_terms = set(near), set(rare)
        found = []
        # Stable: those without a cosine stay in the order of their rare terms.
        seqs = dict.fromkeys([*near, *rare])
        for seq in sorted(seqs, key=lambda seq: -cosine.get(seq, -2.0)):
            row, _, hits = self.rows[seq]  # type: ignore[misc]  # it was live
            hits += self.store._touches.get(row.entry.id, 0)
            entry = row.entry if row.entry.hits == hits else replace(row.entry, hits=hits)
            both = seq in by_vector and seq in by_terms
            by = "both" if both else "vector" if seq in by_vector else "terms"
            found.append(Found(entry, cosine.get(seq), row.terms, by))
        return tuple(found)

    def _fingerprint_name(self, fingerprint_id: int | None) -> str | None:
        if fingerprint_id is None:
            return None
        names = self.store._fingerprints
        if fingerprint_id not in names:
            row = self.db.execute(
                "SELECT name FROM fingerprints WHERE fingerprint_id = ?", (fingerprint_id,)
            ).fetchone()
            names[fingerprint_id] = from_column(row[0])
        return names[fingerprint_id]
