"""The ``Store`` on one SQLite file."""

from __future__ import annotations

import logging
import math
import secrets
import sqlite3
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from semcache.candidates import SearchResult
from semcache.entry import Entry
from semcache.errors import ConfigurationError, EmbeddingError, StoreError
from semcache.stores.background import Background
from semcache.stores.base import BaseStore, Caps, Selection, StoreStats
from semcache.stores.limits import EXPIRED_PER_PUT, LEASE_SKEW_S
from semcache.stores.sqlite.change import (
    Change,
    marks,
    padded,
    set_average_idf,
    terms_by_df,
)
from semcache.stores.sqlite.connections import DEFAULT_WAIT_S, LEASE_PATIENCE, Connections
from semcache.stores.sqlite.schema import (
    ENTRY_COLUMNS,
    ENTRY_WIDTH,
    INDEX_FOR_EVICTION,
    entry_of,
    from_column,
    texts_from_column,
    to_column,
)
from semcache.stores.sqlite.search import Counts, Rows, Search
from semcache.stores.sqlite.vectors import Vectors, matrix, to_blob

if TYPE_CHECKING:
    from semcache.stores.base import Vector

_log = logging.getLogger(__name__)

# Hits counted in memory before they are written; a process that is killed loses this many counts.
TOUCHES_PENDING = 256
TOUCHES_KEPT = 16 * TOUCHES_PENDING

# Entries removed in one transaction, so that other writers get their turn (~60 ms).
REMOVE_STEP = 1024

# Writes between two looks at the size of the log (~3 us).
LOOK_AT_LOG_EVERY = 32

# Writes between two looks for leases that ended by themselves.
SWEEP_LEASES_EVERY = 16

# Pages given back to the file system in one go (4 MiB).
VACUUM_STEP = 1024

_GET = (
    f"SELECT {ENTRY_COLUMNS.format(answer='e.answer')} "
    "FROM entries e JOIN uses u ON u.seq = e.seq "
    "WHERE e.id = COALESCE((SELECT target FROM aliases WHERE id = ?1), ?1)"
)


