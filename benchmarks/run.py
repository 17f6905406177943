"""The budgets of DESIGN §6, measured: one table, and JSON for comparing runs.

    python benchmarks/run.py
    python benchmarks/run.py --entries 1000,10000,100000,1000000 --json bench.json --install

Absolute figures are this machine's. What compares between machines is a figure's ratio to one of
the same run, so a bare SQLite read and one embedding are measured beside the rest.

What goes through the whole cache is measured here, with the demo's real prompts. The stores at
large sizes are ``stores.py``'s, the encoder by length and threads is ``embedder.py``'s.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import psutil
import typer
from rich.console import Console
from rich.progress import track
from rich.table import Table

from semcache import CachePolicy, Scope, SemanticCache
from semcache.cache import DEFAULT_MAX_WRONG
from semcache.decision.calibration import shipped
from semcache.demo.prompts import demo_prompts
from semcache.embedders.local import LocalEmbedder
from semcache.judging import DEFAULT_SCORER
from semcache.policy import Rule
from semcache.replay import percentile

if TYPE_CHECKING:
    from numpy.typing import NDArray

REPOSITORY = Path(__file__).resolve().parent.parent
ANSWER = "An answer of ordinary length, which says what is to be done and in which order. " * 8
# So many scopes hold two thirds of the demo's prompts each; the last third is what is missed.
SCOPES = [Scope(model="benchmark", tenant=f"tenant-{number}") for number in range(10)]
# Fifteen words; what varies is a real word, so that neighbours are near and not equal.
ASKED = "How do I reset the password of my {} account when I lost access to it?"
RECORDED = "how do i reset the password of my {} account when i lost access to it"
BOUNDS = (DEFAULT_MAX_WRONG, 0.02, 0.05, 0.1, 0.2, 0.5)
WARM_UP, SEMANTIC_REPEATS, READS = 50, 150, 1000
IMPORTS = 9
PIPED_WIDTH = 130

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
err = Console(stderr=True)


@dataclass(frozen=True, slots=True)
class Row:
    """One measured thing, in ``unit``; ``budget`` is for the p50, if any.

    ``p10`` is what calls took in a quiet moment: on a machine that others use, too, the p50 says
    more about them.
    """

    what: str
    unit: str
    p50: float
    p95: float | None = None
    p10: float | None = None
    budget: float | None = None
    # Recall is good when it is high, everything else when it is low.
    more_is_better: bool = False
    note: str = ""

    @property
    def ratio(self) -> float | None:
        """Measured over budget (or the reverse, where more is better); up to 1 is within it."""
        if self.budget is None or not self.p50:
            return None
        return self.budget / self.p50 if self.more_is_better else self.p50 / self.budget


@app.command(
    epilog="Examples: python benchmarks/run.py --entries 1000,10000; "
    "python benchmarks/run.py --json bench.json --install"
)
def main(
    entries: Annotated[
        str, typer.Option(help="Sizes at which to measure the store.")
    ] = "1000,10000,100000",
    json_file: Annotated[Path | None, typer.Option("--json", help="Also write JSON here.")] = None,
    install: Annotated[
        bool, typer.Option("--install", help="Also install into fresh venvs and weigh them (slow).")
    ] = False,
) -> None:
    """Measure everything and print the table."""
    rows: list[Row] = []
    with tempfile.TemporaryDirectory(prefix="semcache-bench-") as name:
        folder = Path(name)
        rows += reference_rows(folder)
        rows += cache_rows(folder)
        rows += semantic_rows(folder)
        for size in entries.split(","):
            rows += store_rows(int(size))
        rows += import_rows()
        if install:
            rows += install_rows(folder)
    show(rows)
    if json_file is not None:
        json_file.write_text(json.dumps(document(rows), indent=2) + "\n")


# -- through the cache ----------------------------------------------------------------------------


@dataclass
class Precomputed:
    """The shipped encoder, its vectors made beforehand: what is left is our own overhead."""

    encoder: LocalEmbedder = field(default_factory=LocalEmbedder)
    vectors: dict[str, NDArray[np.float32]] = field(default_factory=dict)

    @property
    def fingerprint(self) -> str:
        return self.encoder.fingerprint

    @property
    def dimension(self) -> int:
        return self.encoder.dimension

    def embed(self, texts: Sequence[str], kind: str = "query") -> NDArray[np.float32]:
        return np.stack([self.vectors[text] for text in texts])

    async def aembed(self, texts: Sequence[str], kind: str = "query") -> NDArray[np.float32]:
        return self.embed(texts)

    def fits(self, text: str) -> bool:
        return True


def cache_rows(folder: Path) -> Iterator[Row]:
    """Exact hits, misses and recording, through the public calls."""
    texts = sorted({p.text for p in demo_prompts() if p.kind != "policy"}, key=hash_of)
    stub = Precomputed()
    stub.vectors = dict(zip(texts, stub.encoder.embed(texts), strict=True))
    split = 2 * len(texts) // 3
    held = [(text, scope) for scope in SCOPES for text in texts[:split]]
    missed = [(text, scope) for text in texts[split:] for scope in SCOPES]
    bound = supported_bound()
    url = f"sqlite:///{folder}/cache.db"
    with SemanticCache.open(url, embedder=stub, strict=True, max_wrong=bound) as cache:
        took = timed(lambda asked: cache.record(asked[0], ANSWER, scope=asked[1]), held)
        yield row("record", "ms", took)
        # What the policy did not let be stored is no hit.
        held = [asked for asked in held if cache.lookup(asked[0], scope=asked[1])]
        held.sort(key=lambda asked: hash_of(asked[0]))
        took = timed(lambda asked: cache.lookup(asked[0], scope=asked[1]), held)
        yield row("exact hit, in process", "µs", took, budget=50)
        missing: list[float] = []
        for text, scope in missed:
            decisions: list[Any] = []
            started = time.perf_counter()
            cache.call(text, lambda: ANSWER, scope=scope, on_decision=decisions.append)
            seconds = time.perf_counter() - started
            if decisions[0].tier is None:
                missing.append(seconds)
        yield row(
            "overhead of a miss, recording included", "ms", missing[WARM_UP:], budget=0.5,
            note=f"embedding precomputed{at(bound)}",
        )  # fmt: skip


def semantic_rows(folder: Path) -> Iterator[Row]:
    """A hit by meaning with the shipped encoder, each of another question."""
    words = sorted({w for p in demo_prompts() for w in p.text.lower().split() if w.isalpha()})
    words = [word for word in words if len(word) > 3][: SEMANTIC_REPEATS + WARM_UP]
    bound = supported_bound()
    hits = 0

    def ask(word: str) -> None:
        nonlocal hits
        hits += cache.lookup(ASKED.format(word), scope=SCOPES[0]) is not None

    url = f"sqlite:///{folder}/semantic.db"
    # The policy is asked, as by default, and lets every word of the template pass.
    policy = CachePolicy(rules=(Rule("measured", matches="(?i)password", store=True),))
    with SemanticCache.open(url, strict=True, max_wrong=bound, policy=policy) as cache:
        for word in track(words, "recording for semantic hits", console=err):
            cache.record(RECORDED.format(word), ANSWER, scope=SCOPES[0])
        took = timed(ask, words)
        note = f"{hits} hits of {len(words)}{at(bound)}"
        yield row("semantic hit, 15 words, with embedding", "ms", took, budget=12, note=note)


def supported_bound() -> float:
    """The strictest bound at which anything is served by meaning: else there is nothing to time."""
    evidence = shipped(DEFAULT_SCORER)
    return next(bound for bound in BOUNDS if evidence.threshold(bound) is not None)


def at(bound: float) -> str:
    return "" if bound == BOUNDS[0] else f"; at max_wrong={bound}: below it nothing is served"


def reference_rows(folder: Path) -> Iterator[Row]:
    """What the machine does without us: one bare read by key, one embedding."""
    db = sqlite3.connect(folder / "bare.db")
    db.execute("CREATE TABLE bare (id TEXT PRIMARY KEY, answer BLOB)")
    ids = [f"{number:032x}" for number in range(READS)]
    db.executemany("INSERT INTO bare VALUES (?, ?)", [(id, ANSWER.encode()) for id in ids])
    db.commit()
    read = "SELECT answer FROM bare WHERE id = ?"
    took = timed(lambda id: db.execute(read, (id,)).fetchone(), ids)
    db.close()
    yield row("reference: bare SQLite read", "µs", took)
    embedder = LocalEmbedder()
    questions = [ASKED.format(number) for number in range(WARM_UP + SEMANTIC_REPEATS)]
    took = timed(lambda text: embedder.embed([text]), questions)
    yield row("reference: embedding of 15 words", "ms", took)


# -- the store, start-up, import, install ---------------------------------------------------------


def store_rows(size: int) -> Iterator[Row]:
    """One size of ``stores.py``, in a process of its own, so that its memory is its own."""
    command = [sys.executable, "-m", "benchmarks.stores", str(size), "--json"]
    said = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, cwd=REPOSITORY)
    (found,) = json.loads(said.stdout)
    entries = f"{size:,} entries"
    search, put = found["search"], found["put"]
    yield Row(f"search, {entries}", "ms", search["p50"], search["p95"], search["p10"], 2.0)
    yield Row(f"recall@10, {entries}", "", found["recall_at_10"], budget=0.98, more_is_better=True)
    yield Row(
        f"memory of an entry, {entries}", "bytes", found["index_bytes_per_entry"], budget=1024,
        note=f"besides text and answer; {found['file_bytes_per_entry'] / 1e3:.1f} KB on disk",
    )  # fmt: skip
    yield Row(f"put, {entries}", "ms", put["p50"], put["p95"], put["p10"])
    yield Row(
        f"start-up, {entries}", "ms", found["start_ms"],
        note=f"a search sees everything after {found['start_settled_ms']:,.0f} ms; "
        f"index built once in {found['build_seconds']:.0f} s",
    )  # fmt: skip


def import_rows() -> Iterator[Row]:
    """What ``import semcache`` takes in a fresh interpreter, whose own start is not counted."""
    code = "import time; t = time.perf_counter(); import semcache; print(time.perf_counter() - t)"
    command = [sys.executable, "-c", code]
    # As after an installation: compiled once, also where this environment keeps nothing compiled.
    with tempfile.TemporaryDirectory() as compiled:
        env = {**os.environ, "PYTHONPYCACHEPREFIX": compiled}
        env.pop("PYTHONDONTWRITEBYTECODE", None)
        taken = []
        for _ in range(IMPORTS + 1):
            said = subprocess.run(
                command, check=True, capture_output=True, text=True, cwd=REPOSITORY, env=env
            )
            taken.append(float(said.stdout))
    taken = taken[1:]  # the first one compiled the files
    note = f"least of {IMPORTS}: {min(taken) * 1e3:.0f} ms"
    yield row("import semcache", "ms", taken, budget=150, note=note)


def install_rows(folder: Path) -> Iterator[Row]:
    """Megabytes that an installation adds to a fresh venv."""
    wanted = {
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
    """Bytes of all files but compiled ones, which come with use."""
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
    return taken[WARM_UP:] if len(taken) > WARM_UP else taken


def hash_of(text: str) -> str:
    """An order without meaning that is the same in every run."""
    return hashlib.sha256(text.encode()).hexdigest()


FACTORS = {"µs": 1e6, "ms": 1e3}


def row(
    what: str, unit: str, seconds: Sequence[float], *, budget: float | None = None, note: str = ""
) -> Row:
    p10, p50, p95 = (
        (percentile(seconds, percent) or 0.0) * FACTORS[unit] for percent in (10, 50, 95)
    )
    return Row(what, unit, p50, p95, p10, budget, note=note)


def document(rows: Sequence[Row]) -> dict[str, Any]:
    machine = {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cores": psutil.cpu_count(),
        "load": psutil.getloadavg()[0],
    }
    return {"machine": machine, "rows": [{**asdict(one), "ratio": one.ratio} for one in rows]}


def figure(value: float) -> str:
    return f"{value:.3g}" if value < 1000 else f"{value:,.0f}"


def show(rows: Sequence[Row]) -> None:
    table = Table(title="semcache against its budgets (p50; ratio ≤ 1 is within budget)")
    table.add_column("what", min_width=34)
    for heading in ("budget", "p10", "p50", "p95", "ratio"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("note")
    for one in rows:
        ratio = one.ratio
        colour = "" if ratio is None else "[green]" if ratio <= 1 else "[bold red]"
        sign = "≥" if one.more_is_better else "≤"
        table.add_row(
            f"{one.what} ({one.unit})" if one.unit else one.what,
            "" if one.budget is None else f"{sign} {one.budget:g} {one.unit}".strip(),
            *("" if value is None else figure(value) for value in (one.p10, one.p50, one.p95)),
            "" if ratio is None else f"{colour}{ratio:.2f}[/]",
            one.note,
        )
    load, cores = psutil.getloadavg()[0], psutil.cpu_count() or 1
    if load > cores:
        table.caption = f"load {load:.1f} on {cores} cores: others were at work, times are too high"
    # Piped into a file there is no width to fit in.
    Console(width=None if sys.stdout.isatty() else PIPED_WIDTH).print(table)


if __name__ == "__main__":
    app()
