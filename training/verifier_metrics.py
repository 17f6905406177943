"""Ranking figures of a score, as `semcache eval` names them. NumPy only."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def average_precision(labels: NDArray[np.integer], scores: NDArray[np.floating]) -> float:
    """Area under precision over recall, ties taken together; nan without both labels."""
    precision, recall = _curve(labels, scores)
    if not 0 < labels.sum() < len(labels):
        return float("nan")
    return float(np.sum(np.diff(np.concatenate([[0.0], recall])) * precision))


def recall_at_precision(
    labels: NDArray[np.integer], scores: NDArray[np.floating], wanted: float
) -> float:
    """Largest recall of a threshold whose precision is at least ``wanted``."""
    precision, recall = _curve(labels, scores)
    reached = recall[precision >= wanted]
    return float(reached.max()) if reached.size else 0.0


def served_at(
    labels: NDArray[np.integer], scores: NDArray[np.floating], negatives_served: float
) -> float:
    """Share of the positives above the threshold that this share of the negatives passes."""
    negatives = np.sort(scores[labels == 0])[::-1]
    if not negatives.size or not labels.sum():
        return float("nan")
    threshold = negatives[min(int(negatives_served * negatives.size), negatives.size - 1)]
    return float((scores[labels == 1] > threshold).mean())


def summary(labels: NDArray[np.integer], scores: NDArray[np.floating]) -> dict[str, float]:
    figures = {"n": float(len(labels)), "ap": average_precision(labels, scores)}
    for wanted in (0.99, 0.97, 0.95, 0.90):
        figures[f"r{wanted * 100:.0f}"] = recall_at_precision(labels, scores, wanted)
    figures["tpr01"] = served_at(labels, scores, 0.01)
    return {name: round(value, 4) for name, value in figures.items()}


def _curve(
    labels: NDArray[np.integer], scores: NDArray[np.floating]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    order = np.argsort(-scores, kind="stable")
    sorted_scores = scores[order]
    hits = np.cumsum(labels[order])
    last = np.append(np.flatnonzero(np.diff(sorted_scores)), len(scores) - 1)
    precision = hits[last] / (last + 1.0)
    recall = hits[last] / max(1, hits[-1])
    return precision, recall
