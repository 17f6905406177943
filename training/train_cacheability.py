"""Makes the cacheability head and the weights of the words alone.

    python training/train_cacheability.py ../shared/data

Writes ``models/semcache_models/cacheability/head.npz`` and
``semcache/decision/cacheability_rules.json``. Learns from ``cacheability.tune`` and from the
prompts of ``training/data`` (read, written, and silver by intent, at lower weights). What is chosen
(mix, calibration, points) is chosen on five-fold predictions of ``cacheability.tune`` alone. The
folds are grouped: prompts of it that lie near each other share a fold, and a written prompt that
lies near one of it stands in no training part for that fold. ``cacheability.eval`` is read for one
thing only: texts of it that somebody wrote again by chance are left out of the training.

Points: for each flag and for live, the probability from which on it is taken to hold; and for the
doubt (the chance that at least one of them holds) the largest value with which at most
``MAX_UNSAFE_KEPT`` of the unsafe prompts are kept.
"""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import scipy.sparse as sp
import typer
from cacheability_data import (
    Prompt,
    harmless,
    labelled,
    order,
    plain,
    reread,
    rows,
    silver,
    written,
)
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score

from semcache.decision.cacheability import FLAGS, LIFETIMES, OUTPUTS, RULES_VERSION, WITNESSES
from semcache.decision.cacheability_head import (
    FILE,
    HEAD_VERSION,
    RARITY_STEP,
    hashed_grams,
    rare_bucket,
    rarity,
)
from semcache.decision.cacheability_words import FEATURES, WORDS_VERSION, Words, features, read
from semcache.embedders.local import LocalEmbedder
from semcache.policy import FEW_WORDS, UNSPOKEN_POINT

ROOT = Path(__file__).parent.parent
OUT = ROOT / "models" / "semcache_models" / "cacheability"
FOLDS = 5
WEIGHT = {"read": 1.0, "reread": 0.8, "written": 0.6, "silver": 0.5, "harmless": 0.3}
# A prompt of the harmless sets that the first round of training is so sure of is left out.
LOOKS_UNSAFE = 0.7
# Cosine from which on two prompts say nearly the same.
NEAR = 0.82
BUCKETS = 8192
RARE_BUCKETS = 16384
# What people ask, to count how many texts hold a word.
STREAMS = ("chat_turns", "web_queries", "prompts", "banking77_stream", "clinc150_stream")
# Scales of the three kinds of input: what a penalty on all weights alike then means. Of three
# settings tried on the folds these were best.
VECTOR_SCALE, CUE_SCALE, GRAM_SCALE = 3.0, 0.7, 4.0
INVERSE_PENALTY = 3.0
RULES_INVERSE_PENALTY = 1.0
HIDDEN, NETWORKS, EPOCHS, RATE, DROPOUT, DECAY, BATCH = 48, 2, 10, 4e-3, 0.3, 2e-4, 256
MAX_UNSAFE_KEPT = 0.05
# The words see so little that the same bound would refuse every fifth safe prompt.
MAX_UNSAFE_KEPT_BY_WORDS = 0.12
GRID = np.round(np.arange(0.3, 0.81, 0.05), 2)
SHARES = (0.25, 0.5)

Array = Any


class Data:
    """Prompts as matrices."""

    def __init__(self, prompts: list[Prompt], vectors: dict[str, Array], rare: bytes) -> None:
        self.prompts = prompts
        self.read = np.array([p.origin == "read" for p in prompts])
        self.weight = np.array([WEIGHT[p.origin] for p in prompts])
        self.flags = np.array([[f in p.flags for f in FLAGS] for p in prompts])
        self.life = np.array([LIFETIMES.index(p.lifetime) for p in prompts])  # type: ignore[arg-type]
        words = [read(p.text) for p in prompts]
        self.unspoken = np.array([unspoken(one) for one in words])
        cues = np.zeros((len(prompts), len(FEATURES)), np.float32)
        hashed = sp.lil_matrix((len(prompts), BUCKETS), dtype=np.float32)
        for row, one in enumerate(words):
            cues[row, features(one)] = 1
            buckets = hashed_grams(one, BUCKETS)
            for bucket in buckets:
                hashed[row, bucket] += GRAM_SCALE / len(buckets) ** 0.5
        self.cues = cues
        embedded = np.array([vectors[p.text] for p in prompts], np.float32)
        rarities = np.array([rarity(one, rare) for one in words], np.float32)
        self.dense = np.hstack([embedded * VECTOR_SCALE, cues * CUE_SCALE, rarities])
        self.fold = folds(prompts, embedded, self.read)
        self.all = sp.hstack([sp.csr_matrix(self.dense), hashed.tocsr()]).tocsr()


