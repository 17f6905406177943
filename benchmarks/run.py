"""The budgets of DESIGN §6, measured: one table, and JSON for comparing runs.

    python benchmarks/run.py
    python benchmarks/run.py --entries 1000,10000,100000,1000000 --json bench.json --install

Absolute figures are this machine's. What compares between machines is a figure's ratio to one of
the same run, so a bare SQLite read and one embedding are measured beside the rest.

Large caches are synthetic: each entry is a perturbed copy of a real prompt of the demo, its vector
moved about as far as a paraphrase lies (cosine .8 to .95), so there are real clusters to search in.
Searches look for further such copies. They are made block by block from a seed and never held in
memory as a whole, so that what is measured in the process is the store's.
"""

from __future__ import annotations

import json
import platform
import random
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import psutil
import typer
from rich.console import Console
from rich.progress import track
from rich.table import Table

from semcache import Scope, SemanticCache
from semcache.cache import DEFAULT_MAX_WRONG, DEFAULT_SCORER
from semcache.decision.calibration import shipped
from semcache.decision.terms import terms
from semcache.demo.prompts import demo_prompts
from semcache.embedders.local import LocalEmbedder
from semcache.entry import Entry
from semcache.replay import percentile
from semcache.stores.base import open_store

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from semcache.stores.base import Store

    Query = tuple[str, NDArray[np.float32]]

REPOSITORY = Path(__file__).resolve().parent.parent
FINGERPRINT = "benchmark-384"
SCOPE = Scope(model="benchmark")
BLOCK = 10_000
# Noise per component of a 384-dimensional unit vector; the length of all is what moves the cosine.
LEAST_NOISE, MOST_NOISE = 0.017, 0.038
ANSWER = "An answer of ordinary length, which says what is to be done and in which order. " * 8
# Fifteen words; what varies is a real word, so that neighbours are near and not equal.
ASKED = "How do I reset the password of my {} account when I lost access to it?"
RECORDED = "how do i reset the password of my {} account when i lost access to it"
WARM_UP, REPEATS = 50, 1000
SEMANTIC_REPEATS = 150
SEARCHES, RECALL_SEARCHES, RECALL_AT = 300, 50, 10
IMPORTS = 9
NOW = 1_700_000_000.0
BOUNDS = (DEFAULT_MAX_WRONG, 0.02, 0.05, 0.1, 0.2, 0.5)

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
err = Console(stderr=True)


@dataclass(frozen=True, slots=True)
class Row:
    """One measured thing. ``p50`` and ``p95`` in ``unit``; ``budget`` is for the p50, if any."""

    what: str
    unit: str
    p50: float
    p95: float | None = None
    budget: float | None = None
    # Recall is good when it is high, everything else when it is low.
    more_is_better: bool = False
    note: str = ""

    @property
    def ratio(self) -> float | None:
        """Measured over budget; at most 1 is within it."""
        if self.budget is None or not self.p50:
            return None
        return self.budget / self.p50 if self.more_is_better else self.p50 / self.budget


@app.command(
    epilog="Examples: python benchmarks/run.py --entries 1000,10000; "
    "python benchmarks/run.py --json bench.json --install"
)
def main(
    entries: Annotated[
        str, typer.Option(help="Sizes at which to measure the search, ascending.")
    ] = "1000,10000,100000",
    json_file: Annotated[Path | None, typer.Option("--json", help="Also write JSON here.")] = None,
    install: Annotated[
        bool, typer.Option("--install", help="Also install into fresh venvs and weigh them (slow).")
    ] = False,
    probe: Annotated[Path | None, typer.Option(hidden=True)] = None,
) -> None:
    """Measure everything and print the table."""
    if probe is not None:
        print(json.dumps(probed(probe)))
        return
    sizes = [int(size) for size in entries.split(",")]
    rows: list[Row] = []
    with tempfile.TemporaryDirectory(prefix="semcache-bench-") as folder:
        for part in (
            lambda: reference(Path(folder)),
            lambda: cache_rows(Path(folder)),
            lambda: scale_rows(Path(folder), sizes),
            import_rows,
            lambda: install_rows(Path(folder)) if install else (),
        ):
            rows.extend(part())
    show(rows)
    if json_file is not None:
        json_file.write_text(json.dumps(document(rows), indent=2) + "\n")


