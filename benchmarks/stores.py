"""How fast, how exact and how large the stores are: put, get and search from 1,000 to 1,000,000.

Vectors are synthetic: clusters of 50 on average, 384 numbers, members at a cosine of about 0.7 to
their cluster's centre; a query is an entry's vector with noise. Terms are drawn by Zipf's law, plus
one identifier of its own per entry.

Run ``python benchmarks/stores.py 1000 10000`` for a table, or import ``measure``.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from numpy.typing import NDArray

from semcache.entry import Entry
from semcache.stores.sqlite import SqliteStore
from semcache.stores.sqlite.vectors import to_blob

SIZES = (1_000, 10_000, 100_000, 1_000_000)
DIMENSION = 384
CLUSTER = 50
NOISE = 0.65
QUERY_NOISE = 0.45
K = 10
QUERIES = 300
PUTS = 500
GETS = 5_000
TERMS = 12
ANSWER_BYTES = 500
SCOPE = "5" * 32
FINGERPRINT = "benchmark"
NOW = 1_700_000_000.0
BLOCK = 10_000

Matrix = NDArray[np.float32]


def clustered(count: int, seed: int = 0) -> Iterator[Matrix]:
    """Unit vectors in blocks of ``BLOCK``, the same for the same seed."""
    rng = np.random.default_rng(seed)
    centres = _unit(rng.standard_normal((max(1, count // CLUSTER), DIMENSION), dtype=np.float32))
    for start in range(0, count, BLOCK):
        size = min(BLOCK, count - start)
        noise = _unit(rng.standard_normal((size, DIMENSION), dtype=np.float32))
        yield _unit(centres[rng.integers(0, len(centres), size)] + NOISE * noise)


def _unit(rows: Matrix) -> Matrix:
    scaled: Matrix = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return scaled


class Corpus:
    """Entries, terms and queries for one size."""

    def __init__(self, count: int) -> None:
        self.count = count
        self._rng = np.random.default_rng(1)
        self.queries = np.empty((0, DIMENSION), dtype=np.float32)

    def entry(self, number: int) -> Entry:
        return Entry(
            id=f"{number:032x}",
            scope=SCOPE,
            query=f"how do I use number {number} of the things that are in the manual?",
            answer=b"x" * ANSWER_BYTES,
            created=NOW,
            expires=NOW + 1e6,
            model="gpt-5",
            tags=("faq",),
            fingerprint=FINGERPRINT,
        )

    def terms(self, number: int) -> list[str]:
        words = self._rng.zipf(1.3, TERMS - 1) % 200_000
        return [*(f"w{word}" for word in words), f"id-{number}"]


def fill(store: SqliteStore, corpus: Corpus) -> float:
    """Put everything in large transactions; seconds it took. Chooses the queries on the way."""
    rng = np.random.default_rng(2)
    chosen = []
    started = time.perf_counter()
    for block_number, block in enumerate(clustered(corpus.count)):
        with store._changing() as change:
            for row, vector in enumerate(block):
                number = block_number * BLOCK + row
                entry = corpus.entry(number)
                size = len(entry.query) + ANSWER_BYTES
                change.insert(entry, size, to_blob(vector), DIMENSION, corpus.terms(number))
        share = max(1, QUERIES * len(block) // corpus.count)
        noise = _unit(rng.standard_normal((share, DIMENSION), dtype=np.float32))
        chosen.append(block[rng.integers(0, len(block), share)] + QUERY_NOISE * noise)
    corpus.queries = _unit(np.concatenate(chosen))[:QUERIES]
    return time.perf_counter() - started


def nearest(corpus: Corpus) -> list[set[str]]:
    """The true ``K`` nearest ids of each query, by brute force."""
    scores = np.full((len(corpus.queries), K), -np.inf, dtype=np.float32)
    numbers = np.zeros((len(corpus.queries), K), dtype=np.int64)
    for block_number, block in enumerate(clustered(corpus.count)):
        here = corpus.queries @ block.T
        every = np.concatenate([scores, here], axis=1)
        best = np.argpartition(-every, K - 1, axis=1)[:, :K]
        names = np.concatenate(
            [numbers, np.broadcast_to(np.arange(len(block)) + block_number * BLOCK, here.shape)],
            axis=1,
        )
        scores = np.take_along_axis(every, best, axis=1)
        numbers = np.take_along_axis(names, best, axis=1)
    return [{f"{number:032x}" for number in row} for row in numbers.tolist()]


def timed(calls: Iterator[Callable[[], Any]]) -> dict[str, float]:
    """Latencies in milliseconds: ``p50``, ``p95``, and ``p10`` for a machine that others use."""
    taken = []
    for call in calls:
        started = time.perf_counter()
        call()
        taken.append(time.perf_counter() - started)
    p10, p50, p95 = np.quantile(np.array(taken) * 1000, [0.1, 0.5, 0.95]).tolist()
    return {"p10": p10, "p50": p50, "p95": p95}


def measure(
    count: int, folder: Path, log: Callable[[str], None] = lambda _: None
) -> dict[str, Any]:
    """Everything about one size.

    Returns:
        ``entries``; ``get``, ``put``, ``search``, ``search_by_terms`` (ms: p10, p50, p95);
        ``recall_at_10``; ``index_bytes_per_entry``: growth of the resident set by opening the store
        and having its index in memory, per entry; ``file_bytes_per_entry``; ``start_ms``: opening
        and first search; ``start_settled_ms``: until that search sees everything;
        ``build_seconds``, ``fill_seconds``.
    """
    path = folder / f"{count}.db"
    store = SqliteStore(str(path))
    corpus = Corpus(count)
    filled = fill(store, corpus)
    log(f"{count}: filled in {filled:.0f} s")
    started = time.perf_counter()
    _search(store, corpus.queries[0])
    while not store.settle(600.0):
        log(f"{count}: still building")
    built = time.perf_counter() - started
    log(f"{count}: index built in {built:.0f} s")
    store.close()
    truth = nearest(corpus)

    before = psutil.Process().memory_info().rss
    started = time.perf_counter()
    store = SqliteStore(str(path), timeout=5.0)
    first = _search(store, corpus.queries[0])
    start_ms = (time.perf_counter() - started) * 1000
    while len(first) < K:
        store.settle(60.0)
        first = _search(store, corpus.queries[0])
    settled_ms = (time.perf_counter() - started) * 1000
    for query in corpus.queries[:50]:
        _search(store, query)
    grown = psutil.Process().memory_info().rss - before

    rng = np.random.default_rng(3)
    ids = [f"{number:032x}" for number in rng.integers(0, count, GETS)]
    get = timed((lambda id=id: store.get(id, NOW)) for id in ids)  # type: ignore[misc]
    found: list[set[str]] = []
    search = timed(
        (lambda query=query: found.append(_search(store, query)))  # type: ignore[misc]
        for query in corpus.queries
    )
    recall = sum(len(a & b) for a, b in zip(found, truth, strict=True)) / (K * len(truth))
    by_terms = timed(
        (lambda n=n: store.search(SCOPE, "", None, ["w1", "w7", f"id-{n}"], K, NOW))  # type: ignore[misc]
        for n in rng.integers(0, count, QUERIES)
    )
    new = _unit(rng.standard_normal((PUTS, DIMENSION), dtype=np.float32))
    put = timed(
        (lambda n=n: store.put(corpus.entry(count + n), new[n], corpus.terms(count + n)))  # type: ignore[misc]
        for n in range(PUTS)
    )
    store.settle(600.0)
    result = {
        "entries": count,
        "get": get,
        "search": search,
        "search_by_terms": by_terms,
        "put": put,
        "recall_at_10": recall,
        "index_bytes_per_entry": grown / count,
        "file_bytes_per_entry": path.stat().st_size / count,
        "start_ms": start_ms,
        "start_settled_ms": settled_ms,
        "fill_seconds": filled,
        "build_seconds": built,
    }
    store.close()
    return result


def _search(store: SqliteStore, query: Matrix) -> set[str]:
    result = store.search(SCOPE, FINGERPRINT, query, (), K, NOW)
    return {found.entry.id for found in result.candidates}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("sizes", nargs="*", type=int, default=SIZES[:2])
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    options = parser.parse_args()
    results = []
    for count in options.sizes:
        with tempfile.TemporaryDirectory() as folder:
            results.append(
                measure(count, Path(folder), lambda line: print(line, file=sys.stderr, flush=True))
            )
    if options.json:
        print(json.dumps(results, indent=1))
        return
    print("entries      get p50  search p50  p95    by terms  put p50   recall  B/entry  start")
    for row in results:
        print(
            f"{row['entries']:>9,} {row['get']['p50'] * 1000:>8.1f} us"
            f" {row['search']['p50']:>8.2f} ms {row['search']['p95']:>6.2f}"
            f" {row['search_by_terms']['p50']:>6.2f} ms {row['put']['p50']:>6.2f} ms"
            f" {row['recall_at_10']:>8.3f} {row['index_bytes_per_entry']:>7.0f}"
            f" {row['start_ms']:>6.0f} ms"
        )


if __name__ == "__main__":
    main()
