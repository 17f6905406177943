"""``semcache label``: a person says which pairs may share an answer."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from semcache.cli.options import URL, Json, MaxWrong, Url
from semcache.cli.scoring import SCORER, EmbedderPath, ScorerName, VerifierName
from semcache.errors import ConfigurationError

if TYPE_CHECKING:
    from semcache.cli.scoring import Models
    from semcache.decision.calibration import Calibration
    from semcache.labelling.candidates import Candidate
    from semcache.labelling.queue import Asked, Pick

OUT = Path("labels.jsonl")


def label(
    pairs: Annotated[
        list[Path] | None,
        typer.Argument(
            help="Files with a, b: .jsonl, .csv, also .gz. Pairs that have a label are left out.",
            show_default=False,
        ),
    ] = None,
    from_cache: Annotated[
        bool, typer.Option("--from-cache", help="Ask about neighbours in a cache instead.")
    ] = False,
    url: Url = URL,
    out: Annotated[
        Path, typer.Option("--out", "-o", metavar="FILE", help="Append the labels to this file.")
    ] = OUT,
    pick: Annotated[
        str,
        typer.Option(
            help="served: a random sample of what would be served, as evidence for a bound; near: "
            "what is next to the threshold, to see where it should be."
        ),
    ] = "served",
    scorer: ScorerName = SCORER,
    calibration: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Whose threshold counts.")
    ] = None,
    max_wrong: MaxWrong = None,
    least: Annotated[
        float | None,
        typer.Option("--from", metavar="SCORE", help="The threshold, in place of a calibration's."),
    ] = None,
    again: Annotated[
        bool, typer.Option("--again", help="Also ask about pairs that have a label in their file.")
    ] = False,
    limit: Annotated[int | None, typer.Option(min=1, help="Ask about at most N pairs.")] = None,
    verifier: VerifierName = None,
    embedder_path: EmbedderPath = None,
    json: Json = False,
) -> None:
    """Say which pairs may share an answer: the labels that [cyan]semcache tune[/] takes.

    Keys: y(es), n(o), s(kip), u(ndo), q(uit). Every answer is on disk before the next question;
    what has a label in the file is not asked about again, so go on whenever you like.
    """
    from semcache.cli.console import note, print_json
    from semcache.cli.label_session import ask
    from semcache.cli.scoring import models
    from semcache.labelling.journal import Journal

    chosen = _pick(pick)
    if bool(pairs) == from_cache:
        raise typer.BadParameter("name at least one file of pairs, or --from-cache")
    using = models(scorer, None, embedder_path, verifier)
    evidence, start = _threshold(using, calibration, max_wrong, least)
    candidates = _from_cache(url, using) if from_cache else _from_files(pairs or [], again=again)
    with Journal(out) as journal:
        if journal.mended:
            note(f"the last line of {out} was incomplete and is gone")
        new = [one for one in candidates if one.key not in journal.known]
        queue = _queue(new, using, evidence, start, chosen, quiet=json)[:limit]
        session = ask(queue, journal, using.scorer.name, start, chosen)
        labels = list(journal.known.values())
    document = {
        "candidates": len(candidates),
        "new": len(new),
        "asked_from": start,
        "pick": chosen,
        "scorer": using.scorer.name,
        "right": session.right,
        "wrong": session.wrong,
        "skipped": session.skipped,
        "left": session.left,
        "labels": len(labels),
        "labels_right": sum(labels),
        "needed": _needed(max_wrong),
        "out": str(out),
    }
    if json:
        print_json(document)
    else:
        _summary(document)


def _pick(name: str) -> Pick:
    if name == "served":
        return "served"
    if name == "near":
        return "near"
    raise typer.BadParameter(f"--pick is served or near, not {name!r}")


def _needed(max_wrong: float | None) -> int:
    """Labels of served pairs, all right, that the bound takes."""
    import math

    from semcache.cache import DEFAULT_MAX_WRONG
    from semcache.decision.binomial import served_needed

    needed = served_needed(DEFAULT_MAX_WRONG if max_wrong is None else max_wrong)
    if not math.isfinite(needed):
        raise ConfigurationError("no number of labels supports a max_wrong of 0")
    return int(needed)


def _threshold(
    using: Models, file: Path | None, max_wrong: float | None, least: float | None
) -> tuple[Calibration | None, float]:
    """The evidence that there is, and the score from which pairs count as served."""
    from semcache.cache import DEFAULT_MAX_WRONG
    from semcache.decision.calibration import Calibration, shipped
    from semcache.errors import CalibrationError, ModelMismatch

    name, encoder = using.scorer.name, using.embedder.fingerprint
    known: Calibration | None
    if file is not None:
        known = Calibration.from_file(file)
        known.require(scorer=name, encoder=encoder, verifier=using.read_by)
    else:
        try:
            known = shipped(name)
            known.require(scorer=name, encoder=encoder, verifier=using.read_by)
        except (CalibrationError, ModelMismatch):
            known = None
    if least is not None:
        return known, least
    if known is None:
        raise ConfigurationError(
            f"there is no calibration for the scorer {name!r} with these models: say with --from "
            "from which score on pairs would be served"
        )
    bound = DEFAULT_MAX_WRONG if max_wrong is None else max_wrong
    threshold = known.threshold(bound)
    return known, known.floor if threshold is None else threshold


def _from_files(files: Sequence[Path], *, again: bool) -> list[Candidate]:
    from semcache.labelling.candidates import from_file

    found = {one.key: one for file in files for one in from_file(file, again=again)}
    if not found:
        raise ConfigurationError("every pair has a label already; --again asks about them anew")
    return list(found.values())


def _from_cache(url: str, using: Models) -> list[Candidate]:
    import time

    from semcache.cli.opening import open_cache
    from semcache.labelling.candidates import from_store

    with open_cache(url) as cache:
        return from_store(cache.store, using.embedder.fingerprint, time.time())


def _queue(
    candidates: Sequence[Candidate],
    using: Models,
    evidence: Calibration | None,
    threshold: float,
    pick: Pick,
    *,
    quiet: bool,
) -> list[Asked]:
    from semcache.cli.console import progress
    from semcache.cli.scoring import score_pairs, usual_vetoes
    from semcache.evaluate import Pair
    from semcache.labelling.queue import ordered

    if not candidates:
        return []
    # The label is what nobody knows yet; nothing here looks at it.
    asked = [Pair(one.a, one.b, same=False) for one in candidates]
    with progress(quiet=quiet) as bar:
        scored = score_pairs(asked, using, bar=bar)
    vetoes = usual_vetoes(using.scorer.name) if evidence is None else frozenset(evidence.vetoes)
    return ordered(
        [
            (candidate, one.values[using.scorer.name])
            for candidate, one in zip(candidates, scored, strict=True)
            if not one.vetoed(vetoes)
        ],
        threshold,
        pick,
    )


def _summary(document: dict[str, Any]) -> None:
    from semcache.cli.console import clean, out

    said = document
    if not said["new"]:
        out.print("There is nothing new to ask about.")
    elif not said["right"] + said["wrong"] + said["skipped"] + said["left"]:
        out.print(
            f"None of {said['new']:,} new pairs would be served from {said['asked_from']:.3f} "
            "(below it, or vetoed); a lower --from asks about more."
        )
    out.print(
        f"{said['right']:,} yes, {said['wrong']:,} no, {said['skipped']:,} skipped, "
        f"{said['left']:,} left. {clean(said['out'])} has {said['labels']:,} labels, "
        f"{said['labels_right']:,} yes.",
        soft_wrap=True,
    )
    if said["pick"] == "served":
        out.print(
            f"[dim]About {said['needed']:,} labels of served pairs, all yes, support the bound.[/]"
        )
