"""The findings as pictures: one PNG with all of them, or each as SVG for the page.

Colours are those of Okabe and Ito ("Color universal design", 2008), which people with any common
colour blindness tell apart; where colour carries a meaning, position or a line style repeats it.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from semcache.errors import ConfigurationError
from semcache.tuning.findings import SWEEP_PRECISION, Findings

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from semcache.decision.calibration import Point

TRUE, TRUE_VETOED = "#0072B2", "#A9CFE6"
FALSE, FALSE_VETOED = "#D55E00", "#F4C6A2"
THIRD, FOURTH, INK, FAINT = "#009E73", "#CC79A7", "#222222", "#8A8A8A"
LINES = {"cosine": (FAINT, ":"), "hybrid": (FOURTH, "--")}
DPI = 110
FEWEST_ROWS = 7
STYLE: Any = {
    "font.family": "DejaVu Sans",  # comes with matplotlib: the same picture everywhere
    "font.size": 9.5,
    "axes.titlesize": 11,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.titlepad": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": FAINT,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#E6E6E6",
    "xtick.color": INK,
    "ytick.color": INK,
    "legend.frameon": False,
    "legend.fontsize": 8.5,
    "figure.constrained_layout.h_pad": 0.12,
    "figure.constrained_layout.w_pad": 0.1,
    "text.parse_math": False,  # somebody's file may be called "$x$.csv"
    "svg.fonttype": "path",
    "svg.hashsalt": "semcache",  # the same findings, the same file
}

Draw = Callable[["Axes", Findings], None]


def require_matplotlib() -> None:
    """Make sure that pictures can be drawn, before anything takes time.

    Raises:
        ConfigurationError: matplotlib is not installed.
    """
    try:
        import matplotlib  # noqa: F401
    except ImportError as error:
        raise ConfigurationError(
            'pictures need matplotlib, which is not installed: pip install "semcache[tune]", or '
            "leave out --png and --html"
        ) from error


def draw_png(found: Findings, path: Path, title: str) -> None:
    """All pictures on one sheet."""
    with _drawing() as figure_of:
        figure = figure_of(figsize=(15, 13.5), layout="constrained")
        figure.suptitle(title, x=0.01, ha="left", fontsize=13, fontweight="bold")
        grid = figure.add_gridspec(3, 6)
        names = list(found.distributions)
        width = 6 // len(names)
        for i, name in enumerate(names):
            distribution(figure.add_subplot(grid[0, i * width : (i + 1) * width]), found, name)
        for i, draw in enumerate((bound, precision_recall, reliability)):
            draw(figure.add_subplot(grid[1, 2 * i : 2 * i + 2]), found)
        alpha_sweep(figure.add_subplot(grid[2, 0:2]), found)
        veto_effects(figure.add_subplot(grid[2, 2:6]), found)
        figure.savefig(path, format="png", dpi=DPI, pil_kwargs={"optimize": True})


def draw_svg(found: Findings, draw: Draw, size: tuple[float, float] = (6.4, 3.9)) -> str:
    """One picture as an ``<svg>`` element."""
    with _drawing() as figure_of:
        figure = figure_of(figsize=size, layout="constrained")
        draw(figure.add_subplot(), found)
        file = io.StringIO()
        figure.savefig(file, format="svg", metadata={"Date": None, "Creator": None})
    text = file.getvalue()
    return text[text.index("<svg") :]


@contextmanager
def _drawing() -> Iterator[Callable[..., Figure]]:
    import matplotlib
    from matplotlib.figure import Figure

    with matplotlib.rc_context(STYLE):
        yield Figure


def distribution(ax: Axes, found: Findings, name: str) -> None:
    """True matches upwards, false ones downwards; pale is what a veto refuses."""
    shown = found.distributions[name]
    left = shown.edges[:-1]
    widths = [b - a for a, b in zip(shown.edges, shown.edges[1:], strict=False)]
    bars: Any = {"width": widths, "align": "edge", "linewidth": 0}
    down = [-n for n in shown.false]
    ax.bar(left, shown.true, color=TRUE, label="true match", **bars)
    ax.bar(left, shown.true_vetoed, bottom=shown.true, color=TRUE_VETOED,
           label="true match, vetoed", **bars)  # fmt: skip
    ax.bar(left, down, color=FALSE, label="false match", **bars)
    ax.bar(left, [-n for n in shown.false_vetoed], bottom=down, color=FALSE_VETOED,
           label="false match, vetoed", **bars)  # fmt: skip
    ax.axhline(0, color=INK, linewidth=0.8)
    # Room for the legend and for the threshold's label above the bars.
    top = max(a + b for a, b in zip(shown.true, shown.true_vetoed, strict=True))
    bottom = max(a + b for a, b in zip(shown.false, shown.false_vetoed, strict=True))
    ax.set_ylim(-1.1 * max(bottom, 1), 1.45 * max(top, 1))
    if name == found.scorer:
        _mark_threshold(ax, found)
    ax.yaxis.set_major_formatter(lambda value, _: f"{abs(value):,.0f}")
    ax.set_title(f"What {family(name)} sees")
    ax.set_xlabel(f"{family(name)} score")
    ax.set_ylabel("pairs (false ones downwards)")
    ax.legend(loc="upper left", ncols=2, columnspacing=1.0, handlelength=1.2)


def _mark_threshold(ax: Axes, found: Findings) -> None:
    if found.threshold is None:
        return
    kept = found.support.threshold is not None
    ax.axvline(found.threshold, color=INK, linewidth=1.3, linestyle="-" if kept else "--")
    low, high = ax.get_xlim()
    right_half = found.threshold > (low + high) / 2
    ax.annotate(
        f"{'threshold' if kept else 'testing began at'} {found.threshold:.3f}",
        (found.threshold, 1.0), xycoords=("data", "axes fraction"),
        xytext=(-5 if right_half else 5, -42), textcoords="offset points",
        ha="right" if right_half else "left", va="top", fontsize=8.5, color=INK,
    )  # fmt: skip


def bound(ax: Axes, found: Findings) -> None:
    """The wrong share and its bound, as ever more pairs are served."""
    points = [p for p in found.calibration.points if p.served]
    support = found.support
    served = [p.served for p in points]
    ax.plot(served, [p.upper for p in points], color=TRUE, linewidth=1.8,
            label=f"upper bound ({support.confidence:.0%})")  # fmt: skip
    measured = [_measured(found, p) for p in points]
    ax.plot(served, measured, color=FALSE, linewidth=1.5, linestyle="-.", label="wrong, measured")
    ax.axhline(support.max_wrong, color=INK, linewidth=1, linestyle=":")
    ax.annotate(
        f"max_wrong {support.max_wrong:g}", (1.0, support.max_wrong),
        xycoords=("axes fraction", "data"), xytext=(0, 3), textcoords="offset points",
        ha="right", va="bottom", fontsize=8.5,
    )  # fmt: skip
    if support.at is not None:
        kept = support.threshold is not None
        ax.plot([support.at.served], [support.at.upper], "o" if kept else "X", color=INK,
                markersize=7, label=f"{'chosen' if kept else 'failed'} at "
                f"{support.at.threshold:.3f}: {support.at.upper:.2%}")  # fmt: skip
    highest = min(1.0, max(5 * support.max_wrong, 1.6 * (support.at.upper if support.at else 0)))
    ax.set_ylim(0, highest)
    # What lies beyond is not worth the room: from there on the bound only grows.
    shown = [p.served for p in points if p.upper <= highest]
    ax.set_xlim(0, 1.06 * max(shown or served, default=1))
    ax.yaxis.set_major_formatter(_percent)
    ax.set_title("The bound: wrong share of what is served" + _at_prior(found))
    ax.set_xlabel("pairs served (evidence), strictest threshold first")
    ax.legend(loc="best", frameon=True, facecolor="white", edgecolor="none", framealpha=0.9)


def precision_recall(ax: Axes, found: Findings) -> None:
    """Each scorer's ranking alone, and the decision with its vetoes."""
    for name, curve in found.curves.items():
        color, line = LINES.get(name, (THIRD, "-."))
        ap = found.rankings[name].average_precision
        label = f"{family(name)} alone" + ("" if ap is None else f" (AP {ap:.3f})")
        ax.plot(curve.recall, curve.precision, color=color, linestyle=line, linewidth=1.5,
                label=label)  # fmt: skip
    decision = found.decision_curve
    ax.plot(decision.recall, decision.precision, color=TRUE, linewidth=2.2,
            label=f"{family(found.scorer)} with vetoes")  # fmt: skip
    if found.served_positive_share is not None and found.support.at is not None:
        at, share = found.support.at, found.served_positive_share
        ax.plot([share], [1 - _measured(found, at)], "o", color=INK, markersize=7,
                label=f"at the threshold: {share:.1%} served")  # fmt: skip
    ax.set_xlim(0, 1)
    low = min([min(c.precision, default=1) for c in found.curves.values()])
    ax.set_ylim(max(0.0, low - 0.05), 1.02)
    ax.xaxis.set_major_formatter(_percent)
    ax.yaxis.set_major_formatter(_percent)
    ax.set_title("Precision and recall" + _at_prior(found))
    ax.set_xlabel("recall: of the true matches, served")
    ax.set_ylabel("precision")
    ax.legend(loc="lower left")


