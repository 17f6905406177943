"""How the file is reached: a few readers, one writer, and what happens when something fails.

WAL mode with ``synchronous=NORMAL``: a transaction that was committed survives the death of the
process at any moment (kill -9). A power failure may lose the last moments but never corrupts.

Readers do not wait for writers. A thousand threads share ``MAX_READERS`` connections; writers of
one process queue at a lock, those of several processes at SQLite's own.

A connection must not cross a fork: SQLite's locks belong to a process, and its bookkeeping of them
is copied along, so even a fresh connection in the child would trust locks that it does not have.
Hence everything is closed before the fork and opened again, when needed, on both sides.
"""

from __future__ import annotations

import contextlib
import logging
import os
import queue
import sqlite3
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path

from semcache.errors import ConfigurationError, StoreError, StoreUnavailable
from semcache.stores.sqlite.schema import prepare

_log = logging.getLogger(__name__)

# DESIGN promise 4: a store that cannot answer may delay a call by 50 ms.
DEFAULT_WAIT_S = 0.05

# A write may wait longer: its caller has the answer in hand, and giving up would lose it. A lease
# is asked for by a caller who has none yet, but without it two callers pay for the same answer.
WRITE_PATIENCE = 40
LEASE_PATIENCE = 4

# The first one with RETURNING.
OLDEST_SQLITE = (3, 35)

# Opening waits for other processes that are just making the file.
OPEN_WAIT_S = 2.0

# More would not read faster: Python's lock lets one thread at a time handle rows.
MAX_READERS = 8

# The log's size, in bytes, at which it is copied into the database in the background. A put writes
# 28 pages, so SQLite's default of 1,000 pages would have every 35th put wait for the disk.
CHECKPOINT_BYTES = 16 * 2**20

# Where the background does not keep up: pages (4 KiB) after which a commit does it after all.
CHECKPOINT_PAGES = 16_384

# KiB of pages that one connection remembers.
CACHE_KIB = 4096

# How long a fork waits for reads in other threads to end.
FORK_WAIT_S = 1.0

Closed = "this store is closed; open a new one"


