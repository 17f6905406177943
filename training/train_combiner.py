"""Train the combiner of the learned scorer, and measure its calibration.

In: the pairs that `train_verifier.py` held aside (the verifier has not seen them, so its logits are
as on new pairs) and pairs read for this purpose (`training/data/served_pairs.jsonl.gz`). They are
split by components of linked texts: one part trains the combiner, the other, of real prompts only,
is the evidence of the calibration; so are pairs that were drawn from what the trained combiner
would serve (``part`` = ``evidence``). Then both are written into `semcache/decision/`.

    python training/train_combiner.py ../shared/data            # writes both, prints what they say
    python training/train_combiner.py ../shared/data --measure  # cross-validation only

scikit-learn is needed here and never at run time.
"""

from __future__ import annotations

import gzip
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from calibrate_threshold import table
from rich.console import Console
from rich.progress import track
from scipy.optimize import minimize
from scipy.special import expit
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.metrics import average_precision_score
from sklearn.model_selection import GroupKFold
from verifier_data import SOURCES, read_rows, read_source

from semcache.decision.calibration import calibrate
from semcache.decision.combiner import FORMAT, MONOTONE, Combiner
from semcache.decision.features import FEATURES, features
from semcache.decision.scorers import CorpusWeights, normalised_bm25
from semcache.decision.terms import terms
from semcache.decision.vetoes import vetoes
from semcache.embedders.local import LocalEmbedder
from semcache.evaluate import Pair, corpus_of, recall_at_precision
from semcache.tuning.parts import components
from semcache.verifiers.local import LocalVerifier

OUT = Path(__file__).parent.parent / "semcache" / "decision"
READ_PAIRS = Path(__file__).parent / "data" / "served_pairs.jsonl.gz"
SALT = "semcache combiner "
# Of the components of real pairs; the evidence needs 299 served without a mistake.
TRAIN_SHARE = 0.4
# What a pair of each kind weighs in training: traffic is like the first three.
WEIGHT = {
    "read": 1.0,
    "strict_pairs": 1.0,
    "natural": 1.0,
    "prompt_pairs": 0.5,
    "paws_wiki": 0.5,
    "checklist_templates": 0.2,
    "stsb": 0.15,
}
LIKE_TRAFFIC = ("read", "strict_pairs", "natural")
# Differences that no likeness outweighs: the verifier reads word pieces and cannot count. The other
# vetoes are features of the trees, which learn when they matter.
VETOES = (
    "length", "language", "number", "identifier", "quoted", "negation", "antonym", "symbol",
)  # fmt: skip
# Fixed before any label was looked at; logits, because what matters lies near 1.
GRID = tuple(round(1 / (1 + float(np.exp(-x))), 6) for x in np.arange(6.0, -0.01, -0.05))
# Below it the evidence is thin: the pairs that were read for it were drawn from this score up, so
# that counts at lower thresholds would flatter.
FLOORS = {"learned": 0.945, "lexical": 0.5}
SHAPE = {
    "max_iter": 200,
    "learning_rate": 0.05,
    "max_leaf_nodes": 4,
    "min_samples_leaf": 20,
    "l2_regularization": 5.0,
    "early_stopping": False,
    "random_state": 1,
}

RIDGE = 0.1  # inverse strength, on features of unit variance

console = Console(stderr=True)


@dataclass(slots=True)
class Labelled:
    """A pair with what the scorer sees of it."""

    a: str
    b: str
    label: int
    source: str
    component: str = ""
    evidence_only: bool = False
    values: dict[str, float] | None = None
    vetoed: bool = False