class SqliteStore(BaseStore):
    """Entries in one SQLite file that several processes may share.

    Acknowledged means durable: what ``put`` returned from survives the death of the process
    (kill -9). A power failure may lose the last moments; it does not corrupt the file. Hits are
    counted in memory first and written with the next ``put``.

    An entry that expired is gone for every reader at once; it is removed by later writes and by
    ``vacuum``. One that could not be kept within ``caps.bytes`` even alone is not kept.

    Args:
        path: the database file; it and its folder are made if missing, readable by the owner only.
        caps: what it may hold; the least recently used entries beyond it go.
        timeout: seconds that a read waits for a busy file; a write waits 40 times as long, a lease
            4 times. Then ``StoreUnavailable``.

    Raises:
        ConfigurationError: the path cannot name a file.
        StoreError: the file cannot be opened, is corrupt, another program's, or of a newer version.

    >>> import tempfile, pathlib
    >>> folder = tempfile.TemporaryDirectory()
    >>> store = SqliteStore(str(pathlib.Path(folder.name) / "cache.db"))
    >>> store.put(Entry("a" * 32, "b" * 32, "hi?", b"hello", created=1.0), None, ["hi"])
    >>> store.get("a" * 32, now=2.0).answer
    b'hello'
    >>> store.close(); folder.cleanup()
    """

    def __init__(
        self, path: str, caps: Caps | None = None, *, timeout: float = DEFAULT_WAIT_S
    ) -> None:
        self._caps = caps or Caps()
        self._connections = Connections(path, timeout)
        self.url = f"sqlite:///{self._connections.path}"
        self._vectors = Vectors(self._connections)
        self._background = Background(self._run_soon)
        self._touching = threading.Lock()
        self._touches: dict[str, int] = {}
        self._fingerprints: dict[int, str] = {}
        self._rows = Rows()
        self._counts: dict[int, Counts] = {}
        self._now = -math.inf
        self._writes = 0
        if self._caps != Caps():
            with self._connections.writing() as db:
                db.execute(INDEX_FOR_EVICTION)
        self._connections.pause.append(self._background.step.acquire)
        self._connections.freeze.append(self._touching.acquire)
        self._connections.resume.append(self._after_fork)

    # The secret ------------------------------------------------------------------------------

    def secret(self) -> bytes:
        """The secret that was made with the file; at least 16 bytes."""
        row = self._read("SELECT value FROM meta WHERE name = 'secret'")
        return bytes(row[0][0])

    def adopt_secret(self, secret: bytes) -> None:
        """Replace the secret.

        Raises:
            StoreError: the store has entries, which could never be found again.
        """
        with self._connections.writing() as db:
            if db.execute("SELECT entries FROM totals").fetchone()[0]:
                raise StoreError(
                    f"{self.url} has entries under its own secret; import into an empty cache"
                )
            db.execute("UPDATE meta SET value = ? WHERE name = 'secret'", (bytes(secret),))

    # Reading ---------------------------------------------------------------------------------

    def get(self, id: str, now: float) -> Entry | None:
        """The live entry of that id or of the alias of that id, with its answer."""
        self._now = now
        connections = self._connections
        db = connections.borrow()
        try:
            row = db.execute(_GET, (id,)).fetchone()
        except sqlite3.Error as error:
            raise connections.translate(error) from error
        finally:
            connections.give(db)
        if row is None:
            return None
        entry = entry_of(row, self._fingerprint(row[14]), self._touches.get(row[0], 0))
        return entry if entry.is_live(now) else None

    def _fingerprint(self, fingerprint_id: int | None) -> str | None:
        if fingerprint_id is None:
            return None
        name = self._fingerprints.get(fingerprint_id)
        if name is None:
            rows = self._read(
                "SELECT name FROM fingerprints WHERE fingerprint_id = ?", (fingerprint_id,)
            )
            name = self._fingerprints[fingerprint_id] = from_column(rows[0][0])
        return name

    def _read(self, sql: str, values: Sequence[Any] = ()) -> list[Any]:
        db = self._connections.take()
        try:
            return db.execute(sql, values).fetchall()
        except sqlite3.Error as error:
            raise self._connections.translate(error) from error
        finally:
            self._connections.give(db)

    def search(
        self,
        scope: str,
        fingerprint: str,
        vector: Vector | None,
        terms: Sequence[str],
        k: int,
        now: float,
    ) -> SearchResult:
        """Up to ``k`` nearest entries by cosine and up to ``k`` by rare terms, of this scope only.

        While a large index is being prepared after a start (or after a great many puts), there may
        be fewer by cosine; ``settle`` waits for it.

        Raises:
            EmbeddingError: the vector holds NaN or infinity, or has another dimension than those
                stored under this fingerprint.
            StoreError: the file cannot be read.
        """
        self._now = now
        if vector is not None:
            from semcache.stores.vector_index import checked

            vector = checked(vector)
        return Search(self, scope, fingerprint, vector, terms, k, now).run()

    # Writing ---------------------------------------------------------------------------------

    def put(self, entry: Entry, vector: Vector | None, terms: Sequence[str]) -> None:
        """Insert or replace the entry (and any alias of its id); durable on return.

        Aliases of an entry that is replaced while it lives stay.

        Raises:
            EmbeddingError: the vector holds NaN or infinity, is not one-dimensional, or has another
                dimension than those stored under the same fingerprint. Nothing was changed.
            StoreError: the disk is full or cannot be written. Nothing was changed.
        """
        if entry.answer is None:
            raise ConfigurationError(f"entry {entry.id} has no answer; there is nothing to store")
        blob = None
        if vector is not None:
            from semcache.stores.vector_index import checked

            if entry.fingerprint is None:
                raise EmbeddingError(
                    f"entry {entry.id} has a vector but no fingerprint that says whose it is"
                )
            blob = to_blob(checked(vector))
        query_size = len(entry.query.encode("utf-8", "surrogatepass"))
        size = query_size + len(entry.answer)
        fits = self._caps.bytes is None or size <= self._caps.bytes
        with self._changing() as change:
            db = change.db
            change.unalias(entry.id)
            old = db.execute(
                "SELECT seq, expires, quarantined FROM entries WHERE id = ?", (entry.id,)
            ).fetchone()
            if old is not None:
                lived = old[1] is None or entry.created < old[1]
                if lived and old[2]:
                    entry = replace(entry, quarantined=True)
                change.remove([old[0]], keep_aliases=lived and fits)
            if fits:
                change.insert(entry, size, blob, len(blob) // 4 if blob else 0, terms)
            newest = change.newest
            if self._now > -math.inf:
                change.remove_expired(self._now, EXPIRED_PER_PUT)
            change.evict(self._caps, newest)
        if not fits:
            _log.warning("an answer of %d bytes is larger than max_bytes and was not kept", size)

    def alias(self, id: str, target: str, scope: str) -> None:
        """Make ``get(id)`` return the entry ``target`` of the same scope while that one lives.

        Does nothing where ``id`` is an entry, or ``target`` is not one of that scope or is
        quarantined. An entry keeps its newest 256 aliases.
        """
        with self._changing() as change:
            db = change.db
            found = db.execute(
                "SELECT 1 FROM entries WHERE id = ? AND scope = ? AND NOT quarantined",
                (target, scope),
            ).fetchone()
            own = db.execute("SELECT seq, expires FROM entries WHERE id = ?", (id,)).fetchone()
            if found is None or id == target:
                return
            if own is not None:
                if own[1] is None or self._now < own[1]:
                    return
                # Expired, only not removed yet.
                change.remove([own[0]])
            change.alias(id, target)

    def unalias(self, id: str) -> None:
        """Remove the alias ``id``, if there is one; the entry it points to stays."""
        with self._changing() as change:
            change.unalias(id)

    def quarantine(self, id: str) -> None:
        """Never find this entry by ``search`` again, and remove its aliases."""
        with self._changing() as change:
            change.db.execute("UPDATE entries SET quarantined = 1 WHERE id = ?", (id,))
            change.remove_aliases_of(id)

    def touch(self, id: str, now: float) -> None:
        """Count a hit and make the entry the most recently used; written with a later write."""
        self._now = now
        with self._touching:
            hits = self._touches.pop(id, 0)
            self._touches[id] = hits + 1
            pending = len(self._touches)
            if pending > TOUCHES_KEPT:
                # Nothing could be written for long; counts are not worth memory without end.
                del self._touches[next(iter(self._touches))]
        if not hits and pending % TOUCHES_PENDING == 0:
            self._background.ask("touches")

    def _run_soon(self, task: str | int) -> None:
        with self._background.step:
            if task == "touches":
                with self._changing():
                    pass
            elif task == "checkpoint":
                self._connections.checkpoint()
            elif isinstance(task, int):
                with self._connections.reading() as db:
                    counted = terms_by_df(db, task)
                with self._connections.writing() as db:
                    set_average_idf(db, task, *counted)

    def _write_touches(self, change: Change) -> dict[str, int]:
        with self._touching:
            touches = dict(self._touches)
        if touches:
            change.db.executemany(
                "UPDATE uses SET hits = hits + ?, tick = ? "
                "WHERE seq = (SELECT seq FROM entries WHERE id = ?)",
                [(hits, change.tick(), id) for id, hits in touches.items()],
            )
        return touches

    def _forget_touches(self, written: Mapping[str, int]) -> None:
        with self._touching:
            for id, hits in written.items():
                left = self._touches.get(id, 0) - hits
                if left > 0:
                    self._touches[id] = left
                else:
                    self._touches.pop(id, None)

    def _after_write(self, change: Change) -> None:
        self._vectors.after_write(change.removed, change.part_vectors)
        for scope_id in change.stale_scopes:
            self._background.ask(scope_id)
        self._writes += 1
        if self._writes % LOOK_AT_LOG_EVERY == 0 and self._connections.log_is_long:
            self._background.ask("checkpoint")

    def _changing(self) -> _Changing:
        return _Changing(self)

    def invalidate(self, selection: Selection) -> int:
        """Remove what the selection means, with aliases; returns the number of entries removed.

        A selection by tags or scope uses an index; by namespace or tenant alone it reads every
        entry's row (about a second for a million).
        """
        if selection == Selection(everything=True):
            return self._clear()
        where, values = _condition(selection)
        if not where:
            return 0
        return self._remove_where(where, values)

    def _remove_where(self, where: str, values: Sequence[Any]) -> int:
        # Bounded by what is there now: puts of others must not keep it going forever.
        (last,) = self._read("SELECT tick FROM totals")[0]
        removed = after = 0
        while True:
            with self._changing() as change:
                seqs = [
                    seq
                    for (seq,) in change.db.execute(
                        "SELECT e.seq FROM entries e "
                        f"WHERE ({where}) AND e.seq > ? AND e.seq <= ? ORDER BY e.seq LIMIT ?",
                        (*values, after, last, REMOVE_STEP),
                    )
                ]
                removed += change.remove(seqs)
            if len(seqs) < REMOVE_STEP:
                return removed
            after = seqs[-1]

    def _clear(self) -> int:
        with self._connections.writing() as db:
            removed = db.execute("SELECT entries FROM totals").fetchone()[0]
            for table in (
                "entries", "uses", "vectors", "tags", "terms", "postings", "aliases", "scopes",
                "partitions",
            ):  # fmt: skip
                db.execute(f"DELETE FROM {table}")
            db.execute("UPDATE totals SET entries = 0, bytes = 0, aliases = 0, vectors = 0")
        self._vectors.forget_all()
        self._vectors.sweep()
        return int(removed)

    # Leases ----------------------------------------------------------------------------------

    def lease(self, id: str, ttl: float, now: float) -> str | None:
        """Take the right to call upstream for ``id`` for ``ttl`` seconds; ``None`` if it is taken.

        A lease that would last longer than it was made for was taken before the clock stepped
        back; it counts as expired.
        """
        token = secrets.token_hex(16)
        with self._connections.writing(LEASE_PATIENCE) as db:
            taken = db.execute(
                "INSERT INTO leases VALUES (?1, ?2, ?3 + ?4, ?4) ON CONFLICT DO UPDATE "
                "SET token = ?2, expires = ?3 + ?4, ttl = ?4 "
                "WHERE NOT (expires > ?3 AND expires <= ?3 + ttl + ?5)",
                (id, token, now, ttl, LEASE_SKEW_S),
            ).rowcount
            # What nobody gave back, because it was killed.
            if self._writes % SWEEP_LEASES_EVERY == 0:
                db.execute("DELETE FROM leases WHERE expires <= ?", (now,))
        return token if taken else None

    def renew(self, id: str, token: str, ttl: float, now: float) -> bool:
        """Extend a lease that ``token`` still holds; ``False`` where it was lost."""
        with self._connections.writing(LEASE_PATIENCE) as db:
            changed = db.execute(
                "UPDATE leases SET expires = ?, ttl = ? "
                "WHERE id = ? AND token = ? AND expires > ? AND expires <= ? + ttl",
                (now + ttl, ttl, id, token, now, now + LEASE_SKEW_S),
            ).rowcount
        return changed > 0

    def release(self, id: str, token: str) -> None:
        """Give a lease back; does nothing where ``token`` no longer holds it."""
        with self._connections.writing(LEASE_PATIENCE) as db:
            db.execute("DELETE FROM leases WHERE id = ? AND token = ?", (id, token))

    # Everything ------------------------------------------------------------------------------

    def iterate(self) -> Iterator[tuple[Entry, Vector | None, tuple[str, ...]]]:
        """Every entry with its answer, vector and terms, oldest first; expired ones too.

        Holds no lock and no transaction between two entries. One that is replaced meanwhile comes
        again, as it then is.
        """
        after = 0
        while seqs := self._read(
            "SELECT seq FROM entries WHERE seq > ? ORDER BY seq LIMIT 256", (after,)
        ):
            for (seq,) in seqs:
                rows = self._read(
                    f"SELECT {ENTRY_COLUMNS.format(answer='e.answer')}, e.terms, v.vector "
                    "FROM entries e JOIN uses u ON u.seq = e.seq "
                    "LEFT JOIN vectors v ON v.seq = e.seq WHERE e.seq = ?",
                    (seq,),
                )
                for row in rows:
                    entry = entry_of(row, self._fingerprint(row[14]), self._touches.get(row[0], 0))
                    blob = row[ENTRY_WIDTH + 1]
                    vector = None if blob is None else matrix([blob])[0].copy()
                    yield entry, vector, texts_from_column(row[ENTRY_WIDTH])
            after = seqs[-1][0]

    def stats(self, now: float) -> StoreStats:
        """Sizes at this moment; entries that expired count until they are removed."""
        (row,) = self._read(
            "SELECT entries, aliases, (SELECT COUNT(*) FROM scopes), bytes, vectors FROM totals"
        )
        entries, aliases, scopes, size, vectors = row
        path = self._connections.path
        detail: dict[str, Any] = {"path": str(path), **self._vectors.detail()}
        try:
            detail["file_bytes"] = path.stat().st_size
        except OSError:
            pass
        return StoreStats(self.url, entries, aliases, scopes, size, vectors, detail)

    def check(self) -> list[str]:
        """Problems found by looking at everything; reads the whole file."""
        from semcache.stores.sqlite.check import problems_of

        try:
            with self._connections.reading() as db:
                return problems_of(db) + self._vectors.check(db)
        except StoreError as error:
            if self._connections.closed:
                raise
            return [str(error)]

    def vacuum(self, now: float) -> int:
        """Remove expired entries and give space back; returns the number of entries removed."""
        removed = self._remove_where("e.expires <= ?", (now,))
        with self._changing() as change:
            change.relist(REMOVE_STEP)
            change.db.execute(
                "DELETE FROM leases WHERE expires <= ? OR expires > ? + ttl",
                (now, now + LEASE_SKEW_S),
            )
        self._vectors.sweep()
        free = math.inf
        while True:
            with self._connections.maintaining() as db:
                db.execute(f"PRAGMA incremental_vacuum({VACUUM_STEP})").fetchall()
                left = db.execute("PRAGMA freelist_count").fetchone()[0]
            if not left or left >= free:
                break
            free = left
        # While the background copies the log, this would do nothing.
        with self._background.step, self._connections.maintaining() as db:
            db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        return removed

    def settle(self, timeout: float = 60.0) -> bool:
        """Wait until the vector index is built as far as the entries go.

        Searches work meanwhile; this is for measuring, and for a warm start.

        Args:
            timeout: seconds.

        Returns:
            ``False`` if it takes longer.
        """
        return self._vectors.settle(timeout)

    # Life ------------------------------------------------------------------------------------

    def close(self) -> None:
        """Write pending hits, save the vector index and close the file; twice is fine."""
        if self._connections.closed:
            return
        self._background.stop()
        try:
            if self._touches:
                with self._changing():
                    pass
        except StoreError as error:
            _log.warning("the last hits were not counted: %s", error)
        self._vectors.close()
        self._connections.close()

    def _after_fork(self, in_child: bool) -> None:
        if in_child:
            # The parent writes them.
            self._touches.clear()
            self._background.after_fork_in_child()
        self._touching.release()
        self._background.step.release()


class _Changing:
    """A transaction with a ``Change``: touches first, counters last, then the index."""

    def __init__(self, store: SqliteStore) -> None:
        self._store = store
        self._transaction = store._connections.writing()

    def __enter__(self) -> Change:
        self._change = Change(self._transaction.__enter__())
        try:
            self._touches = self._store._write_touches(self._change)
        except BaseException as error:
            self._transaction.__exit__(type(error), error, error.__traceback__)
            raise
        return self._change

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        if error is None:
            try:
                self._change.finish()
            except BaseException as failure:
                self._transaction.__exit__(type(failure), failure, failure.__traceback__)
                raise
        self._transaction.__exit__(kind, error, trace)
        if error is None:
            self._store._forget_touches(self._touches)
            self._store._after_write(self._change)


def _condition(selection: Selection) -> tuple[str, list[Any]]:
    """The selection as SQL on ``entries e``; empty where it selects nothing."""
    parts: list[str] = []
    values: list[Any] = []
    if selection.ids is not None:
        # JSON, because a list of ids may be longer than SQLite's limit of variables.
        parts.append("e.id IN (SELECT value FROM json_each(?))")
        values.append(_json(selection.ids))
    if selection.scope is not None:
        parts.append("e.scope_id = (SELECT scope_id FROM scopes WHERE digest = ?)")
        values.append(selection.scope)
    if selection.tags is not None:
        tags = [to_column(tag) for tag in selection.tags]
        parts.append(f"e.seq IN (SELECT seq FROM tags WHERE tag IN ({marks(tags)}))")
        values += padded(tags)
    if selection.namespace is not None:
        parts.append("e.namespace = ?")
        values.append(to_column(selection.namespace))
    if selection.tenant is not None:
        parts.append("e.tenant = ?")
        values.append(to_column(selection.tenant))
    if selection.expired_at is not None:
        parts.append("e.expires <= ?")
        values.append(selection.expired_at)
    if selection.everything and not parts:
        parts.append("1")
    return " AND ".join(parts), values


def _json(ids: Sequence[str]) -> str:
    import json

    return json.dumps(list(ids))
