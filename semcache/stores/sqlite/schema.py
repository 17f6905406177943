"""What is in the file: tables, version, and how rows become values.

* One counter (``totals.tick``) gives every sequence number and every scope and partition number, so
  that none is ever used twice and "everything after ``seq``" is all that another process must ask.
* A ``put`` always gives a new ``seq``: a row of ``entries`` changes only in ``quarantined``.
  What changes on every hit is in ``uses``, because SQLite rewrites a whole row, answer included.
* The answer is the last column, so that reading the others does not read its pages.
* ``terms`` counts in how many entries of a scope a term occurs; ``postings`` lists them while the
  term is rare (``listed``). Entries count until they are removed, expired or not.
"""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from semcache.entry import Entry, Usage
from semcache.errors import StoreError
from semcache.stores.limits import SECRET_BYTES

APPLICATION_ID = 0x53454D43  # "SEMC"
SCHEMA_VERSION = 1

_TABLES = """
CREATE TABLE meta(name TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE totals(
    one INTEGER PRIMARY KEY CHECK (one = 1),
    tick INTEGER NOT NULL, entries INTEGER NOT NULL, bytes INTEGER NOT NULL,
    aliases INTEGER NOT NULL, vectors INTEGER NOT NULL);
CREATE TABLE scopes(
    scope_id INTEGER PRIMARY KEY, digest TEXT NOT NULL UNIQUE,
    documents INTEGER NOT NULL, length INTEGER NOT NULL,
    changes INTEGER NOT NULL, average_idf REAL NOT NULL);
CREATE TABLE fingerprints(
    fingerprint_id INTEGER PRIMARY KEY, name NOT NULL UNIQUE, dimension INTEGER NOT NULL);
CREATE TABLE partitions(
    part_id INTEGER PRIMARY KEY, scope_id INTEGER NOT NULL, fingerprint_id INTEGER NOT NULL,
    vectors INTEGER NOT NULL,
    file TEXT, file_last INTEGER, file_size INTEGER, file_crc INTEGER,
    UNIQUE (scope_id, fingerprint_id));
CREATE TABLE entries(
    seq INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE,
    scope_id INTEGER NOT NULL, scope TEXT NOT NULL, part_id INTEGER, fingerprint_id INTEGER,
    created REAL NOT NULL, expires REAL, quarantined INTEGER NOT NULL, source TEXT NOT NULL,
    namespace NOT NULL, tenant, tags TEXT, model, input_tokens INTEGER, output_tokens INTEGER,
    cost REAL, seconds REAL, size INTEGER NOT NULL, terms TEXT NOT NULL,
    query NOT NULL, answer BLOB NOT NULL);
CREATE INDEX entries_by_scope ON entries(scope_id);
CREATE INDEX entries_by_expiry ON entries(expires) WHERE expires IS NOT NULL;
CREATE TABLE uses(seq INTEGER PRIMARY KEY, tick INTEGER NOT NULL, hits INTEGER NOT NULL);
CREATE TABLE aliases(id TEXT PRIMARY KEY, target TEXT NOT NULL);
CREATE INDEX aliases_by_target ON aliases(target);
CREATE TABLE vectors(seq INTEGER PRIMARY KEY, part_id INTEGER NOT NULL, vector BLOB NOT NULL);
CREATE INDEX vectors_by_part ON vectors(part_id);
CREATE TABLE tags(tag NOT NULL, seq INTEGER NOT NULL, PRIMARY KEY (tag, seq)) WITHOUT ROWID;
CREATE TABLE terms(
    scope_id INTEGER NOT NULL, term NOT NULL, df INTEGER NOT NULL, listed INTEGER NOT NULL,
    PRIMARY KEY (scope_id, term)) WITHOUT ROWID;
CREATE TABLE postings(
    scope_id INTEGER NOT NULL, term NOT NULL, seq INTEGER NOT NULL,
    PRIMARY KEY (scope_id, term, seq)) WITHOUT ROWID;
CREATE TABLE leases(
    id TEXT PRIMARY KEY, token TEXT NOT NULL, expires REAL NOT NULL, ttl REAL NOT NULL)
    WITHOUT ROWID;
"""

# Made when a store is first opened with caps: without, nobody asks what was used least recently,
# and every put writes one page less.
INDEX_FOR_EVICTION = "CREATE INDEX IF NOT EXISTS uses_by_tick ON uses(tick)"

# Which fields of an entry a row holds, in this order; ``entry_of`` reads them back.
ENTRY_COLUMNS = (
    "e.id, e.scope, e.query, {answer}, e.created, e.expires, e.namespace, e.tenant, e.tags, "
    "e.model, e.input_tokens, e.output_tokens, e.cost, e.seconds, e.fingerprint_id, u.hits, "
    "e.source, e.quarantined"
)
ENTRY_WIDTH = 18