def unspoken(words: Words) -> bool:
    """As ``policy.is_unspoken``, without the weights that are only made here."""
    count = sum(token[0].isalpha() for token in words.tokens)
    return count <= FEW_WORDS and not any(
        cue in words.cues for cues in WITNESSES.values() for cue in cues
    )


def folds(prompts: list[Prompt], vectors: Array, read: Array) -> Array:
    """The fold of every prompt: whole groups of near ones; -1 for what may stand in every part."""
    at = np.where(read)[0]
    root = list(range(len(at)))

    def find(i: int) -> int:
        while root[i] != i:
            i = root[i]
        return i

    near = vectors[at] @ vectors[at].T >= NEAR
    for i, j in zip(*np.where(np.triu(near, 1)), strict=True):
        root[find(int(j))] = find(int(i))
    of_read = np.array(
        [int(order(prompts[at[find(i)]].text)[:6], 16) % FOLDS for i in range(len(at))]
    )
    fold = np.full(len(prompts), -1)
    fold[at] = of_read
    for i, prompt in enumerate(prompts):
        if prompt.origin == "written" and len(at):
            likeness = vectors[at] @ vectors[i]
            if likeness.max() >= NEAR:
                fold[i] = of_read[int(likeness.argmax())]
    return fold


def rare_words(data: Path) -> bytes:
    """``log(texts / texts with the word)`` in steps of ``RARITY_STEP``, by the word's bucket."""
    counts = np.zeros(RARE_BUCKETS)
    texts = [row["text"] for name in STREAMS for row in rows(data / f"{name}.tune.jsonl.gz")]
    for text in texts:
        for bucket in {rare_bucket(word, RARE_BUCKETS) for word in read(text).tokens}:
            counts[bucket] += 1
    steps = np.log(len(texts) / (1 + counts)) / RARITY_STEP
    return np.clip(np.round(steps), 0, 255).astype(np.uint8).tobytes()


def linear(x: Array, data: Data, rows: Array, penalty: float) -> tuple[Array, Array]:
    """Weights ``[inputs, outputs]`` and bias of a logistic regression for each output."""
    columns, bias = [], []
    for flag in range(len(FLAGS)):
        model = LogisticRegression(C=penalty, max_iter=400, tol=1e-3)
        model.fit(x[rows], data.flags[rows, flag], sample_weight=data.weight[rows])
        columns.append(model.coef_[0])
        bias.append(model.intercept_[0])
    model = LogisticRegression(C=penalty, max_iter=400, tol=1e-3)
    model.fit(x[rows], data.life[rows], sample_weight=data.weight[rows])
    return np.column_stack([*columns, *model.coef_]), np.array([*bias, *model.intercept_])


