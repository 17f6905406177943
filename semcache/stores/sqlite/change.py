"""What one write does: rows in and out, and every counter that follows from them.

A ``Change`` lives for one transaction. It gathers how the counters move and writes each of them
once at the end (``finish``), so that removing a thousand entries updates a scope's row once.
"""

from __future__ import annotations

import sqlite3
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from semcache.entry import Entry
from semcache.errors import EmbeddingError
from semcache.stores.base import Caps
from semcache.stores.limits import ALIASES_PER_ENTRY
from semcache.stores.postings import IDF_LAG, LIST_CAP, average_idf
from semcache.stores.sqlite.schema import texts_from_column, texts_to_column, to_column

# Rows named in one statement; SQLite before 3.32 takes no more than 999 variables.
BATCH = 512

# Least recently used entries looked at in one go when a large answer needs much room.
EVICT_STEP = 64

# Entries up to which the mean IDF is taken inside the write (3 ms); in a larger scope that would
# hold up other writers (0.5 s for a million words), so it is taken in the background.
IDF_INLINE = 1024


_PLACE = (
    "SELECT s.scope_id, f.fingerprint_id, p.part_id, f.dimension FROM scopes s "
    "JOIN fingerprints f ON f.name = ?2 "
    "JOIN partitions p ON p.scope_id = s.scope_id AND p.fingerprint_id = f.fingerprint_id "
    "WHERE s.digest = ?1"
)


@dataclass
class _ScopeChange:
    documents: int = 0
    length: int = 0
    changes: int = 0