def reliability(ax: Axes, found: Findings) -> None:
    """Foretold P(same answer) against what came true, with and without the vetoes."""
    ax.plot([0, 1], [0, 1], color=FAINT, linewidth=1, linestyle=":", label="perfect")
    name = family(found.scorer)
    for shown, color, mark, label in (
        (found.reliability_alone, FALSE, "s", f"{name} alone"),
        (found.reliability, TRUE, "o", f"{name} with vetoes"),
    ):
        if shown.ece is None:
            continue
        bins = shown.bins
        ax.errorbar(
            [b.foretold for b in bins], [b.true for b in bins],
            yerr=[[max(0.0, b.true - b.low) for b in bins],
                  [max(0.0, b.high - b.true) for b in bins]],
            fmt=mark, color=color, elinewidth=1.2, capsize=2.5, markersize=5,
            label=f"{label} (ECE {shown.ece:.3f})",
        )  # fmt: skip
    every = [*found.reliability.bins, *found.reliability_alone.bins]
    if every:
        low = max(0.0, min(min(b.low, b.foretold) for b in every) - 0.02)
        # One scale on both axes, so that the diagonal is one.
        ax.set_xlim(low, 1 + 0.03 * (1 - low))
        ax.set_ylim(low, 1 + 0.03 * (1 - low))
    else:
        ax.text(0.5, 0.4, "too few pairs", ha="center", color=FAINT)
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_major_locator(_few_ticks())
        axis.set_major_formatter(_percent)
    ax.set_title("Reliability" + _at_prior(found))
    ax.set_xlabel("P(same answer), foretold by the other half")
    ax.set_ylabel("came true (95 % interval)")
    ax.legend(loc="upper left")