def main(
    data: Annotated[Path, typer.Argument(help="Folder with the *.tune.jsonl.gz files.")],
    out: Annotated[Path, typer.Option(help="The package's decision folder.")] = OUT,
    verifier: Annotated[
        Path | None, typer.Option(help="Folder of the verifier; default: the installed one.")
    ] = None,
    measure: Annotated[bool, typer.Option(help="Cross-validate and write nothing.")] = False,
    seed: Annotated[int, typer.Option(help="Of the cross-validation.")] = 0,
) -> None:
    """Train, calibrate and write ``combiners/*.json`` and ``calibrations/*.json``."""
    pairs = held_aside(data)
    reader = LocalVerifier(verifier)
    embedder = LocalEmbedder()
    fill_in(pairs, embedder, reader)
    cross_validate(pairs, seed)
    if measure:
        return
    for name, used in (("learned", tuple(FEATURES)), ("lexical", without_verifier())):
        training = [pair for pair in pairs if in_training(pair)]
        read_by = reader.fingerprint if "verifier" in used else None
        document = to_json(fit(training, used), used, read_by)
        (out / "combiners").mkdir(exist_ok=True)
        (out / "combiners" / f"{name}.json").write_text(document, "utf-8")
        combiner = Combiner.from_json(document)
        evidence = [p for p in pairs if not in_training(p) and p.source in LIKE_TRAFFIC]
        made = calibrate(
            [
                (combiner.score(p.values or {}), p.vetoed, p.label == 1)
                for p in evidence
                if read_by is not None or not p.evidence_only
            ],
            scorer=f"{name}-{combiner.revision}",
            encoder=embedder.fingerprint,
            verifier=read_by,
            vetoes=VETOES,
            grid=GRID,
            floor=FLOORS[name],
            made_from="real pairs read under one rule, held aside (training/train_combiner.py)",
        )
        (out / "calibrations" / f"{name}.json").write_text(made.to_json(), "utf-8")
        console.print(table(made, name))


def without_verifier() -> tuple[str, ...]:
    return tuple(name for name in FEATURES if name != "verifier")


def held_aside(data: Path) -> list[Labelled]:
    """The pairs that no verifier was trained on."""
    pairs: list[Labelled] = []
    for source in SOURCES:
        for pair in read_source(data, source)[1]:
            name = "natural" if pair.natural else source.name
            pairs.append(Labelled(pair.a, pair.b, pair.label, name, pair.group))
    news = (r for r in read_rows(data / "stsb.tune.jsonl.gz") if r.get("kind") == "main-news")
    pairs += [Labelled(row["a"], row["b"], row["label"], "stsb") for row in news]
    if READ_PAIRS.exists():
        with gzip.open(READ_PAIRS, "rt", encoding="utf-8") as lines:
            rows = [json.loads(line) for line in lines]
        pairs += [
            Labelled(r["a"], r["b"], r["label"], "read", evidence_only=r["part"] == "evidence")
            for r in rows
        ]
    linked = components([Pair(p.a, p.b, p.label == 1, p.component or None) for p in pairs])
    for pair, component in zip(pairs, linked, strict=True):
        pair.component = component
    return pairs


def in_training(pair: Labelled) -> bool:
    """Whether a pair trains the trees; of real prompts the rest is evidence."""
    if pair.evidence_only:
        return False
    if pair.source not in LIKE_TRAFFIC:
        return True
    digest = hashlib.sha256((SALT + pair.component).encode("utf-8", "surrogatepass")).hexdigest()
    return int(digest[:8], 16) / 2**32 < TRAIN_SHARE


def fill_in(pairs: Sequence[Labelled], embedder: LocalEmbedder, reader: LocalVerifier) -> None:
    """Compute the features; BM25 by the corpus of each source, evidence apart from training."""
    for source, apart in dict.fromkeys((pair.source, pair.evidence_only) for pair in pairs):
        some = [p for p in pairs if (p.source, p.evidence_only) == (source, apart)]
        texts = list(dict.fromkeys(text for pair in some for text in (pair.a, pair.b)))
        vectors: dict[str, Any] = {}
        for start in range(0, len(texts), 64):
            batch = texts[start : start + 64]
            vectors.update(zip(batch, embedder.embed(batch), strict=True))
        corpus = corpus_of(texts)
        weights = CorpusWeights(corpus)
        logits = reader.score([(pair.a, pair.b) for pair in some])
        for pair, logit in track(list(zip(some, logits, strict=True)), source, console=console):
            pair.values = features(
                pair.a,
                pair.b,
                cosine=float(vectors[pair.a] @ vectors[pair.b]),
                bm25=normalised_bm25(terms(pair.a), terms(pair.b), corpus),
                weight=weights.steady,
                verifier=float(logit),
            )
            pair.vetoed = bool(vetoes(pair.a, pair.b, frozenset(VETOES)))


def matrix(pairs: Sequence[Labelled], used: Sequence[str]) -> Any:
    return np.array([[(pair.values or {})[name] for name in used] for pair in pairs])


@dataclass(frozen=True)
class Model:
    """A line and trees, each giving a logit."""

    weights: Any
    bias: float
    trees: HistGradientBoostingClassifier

    def logit(self, rows: Any) -> Any:
        """Their mean, float64 ``[n]``."""
        return (rows @ self.weights + self.bias + self.trees.decision_function(rows)) / 2