@dataclass
class Change:
    """One transaction on ``db``, which must be in one. Call ``finish`` last.

    Attributes:
        removed: part number → sequence numbers whose vectors are gone.
        part_vectors: after ``finish``, how many vectors a touched partition has.
        stale_scopes: after ``finish``, whose mean IDF should be taken anew.
    """

    db: sqlite3.Connection
    removed: dict[int, list[int]] = field(default_factory=lambda: defaultdict(list))
    part_vectors: dict[int, int] = field(default_factory=dict)
    stale_scopes: list[int] = field(default_factory=list)
    _scopes: dict[int, _ScopeChange] = field(default_factory=lambda: defaultdict(_ScopeChange))
    _parts: Counter[int] = field(default_factory=Counter)
    _totals: Counter[str] = field(default_factory=Counter)
    _tick: int | None = None

    def tick(self) -> int:
        """The next number of the store's one counter."""
        if self._tick is None:
            self._tick = self.db.execute("SELECT tick FROM totals").fetchone()[0]
        self._tick += 1
        return self._tick

    # In --------------------------------------------------------------------------------------

    def insert(
        self, entry: Entry, size: int, vector: bytes | None, dimension: int, terms: Sequence[str]
    ) -> None:
        """Add the entry; there must be none of its id."""
        db = self.db
        scope_id, fingerprint_id, part_id = self._place(entry, vector is not None, dimension)
        seq = self.tick()
        usage = entry.usage
        db.execute(
            "INSERT INTO entries VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)",
            (
                seq, entry.id, scope_id, entry.scope, part_id, fingerprint_id,
                entry.created, entry.expires, entry.quarantined, entry.source,
                to_column(entry.namespace), to_column(entry.tenant),
                texts_to_column(entry.tags) if entry.tags else None, to_column(entry.model),
                None if usage is None else usage.input_tokens,
                None if usage is None else usage.output_tokens,
                entry.cost, entry.seconds, size, texts_to_column(terms),
                to_column(entry.query), entry.answer,
            ),
        )  # fmt: skip
        db.execute("INSERT INTO uses VALUES (?, ?, ?)", (seq, seq, entry.hits))
        if part_id is not None:
            db.execute("INSERT INTO vectors VALUES (?, ?, ?)", (seq, part_id, vector))
            self._parts[part_id] += 1
            self._totals["vectors"] += 1
        if entry.tags:
            db.executemany(
                "INSERT OR IGNORE INTO tags VALUES (?, ?)",
                [(to_column(tag), seq) for tag in entry.tags],
            )
        self._count_terms(scope_id, seq, terms)
        scope = self._scopes[scope_id]
        scope.documents += 1
        scope.length += len(terms)
        scope.changes += 1
        self._totals["entries"] += 1
        self._totals["bytes"] += size

    def _place(
        self, entry: Entry, has_vector: bool, dimension: int
    ) -> tuple[int, int | None, int | None]:
        """The numbers of its scope, fingerprint and partition; they are made where missing."""
        row = self.db.execute(_PLACE, (entry.scope, to_column(entry.fingerprint))).fetchone()
        if row is not None and has_vector and row[2] is not None and row[3] == dimension:
            # As for nearly every entry.
            return row[:3]  # type: ignore[no-any-return]
        scope_id = self._scope(entry.scope)
        fingerprint_id = part_id = None
        if entry.fingerprint is not None:
            fingerprint_id = self._fingerprint(entry.fingerprint, dimension)
            if has_vector:
                part_id = self._part(scope_id, fingerprint_id)
        return scope_id, fingerprint_id, part_id

    def _scope(self, digest: str) -> int:
        row = self.db.execute("SELECT scope_id FROM scopes WHERE digest = ?", (digest,)).fetchone()
        if row is not None:
            return int(row[0])
        scope_id = self.tick()
        self.db.execute("INSERT INTO scopes VALUES (?, ?, 0, 0, 0, 0)", (scope_id, digest))
        return scope_id

    def _fingerprint(self, name: str, dimension: int) -> int:
        row = self.db.execute(
            "SELECT fingerprint_id, dimension FROM fingerprints WHERE name = ?", (to_column(name),)
        ).fetchone()
        if row is None:
            fingerprint_id = self.tick()
            self.db.execute(
                "INSERT INTO fingerprints VALUES (?, ?, ?)",
                (fingerprint_id, to_column(name), dimension),
            )
            return fingerprint_id
        if dimension and row[1] != dimension:
            used = self.db.execute(
                "SELECT 1 FROM partitions WHERE fingerprint_id = ? AND vectors > 0 LIMIT 1",
                (row[0],),
            ).fetchone()
            if used and row[1]:
                raise EmbeddingError(
                    f"a vector has {dimension} numbers where this store has {row[1]} under the "
                    "same fingerprint; an embedder that changed needs another fingerprint"
                )
            self.db.execute(
                "UPDATE fingerprints SET dimension = ? WHERE fingerprint_id = ?",
                (dimension, row[0]),
            )
        return int(row[0])

    def _part(self, scope_id: int, fingerprint_id: int) -> int:
        row = self.db.execute(
            "SELECT part_id FROM partitions WHERE scope_id = ? AND fingerprint_id = ?",
            (scope_id, fingerprint_id),
        ).fetchone()
        if row is not None:
            return int(row[0])
        part_id = self.tick()
        self.db.execute(
            "INSERT INTO partitions VALUES (?, ?, ?, 0, NULL, NULL, NULL, NULL)",
            (part_id, scope_id, fingerprint_id),
        )
        return part_id

    def _count_terms(self, scope_id: int, seq: int, terms: Iterable[str]) -> None:
        columns = list(dict.fromkeys(to_column(term) for term in terms))
        known: dict[Any, tuple[int, int]] = {}
        for batch in batches(columns):
            known.update(
                (term, (df, listed))
                for term, df, listed in self.db.execute(
                    "SELECT term, df, listed FROM terms "
                    f"WHERE scope_id = ? AND term IN ({marks(batch)})",
                    (scope_id, *padded(batch)),
                )
            )
        fresh = [(scope_id, term) for term in columns if term not in known]
        if fresh:
            self.db.executemany("INSERT INTO terms VALUES (?, ?, 1, 1)", fresh)
        if known:
            self.db.executemany(
                "UPDATE terms SET df = df + 1 WHERE scope_id = ? AND term = ?",
                [(scope_id, term) for term in known],
            )
        common = [term for term, (df, listed) in known.items() if listed and df >= LIST_CAP]
        for term in common:
            # No longer rare. Its list is never followed again, so it need not be kept; ``relist``
            # brings it back if most of its entries go.
            self.db.execute(
                "UPDATE terms SET listed = 0 WHERE scope_id = ? AND term = ?", (scope_id, term)
            )
            self.db.execute(
                "DELETE FROM postings WHERE scope_id = ? AND term = ?", (scope_id, term)
            )
        self.db.executemany(
            "INSERT INTO postings VALUES (?, ?, ?)",
            [
                (scope_id, term, seq)
                for term in columns
                if term not in known or (known[term][1] and known[term][0] < LIST_CAP)
            ],
        )

    # Out -------------------------------------------------------------------------------------

    def remove(self, seqs: Sequence[int], *, keep_aliases: bool = False) -> int:
        """Remove entries with all that belongs to them; returns how many there were."""
        return sum(self._remove_batch(batch, keep_aliases) for batch in batches(seqs))

    def _remove_batch(self, seqs: Sequence[int], keep_aliases: bool) -> int:
        db = self.db
        where, values = f"seq IN ({marks(seqs)})", padded(seqs)
        rows = db.execute(
            f"SELECT seq, id, scope_id, part_id, size, tags, terms FROM entries WHERE {where}",
            values,
        ).fetchall()
        if not rows:
            return 0
        frequencies: Counter[tuple[int, Any]] = Counter()
        postings: list[tuple[int, Any, int]] = []
        tags: list[tuple[Any, int]] = []
        for seq, _, scope_id, part_id, size, tag_column, term_column in rows:
            terms = texts_from_column(term_column)
            for term in set(terms):
                frequencies[scope_id, to_column(term)] += 1
                postings.append((scope_id, to_column(term), seq))
            tags += [(to_column(tag), seq) for tag in texts_from_column(tag_column)]
            scope = self._scopes[scope_id]
            scope.documents -= 1
            scope.length -= len(terms)
            scope.changes += 1
            self._totals["entries"] -= 1
            self._totals["bytes"] -= size
            if part_id is not None:
                self._parts[part_id] -= 1
                self._totals["vectors"] -= 1
                self.removed[part_id].append(seq)
        if not keep_aliases:
            for row in rows:
                self.remove_aliases_of(row[1])
        for table in ("entries", "uses", "vectors"):
            db.execute(f"DELETE FROM {table} WHERE {where}", values)
        if tags:
            db.executemany("DELETE FROM tags WHERE tag = ? AND seq = ?", tags)
        db.executemany("DELETE FROM postings WHERE scope_id = ? AND term = ? AND seq = ?", postings)
        db.executemany(
            "UPDATE terms SET df = df - ? WHERE scope_id = ? AND term = ?",
            [(count, scope_id, term) for (scope_id, term), count in frequencies.items()],
        )
        db.executemany(
            "DELETE FROM terms WHERE scope_id = ? AND term = ? AND df <= 0", list(frequencies)
        )
        return len(rows)

    def alias(self, id: str, target: str) -> None:
        """Point ``id`` at the entry ``target``."""
        self.unalias(id)
        self.db.execute("INSERT INTO aliases VALUES (?, ?)", (id, target))
        self._totals["aliases"] += 1
        many = self.db.execute(
            "SELECT rowid FROM aliases WHERE target = ? ORDER BY rowid DESC LIMIT -1 OFFSET ?",
            (target, ALIASES_PER_ENTRY),
        ).fetchall()
        for (row,) in many:
            self.db.execute("DELETE FROM aliases WHERE rowid = ?", (row,))
            self._totals["aliases"] -= 1

    def unalias(self, id: str) -> None:
        self._totals["aliases"] -= self.db.execute(
            "DELETE FROM aliases WHERE id = ?", (id,)
        ).rowcount

    def remove_aliases_of(self, target: str) -> None:
        self._totals["aliases"] -= self.db.execute(
            "DELETE FROM aliases WHERE target = ?", (target,)
        ).rowcount

    def remove_expired(self, now: float, limit: int) -> int:
        """Remove up to ``limit`` entries that have expired at ``now``."""
        rows = self.db.execute(
            "SELECT seq FROM entries WHERE expires <= ? ORDER BY expires LIMIT ?", (now, limit)
        ).fetchall()
        return self.remove([seq for (seq,) in rows]) if rows else 0

    def evict(self, caps: Caps, newest: int) -> None:
        """Remove the least recently used entries, never ``newest``, until the caps hold."""
        if caps.entries is None and caps.bytes is None:
            return
        entries, size = self.db.execute("SELECT entries, bytes FROM totals").fetchone()
        entries += self._totals["entries"]
        size += self._totals["bytes"]
        while (caps.entries is not None and entries > caps.entries) or (
            caps.bytes is not None and size > caps.bytes
        ):
            doomed: list[int] = []
            for seq, its_size in self.db.execute(
                "SELECT u.seq, e.size FROM uses u JOIN entries e ON e.seq = u.seq "
                "WHERE u.seq <> ? ORDER BY u.tick LIMIT ?",
                (newest, EVICT_STEP),
            ):
                if (caps.entries is None or entries <= caps.entries) and (
                    caps.bytes is None or size <= caps.bytes
                ):
                    break
                doomed.append(seq)
                entries -= 1
                size -= its_size
            if not doomed:
                return
            self.remove(doomed)

    @property
    def newest(self) -> int:
        """The last number that ``tick`` gave."""
        return self._tick or 0

    # Counters --------------------------------------------------------------------------------

    def finish(self) -> None:
        """Write the counters; nothing may be changed after it."""
        db = self.db
        for part_id, vectors in self._parts.items():
            row = db.execute(
                "UPDATE partitions SET vectors = vectors + ? WHERE part_id = ? RETURNING vectors",
                (vectors, part_id),
            ).fetchone()
            self.part_vectors[part_id] = row[0]
            if row[0] == 0:
                db.execute("DELETE FROM partitions WHERE part_id = ?", (part_id,))
        for scope_id, scope in self._scopes.items():
            self._finish_scope(scope_id, scope)
        totals = self._totals
        if self._tick is not None or any(totals.values()):
            db.execute(
                "UPDATE totals SET tick = MAX(tick, ?), entries = entries + ?, bytes = bytes + ?, "
                "aliases = aliases + ?, vectors = vectors + ?",
                (
                    self._tick or 0,
                    totals["entries"],
                    totals["bytes"],
                    totals["aliases"],
                    totals["vectors"],
                ),
            )

    def _finish_scope(self, scope_id: int, scope: _ScopeChange) -> None:
        documents, changes = self.db.execute(
            "UPDATE scopes SET documents = documents + ?, length = length + ?, "
            "changes = changes + ? WHERE scope_id = ? RETURNING documents, changes",
            (scope.documents, scope.length, scope.changes, scope_id),
        ).fetchone()
        if documents == 0:
            self.db.execute("DELETE FROM scopes WHERE scope_id = ?", (scope_id,))
        elif changes * IDF_LAG > documents:
            if documents > IDF_INLINE:
                self.stale_scopes.append(scope_id)
            else:
                set_average_idf(self.db, scope_id, *terms_by_df(self.db, scope_id))

    def relist(self, budget: int) -> int:
        """Give terms that became rare again their posting lists back; how many terms that were.

        Reads the terms of every entry of the scopes concerned; meant for ``vacuum``.
        """
        waiting: dict[int, set[Any]] = defaultdict(set)
        for scope_id, term in self.db.execute(
            "SELECT scope_id, term FROM terms WHERE NOT listed AND df <= ? LIMIT ?",
            (LIST_CAP // 2, budget),
        ):
            waiting[scope_id].add(term)
        for scope_id, terms in waiting.items():
            rows = self.db.execute("SELECT seq, terms FROM entries WHERE scope_id = ?", (scope_id,))
            listed = [
                (scope_id, to_column(term), seq)
                for seq, column in rows
                for term in set(texts_from_column(column))
                if to_column(term) in terms
            ]
            self.db.executemany("INSERT OR IGNORE INTO postings VALUES (?, ?, ?)", listed)
            self.db.executemany(
                "UPDATE terms SET listed = 1 WHERE scope_id = ? AND term = ?",
                [(scope_id, term) for term in terms],
            )
        return sum(map(len, waiting.values()))


def terms_by_df(db: sqlite3.Connection, scope_id: int) -> tuple[int, list[tuple[int, int]]]:
    """The number of entries of a scope, and how many of its terms have which frequency."""
    row = db.execute("SELECT documents FROM scopes WHERE scope_id = ?", (scope_id,)).fetchone()
    by_df = db.execute(
        "SELECT df, COUNT(*) FROM terms WHERE scope_id = ? GROUP BY df", (scope_id,)
    ).fetchall()
    return 0 if row is None else row[0], by_df


def set_average_idf(
    db: sqlite3.Connection, scope_id: int, documents: int, by_df: list[tuple[int, int]]
) -> None:
    """Write down the mean IDF for what ``terms_by_df`` returned."""
    db.execute(
        "UPDATE scopes SET average_idf = ?, changes = 0 WHERE scope_id = ?",
        (average_idf(documents, by_df), scope_id),
    )


def batches(items: Sequence[Any]) -> Iterable[Sequence[Any]]:
    """``items`` in pieces that fit one statement."""
    for start in range(0, len(items), BATCH):
        yield items[start : start + BATCH]


def _width(count: int) -> int:
    return max(8, 1 << (count - 1).bit_length())


def marks(values: Sequence[Any]) -> str:
    """Question marks for ``padded(values)``: powers of two, so that few statements are prepared."""
    return ",".join("?" * _width(len(values)))


def padded(values: Sequence[Any]) -> tuple[Any, ...]:
    """``values`` and as many NULLs, which equal nothing, as ``marks`` has room for."""
    return (*values, *(None,) * (_width(len(values)) - len(values)))