def network(data: Data, rows: Array, seed: int) -> tuple[Array, Array, Array, Array]:
    """One hidden layer, all outputs at once: Adam on cross-entropy, inputs dropped at random."""
    chance = np.random.default_rng(seed)
    x, weight = data.dense[rows], data.weight[rows][:, None].astype(np.float32)
    aim = np.hstack([data.flags[rows], np.eye(4)[data.life[rows]]]).astype(np.float32)
    shapes = [(x.shape[1], HIDDEN), (HIDDEN,), (HIDDEN, len(OUTPUTS)), (len(OUTPUTS),)]
    parts = [
        (chance.normal(0, 1 / np.sqrt(shape[0]) if len(shape) > 1 else 0, shape)).astype(np.float32)
        for shape in shapes
    ]
    first, second = [np.zeros_like(p) for p in parts], [np.zeros_like(p) for p in parts]
    step = 0
    for epoch in range(EPOCHS):
        shuffled = chance.permutation(len(x))
        rate = RATE * (1 - epoch / EPOCHS)
        for start in range(0, len(x), BATCH):
            some = shuffled[start : start + BATCH]
            kept = (chance.random((len(some), x.shape[1])) > DROPOUT).astype(np.float32)
            given = x[some] * kept / (1 - DROPOUT)
            inner = np.tanh(given @ parts[0] + parts[1])
            sums = inner @ parts[2] + parts[3]
            error = (probabilities(sums) - aim[some]) * weight[some] / len(some)
            back = (error @ parts[2].T) * (1 - inner**2)
            slopes = [given.T @ back, back.sum(0), inner.T @ error, error.sum(0)]
            step += 1
            for i, slope in enumerate(slopes):
                first[i] = 0.9 * first[i] + 0.1 * slope
                second[i] = 0.999 * second[i] + 0.001 * slope**2
                move = (first[i] / (1 - 0.9**step)) / (
                    np.sqrt(second[i] / (1 - 0.999**step)) + 1e-8
                )
                parts[i] -= rate * (move + (DECAY / RATE * parts[i] if parts[i].ndim > 1 else 0))
    return tuple(parts)  # type: ignore[return-value]


def probabilities(sums: Array) -> Array:
    """Logistic for the flags, softmax for the lifetimes."""
    flags = 1 / (1 + np.exp(-np.clip(sums[:, : len(FLAGS)], -40, 40)))
    grown = np.exp(sums[:, len(FLAGS) :] - sums[:, len(FLAGS) :].max(axis=1, keepdims=True))
    return np.hstack([flags, grown / grown.sum(axis=1, keepdims=True)])


def deep(parts: tuple[Array, ...], dense: Array) -> Array:
    return np.tanh(dense @ parts[0] + parts[1]) @ parts[2] + parts[3]


def calibrated(sums: Array, data: Data) -> dict[str, Any]:
    """Platt's scale and shift for each flag, and the lifetimes' temperature, on held-out sums."""
    scale, shift = [], []
    for flag in range(len(FLAGS)):
        model = LogisticRegression(C=1e3).fit(sums[:, [flag]], data.flags[data.read, flag])
        scale.append(float(model.coef_[0, 0]))
        shift.append(float(model.intercept_[0]))
    life = data.life[data.read]

    def loss(temperature: float) -> float:
        shares = probabilities(np.hstack([sums[:, :4], sums[:, 4:] / temperature]))[:, 4:]
        return float(-np.log(shares[np.arange(len(life)), life] + 1e-9).mean())

    temperature = min(np.linspace(0.3, 3, 55), key=loss)
    return {"scale": scale, "shift": shift, "temperature": float(temperature)}


def applied(sums: Array, calibration: dict[str, Any]) -> Array:
    flags = sums[:, :4] * calibration["scale"] + calibration["shift"]
    return probabilities(np.hstack([flags, sums[:, 4:] / calibration["temperature"]]))


def choose_points(found: Array, data: Data, max_kept: float) -> tuple[dict[str, float], Any]:
    """Points for the flags, live and doubt; also what is kept and lost with them on the folds.

    A flag's point is where its F1 is best; all flags and live together make the doubt.
    """
    risk = np.column_stack([found[:, :4], found[:, 7]])
    truth = np.column_stack([data.flags[data.read], data.life[data.read] == 3])
    # The policy's leniency with short plain texts is part of what is kept.
    lenient = data.unspoken[data.read]
    unsafe = truth.any(axis=1)
    safe = ~unsafe & (data.life[data.read] <= 1)
    points = {}
    for column, name in enumerate((*FLAGS, "live")):
        scores = [f1(truth[:, column], risk[:, column] >= point) for point in GRID]
        points[name] = float(GRID[int(np.argmax(scores))])
    doubt = 1 - np.prod(1 - risk, axis=1)
    limit = np.array([points[name] for name in (*FLAGS, "live")])
    refused = (risk >= np.where(lenient[:, None], np.maximum(limit, UNSPOKEN_POINT), limit)).any(1)
    doubt[lenient & (doubt < UNSPOKEN_POINT)] = 0.0
    limits = np.round(np.arange(0.99, 0.02, -0.005), 3)
    fitting = [d for d in limits if (~(refused | (doubt >= d))[unsafe]).mean() <= max_kept]
    points["doubt"] = float(max(fitting, default=limits[-1]))
    refused |= doubt >= points["doubt"]
    return points, (float((~refused[unsafe]).mean()), float(refused[safe].mean()))