def prepare(db: sqlite3.Connection, path: str) -> None:
    """Make the tables of a new file, or check that an old one is ours and of this version.

    Never changes a file that is not known to be ours.

    Raises:
        StoreError: the database of another program, or of a newer semcache.
        sqlite3.Error: anything SQLite has to say.
    """
    application, version, tables = _identity(db)
    if application == 0 and version == 0 and tables == 0:
        # Several processes may find the new file at once; the first one in makes the tables.
        db.execute("PRAGMA auto_vacuum = INCREMENTAL")
        db.execute("PRAGMA journal_mode = WAL").fetchone()
        db.execute("BEGIN IMMEDIATE")
        try:
            if _identity(db) == (0, 0, 0):
                _create(db)
            db.execute("COMMIT")
        except BaseException:
            if db.in_transaction:
                db.execute("ROLLBACK")
            raise
        application, version, tables = _identity(db)
    if application != APPLICATION_ID:
        raise StoreError(
            f"{path} is an SQLite database of another program; nothing was changed. Give the cache "
            "a file of its own"
        )
    if version != SCHEMA_VERSION:
        raise StoreError(
            f"{path} has schema version {version}, this semcache reads version {SCHEMA_VERSION}; "
            "upgrade semcache, or give this one another file"
        )
    mode = db.execute("PRAGMA journal_mode = WAL").fetchone()[0]
    if mode != "wal":
        raise StoreError(
            f"{path} lies where SQLite cannot keep a write-ahead log (a network file system?); "
            "put the cache on a local disk"
        )


def _identity(db: sqlite3.Connection) -> tuple[int, int, int]:
    """Application, version and number of tables, as of one moment: others may just make them."""
    alone = not db.in_transaction
    if alone:
        db.execute("BEGIN")
    try:
        tables = db.execute("SELECT COUNT(*) FROM sqlite_master").fetchone()[0]
        application = db.execute("PRAGMA application_id").fetchone()[0]
        version = db.execute("PRAGMA user_version").fetchone()[0]
    finally:
        if alone and db.in_transaction:
            db.execute("COMMIT")
    return application, version, tables


def _create(db: sqlite3.Connection) -> None:
    for statement in _TABLES.split(";\n"):
        if statement.strip():
            db.execute(statement)
    db.execute("INSERT INTO totals VALUES (1, 0, 0, 0, 0, 0)")
    db.execute("INSERT INTO meta VALUES ('secret', ?)", (os.urandom(SECRET_BYTES),))
    db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    db.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")


def to_column(text: str | None) -> str | bytes | None:
    """Text as SQLite can hold it: a lone surrogate has no UTF-8, so such text becomes a BLOB."""
    if text is None or text.isascii():
        return text
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-8", "surrogatepass")
    return text


def from_column(value: str | bytes) -> str:
    """The text that ``to_column`` was given."""
    return value if type(value) is str else value.decode("utf-8", "surrogatepass")  # type: ignore[union-attr]


# json.dumps would make a new encoder each time.
_encode = json.JSONEncoder(separators=(",", ":")).encode


def texts_to_column(texts: Sequence[str]) -> str:
    """A sequence of texts in one ASCII column; surrogates and NUL are escaped."""
    return _encode(list(texts))


def texts_from_column(column: str | None) -> tuple[str, ...]:
    """The texts that ``texts_to_column`` was given.

    >>> texts_from_column(texts_to_column(["e-1", "", 'say "x","y"', "\\\\"]))
    ('e-1', '', 'say "x","y"', '\\\\')
    """
    if column is None or column == "[]":
        return ()
    if "\\" in column:
        return tuple(json.loads(column))
    # Nothing is escaped, so every quotation mark is one of ours: ten times as fast.
    return tuple(column[2:-2].split('","'))


# Few distinct ones, read with every exact hit: 2 us each to parse.
_tags_from_column = lru_cache(maxsize=1024)(texts_from_column)


def entry_of(row: Sequence[Any], fingerprint: str | None, more_hits: int = 0) -> Entry:
    """The entry of a row that begins with ``ENTRY_COLUMNS``."""
    (
        id, scope, query, answer, created, expires, namespace, tenant, tags, model,
        input_tokens, output_tokens, cost, seconds, _, hits, source, quarantined,
    ) = row[:ENTRY_WIDTH]  # fmt: skip
    return Entry(
        id,
        scope,
        query if type(query) is str else from_column(query),
        answer,
        created,
        expires,
        namespace if type(namespace) is str else from_column(namespace),
        tenant if tenant is None else from_column(tenant),
        () if tags is None else _tags_from_column(tags),
        model if model is None else from_column(model),
        None if input_tokens is None else Usage(input_tokens, output_tokens),
        cost,
        seconds,
        fingerprint,
        hits + more_hits,
        source,
        quarantined != 0,
    )