def _few_ticks() -> Any:
    from matplotlib.ticker import MaxNLocator

    return MaxNLocator(5)


def alpha_sweep(ax: Axes, found: Findings) -> None:
    """The hybrid scorer alone, from words only to vectors only."""
    alphas = [p.alpha for p in found.alphas]
    for values, color, line, marker, label in (
        ([p.average_precision for p in found.alphas], TRUE, "-", "o", "average precision"),
        ([p.recall for p in found.alphas], FALSE, "--", "s",
         f"recall at precision {SWEEP_PRECISION:.0%}"),
    ):  # fmt: skip
        known = [(a, v) for a, v in zip(alphas, values, strict=True) if v is not None]
        ax.plot(*zip(*known, strict=True) if known else ((), ()), color=color, linestyle=line,
                marker=marker, markersize=4, linewidth=1.6, label=label)  # fmt: skip
        if known:
            best = max(known, key=lambda one: one[1])
            ax.annotate(f"{best[1]:.3f}", best, xytext=(0, 6), textcoords="offset points",
                        ha="center", fontsize=8.5, color=color)  # fmt: skip
    ax.set_xlim(-0.05, 1.05)
    ax.set_ylim(0, 1.12)
    ax.set_title("Hybrid, without vetoes: which alpha?")
    ax.set_xlabel("alpha (0: only shared words, 1: only cosine)")
    ax.legend(loc="center left", bbox_to_anchor=(0.0, 0.62))


