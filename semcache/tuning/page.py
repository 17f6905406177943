"""The findings as one HTML file that needs nothing else: no script, no font, no network."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

from semcache.tuning import charts
from semcache.tuning.findings import Example, Findings
from semcache.tuning.words import headline, key_figures

CSS = """
:root { color-scheme: light; }
body { font: 16px/1.5 system-ui, "Segoe UI", Roboto, Helvetica, Arial, sans-serif; color: #222;
  background: #fff; max-width: 70rem; margin: 2rem auto; padding: 0 1.25rem; }
h1 { font-size: 1.5rem; margin: 0 0 .25rem; } h2 { font-size: 1.15rem; margin: 2.5rem 0 .5rem; }
p { max-width: 46rem; } .faint { color: #5f5f5f; }
.verdict { border-left: 6px solid; padding: .6rem 1rem; margin: 1.2rem 0; background: #f5f5f5;
  max-width: none; overflow-wrap: anywhere; }
.yes { border-color: #0072B2; } .no { border-color: #D55E00; }
dl { display: grid; grid-template-columns: repeat(auto-fill, minmax(13rem, 1fr));
  gap: .8rem 1.5rem; }
dt { color: #5f5f5f; font-size: .85rem; }
dd { margin: 0; font-size: 1.1rem; overflow-wrap: anywhere; }
.charts { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 30rem), 1fr));
  gap: 1.5rem; }
.wide { grid-column: 1 / -1; } figure { margin: 0; min-width: 0; }
figure svg { width: 100%; height: auto; display: block; }
figcaption { color: #5f5f5f; font-size: .88rem; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-size: .9rem; }
th, td { text-align: left; vertical-align: top; padding: .35rem .7rem .35rem 0;
  border-bottom: 1px solid #e3e3e3; }
th { color: #5f5f5f; font-weight: 600; } td.text { overflow-wrap: anywhere; min-width: 14rem; }
td.number, th.number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
"""

DISTRIBUTION = (
    "Upwards the true matches by the score of {}, downwards the false ones; pale is what a veto "
    "refuses."
)
CAPTIONS = {
    "bound": "From left to right ever more is served. The dotted line is what you asked for; "
    "testing goes on as long as the upper bound stays under it.",
    "precision_recall": "Lines: a scorer alone, by its value. The thick line is the decision: "
    "what a veto refuses is never served, so it ends where only refused pairs are left.",
    "reliability": "A probability of 90 % should come true in 90 of 100 pairs. Each half of the "
    "pairs is foretold from the other half.",
    "alpha_sweep": "The hybrid score is alpha times cosine plus the rest times shared words, "
    "without vetoes.",
    "veto_effects": "Right: true matches that only this veto keeps from being served. Left: "
    "false matches that only this veto stops.",
}


def page(found: Findings, *, title: str, refusal: str | None) -> str:
    """The whole document. ``refusal``: why there is no calibration, where there is none."""
    verdict = headline(found) if refusal is None else refusal
    parts = [
        f"<h1>{_text(title)}</h1>",
        '<p class="faint">Made by <code>semcache tune</code>.</p>',
        f'<p class="verdict {"yes" if refusal is None else "no"}">{_text(verdict)}</p>',
        "<dl>",
        *(f"<div><dt>{_text(k)}</dt><dd>{_text(v)}</dd></div>" for k, v in key_figures(found)),
        "</dl>",
        '<h2>Pictures</h2><div class="charts">',
        *(
            _figure(
                found, draw, DISTRIBUTION.format(charts.family(name)), f"Distribution of {name}"
            )
            for name, draw in charts.distributions(found)
        ),
        *(
            _figure(found, draw, CAPTIONS[draw.__name__], draw.__name__)
            for draw in (
                charts.bound, charts.precision_recall, charts.reliability, charts.alpha_sweep,
            )
        ),
        _figure(
            found, charts.veto_effects, CAPTIONS["veto_effects"], "veto_effects", (10.5, 4.2)
        ),
        "</div>",
        _rankings(found),
        _sources(found),
        _vetoes(found),
        *_examples(found),
    ]  # fmt: skip
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{_text(title)}</title>\n<style>{CSS}</style>\n</head>\n<body>\n"
        + "\n".join(parts)
        + "\n</body>\n</html>\n"
    )


def _figure(
    found: Findings,
    draw: charts.Draw,
    caption: str,
    name: str,
    size: tuple[float, float] = (6.4, 3.9),
) -> str:
    svg = charts.draw_svg(found, draw, size)
    label = _text(name.replace("_", " "))
    svg = svg.replace("<svg ", f'<svg role="img" aria-label="{label}" ', 1)
    wide = ' class="wide"' if size[0] > 8 else ""
    return f"<figure{wide}>{svg}<figcaption>{_text(caption)}</figcaption></figure>"


def _rankings(found: Findings) -> str:
    precisions = next(iter(found.rankings.values())).recall_at_precision
    return "<h2>Scorers alone, over all pairs</h2>" + _table(
        ["scorer", "average precision", "ROC-AUC", *(f"recall at {p}" for p in precisions)],
        [
            [
                name,
                _number(ranking.average_precision),
                _number(ranking.roc_auc),
                *(_number(recall) for recall in ranking.recall_at_precision.values()),
            ]
            for name, ranking in found.rankings.items()
        ],
    )


def _sources(found: Findings) -> str:
    if len(found.sources) < 2:
        return ""
    return (
        "<h2>The evidence by source</h2><p>The bound holds for the mix of all of them, and need "
        "not hold for each.</p>"
        + _table(
            ["source", "pairs", "true", "served", "wrong", "bound of this source alone"],
            [
                [s.name, f"{s.n:,}", f"{s.positives:,}", f"{s.served:,}", f"{s.wrong:,}",
                 f"{s.upper:.2%}"]
                for s in found.sources
            ],
        )
    )  # fmt: skip


def _vetoes(found: Findings) -> str:
    return (
        "<h2>Vetoes, at the threshold</h2><p>Of the evidence above the threshold: how many pairs "
        "a veto refuses, and what would be served without it.</p>"
        + _table(
            ["veto", "refuses", "right, lost to it alone", "wrong, stopped by it alone",
             "served without it", "of these wrong"],
            [
                [v.name, f"{v.refuses:,}", f"{v.right_alone:,}", f"{v.wrong_alone:,}",
                 f"{v.served_without:,}", f"{v.wrong_without:,}"]
                for v in found.vetoes
            ],
        )
    )  # fmt: skip


def _examples(found: Findings) -> Iterable[str]:
    for heading, about, some in (
        ("Worst false matches", "Labelled as different, and no veto against them: a label to "
         "check, or what the scorer cannot see.", found.worst_false),
        ("Best missed matches", "Labelled as the same, and not served.", found.best_missed),
        ("False matches that a veto stops", "The highest scores among them.", found.stopped_false),
    ):  # fmt: skip
        yield f"<h2>{heading}</h2><p>{about}</p>"
        yield _pairs(some) if some else '<p class="faint">None.</p>'


def _pairs(some: Sequence[Example]) -> str:
    rows = "".join(
        f'<tr><td class="number">{e.score:.3f}</td>'
        f'<td class="text">{_text(e.a)}<br>{_text(e.b)}</td>'
        f'<td class="text">{_text(e.why or "served")}</td><td>{_text(e.source or "")}</td></tr>'
        for e in some
    )
    return (
        '<div class="scroll"><table><tr><th class="number">score</th><th>pair</th><th>why not '
        f"served</th><th>source</th></tr>{rows}</table></div>"
    )


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    def line(tag: str, cells: Sequence[str]) -> str:
        first, *rest = cells
        numbers = "".join(f'<{tag} class="number">{_text(cell)}</{tag}>' for cell in rest)
        return f"<tr><{tag}>{_text(first)}</{tag}>{numbers}</tr>"

    body = "".join(line("td", row) for row in rows)
    return f'<div class="scroll"><table>{line("th", head)}{body}</table></div>'


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def _text(text: str) -> str:
    """Somebody's text, safe inside HTML: no markup, no control characters, valid UTF-8."""
    encodable = text.encode("utf-8", "replace").decode("utf-8")
    return escape("".join(c if c.isprintable() else " " for c in encodable))
