"""How the vector index follows the file.

Partitions are loaded when first searched. Each search first takes in what has been put since, by
whichever process: one index look-up when that is nothing. What was deleted needs no following,
because every candidate is checked against the file.

Small partitions are read there and then. Large ones are prepared in the background (restored from
their saved graph, read, built), and a search waits for that at most ``WARM_WAIT_S``; until it is
done, a search sees less: there are more misses, never a wrong answer.

Saved graphs lie in ``<database>.index/``. A file is written under a name of its own, then named in
the database with its size and checksum, so two processes that save at once cannot spoil each
other's, and a file that is missing, damaged or of another database is simply not used: the graph
is built again from the vectors in the database.
"""

from __future__ import annotations

import contextlib
import logging
import os
import secrets
import sqlite3
import threading
import time
import zlib
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from semcache.errors import StoreError
from semcache.stores.background import Background
from semcache.stores.sqlite.connections import Connections

if TYPE_CHECKING:
    from semcache.stores.vector_index import Partition, Vector

_log = logging.getLogger(__name__)

# Vectors read anew for every search instead of being remembered: 0.1 ms, and a hundred thousand
# tenants of a few entries each cost no memory.
TINY = 32

# Rows read inside a search (5 ms at 384 numbers each); more than this is read in the background.
INLINE_ROWS = 2048

# DESIGN promise 4 leaves 50 ms for everything.
WARM_WAIT_S = 0.04

# Rows read ahead of the graph in the background: 25 MB at 384 numbers, 5 ms of exact search.
READ_AHEAD = 16_384
READ_STEP = 1024

# Memory for exact partitions (without a graph), in bytes; the least recently searched goes.
EXACT_BYTES = 64 * 2**20

# A graph is saved after this many additions, and after it has grown by a quarter; on closing,
# whenever building the rest again would take longer than a second.
SAVE_AFTER = 20_000
SAVE_ON_CLOSE = 1000

# Puts between two looks at whether the graph should be built on.
NUDGE_EVERY = 256

# A graph that holds this share of vectors that the file no longer has is cleaned.
STALE_SHARE = 0.25

# Unnamed files younger than this may be another process's, about to be named.
ORPHAN_AGE_S = 3600.0


class _Slot:
    """A partition in memory, or on its way there."""

    def __init__(self) -> None:
        self.partition: Partition | None = None
        self.caught_up = threading.Event()