class Connections:
    """The connections of one process to one database file.

    Args:
        path: the file; made with mode 0600 if there is none, as are missing folders (0700).
        wait: seconds that a read waits for a busy file; a write waits 40 times as long.

    Raises:
        ConfigurationError: the path cannot name a file.
        StoreError: it cannot be opened, is not a semcache database, or of a newer version.
    """

    def __init__(self, path: str, wait: float = DEFAULT_WAIT_S) -> None:
        if sqlite3.sqlite_version_info < OLDEST_SQLITE:
            raise ConfigurationError(
                f"this Python brings SQLite {sqlite3.sqlite_version}; the embedded store needs "
                f"{'.'.join(map(str, OLDEST_SQLITE))} or newer: use memory:// or a newer Python"
            )
        if "\0" in path:
            raise ConfigurationError("the path of a database must not hold a NUL byte")
        self.wait = wait
        self.path = Path(path).expanduser().absolute()
        self._log = self.path.with_name(self.path.name + "-wal")
        self._idle: queue.SimpleQueue[sqlite3.Connection] = queue.SimpleQueue()
        self._opening = threading.Lock()
        self._opened = 0
        self._writing = threading.Lock()
        self._writer: sqlite3.Connection | None = None
        # Somebody waits to write: reads shall leave the writer alone.
        self._wanted = False
        self._closed = False
        self._broken: str | None = None
        # Called before a fork: to stop what runs in the background, then, once all connections
        # are closed, to take the locks that the child must find in order. Afterwards both sides
        # undo it; the argument says whether this is the child.
        self.pause: list[Callable[[], object]] = []
        self.freeze: list[Callable[[], object]] = []
        self.resume: list[Callable[[bool], None]] = []
        with _translated(self.path):
            self._make_file()
            self._writer = self._open()
        _forkable.add(self)

    def _make_file(self) -> None:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            if not self.path.exists():
                os.close(os.open(self.path, os.O_CREAT | os.O_RDWR, 0o600))
            elif self.path.is_dir():
                raise StoreError(f"{self.path} is a folder; name a file in it")
        except OSError as error:
            raise StoreError(
                f"cannot make {self.path}: {error.strerror}; choose a folder that this process may "
                "write to"
            ) from error

    def _open(self) -> sqlite3.Connection:
        db = sqlite3.connect(
            self.path,
            timeout=OPEN_WAIT_S,
            isolation_level=None,
            check_same_thread=False,
            cached_statements=256,
        )
        try:
            deadline = time.monotonic() + OPEN_WAIT_S
            while True:
                try:
                    prepare(db, str(self.path))
                    break
                except sqlite3.OperationalError as error:
                    # The switch to WAL does not wait by itself when two processes make one file.
                    busy = _code(error) in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
                    if not busy or time.monotonic() > deadline:
                        raise
                    time.sleep(0.002)
            db.execute("PRAGMA synchronous = NORMAL")
            db.execute(f"PRAGMA wal_autocheckpoint = {CHECKPOINT_PAGES}")
            db.execute(f"PRAGMA cache_size = -{CACHE_KIB}")
            # What was deleted is overwritten where that costs no extra write.
            db.execute("PRAGMA secure_delete = FAST").fetchone()
            self._wait_up_to(db, self.wait)
        except BaseException:
            db.close()
            raise
        return db

    # Reading ---------------------------------------------------------------------------------

    def take(self) -> sqlite3.Connection:
        """A connection for reading; ``give`` it back.

        Raises:
            StoreUnavailable: all are in use for longer than ``wait``.
            StoreError: the store is closed, or the file cannot be opened.
        """
        try:
            return self._idle.get_nowait()
        except queue.Empty:
            return self._open_reader()

    def _open_reader(self) -> sqlite3.Connection:
        with self._opening:
            self._usable()
            if self._opened < MAX_READERS:
                with _translated(self.path):
                    db = self._open()
                    db.execute("PRAGMA query_only = 1")
                self._opened += 1
                return db
        try:
            return self._idle.get(timeout=self.wait)
        except queue.Empty:
            self._usable()
            raise StoreUnavailable(
                f"all {MAX_READERS} connections to {self.path} were busy for {self.wait} s"
            ) from None

    def give(self, db: sqlite3.Connection) -> None:
        """Take a connection back."""
        if db is self._writer:
            self._writing.release()
        elif self._closed:
            db.close()
        else:
            self._idle.put(db)

    def borrow(self) -> sqlite3.Connection:
        """A connection for a short read, the writer if it is free; ``give`` it back.

        A connection forgets all pages that it has read when another one has written. The writer
        keeps them, so that after a put a search need not read its pages anew.
        """
        if not self._wanted and self._writing.acquire(blocking=False):
            if self._writer is not None:
                return self._writer
            self._writing.release()
        return self.take()

    @contextlib.contextmanager
    def reading(self, *, short: bool = False) -> Iterator[sqlite3.Connection]:
        """One consistent view of the file, over several statements.

        Args:
            short: it takes less than a write does, so it may ``borrow`` the writer.
        """
        db = self.borrow() if short else self.take()
        try:
            with _translated(self.path):
                db.execute("BEGIN")
                try:
                    yield db
                finally:
                    if db.in_transaction:
                        db.execute("COMMIT")
        finally:
            self.give(db)

    # Writing ---------------------------------------------------------------------------------

    @contextlib.contextmanager
    def writing(self, patience: float = WRITE_PATIENCE) -> Iterator[sqlite3.Connection]:
        """One transaction: all of it, or on any exception nothing of it.

        Raises:
            StoreUnavailable: other writers did not finish within ``patience * wait`` seconds.
            StoreError: the store is closed; the disk is full, read-only, failing; the file corrupt.
        """
        deadline = time.monotonic() + patience * self.wait
        with self._as_writer(patience) as db:
            try:
                self._begin(db, deadline)
                yield db
                db.execute("COMMIT")
            except sqlite3.OperationalError as error:
                self._roll_back(db)
                if _code(error) not in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
                    # After a failed write SQLite may doubt its own state; a new connection reads
                    # the file as it is.
                    self._drop_writer()
                raise
            except BaseException:
                self._roll_back(db)
                raise

    def _begin(self, db: sqlite3.Connection, deadline: float) -> None:
        while True:
            try:
                db.execute("BEGIN IMMEDIATE")  # waits for ``wait`` seconds, as a read does
                return
            except sqlite3.OperationalError as error:
                busy = _code(error) in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
                if not busy or time.monotonic() > deadline:
                    raise

    def _roll_back(self, db: sqlite3.Connection) -> None:
        if db.in_transaction:
            with contextlib.suppress(sqlite3.Error):
                db.execute("ROLLBACK")

    @contextlib.contextmanager
    def maintaining(self) -> Iterator[sqlite3.Connection]:
        """The writer outside of a transaction, for statements that must not be in one."""
        with self._as_writer(WRITE_PATIENCE) as db:
            self._wait_up_to(db, WRITE_PATIENCE * self.wait)
            try:
                yield db
            finally:
                self._wait_up_to(db, self.wait)

    def _wait_up_to(self, db: sqlite3.Connection, seconds: float) -> None:
        db.execute(f"PRAGMA busy_timeout = {int(seconds * 1000)}")

    @contextlib.contextmanager
    def _as_writer(self, patience: float) -> Iterator[sqlite3.Connection]:
        if not self._writing.acquire(blocking=False):
            self._wanted = True
            seconds = patience * self.wait
            got = self._writing.acquire(timeout=seconds)
            self._wanted = False
            if not got:
                raise StoreUnavailable(f"{self.path} was busy for {seconds:g} s; try again later")
        try:
            self._usable()
            with _translated(self.path):
                if self._writer is None:
                    self._writer = self._open()
                yield self._writer
        finally:
            self._writing.release()

    @property
    def log_is_long(self) -> bool:
        """Whether the write-ahead log should be copied into the database."""
        try:
            return self._log.stat().st_size > CHECKPOINT_BYTES
        except OSError:
            return False

    def checkpoint(self) -> None:
        """Copy the log into the database, as far as readers and writers allow it just now."""
        db = self.take()
        try:
            with _translated(self.path):
                db.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
        finally:
            self.give(db)

    def translate(self, error: sqlite3.Error) -> StoreError:
        """The ``StoreError`` that says what ``error`` means and what to do."""
        return _translate(error, self.path)

    # Life ------------------------------------------------------------------------------------

    def _usable(self) -> None:
        if self._closed:
            raise StoreError(Closed)
        if self._broken:
            raise StoreError(self._broken)

    @property
    def closed(self) -> bool:
        return self._closed

    def close(self) -> None:
        """Close every connection; one in use is closed when it is given back."""
        with self._opening:
            self._closed = True
            while not self._idle.empty():
                with contextlib.suppress(queue.Empty, sqlite3.Error):
                    self._idle.get_nowait().close()
        with self._writing:
            self._drop_writer()
        _forkable.discard(self)

    def _drop_writer(self) -> None:
        if self._writer is not None:
            with contextlib.suppress(sqlite3.Error):
                self._writer.close()
        self._writer = None

    def _close_for_fork(self) -> None:
        for pause in self.pause:
            pause()
        self._opening.acquire()
        self._writing.acquire()
        deadline = time.monotonic() + FORK_WAIT_S
        while self._opened:
            try:
                db = self._idle.get(timeout=max(0.0, deadline - time.monotonic()))
            except queue.Empty:
                break
            self._opened -= 1
            with contextlib.suppress(sqlite3.Error):
                db.close()
        self._drop_writer()
        for freeze in self.freeze:
            freeze()

    def _resume_after_fork(self, in_child: bool) -> None:
        if in_child:
            self._idle = queue.SimpleQueue()
        if in_child and self._opened:
            self._broken = (
                "this process was forked in the middle of a long read of another thread; open a "
                "new cache in the child, or fork before opening one"
            )
        for resume in self.resume:
            resume(in_child)
        self._writing.release()
        self._opening.release()


