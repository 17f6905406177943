"""Is the file as it should be? Counters against what they count, rows against their owners."""

from __future__ import annotations

import sqlite3
from collections import Counter
from typing import Any

from semcache.stores.sqlite.schema import texts_from_column, to_column

# Rows that belong to an entry which is not there, or that an entry should have and does not.
_STRAYS = {
    "usage rows without an entry": "uses WHERE seq NOT IN (SELECT seq FROM entries)",
    "entries without a usage row": "entries WHERE seq NOT IN (SELECT seq FROM uses)",
    "vectors without an entry": "vectors v WHERE seq NOT IN "
    "(SELECT seq FROM entries WHERE part_id = v.part_id)",
    "entries without their vector": "entries WHERE part_id NOTNULL "
    "AND seq NOT IN (SELECT seq FROM vectors)",
    "tags without an entry": "tags WHERE seq NOT IN (SELECT seq FROM entries)",
    "aliases without an entry": "aliases WHERE target NOT IN (SELECT id FROM entries)",
    "aliases that are also entries": "aliases WHERE id IN (SELECT id FROM entries)",
    "entries of an unknown scope": "entries WHERE scope_id NOT IN (SELECT scope_id FROM scopes)",
    "entries beyond the counter": "entries, totals WHERE seq > tick",
}

_TOTALS = {
    "entries": "SELECT COUNT(*) FROM entries",
    "bytes": "SELECT COALESCE(SUM(size), 0) FROM entries",
    "aliases": "SELECT COUNT(*) FROM aliases",
    "vectors": "SELECT COUNT(*) FROM vectors",
}


def problems_of(db: sqlite3.Connection) -> list[str]:
    """What is wrong in the database, in words; empty when all is well."""
    problems = [
        f"SQLite: {row[0]}" for row in db.execute("PRAGMA quick_check(20)") if row[0] != "ok"
    ]
    if problems:
        return problems
    for what, where in _STRAYS.items():
        if count := db.execute(f"SELECT COUNT(*) FROM {where}").fetchone()[0]:
            problems.append(f"{count} {what}")
    for column, sql in _TOTALS.items():
        counted = db.execute(sql).fetchone()[0]
        kept = db.execute(f"SELECT {column} FROM totals").fetchone()[0]
        if counted != kept:
            problems.append(f"the counter of {column} says {kept}, there are {counted}")
    return problems + _partition_problems(db) + _term_problems(db)


def _partition_problems(db: sqlite3.Connection) -> list[str]:
    wrong = db.execute(
        "SELECT COUNT(*) FROM partitions p WHERE vectors <> "
        "(SELECT COUNT(*) FROM vectors v WHERE v.part_id = p.part_id)"
    ).fetchone()[0]
    sizes = db.execute(
        "SELECT COUNT(*) FROM vectors v JOIN partitions p USING (part_id) "
        "JOIN fingerprints f USING (fingerprint_id) WHERE LENGTH(v.vector) <> 4 * f.dimension"
    ).fetchone()[0]
    problems = []
    if wrong:
        problems.append(f"{wrong} partitions with a wrong count of vectors")
    if sizes:
        problems.append(f"{sizes} vectors of a wrong length")
    return problems


def _term_problems(db: sqlite3.Connection) -> list[str]:
    """Document frequencies, lengths and postings against the terms that the entries hold."""
    frequencies: Counter[tuple[int, Any]] = Counter()
    documents: Counter[int] = Counter()
    lengths: Counter[int] = Counter()
    expected = 0
    listed = set(db.execute("SELECT scope_id, term FROM terms WHERE listed"))
    for scope_id, column in db.execute("SELECT scope_id, terms FROM entries"):
        terms = texts_from_column(column)
        documents[scope_id] += 1
        lengths[scope_id] += len(terms)
        for term in {to_column(term) for term in terms}:
            frequencies[scope_id, term] += 1
            expected += (scope_id, term) in listed
    problems = []
    kept = {
        (scope, term): df for scope, term, df in db.execute("SELECT scope_id, term, df FROM terms")
    }
    if kept != dict(frequencies):
        problems.append("the counts of terms are not those of the entries")
    scopes = {
        scope_id: (count, length)
        for scope_id, count, length in db.execute("SELECT scope_id, documents, length FROM scopes")
    }
    if scopes != {scope_id: (count, lengths[scope_id]) for scope_id, count in documents.items()}:
        problems.append("the counts of entries or words in a scope are wrong")
    stray = db.execute(
        "SELECT COUNT(*) FROM postings WHERE seq NOT IN (SELECT seq FROM entries)"
    ).fetchone()[0]
    if stray:
        problems.append(f"{stray} postings without an entry")
    there = db.execute("SELECT COUNT(*) FROM postings").fetchone()[0]
    if there != expected:
        problems.append(f"{there} postings where there should be {expected}")
    return problems
