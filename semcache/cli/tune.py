"""``semcache tune``: a calibration from labelled pairs, and the report that shows why."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from semcache.cli.options import Json, MaxWrong
from semcache.cli.scoring import SCORER, EmbedderPath, ScorerName, VerifierName

if TYPE_CHECKING:
    from semcache.decision.calibration import Calibration
    from semcache.evaluate import Pair

# Between "it failed" (1) and "done" (0): it ran, and the labels do not support what was asked.
NOT_SUPPORTED = 3


def tune(
    pairs: Annotated[
        list[Path],
        typer.Argument(help="Files with a, b, label: .jsonl, .csv, also .gz.", show_default=False),
    ],
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", metavar="FILE", help="Write the calibration here."),
    ] = None,
    scorer: ScorerName = SCORER,
    alpha: Annotated[
        float | None, typer.Option(help="Of the hybrid scorer: how much the cosine counts.")
    ] = None,
    max_wrong: MaxWrong = None,
    confidence: Annotated[
        float, typer.Option(metavar="SHARE", help="Of the bound: it may fail in 1 - this.")
    ] = 0.95,
    prior: Annotated[
        float | None,
        typer.Option(
            metavar="SHARE",
            help="Share of true duplicates among the candidates in your traffic.",
            show_default="as in the pairs",
        ),
    ] = None,
    prior_from: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Estimate the prior from unlabelled pairs of traffic."),
    ] = None,
    choose_on: Annotated[
        float,
        typer.Option(
            metavar="SHARE",
            help="Keep this part of the pairs apart to choose where testing begins.",
        ),
    ] = 0.0,
    without_veto: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Switch a veto off; may be given again."),
    ] = None,
    png: Annotated[
        Path | None, typer.Option(metavar="FILE", help="All pictures on one sheet.")
    ] = None,
    html: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The report as one HTML file.")
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Only the first N pairs a file.")] = None,
    verifier: VerifierName = None,
    embedder_path: EmbedderPath = None,
    json: Json = False,
) -> None:
    """Make a calibration from your own labelled pairs, and show what they say.

    Serves as much as it can while an exact upper bound on the share of wrong answers stays under
    --max-wrong. Where the labels do not support that, it says how many it takes, writes the report
    but no calibration, and ends with status 3.
    """
    from semcache.cache import DEFAULT_MAX_WRONG
    from semcache.cli.console import fail, print_json, progress
    from semcache.cli.scoring import models, score_pairs, usual_vetoes
    from semcache.decision.scorers import CosineScorer, HybridScorer
    from semcache.errors import CalibrationError
    from semcache.evaluate import read_pairs
    from semcache.tuning.charts import draw_png, require_matplotlib
    from semcache.tuning.findings import findings
    from semcache.tuning.fit import Goal, counts, fit
    from semcache.tuning.prior import low_prior
    from semcache.tuning.support import NotEnoughLabels, support_of

    if png is not None or html is not None:
        require_matplotlib()
    if prior is not None and prior_from is not None:
        raise typer.BadParameter("give --prior or --prior-from, not both")
    using = models(scorer, alpha, embedder_path, verifier)
    usual = usual_vetoes(using.scorer.name)
    goal = Goal(
        max_wrong=DEFAULT_MAX_WRONG if max_wrong is None else max_wrong,
        confidence=confidence,
        # Until it is estimated, any: what counts as evidence only depends on whether there is one.
        prior=prior if prior_from is None else 0.5,
        choosing_share=choose_on,
        vetoes=usual - _checked(without_veto or ()),
    )
    labelled = _merged({path: read_pairs(path, limit) for path in pairs})
    traffic = [] if prior_from is None else _unlabelled(prior_from)
    with progress(quiet=json) as bar:
        scored = score_pairs(
            [*labelled, *traffic],
            using,
            compare=(CosineScorer(), HybridScorer()),
            choosing_share=choose_on,
            counts=lambda pair: counts(pair, goal, scorer=using.scorer.name, usual=usual),
            bar=bar,
        )
    if prior_from is not None:
        values = [one.values[using.scorer.name] for one in scored]
        known = [
            (value, pair.same)
            for value, pair in zip(values, labelled, strict=False)
            if pair.picked is None
        ]
        goal = replace(goal, prior=low_prior(known, values[len(labelled) :]))
    scored = scored[: len(labelled)]
    names = ", ".join(path.name for path in pairs)
    try:
        calibration = fit(
            scored,
            goal,
            scorer=using.scorer.name,
            encoder=using.embedder.fingerprint,
            verifier=using.read_by,
            made_from=f"semcache tune {names}",
        )
    except CalibrationError as error:
        # Pairs of one label: there is nothing to show either.
        fail(str(error))
        raise typer.Exit(NOT_SUPPORTED) from error
    support = support_of(calibration, goal.max_wrong)
    found = findings(scored, calibration, support, goal)
    refusal = None
    try:
        support.require()
    except NotEnoughLabels as error:
        refusal = str(error)
    title = f"semcache tune: {using.scorer.name} on {names}"
    if png is not None:
        draw_png(found, png, f"{title}, {found.pairs:,} pairs")
    if html is not None:
        from semcache.tuning.page import page

        html.write_text(page(found, title=title, refusal=refusal), "utf-8")
    if out is not None and refusal is None:
        _write(calibration, out)
    if json:
        print_json(
            {
                "files": [str(path) for path in pairs],
                "out": str(out) if out is not None and refusal is None else None,
                "refused": refusal,
                **found.to_json(),
            }
        )
    else:
        from semcache.cli.tune_report import show

        show(found, out=out if refusal is None else None)
    if refusal is not None:
        fail(refusal)
        raise typer.Exit(NOT_SUPPORTED)


def _checked(names: Sequence[str]) -> frozenset[str]:
    from semcache.decision.vetoes import ALL
    from semcache.errors import ConfigurationError

    if unknown := sorted(set(names) - ALL):
        raise ConfigurationError(f"no veto named {unknown[0]!r}; there are {sorted(ALL)}")
    return frozenset(names)


def _merged(files: dict[Path, list[Pair]]) -> list[Pair]:
    """All pairs once; without a source of its own, a pair is from its file.

    A pair that was labelled again counts with its last label: files in the order given.
    """
    merged: dict[frozenset[str], Pair] = {}
    for path, some in files.items():
        for pair in some:
            known = pair if pair.source else replace(pair, source=path.name)
            merged[frozenset((pair.a, pair.b))] = known
    return list(merged.values())


def _unlabelled(path: Path) -> list[Pair]:
    """Pairs of traffic; a label that they may have is not looked at."""
    from semcache.evaluate import Pair
    from semcache.labelling.candidates import from_file

    return [Pair(one.a, one.b, same=False) for one in from_file(path, again=True)]


def _write(calibration: Calibration, path: Path) -> None:
    """In one step: an app that opens the file meanwhile reads the old one or the new one."""
    from semcache.errors import ConfigurationError

    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        beside.write_text(calibration.to_json(), "utf-8")
        beside.replace(path)
    except OSError as error:
        raise ConfigurationError(f"cannot write {path}: {error.strerror}") from error
