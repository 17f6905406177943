"""Tables for the terminal, and one picture."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from benchmarks.bound.exchangeable import READINGS, Held
from benchmarks.bound.known import COSINE, SCORERS
from benchmarks.bound.shipped import AsShipped
from benchmarks.bound.streams import VCACHE, Replayed
from benchmarks.bound.threats import Threatened
from semcache.decision.binomial import CONFIDENCE

if TYPE_CHECKING:
    from benchmarks.bound.control import Share

DELTA = 1 - CONFIDENCE
PIPED_WIDTH = 180
LONGEST = 90
BEGIN, END = "<!-- tables: python -m benchmarks.bound --docs -->", "<!-- end of the tables -->"
COLOURS = {COSINE: "#9a9a9a", "hybrid": "#4878a8", "lexical": "#6aa384", "learned": "#c8553d"}
VCACHE_COLOUR = "#8d6cab"
WATCHED = ("unwatched", "watched", "late", "kept", "first step", "off")
MARKS = ("o", "s", "^", "D", "v")


@dataclass(frozen=True, slots=True)
class Results:
    """Everything that was simulated."""

    about: Mapping[str, Any]
    shipped: Sequence[AsShipped]
    pairs: Sequence[Held]
    streams: Sequence[Replayed]
    drift: Sequence[Threatened]
    noise: Sequence[Threatened]
    attacks: Sequence[Threatened]

    def to_json(self) -> dict[str, Any]:
        """As plain data."""
        parts = ("shipped", "pairs", "streams", "drift", "noise", "attacks")
        return {
            "about": dict(self.about),
            **{part: [one.to_json() for one in getattr(self, part)] for part in parts},
        }


def tables(results: Results) -> None:
    """Print all of it."""
    out = Console()
    if not out.is_terminal:
        out = Console(width=PIPED_WIDTH)
    for made in TABLES:
        out.print(made(results))
        out.print()
    out.print(_about(results))


def into_document(results: Results, path: Path) -> None:
    """Put the tables as Markdown between the two marks of a document, in place of what is there."""
    before, rest = path.read_text("utf-8").split(BEGIN, 1)
    after = rest.split(END, 1)[1]
    parts = [_about(results), *(_markdown(made(results)) for made in TABLES)]
    path.write_text(f"{before}{BEGIN}\n\n" + "\n\n".join(parts) + f"\n\n{END}{after}", "utf-8")


def _markdown(table: Table) -> str:
    rows = zip(*(column.cells for column in table.columns), strict=True)
    lines = [
        f"### {table.title}",
        "",
        "| " + " | ".join(str(c.header) for c in table.columns) + " |",
    ]
    lines.append(
        "| " + " | ".join("--:" if c.justify == "right" else "---" for c in table.columns) + " |"
    )
    lines += [
        "| " + " | ".join(str(cell).replace("|", "\\|") for cell in row) + " |" for row in rows
    ]
    return "\n".join([*lines, "", str(table.caption)])


def _about(results: Results) -> str:
    about = results.about
    return (
        f"{about['pairs']:,} pairs ({about['positives']:,} true) in {about['components']:,} "
        f"components; {about['runs']} runs; part {about['part']}; {about['verified']:,} pairs "
        f"newly verified; {about['seconds']['scores']:.0f} s of scores, "
        f"{about['seconds']['all']:.0f} s in all. {about['learned']}, {about['lexical']}, "
        f"{about['verifier']}, {about['encoder']}"
    )


def _table(title: str, caption: str, left: Sequence[str], right: Sequence[str]) -> Table:
    table = Table(title=title, caption=caption, title_justify="left", caption_justify="left")
    for name in left:
        table.add_column(name)
    for name in right:
        table.add_column(name, justify="right")
    return table


def _shipped(results: Results) -> Table:
    table = _table(
        "0. The thresholds that ship, on all pairs",
        "Served: of the true duplicates. Interval: exact, 95 % to either side.",
        ("bound", "scorer"),
        ("threshold", "served", "pairs served", "wrong", "wrong share"),
    )
    for one in sorted(results.shipped, key=lambda one: one.bound):
        rate = one.wrong / max(1, one.served)
        table.add_row(
            f"{one.bound:.0%}",
            one.scorer,
            f"{one.threshold:.3f}",
            f"{one.served_share:.0%}",
            f"{one.served:,}",
            f"{one.wrong:,}",
            f"{rate:.2%} [{one.low:.2%}, {one.high:.2%}]",
        )
    return table


def _pairs(results: Results) -> Table:
    table = _table(
        "1. Exchangeable pairs: share of runs whose wrong share exceeds the bound",
        f"[95 % Monte Carlo interval]; promised: at most {DELTA:.0%} in the first column; * above "
        "it beyond Monte Carlo error. "
        "The last column has sampling noise of its own and no promise. Served: of the true "
        "duplicates of the other half (of the pool, with twice the labels). Later: served, and "
        "(exceeds, drawn), if testing began where up to three wrong ones pass. Fixed: what the "
        "best threshold, chosen on that half with its labels known, would serve.",
        ("bound", "scorer"),
        ("supported", *READINGS, "wrong", "served", "later", "fixed"),
    )
    for held in results.pairs:
        table.add_row(
            f"{held.bound:.0%}",
            held.scorer,
            f"{held.supported.value:.0%}",
            *(_share(held.exceeds[name], name != READINGS[-1]) for name in READINGS),
            f"{held.mean_wrong:.2%}",
            f"{held.served:.0%} ({held.served_drawn:.0%})",
            f"{held.later:.0%} ({held.later_exceeds.value:.1%})",
            f"{held.fixed:.0%}",
            end_section=held.scorer == SCORERS[-1],
        )
    return table


def _streams(results: Results) -> Table:
    table = _table(
        "2. Streams in random orders",
        "labels: where the threshold comes from. Orders: share that serve at all. Served: rightly, "
        "of the prompts whose group was asked before. Wrong / served: prompts in an order, on "
        "average. Exceeds: share of the orders above the bound (by more than so few serves "
        "explain). vCache's bound is on the wrong of all requests. What serves nothing is left "
        "out.",
        ("stream", "bound", "decided by", "labels"),
        (
            "threshold",
            "orders",
            "served",
            "wrong / served",
            "wrong of served",
            "exceeds",
            "wrong of all",
            "exceeds",
        ),
    )
    before = None
    for one in results.streams:
        if not one.served:
            continue
        if before not in (None, (one.stream, one.bound)):
            table.add_section()
        before = (one.stream, one.bound)
        table.add_row(
            one.stream,
            f"{one.bound:.0%}",
            one.way,
            one.labels,
            "" if one.threshold is None else f"{one.threshold:.3f}",
            f"{one.supported.value:.0%}",
            f"{one.served_repeats:.1%}",
            f"{one.wrong:.1f} / {one.served:.0f}",
            f"{one.wrong_of_served:.1%}",
            f"{one.exceeds.value:.0%} ({one.beyond.value:.0%})",
            f"{one.wrong_of_requests:.2%}",
            f"{one.exceeds_all.value:.0%}",
        )
    return table


def _wrongly(results: Results) -> Table:
    table = _table(
        "2b. What was served wrongly in the streams, by their groups",
        "At the loosest bound, the commonest; of the orders.",
        ("stream", "decided by", "labels", "one", "other"),
        ("orders",),
    )
    most = max((one.bound for one in results.streams), default=0.0)
    shown: set[tuple[str, str, str]] = set()
    for one in results.streams:
        if one.bound != most or one.way not in SCORERS or one.labels not in ("shipped", "pairs"):
            continue
        for text, other, times in one.examples:
            if (one.way, text, other) not in shown:
                shown.add((one.way, text, other))
                cells = escape(text[:LONGEST]), escape(other[:LONGEST])
                table.add_row(one.stream, one.way, one.labels, *cells, f"{times:,}")
    return table


def _drift(results: Results) -> Table:
    table = _table(
        "3a. Drift: calibrated on one source, serving another",
        "supported, exceeds: of calibrations drawn from the first. Unwatched: wrong share of the "
        "served with the middle one of those that serve. Watched: with the confidence sequence, "
        "5 % of the serves compared, 20,000 requests; late: their last quarter; kept: served, of "
        "what is served unwatched; first step: serves before it; off: runs that end serving "
        "nothing.",
        ("from → to", "bound", "scorer"),
        ("supported", "exceeds", *WATCHED),
    )
    for one, new in _sections(_largest(results.drift)):
        if new:
            table.add_section()
        shares = f"{one.supported.value:.0%}", _share(one.exceeds, promised=False)
        table.add_row(one.threat, f"{one.bound:.0%}", one.scorer, *shares, *_watched(one))
    return table


def _attacks(results: Results) -> Table:
    table = _table(
        "3c. An adversary: a tenth of the traffic meets an entry planted for it",
        "planted: share of the planted entries that are served.",
        ("attack", "bound", "scorer"),
        ("planted", *WATCHED),
    )
    for one, new in _sections(_largest(results.attacks)):
        if new:
            table.add_section()
        planted = f"{one.planted_served or 0.0:.0%}"
        table.add_row(one.threat, f"{one.bound:.0%}", one.scorer, planted, *_watched(one))
    return table


def _largest(results: Sequence[Threatened]) -> list[Threatened]:
    """Those of the loosest bound that support it: the most of the others serve nothing."""
    most = max((one.bound for one in results), default=0.0)
    return [one for one in results if one.bound == most and one.supported.hits]


def _sections(results: Iterable[Threatened]) -> Iterator[tuple[Threatened, bool]]:
    """Each with whether another threat begins."""
    before = None
    for one in results:
        yield one, before not in (None, one.threat)
        before = one.threat


def _watched(one: Threatened) -> list[str]:
    if one.online is None:
        return [f"{one.wrong:.1%}", "–", "–", "–", "–", "–"]
    first = one.online.first_step
    return [
        f"{one.online.unwatched:.1%}",
        f"{one.online.wrong:.1%}",
        f"{one.online.late_wrong:.1%}",
        f"{one.online.served:.0%}",
        "never" if first is None else f"{first:,.0f}",
        f"{one.online.off:.0%}",
    ]


def _noise(results: Results) -> Table:
    table = _table(
        "3b. Wrong labels in the calibration",
        "At the loosest bound. Exceeds: of draws from the pool, by its own labels.",
        ("labels", "bound", "scorer"),
        ("supported", "exceeds", "wrong"),
    )
    for one, new in _sections(_largest(results.noise)):
        if new:
            table.add_section()
        table.add_row(
            one.threat,
            f"{one.bound:.0%}",
            one.scorer,
            f"{one.supported.value:.0%}",
            _share(one.exceeds),
            f"{one.wrong:.2%}",
        )
    return table


def _share(share: Share, promised: bool = True) -> str:
    broken = "*" if promised and share.low > DELTA else ""
    return f"{share.value:.1%}{broken} [{share.low:.1%}, {share.high:.1%}]"


TABLES = (_shipped, _pairs, _streams, _wrongly, _drift, _noise, _attacks)


def picture(results: Results, path: Path) -> None:
    """The promise, the streams, and what breaks it, side by side."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, 3, figsize=(15, 5.2), layout="constrained")
    _draw_pairs(axes[0], results.pairs)
    _draw_streams(axes[1], results.streams)
    _draw_threats(axes[2], [*_largest(results.drift), *_largest(results.attacks)])
    figure.savefig(path, dpi=110)
    pyplot.close(figure)