# -- through the cache ----------------------------------------------------------------------------


@dataclass
class Precomputed:
    """The shipped encoder, its vectors made beforehand: what is left is our own overhead."""

    vectors: dict[str, NDArray[np.float32]] = field(default_factory=dict)
    fingerprint: str = field(default_factory=lambda: LocalEmbedder().fingerprint)
    dimension: int = 384

    def embed(self, texts: Sequence[str], kind: str = "query") -> NDArray[np.float32]:
        return np.stack([self.vectors[text] for text in texts])

    async def aembed(self, texts: Sequence[str], kind: str = "query") -> NDArray[np.float32]:
        return self.embed(texts, kind)

    def fits(self, text: str) -> bool:
        return True


def cache_rows(folder: Path) -> Iterator[Row]:
    """Hits, misses and recording, through the public calls, in a cache of a thousand entries."""
    stub = Precomputed()
    texts: list[str] = []
    for number, (text, vector) in enumerate(synthetic(4 * REPEATS, seed=1)):
        texts.append(f"{text} {number}")
        stub.vectors[texts[-1]] = vector
    held, asked, recorded = texts[:REPEATS], texts[REPEATS : 3 * REPEATS], texts[3 * REPEATS :]
    bound = supported_bound()
    with SemanticCache.open(
        f"sqlite:///{folder}/cache.db", embedder=stub, strict=True, max_wrong=bound
    ) as cache:
        for text in held:
            cache.record(text, ANSWER, scope=SCOPE)
        random.Random(2).shuffle(held)
        took = timed(lambda text: cache.lookup(text, scope=SCOPE), held)
        yield row("exact hit, in process", "µs", took, budget=50)
        # Two thousand misses, each recording an entry: the cache triples on the way.
        took = timed(lambda text: cache.call(text, lambda: ANSWER, scope=SCOPE), asked)
        misses = cache.stats().misses
        yield row(
            "overhead of a miss, recording included", "ms", took, budget=0.5,
            note=f"embedding precomputed; {misses:,} misses{at(bound)}",
        )  # fmt: skip
        took = timed(lambda text: cache.record(text, ANSWER, scope=SCOPE), recorded)
        yield row("record", "ms", took)
    yield from semantic_rows(folder)


def semantic_rows(folder: Path) -> Iterator[Row]:
    """A hit by meaning with the shipped encoder, each of another question."""
    words = sorted({w for p in demo_prompts() for w in p.text.lower().split() if w.isalpha()})
    words = [word for word in words if len(word) > 3][: SEMANTIC_REPEATS + WARM_UP]
    bound = supported_bound()
    hits = 0

    def ask(word: str) -> None:
        nonlocal hits
        hits += cache.lookup(ASKED.format(word), scope=SCOPE) is not None

    url = f"sqlite:///{folder}/semantic.db"
    with SemanticCache.open(url, strict=True, max_wrong=bound) as cache:
        for word in track(words, "recording for semantic hits", console=err):
            cache.record(RECORDED.format(word), ANSWER, scope=SCOPE)
        took = timed(ask, words)
        note = f"{hits} hits of {len(words)}{at(bound)}"
        yield row("semantic hit, 15 words, with embedding", "ms", took, budget=12, note=note)


def supported_bound() -> float:
    """The strictest bound at which anything is served by meaning, so that there is something to
    measure."""
    evidence = shipped(DEFAULT_SCORER)
    return next(bound for bound in BOUNDS if evidence.threshold(bound) is not None)


def at(bound: float) -> str:
    return "" if bound == BOUNDS[0] else f"; at max_wrong={bound}, below it nothing is served"


