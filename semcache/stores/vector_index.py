"""Nearest vectors of one scope and one embedder: exact while few, a graph beyond.

New vectors go to the *tail*, a float32 matrix that is compared in full. Beyond ``EXACT_LIMIT``
vectors, ``build`` moves the tail into an HNSW graph (``usearch``, int8) in small steps, in the
background: adding to a graph costs as much as searching it, and neither a ``put`` nor a search
should pay for it. A search looks at both. Without ``usearch`` everything stays in the tail: exact,
and slower with size.

The index is derived: it may hold what the store no longer has and the store checks every candidate.
Keys are the store's sequence numbers, added in ascending order, so ``last`` says what is missing.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from semcache.errors import EmbeddingError

Vector = NDArray[np.float32]
Matrix = NDArray[np.float32]

# Up to here a float32 matrix product is as fast as the graph (benchmarks/stores.py: 0.3 ms for
# 2,048 x 384 on two AVX2 cores, the graph 0.35 ms at 20,000), and it is exact.
EXACT_LIMIT = 2048

# Rows multiplied at once; OpenBLAS uses one thread up to 460,800 numbers, 1,200 rows of 384.
PRODUCT_ROWS = 1024

# The tail is moved into the graph when it is longer than this: 0.06 ms of exact search.
TAIL_LIMIT = 512

# Vectors added to the graph in one go while searches wait: 0.4 to 1 ms each at 100,000.
BUILD_STEP = 2

# After each step the builder leaves the lock to those who wait for it, if any.
BUILD_PAUSE_S = 0.0001

# int8: 590 bytes a vector where float16 takes 965; no slower to search than bfloat16, and built in
# half the time of float16, which usearch 2.26 computes slowly on AVX2. The cosine that is returned
# is computed from the float32 vectors anyway. Connectivity and expansion: recall@10 of the best 26
# at 30,000 x 384 was 1.00 on clustered vectors for any setting; on vectors without clusters (96
# directions of decaying weight, harder than text) 0.92 at 16/64, 0.96 at 16/96, 0.98 at 24/96.
GRAPH_DTYPE = "i8"
GRAPH_CONNECTIVITY = 24
GRAPH_EXPANSION_ADD = 128
GRAPH_EXPANSION_SEARCH = 96

# A small graph needs less for the same recall: 0.99 with 64 at 20,000 of those harder vectors, in
# half the time.
SMALL_GRAPH = 16_384
SMALL_EXPANSION_SEARCH = 64


def checked(vector: Any, dimension: int | None = None) -> Vector:
    """``vector`` as contiguous float32, bit for bit what the store keeps.

    Raises:
        EmbeddingError: not one-dimensional, empty, of another dimension, with a value that is not
            finite, or of length zero.
    """
    try:
        array = np.ascontiguousarray(vector, dtype=np.float32)
    except (TypeError, ValueError) as error:
        raise EmbeddingError(
            f"an embedder returned {type(vector).__name__}, not numbers"
        ) from error
    if np.ndim(vector) != 1 or array.size == 0:
        raise EmbeddingError(
            f"a vector must have one dimension, not the shape {np.shape(vector)}; "
            "check the embedder"
        )
    if dimension is not None and array.size != dimension:
        raise EmbeddingError(
            f"a vector has {array.size} numbers where this store has {dimension} under the same "
            "fingerprint; an embedder that changed needs another fingerprint"
        )
    # One pass instead of two: a sum of squares is finite only if all of its parts are.
    square = float(np.dot(array, array)) if array.size else 0.0
    if not np.isfinite(square) and not bool(np.isfinite(array).all()):
        raise EmbeddingError("a vector holds NaN or infinity; check the embedder and its input")
    if square == 0.0 and not array.any():
        raise EmbeddingError("a vector of length zero has no direction; check the embedder")
    return array


def unit_rows(rows: Matrix) -> Matrix:
    """Rows scaled to length 1, in float32."""
    wide = rows.astype(np.float64)
    lengths = np.sqrt(np.einsum("ij,ij->i", wide, wide))
    scaled: Matrix = (wide / lengths[:, None]).astype(np.float32)
    return scaled


def products(rows: Matrix, vector: Vector) -> Vector:
    """``rows @ vector``, computed in this thread alone.

    A larger product is spread over BLAS's threads, and on a busy machine waits for the last of
    them: 2,048 rows take 0.06 ms either way, but p95 is 13 ms with two threads and 0.2 with one.
    """
    if len(rows) <= PRODUCT_ROWS:
        return rows @ vector
    parts = range(0, len(rows), PRODUCT_ROWS)
    return np.concatenate([rows[start : start + PRODUCT_ROWS] @ vector for start in parts])


def cosines(rows: Matrix, vector: Vector) -> list[float]:
    """Cosine of each row with ``vector``, computed in float64, in [-1, 1]."""
    wide = rows.astype(np.float64)
    query = vector.astype(np.float64)
    lengths = np.sqrt(np.einsum("ij,ij->i", wide, wide) * (query @ query))
    result: list[float] = np.clip((wide @ query) / lengths, -1.0, 1.0).tolist()
    return result


class Partition:
    """The vectors of one scope and fingerprint. Thread-safe; only one thread may ``build``."""

    def __init__(self, dimension: int) -> None:
        self.dimension = dimension
        self.last = 0
        self.unsaved = 0
        self._lock = threading.Lock()
        self._wanted = False
        self._graph: Any = None
        self._graph_last = 0
        self._dead: set[int] = set()
        self._rows: Matrix = np.empty((0, dimension), dtype=np.float32)
        self._keys: NDArray[np.int64] = np.empty(0, dtype=np.int64)
        self._alive: NDArray[np.bool_] = np.empty(0, dtype=np.bool_)
        self._start = 0
        self._end = 0

    @property
    def size(self) -> int:
        """How many vectors a search can find."""
        with self._lock:
            return self._size()

    def _size(self) -> int:
        in_graph = 0 if self._graph is None else len(self._graph) - len(self._dead)
        return in_graph + int(np.count_nonzero(self._alive[self._start : self._end]))

    @property
    def has_graph(self) -> bool:
        return self._graph is not None

    @property
    def graph_last(self) -> int:
        """The highest key that was moved into the graph; saved files go that far."""
        return self._graph_last

    @property
    def bytes(self) -> int:
        """Memory of the tail, in bytes (the graph's is its own affair)."""
        return int(self._rows.nbytes + self._keys.nbytes + self._alive.nbytes)

    @property
    def wants_building(self) -> bool:
        """Whether ``build`` would move or remove something."""
        tail = self._end - self._start
        if self._graph is None:
            return tail > EXACT_LIMIT and _usearch() is not None
        return tail > TAIL_LIMIT or len(self._dead) > TAIL_LIMIT

    def add(self, keys: Sequence[int], rows: Matrix) -> None:
        """Append rows (of any length but zero) whose keys ascend; known keys are skipped."""
        if not len(keys):
            return
        added = np.asarray(keys, dtype=np.int64)
        scaled = unit_rows(rows)
        with self._lock:
            fresh = int(np.searchsorted(added, self.last, side="right"))
            added, scaled = added[fresh:], scaled[fresh:]
            if not len(added):
                return
            self._reserve(len(added))
            end = self._end + len(added)
            self._rows[self._end : end] = scaled
            self._keys[self._end : end] = added
            self._alive[self._end : end] = True
            self._end = end
            self.last = int(added[-1])

    def _reserve(self, more: int) -> None:
        if self._end + more <= len(self._keys):
            return
        # A search may still read the old arrays: they are replaced, never moved in place.
        keep = slice(self._start, self._end)
        length = self._end - self._start
        capacity = max(16, 2 * length, length + more)
        rows = np.empty((capacity, self.dimension), dtype=np.float32)
        keys = np.empty(capacity, dtype=np.int64)
        alive = np.zeros(capacity, dtype=np.bool_)
        rows[:length], keys[:length] = self._rows[keep], self._keys[keep]
        alive[:length] = self._alive[keep]
        self._rows, self._keys, self._alive = rows, keys, alive
        self._start, self._end = 0, length

    def discard(self, keys: Iterable[int]) -> None:
        """Never find these keys again; unknown ones are ignored."""
        with self._lock:
            tail = self._keys[self._start : self._end]
            for key in keys:
                place = int(np.searchsorted(tail, key))
                if place < len(tail) and tail[place] == key:
                    self._alive[self._start + place] = False
                elif self._graph is not None and key in self._graph:
                    self._dead.add(key)

    def search(self, vector: Vector, count: int) -> list[int]:
        """Up to ``count`` keys, nearest first (nearly so where they come from the graph)."""
        wide = vector.astype(np.float64)
        query = (wide / math.sqrt(wide @ wide)).astype(np.float32)
        if not self._lock.acquire(blocking=False):
            # Locks are not fair: without this, who builds would take it again at once.
            self._wanted = True
            self._lock.acquire()
        try:
            tail = slice(self._start, self._end)
            rows, keys, alive = self._rows[tail], self._keys[tail], self._alive[tail]
            found = self._search_graph(query, count)
        finally:
            self._lock.release()
        if len(keys):
            scores = products(rows, query)
            scores[~alive] = -np.inf
            if count < len(keys):
                best = np.argpartition(scores, -count)[-count:]
                scores, keys = scores[best], keys[best]
            pairs = zip(scores.tolist(), keys.tolist(), strict=True)
            found += [pair for pair in pairs if pair[0] > -math.inf]
        found.sort(reverse=True)
        return [key for _, key in found[:count]]

    def _search_graph(self, query: Vector, count: int) -> list[tuple[float, int]]:
        if self._graph is None or not len(self._graph):
            return []
        # The dead are asked for on top; if they are many, the store asks again for more.
        wanted = min(count + min(len(self._dead), TAIL_LIMIT), len(self._graph))
        small = len(self._graph) <= SMALL_GRAPH
        self._graph.expansion_search = SMALL_EXPANSION_SEARCH if small else GRAPH_EXPANSION_SEARCH
        matches = self._graph.search(query, wanted, threads=1)
        pairs = zip(matches.distances.tolist(), matches.keys.tolist(), strict=True)
        return [(1.0 - distance, key) for distance, key in pairs if key not in self._dead]

    def build(self) -> bool:
        """Move a few vectors of the tail into the graph; whether there is more to move.

        Call it again and again from one thread; between two calls searches get their turn.
        """
        usearch = _usearch()
        if usearch is None:
            return False
        with self._lock:
            if self._graph is None:
                self._graph = new_graph(self.dimension)
            if self._dead:
                doomed = [self._dead.pop() for _ in range(min(BUILD_STEP, len(self._dead)))]
                self._graph.remove(np.asarray(doomed, dtype=np.uint64), threads=1)
                self.unsaved += len(doomed)
            end = min(self._start + BUILD_STEP, self._end)
            step = slice(self._start, end)
            alive = self._alive[step]
            if alive.any():
                keys = self._keys[step][alive].astype(np.uint64)
                self._graph.add(keys, self._rows[step][alive], threads=1)
                self.unsaved += len(keys)
            if end > self._start:
                self._graph_last = int(self._keys[end - 1])
            self._start = end
            if self._start == self._end and len(self._keys) > 4 * TAIL_LIMIT:
                self._start = self._end = 0
                self._reserve_exactly(TAIL_LIMIT)
            more = self._start < self._end or bool(self._dead)
        if self._wanted:
            self._wanted = False
            time.sleep(BUILD_PAUSE_S)
        return more

    def _reserve_exactly(self, capacity: int) -> None:
        self._rows = np.empty((capacity, self.dimension), dtype=np.float32)
        self._keys = np.empty(capacity, dtype=np.int64)
        self._alive = np.zeros(capacity, dtype=np.bool_)

    def keep_only(self, keys: NDArray[np.int64]) -> None:
        """Discard what is not among ``keys`` (ascending, as far as ``last``)."""
        with self._lock:
            if self._graph is not None:
                known = np.asarray(self._graph.keys, dtype=np.int64)
                self._dead.update(np.setdiff1d(known, keys).tolist())
            tail = slice(self._start, self._end)
            self._alive[tail] &= np.isin(self._keys[tail], keys)

    def save(self, path: Path) -> None:
        """Write the graph; only the thread that builds may call this."""
        self._graph.save(str(path))
        self.unsaved = 0

    @classmethod
    def load(cls, path: Path, dimension: int, last: int) -> Partition:
        """The partition whose graph was saved when ``graph_last`` was ``last``.

        Raises:
            ValueError: the file holds another kind of graph.
            RuntimeError: the file cannot be read as a graph.
        """
        graph = new_graph(dimension)
        graph.load(str(path))
        if graph.ndim != dimension or str(graph.dtype) != str(new_graph(dimension).dtype):
            raise ValueError(f"a graph of {graph.ndim} dimensions, not {dimension}")
        graph.expansion_add = GRAPH_EXPANSION_ADD
        partition = cls(dimension)
        partition._graph = graph
        partition._graph_last = partition.last = last
        return partition

    def before_fork(self) -> None:
        self._lock.acquire()

    def after_fork(self) -> None:
        self._lock.release()


def _usearch() -> Any:
    try:
        import usearch.index
    except ImportError:
        return None
    return usearch.index


def graphs_available() -> bool:
    """Whether ``usearch`` is installed; without it every search is exact."""
    return _usearch() is not None


def new_graph(dimension: int) -> Any:
    """An empty graph for vectors of ``dimension`` numbers, compared by cosine."""
    return _usearch().Index(
        ndim=dimension,
        metric="cos",
        dtype=GRAPH_DTYPE,
        connectivity=GRAPH_CONNECTIVITY,
        expansion_add=GRAPH_EXPANSION_ADD,
        expansion_search=GRAPH_EXPANSION_SEARCH,
    )
