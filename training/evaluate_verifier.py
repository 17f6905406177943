"""Score pair files with the verifier as it ships (int8, one pair a run) and with cosine beside it.

    python training/evaluate_verifier.py ../shared/data/strict_pairs.eval.jsonl.gz …

prompt_pairs is reported twice: its adversarial domains, and ``natural``. ``tpr01`` is the share of
the positives above the score that 1 % of the negatives pass.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from numpy.typing import NDArray
from verifier_data import read_rows
from verifier_metrics import summary

from semcache.embedders.local import LocalEmbedder
from semcache.verifiers.local import LocalVerifier

app = typer.Typer(add_completion=False)


@app.command()
def main(
    files: Annotated[list[Path], typer.Argument(help="Pair files (.jsonl.gz).")],
    model: Annotated[Path | None, typer.Option(help="Folder; default: the shipped one.")] = None,
    cosine: Annotated[bool, typer.Option(help="Also measure the encoder's cosine.")] = True,
    scores: Annotated[Path | None, typer.Option(help="Write every pair's scores here.")] = None,
) -> None:
    """Print one line of JSON a file (and part) and score."""
    verifier, embedder = LocalVerifier(model), LocalEmbedder(threads=2)
    kept: list[dict[str, Any]] = []
    for path in files:
        rows = read_rows(path)
        pairs = [(row["a"], row["b"]) for row in rows]
        labels = np.array([row["label"] for row in rows])
        began = time.perf_counter()
        by_score = {"verifier": verifier.score(pairs)}
        each = (time.perf_counter() - began) / max(1, len(rows)) * 1000
        truncated = sum(not verifier.fits(a, b) for a, b in pairs)
        if cosine:
            by_score["cosine"] = cosines(embedder, pairs)
        print(f"{path.name}: {each:.1f} ms a pair, {truncated} truncated", file=sys.stderr)
        for part, mask in parts(rows).items():
            for name, values in by_score.items():
                line = {"file": path.name.split(".jsonl")[0] + part, "score": name}
                print(json.dumps(line | summary(labels[mask], values[mask])), flush=True)
        for i, row in enumerate(rows):
            kept.append(row | {name: float(values[i]) for name, values in by_score.items()})
    if scores is not None:
        scores.write_text("".join(json.dumps(row) + "\n" for row in kept), "utf-8")


def parts(rows: list[dict[str, Any]]) -> dict[str, NDArray[np.bool_]]:
    if "domain" not in rows[0]:
        return {"": np.ones(len(rows), bool)}
    natural = np.array([row["domain"] == "natural" for row in rows])
    return {" adversarial": ~natural, " natural": natural}


def cosines(embedder: LocalEmbedder, pairs: list[tuple[str, str]]) -> NDArray[np.float32]:
    texts = list(dict.fromkeys(text for pair in pairs for text in pair))
    vectors = dict(zip(texts, embedder.embed(texts), strict=True))
    return np.array([vectors[a] @ vectors[b] for a, b in pairs], np.float32)


if __name__ == "__main__":
    app()