def _draw_pairs(axes: Any, results: Sequence[Held]) -> None:
    bounds = sorted({one.bound for one in results})
    names = list(dict.fromkeys(one.scorer for one in results))
    for place, name in enumerate(names):
        for reading, mark in ((READINGS[0], "o"), (READINGS[1], "D"), (READINGS[3], "x")):
            mine = [one for one in results if one.scorer == name]
            xs = [bounds.index(one.bound) + (place - 1.5) * 0.2 for one in mine]
            shares = [one.exceeds[reading] for one in mine]
            low = [100 * (share.value - share.low) for share in shares]
            high = [100 * (share.high - share.value) for share in shares]
            shift = {"o": -0.05, "D": 0.0, "x": 0.05}[mark]
            axes.errorbar(
                [x + shift for x in xs], [100 * share.value for share in shares],
                yerr=[low, high], fmt=mark, color=COLOURS[name], markersize=5, linewidth=1,
                label={"o": name}.get(mark),
            )  # fmt: skip
    axes.axhline(100 * DELTA, color="black", linewidth=1, linestyle="--")
    axes.text(len(bounds) - 0.5, 100 * DELTA + 0.3, "δ", ha="right")
    axes.set_xticks(range(len(bounds)), [f"{bound:.0%}" for bound in bounds])
    axes.set_xlabel("max_wrong")
    axes.set_ylabel("% of runs whose wrong share exceeds it")
    axes.set_title("Exchangeable pairs\n● drawn singly (promised)  ◆ by component  × other half")
    axes.legend(frameon=False, fontsize=8, loc="upper left")