_forkable: weakref.WeakSet[Connections] = weakref.WeakSet()
_forking: list[Connections] = []


def _before_fork() -> None:
    _forking.extend(sorted(_forkable, key=id))
    for connections in _forking:
        connections._close_for_fork()


def _after_fork(in_child: bool) -> None:
    while _forking:
        _forking.pop()._resume_after_fork(in_child)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_before_fork,
        after_in_parent=lambda: _after_fork(False),
        after_in_child=lambda: _after_fork(True),
    )


def _code(error: sqlite3.Error) -> int:
    """SQLite's primary result code; 0 where the error is not SQLite's own."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF


@contextlib.contextmanager
def _translated(path: Path) -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        raise _translate(error, path) from error
    except OverflowError as error:
        raise StoreError(f"a number is too large for {path}: {error}") from error


_ADVICE = {
    sqlite3.SQLITE_FULL: "the disk is full; free space or set max_bytes, the cache goes on by "
    "itself",
    sqlite3.SQLITE_IOERR: "the disk cannot be read or written; free space or check it, the cache "
    "goes on by itself once it works again",
    sqlite3.SQLITE_READONLY: "the file or its folder is read-only; make both writable or choose "
    "another path",
    sqlite3.SQLITE_CANTOPEN: "the file cannot be opened; choose a folder that this process may "
    "write to",
    sqlite3.SQLITE_PERM: "the file cannot be opened; choose a folder that this process may "
    "write to",
    sqlite3.SQLITE_CORRUPT: "the database is corrupt and was left as it is; move it away, and the "
    "cache starts afresh, or restore a copy",
    sqlite3.SQLITE_NOTADB: "the file is not an SQLite database and was left as it is; move it "
    "away, or choose another path",
    sqlite3.SQLITE_TOOBIG: "an answer is larger than SQLite can hold (1 GB); do not cache it",
}


def _translate(error: sqlite3.Error, path: Path) -> StoreError:
    code = _code(error)
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return StoreUnavailable(f"{path} is busy with other processes; try again later")
    if isinstance(error, sqlite3.ProgrammingError) and "closed" in str(error):
        return StoreError(Closed)
    advice = _ADVICE.get(code, "run `semcache doctor` on it")
    return StoreError(f"{path}: {error}: {advice}")