def reference(folder: Path) -> Iterator[Row]:
    """What the machine does without us: one bare read by key, one embedding."""
    db = sqlite3.connect(folder / "bare.db")
    db.execute("CREATE TABLE bare (id TEXT PRIMARY KEY, answer BLOB)")
    ids = [f"{number:032x}" for number in range(REPEATS)]
    db.executemany("INSERT INTO bare VALUES (?, ?)", [(id, ANSWER.encode()) for id in ids])
    db.commit()
    read = "SELECT answer FROM bare WHERE id = ?"
    took = timed(lambda id: db.execute(read, (id,)).fetchone(), ids)
    yield row("reference: bare SQLite read", "µs", took)
    db.close()
    embedder = LocalEmbedder()
    questions = [ASKED.format(number) for number in range(WARM_UP + SEMANTIC_REPEATS)]
    took = timed(lambda text: embedder.embed([text]), questions)
    yield row("reference: embedding of 15 words", "ms", took)


# -- large caches ---------------------------------------------------------------------------------


def scale_rows(folder: Path, sizes: Sequence[int]) -> Iterator[Row]:
    """One store that grows from size to size; at each, searches, memory and start-up."""
    path = folder / "scale.db"
    filled = 0
    for size in sizes:
        filled = grow(path, filled, size)
        store = open_store(str(path))
        try:
            started = time.perf_counter()
            settle(store)
            built = time.perf_counter() - started
            queries = list(synthetic(SEARCHES + WARM_UP, seed=-1))
            took = timed(partial(search_for, store), queries)
            yield row(f"search, {size:,} entries", "ms", took, budget=2.0)
            recall = recall_of(store, size, queries[:RECALL_SEARCHES])
            yield Row(
                f"recall@{RECALL_AT}, {size:,} entries", "", recall, budget=0.98,
                more_is_better=True, note=f"index ready after {built:.1f} s",
            )  # fmt: skip
        finally:
            store.close()
        yield from probe_rows(path, size)


def grow(path: Path, filled: int, size: int) -> int:
    """Fill the store up to ``size`` entries, through ``put`` as an app does."""
    scope = "0" * 32
    store = open_store(str(path), timeout=10.0)
    copies = synthetic(size, seed=0, start=filled)
    answer = json.dumps({"v": 1, "kind": "value", "data": ANSWER}).encode()
    try:
        for number, (text, vector) in track(
            enumerate(copies, filled), f"filling to {size:,}", total=size - filled, console=err
        ):
            query = f"{text} {number}"
            entry = Entry(
                f"{number:032x}", scope, query, answer, created=NOW, fingerprint=FINGERPRINT
            )
            store.put(entry, vector, terms(query))
        settle(store)
    finally:
        store.close()
    return size


def search_for(store: Store, query: Query) -> list[int]:
    """The numbers of the nearest entries."""
    text, vector = query
    found = store.search("0" * 32, FINGERPRINT, vector, terms(text), RECALL_AT, NOW)
    by_vector = [one for one in found.candidates if one.cosine is not None]
    return [int(one.entry.id, 16) for one in by_vector[:RECALL_AT]]


def recall_of(store: Store, size: int, queries: Sequence[Query]) -> float:
    """Share of the true nearest that the store found; the truth by looking at every vector."""
    wanted = np.stack([vector for _, vector in queries])
    best = np.full((len(queries), RECALL_AT), -2.0, np.float32)
    which = np.zeros((len(queries), RECALL_AT), np.int64)
    for start, block in blocks(size, seed=0):
        cosines = np.concatenate([best, wanted @ block.T], axis=1)
        numbers = np.broadcast_to(np.arange(start, start + len(block)), (len(queries), len(block)))
        numbers = np.concatenate([which, numbers], axis=1)
        top = np.argpartition(-cosines, RECALL_AT, axis=1)[:, :RECALL_AT]
        best = np.take_along_axis(cosines, top, axis=1)
        which = np.take_along_axis(numbers, top, axis=1)
    found = [
        len(set(search_for(store, query)) & set(truth.tolist()))
        for query, truth in zip(queries, which, strict=True)
    ]
    return float(np.mean(found)) / RECALL_AT