def _draw_streams(axes: Any, results: Sequence[Replayed]) -> None:
    bound = max((one.bound for one in results), default=0.0)
    streams = list(dict.fromkeys(one.stream for one in results))
    for one in results:
        if one.bound != bound or one.labels == "shipped" or not one.served:
            continue
        colour = COLOURS.get(one.way, VCACHE_COLOUR)
        axes.plot(
            100 * one.served_repeats, 100 * one.wrong_of_served,
            MARKS[streams.index(one.stream) % len(MARKS)], color=colour, markersize=8,
            fillstyle={"oracle": "none", "pairs": "left"}.get(one.labels, "full"),
        )  # fmt: skip
    axes.axhline(100 * bound, color="black", linewidth=1, linestyle="--")
    axes.set_xlabel("% of repeated questions served rightly")
    axes.set_ylabel("% wrong of the served")
    axes.set_yscale("function", functions=(lambda y: abs(y) ** 0.5, lambda y: y**2))
    axes.set_yticks([0, 1, 5, 10, 25, 50, 75])
    axes.set_ylim(0, 80)
    axes.set_title(
        f"Streams at {bound:.0%}: calibrated on ● own first half, ◐ pairs\n"
        "(hollow: each one's best threshold, labels known)"
    )
    for place, name in enumerate(streams):
        axes.plot([], [], MARKS[place % len(MARKS)], color="black", label=name)
    for name, colour in [*COLOURS.items(), (VCACHE, VCACHE_COLOUR)]:
        axes.plot([], [], "s", color=colour, label=name)
    axes.legend(frameon=False, fontsize=8)


def _draw_threats(axes: Any, results: Sequence[Threatened]) -> None:
    threats = list(dict.fromkeys(one.threat for one in results))
    names = list(COLOURS)
    for one in results:
        name = one.scorer.split()[0].rstrip(",")
        y = threats.index(one.threat) + (names.index(name) - 1.5) * 0.18
        colour, usual = COLOURS[name], 100 * one.wrong
        if one.online is not None:
            usual, late = 100 * one.online.unwatched, 100 * one.online.late_wrong
            axes.plot([usual, late], [y, y], "-", color=colour, linewidth=1)
            axes.plot(late, y, "|", color=colour, markersize=9, markeredgewidth=2)
        axes.plot(usual, y, "o", color=colour, markersize=6)
    bound = max((one.bound for one in results), default=0.0)
    axes.axvline(100 * bound, color="black", linewidth=1, linestyle="--")
    axes.set_yticks(range(len(threats)), threats, fontsize=8)
    axes.invert_yaxis()
    axes.set_xlabel("% wrong of the served")
    axes.set_title(f"Drift and attacks at {bound:.0%}\n● unwatched   | watched, last quarter")
