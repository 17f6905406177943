"""Scoring pairs with a progress bar: what ``eval``, ``tune`` and ``label`` have in common."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from semcache.errors import ConfigurationError, ModelMismatch
from semcache.judging import DEFAULT_SCORER

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

    from semcache.decision.scorers import Scorer
    from semcache.embedders.base import Embedder
    from semcache.evaluate import Pair, Vectors
    from semcache.tuning.measure import Scored
    from semcache.verifiers.base import Verifier

Item = TypeVar("Item")

# Texts, or pairs, between two steps of the progress bar.
BATCH = 64

ScorerName = Annotated[
    str, typer.Option("--scorer", metavar="NAME", help="learned, lexical, hybrid or cosine.")
]
SCORER = DEFAULT_SCORER
EmbedderPath = Annotated[
    Path | None,
    typer.Option(metavar="PATH", help="Another ONNX encoder: a folder or an .onnx file."),
]
VerifierName = Annotated[
    str | None,
    typer.Option(
        "--verifier",
        metavar="NAME",
        help="For the scorer learned: a folder of a verifier, or a CrossEncoder's name.",
    ),
]


@dataclass(frozen=True, slots=True)
class Models:
    """What scores: a scorer, the encoder, and a verifier where the scorer asks one."""

    scorer: Scorer
    embedder: Embedder
    verifier: Verifier | None

    @property
    def read_by(self) -> str | None:
        """The verifier's fingerprint."""
        return None if self.verifier is None else self.verifier.fingerprint


def models(
    scorer: str, alpha: float | None, embedder_path: Path | None, verifier_name: str | None = None
) -> Models:
    """The local models for these options.

    Raises:
        ConfigurationError: no such scorer or verifier, or an option that is not for it.
        ModelMismatch: the scorer was trained with another verifier than the one that is installed.
    """
    from semcache.decision.builtin import scorer_named
    from semcache.decision.scorers import HybridScorer
    from semcache.embedders.local import LocalEmbedder

    if alpha is not None and scorer != "hybrid":
        raise ConfigurationError("--alpha is for the scorer hybrid only")
    chosen = scorer_named(scorer) if alpha is None else HybridScorer(alpha)
    verifier: Verifier | None = None
    if verifier_name is not None:
        from semcache.decision.learned import LearnedScorer
        from semcache.judging import verifier_named

        if scorer != "learned":
            raise ConfigurationError("--verifier is for the scorer learned only")
        verifier = verifier_named(verifier_name)
        chosen = LearnedScorer(read_by=verifier.fingerprint)
    elif chosen.verifier is not None:
        from semcache.verifiers.local import LocalVerifier

        verifier = LocalVerifier()
        if verifier.fingerprint != chosen.verifier:
            raise ModelMismatch(
                f"the scorer {chosen.name!r} needs the verifier {chosen.verifier!r}, and "
                f"{verifier.fingerprint!r} is installed; reinstall semcache and semcache-models"
            )
    return Models(chosen, LocalEmbedder(embedder_path), verifier)


def usual_vetoes(scorer: str) -> frozenset[str]:
    """The vetoes that the scorer of that name is shipped with; all where it is not shipped."""
    from semcache.decision.calibration import shipped
    from semcache.decision.vetoes import ALL
    from semcache.errors import SemcacheError

    try:
        return frozenset(shipped(scorer.partition("-")[0]).vetoes)
    except SemcacheError:
        return ALL


def in_batches(
    run: Callable[[Sequence[Item]], Vectors],
    items: Sequence[Item],
    bar: Progress,
    task: TaskID,
    what: str,
) -> Vectors:
    """``run`` over all items, `BATCH` at a time, with the bar told of each."""
    import numpy as np

    bar.update(task, description=what, total=len(items), completed=0)
    parts = []
    for start in range(0, len(items), BATCH):
        parts.append(run(items[start : start + BATCH]))
        bar.update(task, completed=min(start + BATCH, len(items)))
    return np.concatenate(parts)


def score_pairs(
    pairs: Sequence[Pair],
    using: Models,
    *,
    compare: Sequence[Scorer] = (),
    choosing_share: float = 0.0,
    counts: Callable[[Pair], bool] = lambda pair: True,
    bar: Progress,
) -> list[Scored]:
    """Every pair with the value of the scorer, and of those to ``compare`` it with."""
    from semcache.tuning.measure import measure

    scorers = {scorer.name: scorer for scorer in (*compare, using.scorer)}
    task = bar.add_task("embedding", total=None)

    verifier = using.verifier
    scored = measure(
        pairs,
        lambda texts: in_batches(using.embedder.embed, texts, bar, task, "embedding"),
        scorers=list(scorers.values()),
        choosing_share=choosing_share,
        counts=counts,
        verify=None
        if verifier is None
        else lambda some: in_batches(verifier.score, some, bar, task, "verifying").tolist(),
        advance=lambda done: bar.update(
            task, description="judging", total=len(pairs), completed=done
        ),
    )
    bar.remove_task(task)
    return scored