def probe_rows(path: Path, size: int) -> Iterator[Row]:
    """Start-up and memory, in a process of its own."""
    said = subprocess.run(
        [sys.executable, __file__, "--probe", str(path)], check=True, capture_output=True, text=True
    )
    found = json.loads(said.stdout)
    yield Row(
        f"memory of an entry, {size:,} entries", "bytes", found["bytes"] / size, budget=1024,
        note="index loaded, searched; text and answers stay on disk",
    )  # fmt: skip
    yield Row(f"start-up, {size:,} entries: to the first read", "ms", found["first_get_ms"])
    yield Row(
        f"start-up, {size:,} entries: to a complete search", "ms", found["ready_ms"],
        note=f"the first search itself answered after {found['first_search_ms']:.0f} ms",
    )  # fmt: skip


def probed(path: Path) -> dict[str, float]:
    """Open, read, search; how long each took from the start, and what memory it came to."""
    queries = list(synthetic(SEARCHES, seed=-1))
    # Whatever searching loads once, before memory is looked at.
    with tempfile.TemporaryDirectory() as folder:
        other = open_store(f"{folder}/small.db")
        text, vector = queries[0]
        other.put(Entry("1" * 32, "0" * 32, text, b"{}", NOW, fingerprint=FINGERPRINT), vector, ())
        search_for(other, (text, vector))
        other.close()
    process = psutil.Process()
    before = process.memory_info().rss
    started = time.perf_counter()
    store = open_store(str(path))
    store.get(f"{0:032x}", NOW)
    first_get = time.perf_counter() - started
    search_for(store, queries[0])
    first_search = time.perf_counter() - started
    settle(store)
    search_for(store, queries[0])
    ready = time.perf_counter() - started
    for query in queries:
        search_for(store, query)
    used = process.memory_info().rss - before
    store.close()
    return {
        "first_get_ms": first_get * 1e3,
        "first_search_ms": first_search * 1e3,
        "ready_ms": ready * 1e3,
        "bytes": float(max(used, 0)),
    }


def settle(store: Store) -> None:
    """Wait for an index that is built in the background."""
    waits: Callable[[float], bool] | None = getattr(store, "settle", None)
    if waits is not None and not waits(3600.0):
        raise RuntimeError("the index is not ready after an hour")


_bases: dict[str, Any] = {}


def bases() -> tuple[list[str], NDArray[np.float32]]:
    """The demo's prompts and their real vectors."""
    if not _bases:
        texts = sorted({prompt.text for prompt in demo_prompts()})
        _bases["texts"], _bases["vectors"] = texts, LocalEmbedder().embed(texts)
    return _bases["texts"], _bases["vectors"]


def blocks(size: int, *, seed: int, start: int = 0) -> Iterator[tuple[int, NDArray[np.float32]]]:
    """The vectors ``start`` to ``size`` of a seed, in blocks: (number of the first, vectors)."""
    _, vectors = bases()
    for first in range(start - start % BLOCK, size, BLOCK):
        rng = np.random.default_rng([abs(seed), seed < 0, first])
        origin = rng.integers(len(vectors), size=BLOCK)
        noise = rng.uniform(LEAST_NOISE, MOST_NOISE, (BLOCK, 1))
        block = vectors[origin] + rng.standard_normal((BLOCK, vectors.shape[1])) * noise
        block /= np.linalg.norm(block, axis=1, keepdims=True)
        low, high = max(start - first, 0), min(size - first, BLOCK)
        yield first + low, block[low:high].astype(np.float32)


def synthetic(size: int, *, seed: int, start: int = 0) -> Iterator[Query]:
    """Text and vector of the perturbed copies ``start`` to ``size``."""
    texts, vectors = bases()
    for first, block in blocks(size, seed=seed, start=start):
        whole = first - first % BLOCK
        origin = np.random.default_rng([abs(seed), seed < 0, whole]).integers(
            len(vectors), size=BLOCK
        )
        for offset, vector in enumerate(block, first - whole):
            yield texts[origin[offset]], vector


# -- import and install ---------------------------------------------------------------------------


