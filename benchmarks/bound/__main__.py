"""``python -m benchmarks.bound DATA``: does the bound hold, and what does it cost?"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import Progress

from benchmarks.bound import show
from benchmarks.bound.control import chosen_threshold
from benchmarks.bound.data import SEED, look_alikes, pairs_of, pool_of, popular, prepared
from benchmarks.bound.exchangeable import exchangeable
from benchmarks.bound.known import Cache, Known, summary
from benchmarks.bound.shipped import as_shipped, shipped_thresholds
from benchmarks.bound.streams import replayed
from benchmarks.bound.threats import adversary, drift, label_noise, planted
from semcache.embedders.local import LocalEmbedder
from semcache.verifiers.local import LocalVerifier

STREAMS = ["prompt_stream", "qqp_stream", "banking77_stream"]

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
err = Console(stderr=True)


@app.command(
    epilog="Examples: python -m benchmarks.bound ../shared/data --part tune --runs 50 --limit 300; "
    "python -m benchmarks.bound ../shared/data --pairs training/data/served_pairs.jsonl.gz "
    "--cache /tmp/bound.npz --json bound.json --docs docs/bound.md --png docs/images/bound.png"
)
def main(
    data: Annotated[Path, typer.Argument(help="Folder with NAME.PART.jsonl.gz.", exists=True)],
    part: Annotated[str, typer.Option(help="tune to develop, eval to report.")] = "eval",
    pairs: Annotated[
        list[Path] | None, typer.Option(help="More labelled pairs for the pool.")
    ] = None,
    stream: Annotated[
        list[str] | None, typer.Option(help="Names of streams.", show_default=", ".join(STREAMS))
    ] = None,
    runs: Annotated[int, typer.Option(min=10, help="Draws and splits.")] = 800,
    orders: Annotated[int, typer.Option(min=2, help="Orders a stream.")] = 60,
    limit: Annotated[int, typer.Option(min=50, help="Prompts a stream, whole groups.")] = 1000,
    most_pairs: Annotated[int, typer.Option(min=100, help="Pairs of the pool.")] = 4000,
    bound: Annotated[list[float] | None, typer.Option(help="max_wrong.")] = None,
    seed: Annotated[int, typer.Option(help="Of every draw.")] = SEED,
    cache: Annotated[
        Path | None, typer.Option(help="Vectors and logits, kept between runs (.npz).")
    ] = None,
    verifier: Annotated[
        Path | None, typer.Option(help="Another verifier than the installed one: a folder.")
    ] = None,
    json_file: Annotated[Path | None, typer.Option("--json", help="Also write JSON here.")] = None,
    docs: Annotated[
        Path | None, typer.Option(help="Also put the tables into this document.")
    ] = None,
    png: Annotated[Path | None, typer.Option(help="Also draw (needs matplotlib).")] = None,
) -> None:
    """Simulate: exchangeable pairs, streams, drift, label noise and an adversary.

    Vectors, vetoes and the verifier are asked once; what is repeated is numpy.
    """
    started = time.perf_counter()
    bounds = tuple(bound or (0.01, 0.02, 0.05))
    with Progress(console=err, transient=True) as bar:
        tasks: dict[str, Any] = {}

        def tell(what: str, done: int, total: int | None) -> None:
            if what not in tasks:
                tasks[what] = bar.add_task(what)
            bar.update(tasks[what], completed=done, total=total)

        known = Known(LocalEmbedder(), LocalVerifier(verifier, threads=1), Cache(cache), tell)
        pool = pool_of(pairs_of(data, part, pairs or (), most_pairs), known)
        attacks = planted(look_alikes(data, part, seed), popular(data, part), known, seed)
        listed = [prepared(data, part, name, limit, known) for name in stream or STREAMS]
        ready = time.perf_counter() - started
        pair_results = exchangeable(pool, bounds, runs, seed, lambda n: tell("splits", n, runs))
        given = {
            "shipped": shipped_thresholds(known, bounds),
            "pairs": {
                (name, one): chosen_threshold(scores, pool.same, one)
                for one in bounds
                for name, scores in pool.scores.items()
            },
        }
        stream_results = []
        for one in listed:
            tell(f"{one.name}: replaying", 0, None)
            stream_results += replayed(one, given, bounds, orders, seed)
        tell("drift and attacks", 0, None)
        drifted = drift(pool, bounds, min(runs, 100), seed)
        noisy = label_noise(pool, bounds, min(runs, 200), seed)
        attacked = adversary(pool, attacks, bounds, seed, shipped=given["shipped"])
    about: dict[str, Any] = {
        **summary(known),
        "part": part,
        "pairs": len(pool.same),
        "positives": int(pool.same.sum()),
        "components": len(set(pool.component.tolist())),
        "runs": runs,
        "seed": seed,
        "streams": {one.name: len(one.group) for one in listed},
        "verified": known.verified,
        "seconds": {"scores": ready, "all": time.perf_counter() - started},
    }
    ready_made = as_shipped(pool, given["shipped"])
    results = show.Results(
        about, ready_made, pair_results, stream_results, drifted, noisy, attacked
    )
    show.tables(results)
    if json_file is not None:
        json_file.write_text(json.dumps(results.to_json(), indent=1) + "\n")
    if docs is not None:
        show.into_document(results, docs)
    if png is not None:
        show.picture(results, png)


if __name__ == "__main__":
    app()