def veto_effects(ax: Axes, found: Findings) -> None:
    """What each veto alone keeps from being served at the threshold: wrong left, right right."""
    shown = sorted(
        (v for v in found.vetoes if v.right_alone or v.wrong_alone),
        key=lambda v: v.right_alone + v.wrong_alone,
    )
    # A few bars stay as thin as many, at the top; the legend is at the bottom.
    rows = max(len(shown), FEWEST_ROWS)
    places = range(rows - len(shown), rows)
    ax.set_ylim(-0.7, rows - 0.3)
    ax.barh(places, [-v.wrong_alone for v in shown], color=FALSE, label="wrong, stopped")
    ax.barh(places, [v.right_alone for v in shown], color=TRUE, label="right, lost")
    most = max([1, *(max(v.right_alone, v.wrong_alone) for v in shown)])
    for place, veto in zip(places, shown, strict=True):
        ax.annotate(f"{veto.wrong_alone:,}", (-veto.wrong_alone, place), xytext=(-4, 0),
                    textcoords="offset points", ha="right", va="center", fontsize=8.5)  # fmt: skip
        ax.annotate(f"{veto.right_alone:,}", (veto.right_alone, place), xytext=(4, 0),
                    textcoords="offset points", ha="left", va="center", fontsize=8.5)  # fmt: skip
    ax.set_title("Vetoes: what would be served if this one alone were off")
    ax.set_yticks(list(places), [v.name for v in shown])
    ax.grid(axis="y", visible=False)
    if not shown:
        ax.set_xticks([])
        ax.text(0.5, 0.5, "no veto alone keeps a pair from being served", ha="center",
                color=FAINT, transform=ax.transAxes)  # fmt: skip
        return
    ax.axvline(0, color=INK, linewidth=0.8)
    ax.set_xlim(-1.15 * most, 1.15 * most)
    ax.xaxis.set_major_formatter(lambda value, _: f"{abs(value):,.0f}")
    ax.set_xlabel("evidence pairs above the threshold that no other veto refuses")
    ax.legend(loc="lower right")


def distributions(found: Findings) -> Sequence[tuple[str, Draw]]:
    """One picture a scorer."""

    def of(name: str) -> Draw:
        return lambda ax, all_of_it: distribution(ax, all_of_it, name)

    return [(name, of(name)) for name in found.distributions]


def family(scorer: str) -> str:
    """A scorer's name without the revision of what it learned.

    >>> family("learned-f2a4489961ae")
    'learned'
    """
    return scorer.partition("-")[0]


def _measured(found: Findings, point: Point) -> float:
    """The wrong share that was counted, in the mix of the prior."""
    calibration = found.calibration
    weight = 1.0
    if calibration.prior is not None:
        share = calibration.positives / calibration.pairs
        weight = (1 - calibration.prior) / calibration.prior * share / (1 - share)
    wrong = weight * point.wrong
    return wrong / (wrong + point.served - point.wrong)


def _at_prior(found: Findings) -> str:
    return "" if found.support.prior is None else f", at a prior of {found.support.prior:g}"


def _percent(value: float, _: Any = None) -> str:
    return f"{100 * value:.3g} %"