def import_rows() -> Iterator[Row]:
    """What ``import semcache`` takes in a fresh interpreter, whose own start is not counted."""
    code = "import time; t = time.perf_counter(); import semcache; print(time.perf_counter() - t)"
    taken = []
    for _ in range(IMPORTS + 1):
        said = subprocess.run(
            [sys.executable, "-c", code], check=True, capture_output=True, text=True
        )
        taken.append(float(said.stdout))
    taken = taken[1:]  # the first one read the files from disk
    median = percentile(taken, 50) or 0.0
    yield Row("import semcache", "ms", median * 1e3, max(taken) * 1e3, 150,
              note=f"min {min(taken) * 1e3:.0f} ms")  # fmt: skip


def install_rows(folder: Path) -> Iterator[Row]:
    """Megabytes of a fresh venv, less what every venv has."""
    wanted: dict[str, list[str]] = {
        "core": [str(REPOSITORY)],
        "local": [str(REPOSITORY / "models"), f"{REPOSITORY}[local]"],
    }
    for name, packages in wanted.items():
        venv = folder / f"venv-{name}"
        subprocess.run([sys.executable, "-m", "venv", str(venv)], check=True)
        empty = weight(venv)
        pip = [str(venv / "bin" / "pip"), "install", "--quiet", "--no-compile", *packages]
        subprocess.run(pip, check=True, stdout=sys.stderr)
        models = sum(map(weight, venv.glob("lib/*/site-packages/semcache_models")))
        megabytes = (weight(venv) - empty - models) / 1e6
        note = f"and {models / 1e6:.0f} MB of models" if models else ""
        budget = 30.0 if name == "core" else None
        yield Row(f"install size, {name}", "MB", megabytes, budget=budget, note=note)
        shutil.rmtree(venv)


def weight(folder: Path) -> int:
    return sum(
        file.stat().st_size
        for file in folder.rglob("*")
        if file.is_file() and not file.is_symlink() and file.suffix != ".pyc"
    )


# -- measuring and showing ------------------------------------------------------------------------


def timed(function: Callable[[Any], object], inputs: Iterable[Any]) -> list[float]:
    """Seconds of every call after the first ``WARM_UP`` ones."""
    taken = []
    for given in inputs:
        started = time.perf_counter()
        function(given)
        taken.append(time.perf_counter() - started)
    return taken[WARM_UP:]


FACTORS = {"µs": 1e6, "ms": 1e3}


def row(
    what: str, unit: str, seconds: Sequence[float], *, budget: float | None = None, note: str = ""
) -> Row:
    p50, p95 = (percentile(seconds, percent) or 0.0 for percent in (50, 95))
    factor = FACTORS[unit]
    return Row(what, unit, p50 * factor, p95 * factor, budget, note=note)


def document(rows: Sequence[Row]) -> dict[str, Any]:
    machine = {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cores": psutil.cpu_count(),
        "load": psutil.getloadavg()[0],
    }
    return {"machine": machine, "rows": [{**asdict(one), "ratio": one.ratio} for one in rows]}


def show(rows: Sequence[Row]) -> None:
    table = Table(title="semcache against its budgets (p50; ratio ≤ 1 is within budget)")
    table.add_column("what", min_width=34)
    for heading in ("budget", "p50", "p95", "ratio"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("note")
    for one in rows:
        ratio = one.ratio
        colour = "" if ratio is None else "[green]" if ratio <= 1 else "[bold red]"
        table.add_row(
            one.what,
            ""
            if one.budget is None
            else f"{'≥' if one.more_is_better else '≤'} {one.budget:g} {one.unit}",
            f"{one.p50:.3g} {one.unit}" if one.p50 < 1000 else f"{one.p50:,.0f} {one.unit}",
            "" if one.p95 is None else f"{one.p95:.3g} {one.unit}",
            "" if ratio is None else f"{colour}{ratio:.2f}[/]",
            one.note,
        )
    # Piped into a file there is no width to fit in.
    Console(width=None if sys.stdout.isatty() else 130).print(table)


if __name__ == "__main__":
    app()
