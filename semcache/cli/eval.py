"""``semcache eval``: what a scorer is worth on labelled pairs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from semcache.cli.options import Json, MaxWrong
from semcache.cli.scoring import VerifierName
from semcache.judging import DEFAULT_SCORER

if TYPE_CHECKING:
    from rich.progress import TaskID

    from semcache.evaluate import Report, Vectors


def eval_pairs(
    pairs: Annotated[
        list[Path] | None,
        typer.Argument(help="Files with a, b, label: .jsonl, .csv, also .gz.", show_default=False),
    ] = None,
    scorer: Annotated[
        str, typer.Option(help="learned, lexical, hybrid or cosine.")
    ] = DEFAULT_SCORER,
    max_wrong: MaxWrong = None,
    calibration: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Of semcache tune, in place of the one that ships."),
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Only the first N pairs a file.")] = None,
    verifier: VerifierName = None,
    embedder_path: Annotated[
        Path | None,
        typer.Option(metavar="PATH", help="Another ONNX encoder: a folder or an .onnx file."),
    ] = None,
    cacheability: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Instead, measure the policy on prompts with text, lifetime and flags.",
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Measure a scorer on labelled pairs: its ranking, and what would be served.

    Average precision, ROC-AUC and recall at a precision rank by the scorer's value alone. The
    served shares are the whole decision: vetoes, and the calibrated threshold for --max-wrong.
    """
    if cacheability is not None:
        if pairs:
            raise typer.BadParameter("give files of pairs or --cacheability FILE, not both")
        from semcache.cli.eval_cacheability import report

        report(cacheability, json)
        return
    if not pairs:
        raise typer.BadParameter("name at least one file of pairs")
    from time import perf_counter

    from semcache.cache import DEFAULT_MAX_WRONG
    from semcache.cli.console import note, print_json, progress
    from semcache.cli.scoring import in_batches, models
    from semcache.decision.calibration import Calibration, shipped
    from semcache.evaluate import evaluate, read_pairs

    using = models(scorer, None, embedder_path, verifier)
    judge, embedder, reader = using.scorer, using.embedder, using.verifier
    evidence = shipped(judge.name) if calibration is None else Calibration.from_file(calibration)
    # All files are read before the first is measured: a bad line is reported at once.
    files = {path: read_pairs(path, limit) for path in pairs}
    if calibration is not None:
        evidence.require(scorer=judge.name, encoder=embedder.fingerprint, verifier=using.read_by)
    elif evidence.encoder is not None and evidence.encoder != embedder.fingerprint:
        note(
            "the shipped calibration was made with another encoder: nothing is served by "
            "meaning; the ranking is measured"
        )
        evidence = evidence.without_evidence(embedder.fingerprint)
    bound = DEFAULT_MAX_WRONG if max_wrong is None else max_wrong
    reports: list[Report] = []
    with progress() as bar:
        for path, some in files.items():
            task = bar.add_task(f"{path.name}: embedding", total=None)

            def embed(texts: Sequence[str], task: TaskID = task, name: str = path.name) -> Vectors:
                return in_batches(embedder.embed, texts, bar, task, f"{name}: embedding")

            def verify(
                some: Sequence[tuple[str, str]], task: TaskID = task, name: str = path.name
            ) -> list[float]:
                assert reader is not None
                logits = in_batches(reader.score, some, bar, task, f"{name}: verifying")
                return cast("list[float]", logits.tolist())

            def judged(
                done: int, task: TaskID = task, n: int = len(some), name: str = path.name
            ) -> None:
                bar.update(task, description=f"{name}: judging", total=n, completed=done)

            reports.append(
                evaluate(
                    path.name,
                    some,
                    embed,
                    scorer=judge,
                    calibration=evidence,
                    max_wrong=bound,
                    clock=perf_counter,
                    verify=None if reader is None else verify,
                    advance=judged,
                )
            )
            bar.remove_task(task)
    if json:
        print_json({"scorer": scorer, "files": [report.to_json() for report in reports]})
    else:
        _show(scorer, reports)


def _show(scorer: str, reports: Sequence[Report]) -> None:
    from rich.table import Table

    from semcache.cli.console import clean, out
    from semcache.evaluate import PRECISIONS

    table = Table(
        title=f"scorer {clean(scorer)}",
        caption="R@: recall at that precision; served: of the positives (+) and negatives (−)",
    )
    table.add_column("file")
    for name in (
        "n", "pos", "AP", "AUC", *(f"R@{p:.2f}" for p in PRECISIONS),
        "threshold", "served +", "served −", "ms",
    ):  # fmt: skip
        table.add_column(name, justify="right")
    for report in reports:
        table.add_row(
            clean(report.file),
            f"{report.n:,}",
            f"{report.positives:,}",
            _number(report.average_precision),
            _number(report.roc_auc),
            *(_number(report.recall_at_precision[precision]) for precision in PRECISIONS),
            _number(report.threshold),
            _share(report.served_positive_share),
            _share(report.served_negative_share),
            f"{report.ms_per_pair:.1f}",
        )
    out.print(table)


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def _share(value: float | None) -> str:
    return "–" if value is None else f"{value:.1%}"
