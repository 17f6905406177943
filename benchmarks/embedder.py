"""How long the local embedder takes, by length and threads, beside the float model.

Absolute figures are this machine's; the ratios are what to compare, so every round times all the
variants in turn, in shuffled order, and the noise of a shared machine falls on all alike. Each
timed run follows an untimed one of the same variant, which brings its weights back into the cache.

    python benchmarks/embedder.py
    python benchmarks/embedder.py --float /tmp/float.onnx --json

The float model is optional: ``training/export_encoder.py --float-out`` writes it.
"""

from __future__ import annotations

import json
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import semcache_models
import typer
from rich.console import Console
from rich.progress import track
from rich.table import Table

from semcache.embedders.local import LocalEmbedder

# Real lengths: web queries have 11 tokens on average, prompts a median of 17 and a p90 of 56.
TEXTS = {
    "8 words": "how do I reset my account password today",
    "15 words": "how do I reset the password of my account when I lost access to it",
    "60 words": "please tell me how I can reset the password of my old account again " * 4,
    "full (256 tokens)": "please tell me how I can reset the password of my old account again "
    * 30,
}
BATCH = 8  # texts a call, for the threads to share

app = typer.Typer(add_completion=False)


@app.command(
    epilog="Examples: python benchmarks/embedder.py --rounds 200; "
    "python benchmarks/embedder.py --float float.onnx --json"
)
def main(
    float_model: Annotated[
        Path | None, typer.Option("--float", help="Float ONNX of the same encoder, to compare.")
    ] = None,
    rounds: Annotated[int, typer.Option(help="Timed runs of each variant.")] = 100,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Time one text and a batch of 8 on 1 and 2 threads, int8 and, where given, float."""
    with tempfile.TemporaryDirectory() as scratch:
        embedders = {"int8": {n: LocalEmbedder(threads=n) for n in (1, 2)}}
        if float_model is not None:
            folder = float_folder(float_model, Path(scratch))
            embedders["float"] = {n: LocalEmbedder(folder, threads=n) for n in (1, 2)}
        rows = [
            row for name, text in TEXTS.items() for row in measure(name, text, embedders, rounds)
        ]
    if as_json:
        json.dump({"batch": BATCH, "rounds": rounds, "rows": rows}, sys.stdout, indent=2)
        sys.stdout.write("\n")
    else:
        show(rows)


def float_folder(model: Path, scratch: Path) -> Path:
    """The float model with our tokenizer beside it, as `LocalEmbedder` wants it."""
    shutil.copy(model, scratch / "model.onnx")
    shutil.copy(semcache_models.path("encoder") / "tokenizer.json", scratch / "tokenizer.json")
    (scratch / "sentence_bert_config.json").write_text('{"max_seq_length": 256}')
    return scratch


def measure(
    name: str, text: str, embedders: dict[str, dict[int, LocalEmbedder]], rounds: int
) -> list[dict[str, Any]]:
    """p50 and p95 in ms of every variant, and its p50 as a share of int8's on one thread."""
    calls: dict[tuple[str, str, int], Callable[[], object]] = {}
    for model, by_threads in embedders.items():
        calls[model, "1 text", 1] = lambda e=by_threads[1]: e.embed([text])  # type: ignore[misc]
        for threads, embedder in by_threads.items():
            key = model, f"{BATCH} texts", threads
            calls[key] = lambda e=embedder: e.embed([text] * BATCH)  # type: ignore[misc]
    times: dict[tuple[str, str, int], list[float]] = {key: [] for key in calls}
    order = list(calls)
    rounds = max(10, rounds // (1 + len(text.split()) // 20))
    for _ in track(range(rounds), name, console=Console(stderr=True)):
        random.shuffle(order)
        for key in order:
            calls[key]()
            start = time.perf_counter()
            calls[key]()
            times[key].append((time.perf_counter() - start) * 1e3)
    rows = []
    for (model, size, threads), values in times.items():
        p50, p95 = np.percentile(values, [50, 95])
        base = float(np.percentile(times["int8", size, 1], 50))
        row = {"text": name, "call": size, "model": model, "threads": threads}
        rows.append(
            row | {"p50": round(p50, 2), "p95": round(p95, 2), "ratio": round(p50 / base, 2)}
        )
    return rows


def show(rows: list[dict[str, Any]]) -> None:
    table = Table("text", "call", "model", "threads", "p50 ms", "p95 ms", "ratio to int8, 1 thread")
    for row in rows:
        table.add_row(*(str(value) for value in row.values()))
    Console().print(table)


if __name__ == "__main__":
    app()
