"""The combiner: the features of a pair to one score in [0, 1], by a line and small decision trees.

The mean of two logits: that of a logistic regression, which is steady where pairs are rare, and
that of gradient-boosted trees (Friedman, "Greedy function approximation", Annals of Statistics 29,
2001), which know that a feature may mean one thing here and another there. Both are trained by
``training/train_combiner.py`` and written as JSON; here they are only computed, in plain Python.

The score never falls when the cosine or the verifier's logit rises, so a better match is never the
reason for a miss. It is a score and no promise: what it is worth in wrong serves, a calibration
says.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources
from typing import Any

from semcache.errors import CalibrationError

FORMAT = 1
MOST_LOGIT = 30.0  # beyond it a float is 0 or 1 anyway
MONOTONE = {"cosine": 1, "verifier": 1, "differences": -1}
"""Features with which the score only rises (1) or only falls (-1)."""


@dataclass(frozen=True, slots=True)
class Tree:
    """One tree as parallel lists. Node ``i`` is a leaf where ``feature[i]`` is -1; otherwise values
    up to ``threshold[i]`` go to ``left[i]``, the others to ``right[i]``, both after ``i``."""

    feature: tuple[int, ...]
    threshold: tuple[float, ...]
    left: tuple[int, ...]
    right: tuple[int, ...]
    value: tuple[float, ...]

    def __call__(self, row: Sequence[float]) -> float:
        node = 0
        while self.feature[node] >= 0:
            low = row[self.feature[node]] <= self.threshold[node]
            node = self.left[node] if low else self.right[node]
        return self.value[node]


@dataclass(frozen=True, slots=True)
class Combiner:
    """A trained combiner.

    Attributes:
        features: their names, in the order in which weights and trees count them.
        weights: of the line, one a feature.
        verifier: fingerprint of the verifier whose logits it was trained on; ``None``: of none.
        revision: of its contents, 12 hex digits. Scores of two revisions are not comparable.
        made_from: what it was trained on, for people.
    """

    features: tuple[str, ...]
    start: float
    weights: tuple[float, ...]
    trees: tuple[Tree, ...]
    verifier: str | None
    revision: str
    made_from: str

    def score(self, values: Mapping[str, float]) -> float:
        """The score of a pair with these features, in [0, 1]. ``KeyError`` where one is missing."""
        row = [values[name] for name in self.features]
        line = sum(weight * value for weight, value in zip(self.weights, row, strict=True))
        logit = self.start + line + sum(tree(row) for tree in self.trees)
        return 1.0 / (1.0 + math.exp(-max(-MOST_LOGIT, min(MOST_LOGIT, logit))))

    @classmethod
    def from_json(cls, document: str) -> Combiner:
        """The combiner in a document that ``training/train_combiner.py`` wrote.

        Raises:
            CalibrationError: it is none, contradicts itself, or is of a newer format.
        """
        try:
            values = json.loads(document)
            if values["format"] != FORMAT:
                raise CalibrationError(
                    f"a combiner of format {values['format']!r}, this semcache reads {FORMAT}: "
                    "upgrade semcache"
                )
            made = cls(
                features=tuple(map(str, values["features"])),
                start=float(values["start"]),
                weights=tuple(map(float, values["weights"])),
                trees=tuple(_tree(tree) for tree in values["trees"]),
                verifier=None if values["verifier"] is None else str(values["verifier"]),
                revision=hashlib.sha256(document.encode()).hexdigest()[:12],
                made_from=str(values["made_from"]),
            )
        except (ValueError, KeyError, TypeError) as error:
            raise CalibrationError(
                f"not a combiner ({type(error).__name__}: {error}); make one with "
                "training/train_combiner.py"
            ) from error
        _check(made)
        return made


def _tree(values: Mapping[str, Any]) -> Tree:
    return Tree(
        tuple(map(int, values["feature"])),
        tuple(map(float, values["threshold"])),
        tuple(map(int, values["left"])),
        tuple(map(int, values["right"])),
        tuple(map(float, values["value"])),
    )


def _check(made: Combiner) -> None:
    """Trees that end, and speak of features that are there."""
    if len(made.weights) != len(made.features):
        raise CalibrationError("a combiner with more or fewer weights than features")
    if not all(map(math.isfinite, (made.start, *made.weights))):
        raise CalibrationError("a combiner with numbers that are none")
    for tree in made.trees:
        size = len(tree.feature)
        lengths = {len(tree.threshold), len(tree.left), len(tree.right), len(tree.value)}
        if size == 0 or lengths != {size}:
            raise CalibrationError("a combiner with a tree of unequal lists")
        for node, feature in enumerate(tree.feature):
            below = feature < 0 or node < min(tree.left[node], tree.right[node])
            inside = feature < 0 or max(tree.left[node], tree.right[node]) < size
            if feature >= len(made.features) or not below or not inside:
                raise CalibrationError("a combiner with a tree that does not end")
        if not all(map(math.isfinite, (*tree.threshold, *tree.value))):
            raise CalibrationError("a combiner with numbers that are none")


@lru_cache(maxsize=4)
def shipped_combiner(name: str) -> Combiner:
    """A combiner that comes with semcache: ``learned``, or ``lexical``, which needs no verifier."""
    file = resources.files("semcache.decision") / "combiners" / f"{name}.json"
    return Combiner.from_json(file.read_text("utf-8"))