def f1(truth: Array, held: Array) -> float:
    return float(2 * (truth & held).sum() / max(1, truth.sum() + held.sum()))


def told(name: str, found: Array, data: Data) -> None:
    """Print what the held-out predictions are worth."""
    parts = [
        f"{flag} {average_precision_score(data.flags[data.read, i], found[:, i]):.3f}"
        for i, flag in enumerate(FLAGS)
    ]
    accuracy = (found[:, 4:].argmax(axis=1) == data.life[data.read]).mean()
    curve = []
    for bound in (0.03, 0.05, 0.065, 0.08):
        _, (kept, lost) = choose_points(found, data, bound)
        curve.append(f"kept {kept:.3f} lost {lost:.3f}")
    print(f"{name}: AP {', '.join(parts)}; lifetime {accuracy:.3f}; {'; '.join(curve)}", flush=True)


def main(
    data: Annotated[Path, typer.Argument(help="folder with cacheability.tune and the streams")],
    vectors: Annotated[
        Path | None, typer.Option(help="npz file that keeps the vectors between runs")
    ] = None,
    out: Annotated[Path, typer.Option(help="folder of the head")] = OUT,
) -> None:
    """Train, choose on the folds, and write both judges."""
    tune = labelled(data / "cacheability.tune.jsonl.gz")
    taken = {plain(p.text) for p in tune}
    taken |= {plain(p.text) for p in labelled(data / "cacheability.eval.jsonl.gz")}
    prompts = list(tune)
    for prompt in (*reread(data), *written(), *silver(data)):
        if plain(prompt.text) not in taken:
            taken.add(plain(prompt.text))
            prompts.append(prompt)
    embedder = LocalEmbedder()
    texts = [text for text in harmless(data) if plain(text) not in taken]
    known = embedded([*(p.text for p in prompts), *texts], embedder, vectors)
    rare = rare_words(data)
    prompts += taken_as_safe(texts, Data(prompts, known, rare), known, rare)
    made = Data(prompts, known, rare)
    print({o: sum(p.origin == o for p in prompts) for o in WEIGHT}, flush=True)

    held = np.where(made.read)[0]
    lines, nets, rules = (np.zeros((len(held), len(OUTPUTS))) for _ in range(3))
    for fold in range(FOLDS):
        train, test = made.fold != fold, (made.fold == fold) & made.read
        at = test[held]
        weights, bias = linear(made.all, made, train, INVERSE_PENALTY)
        lines[at] = made.all[test] @ weights + bias
        nets[at] = np.mean(
            [deep(network(made, train, seed), made.dense[test]) for seed in range(NETWORKS)], axis=0
        )
        weights, bias = linear(made.cues, made, train, RULES_INVERSE_PENALTY)
        rules[at] = made.cues[test] @ weights + bias
        print("fold", fold, flush=True)
    results = {}
    for share in SHARES:
        sums = (1 - share) * lines + share * nets
        calibration = calibrated(sums, made)
        found = applied(sums, calibration)
        told(f"share {share}", found, made)
        _, (_, lost) = choose_points(found, made, MAX_UNSAFE_KEPT)
        results[share] = (lost, calibration, found)
    share = min(results, key=lambda one: results[one][0])
    _, calibration, found = results[share]
    points, (kept, lost) = choose_points(found, made, MAX_UNSAFE_KEPT)
    print(f"head: share {share}, points {points}, kept {kept:.3f}, lost {lost:.3f}")

    everything = np.ones(len(prompts), bool)
    weights, bias = linear(made.all, made, everything, INVERSE_PENALTY)
    networks = [network(made, everything, seed) for seed in range(NETWORKS)]
    out.mkdir(parents=True, exist_ok=True)
    width = made.dense.shape[1]
    about = {
        "version": HEAD_VERSION, "words": WORDS_VERSION, "fingerprint": embedder.fingerprint,
        "features": list(FEATURES), "outputs": list(OUTPUTS), "points": points, "share": share,
        "vector_scale": VECTOR_SCALE, "cue_scale": CUE_SCALE, "gram_scale": GRAM_SCALE,
        "folds": {"unsafe_kept": kept, "safe_lost": lost}, **calibration,
    }  # fmt: skip
    np.savez_compressed(
        out / FILE,
        about=np.array(json.dumps(about)), rare=np.frombuffer(rare, np.uint8),
        linear=weights[:width].astype(np.float16), bias=bias.astype(np.float32),
        hashed=weights[width:].astype(np.float16),
        inner=np.stack([n[0] for n in networks]).astype(np.float16),
        inner_bias=np.stack([n[1] for n in networks]).astype(np.float16),
        outer=np.stack([n[2] for n in networks]).astype(np.float16),
        outer_bias=np.stack([n[3] for n in networks]).astype(np.float16),
    )  # fmt: skip

    calibration = calibrated(rules, made)
    found = applied(rules, calibration)
    told("words alone", found, made)
    points, (kept, lost) = choose_points(found, made, MAX_UNSAFE_KEPT_BY_WORDS)
    print(f"words alone: points {points}, kept {kept:.3f}, lost {lost:.3f}")
    weights, bias = linear(made.cues, made, everything, RULES_INVERSE_PENALTY)
    document = {
        "version": RULES_VERSION, "words": WORDS_VERSION, **calibration, "points": points,
        "folds": {"unsafe_kept": kept, "safe_lost": lost},
        "outputs": list(OUTPUTS), "bias": rounded(bias),
        "weights": {name: rounded(row) for name, row in zip(FEATURES, weights, strict=True)},
    }  # fmt: skip
    target = ROOT / "semcache" / "decision" / "cacheability_rules.json"
    target.write_text(json.dumps(document, indent=1) + "\n", "utf-8")