class Vectors:
    """The vector index of one ``SqliteStore``."""

    def __init__(self, connections: Connections) -> None:
        self._connections = connections
        self._folder = connections.path.with_name(connections.path.name + ".index")
        self._slots: OrderedDict[int, _Slot] = OrderedDict()
        self._lock = threading.Lock()
        self._background = Background(self._prepare)
        self._puts = 0
        self._frozen: list[Partition] = []
        connections.pause.append(self._background.step.acquire)
        connections.freeze.append(self._freeze)
        connections.resume.append(self._after_fork)

    # Searching -------------------------------------------------------------------------------

    def current(
        self, db: sqlite3.Connection, part_id: int, vectors: int, dimension: int, newest: int
    ) -> Partition | None:
        """The partition as ``db`` has it; ``None`` where it must be ``prepared``.

        Args:
            vectors: how many the file has.
            newest: the number of the last of them.
        """
        from semcache.stores.vector_index import Partition

        if vectors <= TINY and part_id not in self._slots:
            partition = Partition(dimension)
            _add(partition, _read(db, part_id, 0, TINY + 1))
            return partition
        slot = self._slot(part_id)
        if slot.partition is None:
            if vectors > INLINE_ROWS:
                return None
            # Two threads may both do this; the one that is late throws its copy away.
            slot.partition = Partition(dimension)
        partition = slot.partition
        if partition.last < newest:
            rows = _read(db, part_id, partition.last, INLINE_ROWS + 1)
            if len(rows) > INLINE_ROWS:
                return None
            _add(partition, rows)
            self._trim()
        if partition.wants_building:
            self._background.ask(part_id)
        return partition

    def prepared(self, part_id: int) -> Partition | None:
        """The partition after a short wait for the background; ``None`` while nothing is there."""
        slot = self._slot(part_id)
        slot.caught_up.clear()
        self._background.ask(part_id)
        slot.caught_up.wait(WARM_WAIT_S)
        return slot.partition

    def _slot(self, part_id: int) -> _Slot:
        with self._lock:
            slot = self._slots.get(part_id)
            if slot is None:
                slot = self._slots[part_id] = _Slot()
            else:
                self._slots.move_to_end(part_id)
            return slot

    def _trim(self) -> None:
        with self._lock:
            exact = [
                (part_id, slot.partition.bytes)
                for part_id, slot in self._slots.items()
                if slot.partition is not None and not slot.partition.has_graph
            ]
            size = sum(its_size for _, its_size in exact)
            for part_id, its_size in exact[:-1]:
                if size <= EXACT_BYTES:
                    break
                del self._slots[part_id]
                size -= its_size

    # Following own writes --------------------------------------------------------------------

    def after_write(
        self, removed: Mapping[int, Sequence[int]], part_vectors: Mapping[int, int]
    ) -> None:
        """Forget what was removed, and now and then see to the graph of a growing partition."""
        for part_id, seqs in removed.items():
            slot = self._slots.get(part_id)
            if slot is None:
                continue
            if not part_vectors.get(part_id):
                with self._lock:
                    self._slots.pop(part_id, None)
            elif slot.partition is not None:
                slot.partition.discard(seqs)
        self._puts += 1
        if self._puts % NUDGE_EVERY == 0:
            for part_id, vectors in part_vectors.items():
                if vectors > INLINE_ROWS:
                    self._slot(part_id)
                    self._background.ask(part_id)

    def discard(self, part_id: int, seqs: Iterable[int]) -> None:
        """Forget vectors that a search found to be gone."""
        slot = self._slots.get(part_id)
        if slot is not None and slot.partition is not None:
            slot.partition.discard(seqs)

    def forget_all(self) -> None:
        with self._lock:
            self._slots.clear()

    def settle(self, timeout: float) -> bool:
        """Wait until the graphs are built; ``False`` if that took longer than ``timeout`` s."""
        return self._background.settle(timeout)

    # In the background -----------------------------------------------------------------------

    def _prepare(self, part_id: int) -> None:
        slot = self._slots.get(part_id)
        if slot is None:
            return
        try:
            if slot.partition is None:
                self._restore(part_id, slot)
            partition = slot.partition
            if partition is None:
                return
            self._catch_up(part_id, slot, partition)
            self._clean(part_id, partition)
            if self._save_is_due(partition):
                self._save(part_id, partition)
        finally:
            slot.caught_up.set()

    def _catch_up(self, part_id: int, slot: _Slot, partition: Partition) -> None:
        more = True
        while more and not self._background.stopping:
            with self._background.step:
                with self._reader() as db:
                    rows = _read(db, part_id, partition.last, READ_STEP)
                _add(partition, rows)
            more = len(rows) == READ_STEP
            if not more:
                slot.caught_up.set()
            if not more or partition.bytes > READ_AHEAD * 4 * partition.dimension:
                self._build(partition)
                if self._save_is_due(partition):
                    self._save(part_id, partition)

    def _build(self, partition: Partition) -> None:
        if not partition.wants_building:
            return
        while not self._background.stopping:
            with self._background.step:
                more = partition.build()
            if not more:
                return

    def _clean(self, part_id: int, partition: Partition) -> None:
        import numpy as np

        with self._background.step, self._reader() as db:
            row = db.execute(
                "SELECT vectors FROM partitions WHERE part_id = ?", (part_id,)
            ).fetchone()
            vectors = 0 if row is None else row[0]
            if partition.size <= vectors + max(SAVE_ON_CLOSE, int(STALE_SHARE * vectors)):
                return
            seqs = db.execute("SELECT seq FROM vectors WHERE part_id = ?", (part_id,))
            partition.keep_only(np.fromiter((seq for (seq,) in seqs), dtype=np.int64))
        self._build(partition)

    @contextlib.contextmanager
    def _reader(self) -> Iterator[sqlite3.Connection]:
        db = self._connections.take()
        try:
            yield db
        except sqlite3.Error as error:
            raise self._connections.translate(error) from error
        finally:
            self._connections.give(db)

    # Saved graphs ----------------------------------------------------------------------------

    def _restore(self, part_id: int, slot: _Slot) -> None:
        from semcache.stores.vector_index import Partition, graphs_available

        with self._background.step:
            while (saved := self._saved(part_id)) is not None:
                name, last, size, crc, dimension = saved
                if name is None or not graphs_available():
                    slot.partition = Partition(dimension)
                    return
                try:
                    path = self._folder / name
                    _verify(path, size, crc)
                    slot.partition = Partition.load(path, dimension, last)
                    return
                except (OSError, ValueError, RuntimeError) as error:
                    reason = error
                # Unless another process has just put a newer one in its place.
                if self._saved(part_id) == saved:
                    _log.warning(
                        "the saved vector index %s cannot be used (%s); building it again from %s",
                        name, reason, self._connections.path,
                    )  # fmt: skip
                    slot.partition = Partition(dimension)
                    self._forget_saved(part_id, name)
                    return

    def _forget_saved(self, part_id: int, name: str) -> None:
        # Failing to write this down costs the next start another warning.
        with contextlib.suppress(StoreError), self._connections.writing() as db:
            db.execute(
                "UPDATE partitions SET file = NULL WHERE part_id = ? AND file = ?", (part_id, name)
            )

    def _saved(self, part_id: int) -> tuple[Any, ...] | None:
        """Name, last number, size and checksum of the saved graph, and the vectors' dimension."""
        with self._reader() as db:
            row: tuple[Any, ...] | None = db.execute(
                "SELECT p.file, p.file_last, p.file_size, p.file_crc, f.dimension "
                "FROM partitions p JOIN fingerprints f USING (fingerprint_id) WHERE p.part_id = ?",
                (part_id,),
            ).fetchone()
            return row

    def _save_is_due(self, partition: Partition) -> bool:
        return partition.has_graph and partition.unsaved > max(SAVE_AFTER, partition.size // 4)

    def _save(self, part_id: int, partition: Partition) -> None:
        """Write the graph beside the database; a failure costs time at the next start, no more."""
        name = f"{part_id}-{partition.graph_last}-{secrets.token_hex(4)}.usearch"
        path = self._folder / name
        last = partition.graph_last
        try:
            with self._background.step:
                self._folder.mkdir(mode=0o700, exist_ok=True)
                os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
                partition.save(path)
                with path.open("r+b") as file:
                    os.fsync(file.fileno())
                size, crc = _checksum(path)
            with self._connections.writing() as db:
                named = db.execute(
                    "UPDATE partitions SET file = ?, file_last = ?, file_size = ?, file_crc = ? "
                    "WHERE part_id = ? AND (file IS NULL OR file_last < ?)",
                    (name, last, size, crc, part_id, last),
                ).rowcount
            if not named:
                path.unlink()
            self.sweep()
        except (OSError, RuntimeError, StoreError) as error:
            _log.warning("the vector index of %s was not saved: %s", self._connections.path, error)
            with contextlib.suppress(OSError):
                path.unlink(missing_ok=True)

    def sweep(self) -> None:
        """Remove saved graphs that the database does not name and never will."""
        with self._reader() as db:
            rows = db.execute("SELECT part_id, file, file_last FROM partitions").fetchall()
        named = {str(part_id): (file, last) for part_id, file, last in rows}
        for path in self._folder.glob("*.usearch"):
            part, last, _ = f"{path.stem}--".split("-", 2)
            file, newest = named.get(part, (None, None))
            with contextlib.suppress(OSError):
                if part not in named:
                    useless = True  # a number is never used again
                elif file is None:
                    useless = time.time() - path.stat().st_mtime > ORPHAN_AGE_S
                else:
                    # An older graph never takes the place of a newer one.
                    useless = path.name != file and int(last) <= newest
                if useless:
                    path.unlink()

    # Looking at everything -------------------------------------------------------------------

    def check(self, db: sqlite3.Connection) -> list[str]:
        """Saved graphs that cannot be used, and partitions in memory that lack vectors."""
        problems = []
        for part_id, name in db.execute(
            "SELECT part_id, file FROM partitions WHERE file NOTNULL"
        ).fetchall():
            error = self._error_of_saved(part_id)
            if error is not None:
                problems.append(
                    f"the saved vector index {name} cannot be used ({error}); "
                    "it is built again when needed"
                )
        with self._lock:
            loaded = [(key, slot.partition) for key, slot in self._slots.items()]
        for part_id, partition in loaded:
            if partition is None:
                continue
            last = partition.last
            (expected,) = db.execute(
                "SELECT COUNT(*) FROM vectors v JOIN entries e ON e.seq = v.seq "
                "WHERE v.part_id = ? AND v.seq <= ? AND NOT e.quarantined AND e.expires IS NULL",
                (part_id, last),
            ).fetchone()
            if partition.size < expected:
                problems.append(
                    f"the vector index of partition {part_id} finds {partition.size} of "
                    f"{expected} vectors; reopen the cache"
                )
        return problems

    def _error_of_saved(self, part_id: int) -> Exception | None:
        saved = None
        while True:
            before, saved = saved, self._saved(part_id)
            if saved is None or saved[0] is None:
                return None
            try:
                _verify(self._folder / saved[0], *saved[2:4])
                return None
            except (OSError, ValueError) as error:
                # It counts only if no newer one has taken its place meanwhile.
                if saved == before:
                    return error

    def detail(self) -> dict[str, Any]:
        """What is in memory, for ``stats``."""
        with self._lock:
            loaded = [s.partition for s in self._slots.values() if s.partition is not None]
        return {
            "index_partitions": len(loaded),
            "index_vectors": sum(partition.size for partition in loaded),
            "index_graphs": sum(partition.has_graph for partition in loaded),
        }

    # Life ------------------------------------------------------------------------------------

    def close(self) -> None:
        """Stop the background and save what would take long to build again."""
        self._background.stop()
        for part_id, slot in list(self._slots.items()):
            partition = slot.partition
            if partition is not None and partition.has_graph and partition.unsaved > SAVE_ON_CLOSE:
                self._save(part_id, partition)
        self.forget_all()

    def _freeze(self) -> None:
        self._lock.acquire()
        self._frozen = [s.partition for s in self._slots.values() if s.partition is not None]
        for partition in self._frozen:
            partition.before_fork()

    def _after_fork(self, in_child: bool) -> None:
        while self._frozen:
            self._frozen.pop().after_fork()
        for slot in self._slots.values():
            if in_child:
                slot.caught_up = threading.Event()
        self._lock.release()
        self._background.step.release()
        if in_child:
            self._background.after_fork_in_child()


def _read(db: sqlite3.Connection, part_id: int, after: int, limit: int) -> list[tuple[int, bytes]]:
    return db.execute(
        "SELECT seq, vector FROM vectors WHERE part_id = ? AND seq > ? ORDER BY seq LIMIT ?",
        (part_id, after, limit),
    ).fetchall()


def _add(partition: Partition, rows: Sequence[tuple[int, bytes]]) -> None:
    if rows:
        partition.add([seq for seq, _ in rows], matrix([blob for _, blob in rows]))


def matrix(blobs: Sequence[bytes]) -> Any:
    """Stored vectors as the rows of a float32 matrix."""
    import numpy as np

    return np.frombuffer(b"".join(blobs), dtype="<f4").reshape(len(blobs), -1)


def to_blob(vector: Vector) -> bytes:
    """A vector as it is stored: little-endian float32."""
    return vector.astype("<f4", copy=False).tobytes()


def _checksum(path: Path) -> tuple[int, int]:
    size = crc = 0
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            size += len(block)
            crc = zlib.crc32(block, crc)
    return size, crc


def _verify(path: Path, size: int, crc: int) -> None:
    if path.stat().st_size != size or _checksum(path) != (size, crc):
        raise ValueError("its size or checksum is not what was saved")
