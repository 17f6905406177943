"""The findings of ``semcache tune`` in the terminal."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.table import Table

from semcache.cli.console import brief, clean, out

if TYPE_CHECKING:
    from semcache.tuning.findings import Example, Findings

EXAMPLES = 6
POINTS = 6
LONGEST = 90
BARS = " ▁▂▃▄▅▆▇█"


def show(found: Findings, out: Path | None) -> None:
    """Everything, the verdict last: it is what a reader looks for."""
    from semcache.cli.console import out as console

    for part in (
        _distributions(found), _rankings(found), _alphas(found), _points(found), _vetoes(found),
        _sources(found),
    ):  # fmt: skip
        if part is not None:
            console.print(part)
            console.print()
    _examples("Worst false matches (labelled different, no veto)", found.worst_false)
    _examples("Best missed matches (labelled the same, not served)", found.best_missed)
    _verdict(found, out)


def _verdict(found: Findings, written: Path | None) -> None:
    from semcache.tuning.words import headline, key_figures

    table = Table(show_header=False, box=None, pad_edge=False)
    table.add_column(style="dim")
    table.add_column(overflow="fold")
    for name, value in key_figures(found):
        table.add_row(name, clean(value))
    ece = found.reliability.ece
    table.add_row("calibration error (ECE)", "–" if ece is None else f"{ece:.3f}")
    out.print(table)
    out.print()
    if found.support.threshold is None:
        return  # the refusal follows, on stderr
    out.print(f"[bold]{clean(headline(found))}[/]")
    if written is None:
        out.print("Nothing was written; keep the calibration with --out FILE.")
    else:
        argument = clean(repr(str(written)))
        out.print(
            f"Wrote it: SemanticCache.open(calibration={argument})", soft_wrap=True, highlight=False
        )


def _distributions(found: Findings) -> Table:
    table = Table(title="Pairs by score, from low to high", title_justify="left", box=None)
    for name in ("scorer", "pairs", "from", "", "to"):
        table.add_column(name, justify="right" if name == "from" else "left")
    for name, shown in found.distributions.items():
        for label, style, counts in (
            ("true", "blue", shown.true), ("true, vetoed", "dim blue", shown.true_vetoed),
            ("false", "yellow", shown.false), ("false, vetoed", "dim yellow", shown.false_vetoed),
        ):  # fmt: skip
            table.add_row(
                clean(name) if label == "true" else "",
                label,
                f"{shown.edges[0]:.2f}",
                f"[{style}]{_spark(counts)}[/]",
                f"{shown.edges[-1]:.2f}  ({sum(counts):,})",
            )
    return table


def _spark(counts: Sequence[int]) -> str:
    """One line of bars; what is there at all is at least the lowest bar.

    >>> _spark([0, 1, 50, 100])
    ' ▁▄█'
    """
    most = max([1, *counts])
    return "".join(BARS[0 if not n else max(1, n * (len(BARS) - 1) // most)] for n in counts)


def _rankings(found: Findings) -> Table:
    precisions = list(next(iter(found.rankings.values())).recall_at_precision)
    table = Table(title="Scorers alone, over all pairs", title_justify="left")
    table.add_column("scorer")
    for name in ("AP", "AUC", *(f"R@{p}" for p in precisions)):
        table.add_column(name, justify="right")
    for name, ranking in found.rankings.items():
        figures = (
            ranking.average_precision, ranking.roc_auc, *ranking.recall_at_precision.values()
        )  # fmt: skip
        table.add_row(clean(name), *("–" if f is None else f"{f:.3f}" for f in figures))
    return table


def _alphas(found: Findings) -> Table:
    table = Table(title="Hybrid alone, by alpha", title_justify="left")
    table.add_column("alpha")
    for point in found.alphas:
        table.add_column(f"{point.alpha:.1f}", justify="right")
    for label, values in (
        ("AP", [point.average_precision for point in found.alphas]),
        ("R@0.95", [point.recall for point in found.alphas]),
    ):
        best = max((value for value in values if value is not None), default=None)
        table.add_row(
            label,
            *(
                "–" if v is None else f"[bold]{v:.3f}[/]" if v == best else f"{v:.3f}"
                for v in values
            ),
        )
    return table


def _points(found: Findings) -> Table | None:
    """A few thresholds, and the one that was chosen, or where testing began."""
    points = [point for point in found.calibration.points if point.served]
    at = found.support.at
    if not points or at is None:
        return None
    # About equally far from each other in what they serve.
    wanted = [points[-1].served * i / POINTS for i in range(1, POINTS + 1)]
    chosen = {min(points, key=lambda p: abs(p.served - n)).threshold for n in wanted}
    table = Table(title="What would be served (evidence)", title_justify="left")
    for name in ("from", "served", "wrong", "bound", "P(same) there", ""):
        table.add_column(name, justify="right" if name else "left")
    for point in points:
        if point.threshold not in chosen and point != at:
            continue
        kept = found.support.threshold is not None
        mark = "" if point != at else "◀ threshold" if kept else "◀ testing began and failed"
        table.add_row(
            f"{point.threshold:.3f}",
            f"{point.served:,}",
            f"{point.wrong:,}",
            f"{point.upper:.2%}",
            f"{point.probability:.3f}",
            mark,
            style="bold" if mark else "",
        )
    return table


def _vetoes(found: Findings) -> Table | None:
    shown = [veto for veto in found.vetoes if veto.refuses]
    if not shown:
        return None
    table = Table(title="Vetoes, at the threshold", title_justify="left")
    table.add_column("veto")
    for name in ("refuses", "right, lost to it alone", "wrong, stopped by it alone",
                 "served without it", "of these wrong"):  # fmt: skip
        table.add_column(name, justify="right")
    for veto in sorted(shown, key=lambda veto: -veto.refuses):
        counts = (veto.refuses, veto.right_alone, veto.wrong_alone, veto.served_without)
        table.add_row(veto.name, *(f"{n:,}" for n in (*counts, veto.wrong_without)))
    return table


def _sources(found: Findings) -> Table | None:
    if len(found.sources) < 2:
        return None
    table = Table(title="The evidence by source", title_justify="left")
    table.add_column("source")
    for name in ("pairs", "true", "served", "wrong", "bound of it alone"):
        table.add_column(name, justify="right")
    for source in found.sources:
        table.add_row(
            brief(source.name, 40),
            *(f"{n:,}" for n in (source.n, source.positives, source.served, source.wrong)),
            f"{source.upper:.2%}",
        )
    return table


def _examples(title: str, some: Sequence[Example]) -> None:
    out.print(f"[italic]{title}[/]")
    for example in some[:EXAMPLES]:
        out.print(f"  {example.score:.3f}  {brief(example.a, LONGEST)}", highlight=False)
        out.print(f"         {brief(example.b, LONGEST)}", highlight=False)
        out.print(f"         [dim]{brief(example.why or 'served', LONGEST)}[/]", highlight=False)
    if not some:
        out.print("  none")
    out.print()