def taken_as_safe(
    texts: list[str], made: Data, known: dict[str, Array], rare: bytes
) -> list[Prompt]:
    """The harmless texts as prompts without a flag, timeless or months by a first round.

    That round sees no prompt of ``cacheability.tune``, or the folds would know of each other.
    """
    weights, bias = linear(made.all, made, ~made.read, INVERSE_PENALTY)
    prompts = [Prompt(text, "timeless", frozenset(), "harmless", "") for text in texts]
    found = probabilities(np.asarray(Data(prompts, known, rare).all @ weights + bias))
    return [
        replace(prompt, lifetime="months" if row[5] > row[4] else "timeless")
        for prompt, row in zip(prompts, found, strict=True)
        if max(*row[:4], row[7]) <= LOOKS_UNSAFE
    ]


def rounded(values: Array) -> list[float]:
    return [round(float(value), 3) for value in values]


def embedded(texts: list[str], embedder: LocalEmbedder, store: Path | None) -> dict[str, Array]:
    """The vector of every text; those kept from an earlier run are not made again."""
    known: dict[str, Array] = {}
    if store is not None and store.exists():
        with np.load(store, allow_pickle=False) as kept:
            known = dict(zip(kept["texts"].tolist(), kept["vectors"], strict=True))
    missing = [text for text in dict.fromkeys(texts) if text not in known]
    if missing:
        known.update(zip(missing, embedder.embed(missing), strict=True))
        if store is not None:
            np.savez(store, texts=np.array(list(known)), vectors=np.stack(list(known.values())))
    return known


if __name__ == "__main__":
    sys.exit(typer.run(main))