def fit(pairs: Sequence[Labelled], used: Sequence[str]) -> Model:
    rows, labels = matrix(pairs, used), np.array([float(pair.label) for pair in pairs])
    importance = np.array([WEIGHT[pair.source] for pair in pairs])
    monotone = [MONOTONE.get(name, 0) for name in used]
    trees = HistGradientBoostingClassifier(monotonic_cst=monotone, **SHAPE)
    trees.fit(rows, labels, sample_weight=importance)
    weights, bias = fit_line(rows, labels, importance, monotone)
    return Model(weights, bias, trees)


def fit_line(rows: Any, labels: Any, importance: Any, monotone: Sequence[int]) -> tuple[Any, float]:
    """Logistic regression with a ridge, and with weights of a given sign."""
    mean, scale = rows.mean(0), np.where(rows.std(0) > 0, rows.std(0), 1.0)
    scaled = np.hstack([(rows - mean) / scale, np.ones((len(rows), 1))])
    bounds = [{1: (0, None), -1: (None, 0), 0: (None, None)}[sign] for sign in (*monotone, 0)]

    def loss(weights: Any) -> tuple[float, Any]:
        logits = scaled @ weights
        each = np.logaddexp(0, logits) - labels * logits
        slope = scaled.T @ (importance * (expit(logits) - labels))
        ridge = np.append(weights[:-1], 0.0) / RIDGE
        return float(importance @ each + ridge @ weights / 2), slope + ridge

    found = minimize(loss, np.zeros(scaled.shape[1]), jac=True, bounds=bounds, method="L-BFGS-B")
    weights = found.x[:-1] / scale
    return weights, float(found.x[-1] - weights @ mean)


def cross_validate(pairs: Sequence[Labelled], seed: int) -> None:
    """AP and recall by source: cosine, verifier, and the trees on folds of components."""
    labels = np.array([pair.label for pair in pairs])
    groups = np.array([int(hashlib.sha1(p.component.encode()).hexdigest()[:8], 16) for p in pairs])
    scores = {name: matrix(pairs, [name])[:, 0] for name in ("cosine", "verifier")}
    for name, used in (("learned", tuple(FEATURES)), ("lexical", without_verifier())):
        scores[name] = np.zeros(len(pairs))
        folds = GroupKFold(5, shuffle=True, random_state=seed).split(labels, labels, groups)
        for train, test in folds:
            model = fit([pairs[i] for i in train], used)
            rows = matrix([pairs[i] for i in test], used)
            scores[name][test] = model.logit(rows)
    for source in WEIGHT:
        here = np.array([pair.source == source for pair in pairs])
        if not here.any():
            continue
        for name, values in scores.items():
            truth = labels[here].astype(bool).tolist()
            recalls = [
                recall_at_precision(truth, values[here].tolist(), at) for at in (0.97, 0.95, 0.9)
            ]
            ap = average_precision_score(labels[here], values[here])
            shown = " ".join(f"{recall:.2f}" for recall in recalls if recall is not None)
            console.print(f"{source:20} {name:9} n {here.sum():5} AP {ap:.3f} R {shown}")


def to_json(model: Model, used: Sequence[str], verifier: str | None) -> str:
    """The model as a document for ``Combiner.from_json``: half of each, so that a sum is a mean."""
    trees = [
        {
            "feature": [-1 if n["is_leaf"] else int(n["feature_idx"]) for n in tree],
            "threshold": [0.0 if n["is_leaf"] else float(n["num_threshold"]) for n in tree],
            "left": [int(n["left"]) for n in tree],
            "right": [int(n["right"]) for n in tree],
            "value": [round(float(n["value"]) / 2, 6) if n["is_leaf"] else 0.0 for n in tree],
        }
        for tree in (predictors[0].nodes for predictors in model.trees._predictors)
    ]
    return json.dumps(
        {
            "format": FORMAT,
            "verifier": verifier,
            "made_from": "training/train_combiner.py: pairs that the verifier was not trained on",
            "features": list(used),
            "start": (model.bias + float(model.trees._baseline_prediction[0][0])) / 2,
            "weights": [round(float(weight) / 2, 8) for weight in model.weights],
            "trees": trees,
        },
        separators=(",", ":"),
    )


if __name__ == "__main__":
    typer.run(main)
