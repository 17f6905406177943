"""``semcache demo``: watch real prompts go through the cache."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from semcache.cli.options import Json

if TYPE_CHECKING:
    from rich.console import RenderableType

    from semcache.demo.run import Served
    from semcache.demo.summary import Summary

RECENT_ROWS = 12
TRAPS_SHOWN = 12
COLOURS = {
    "exact": "green", "alias": "green", "semantic": "bright_green", "coalesced": "cyan",
    "model": "yellow",
}  # fmt: skip
CREDITS = (
    "Prompts: excerpts of banking77 (PolyAI, CC BY 4.0) and clinc150 (Larson et al., CC BY 3.0), "
    "selected and shuffled; traps and what is asked again by semcache. See "
    "semcache/demo/data/NOTICE."
)


def demo(
    limit: Annotated[int | None, typer.Option(min=1, help="Only the first N requests.")] = None,
    speed: Annotated[
        float,
        typer.Option(min=1.0, max=10_000.0, help="How many times faster than real the model is."),
    ] = 100.0,
    url: Annotated[
        str, typer.Option(metavar="URL", help="Use (and fill) this cache.")
    ] = "memory://",
    json: Json = False,
) -> None:
    """Replay real prompts through the whole cache against a simulated model.

    Nothing is sent anywhere. The model's time and price are simulated: an answer takes 1.2 s in
    the median, and that is what the summary counts, but the demo waits only a fraction of it.
    What the cache itself takes is measured.
    """
    from semcache.cli.console import print_json
    from semcache.cli.opening import open_cache
    from semcache.demo.model import PRICE, SimulatedModel
    from semcache.demo.prompts import MODEL, demo_prompts
    from semcache.demo.run import run
    from semcache.demo.summary import summarise

    prompts = demo_prompts(limit)
    model = SimulatedModel(speed)
    with open_cache(url, must_exist=False, embeds=True, prices={MODEL: PRICE}) as cache:
        # The encoder loads with its first text; that is start-up, not the first request's time.
        cache.explain("warm up")
        results: list[Served] = []
        started = time.perf_counter()
        with _watching(len(prompts), speed, quiet=json) as show:
            for served in run(cache, model, prompts):
                results.append(served)
                show(served)
        real = time.perf_counter() - started
        stats = cache.stats()
    summary = summarise(results, calls=model.calls, cost=model.cost, real_seconds=real)
    if json:
        about = {"speed": speed, "credits": CREDITS, "cache": stats.to_json()}
        print_json({**summary.to_json(), **about})
    else:
        _show(summary, stats.semantic, speed)


# -- while it runs ------------------------------------------------------------------------------


@contextmanager
def _watching(total: int, speed: float, *, quiet: bool) -> Iterator[Callable[[Served], None]]:
    """Show every result as it comes: a live table in a terminal, else a line each."""
    from semcache.cli.console import out

    if quiet:
        yield lambda served: None
        return
    if not out.is_terminal:
        yield lambda served: out.print(_line(served), soft_wrap=True)
        return
    from rich.live import Live

    recent: deque[Served] = deque(maxlen=RECENT_ROWS)
    counts: dict[str, int] = dict.fromkeys(COLOURS, 0)
    with Live(console=out, refresh_per_second=12, transient=True) as live:

        def show(served: Served) -> None:
            recent.append(served)
            counts[served.tier] += 1
            live.update(_table(recent, counts, total, speed))

        yield show


def _table(
    recent: deque[Served], counts: dict[str, int], total: int, speed: float
) -> RenderableType:
    from rich.table import Table

    from semcache.cli.console import brief, clean

    table = Table(
        title=f"semcache demo: {sum(counts.values())} of {total} requests "
        f"(model sped up {speed:g} times)",
        caption="  ".join(f"[{COLOURS[tier]}]{tier} {n}[/]" for tier, n in counts.items()),
        expand=True,
    )
    table.add_column("request", ratio=5, no_wrap=True)
    table.add_column("answered by", no_wrap=True, min_width=11)
    table.add_column("cosine", justify="right", no_wrap=True)
    table.add_column("took", justify="right", no_wrap=True, min_width=7)
    table.add_column("reason", ratio=4, no_wrap=True)
    for served in recent:
        colour = "bold red" if served.wrong else COLOURS[served.tier]
        table.add_row(
            brief(served.prompt.text, 120),
            f"[{colour}]{served.tier}[/]",
            _cosine(served),
            _duration(served.seconds),
            clean(served.reason),
        )
    return table


def _line(served: Served) -> str:
    from semcache.cli.console import brief, clean

    mark = " WRONG" if served.wrong else ""
    return (
        f"{served.tier:<9} {_duration(served.seconds):>7} {_cosine(served):>5}  "
        f"{brief(served.prompt.text, 70)}  ({clean(served.reason)}){mark}"
    )


def _cosine(served: Served) -> str:
    judged = served.candidate
    return "" if judged is None or judged.found.cosine is None else f"{judged.found.cosine:.2f}"


def _duration(seconds: float) -> str:
    return f"{seconds:.2f} s" if seconds >= 0.1 else f"{seconds * 1000:.1f} ms"


# -- afterwards ---------------------------------------------------------------------------------


def _show(summary: Summary, semantic: str, speed: float) -> None:
    from semcache.cli.console import clean, out

    out.print(_figures(summary))
    if semantic != "on":
        out.print(f"[yellow]By meaning: off, {clean(semantic)}[/]")
    if summary.examples:
        out.print(_examples(summary))
    if summary.traps:
        out.print(_traps(summary))
    if summary.policy:
        out.print(_policy(summary))
    if summary.wrong:
        out.print(_wrong(summary))
    out.print(
        f"[dim]Time is the model's simulated time plus what the cache really took; the demo itself "
        f"ran {summary.real_seconds:.1f} s because it waited 1/{speed:g} of the model's time. "
        f"{CREDITS}[/]"
    )


def _figures(summary: Summary) -> RenderableType:
    from rich.panel import Panel
    from rich.table import Table

    tiers = summary.tiers
    share = summary.hits / summary.requests if summary.requests else 0.0
    money = summary.cost_without - summary.cost
    table = Table(show_header=False, box=None, pad_edge=False)
    table.add_column(style="dim")
    table.add_column()
    table.add_row("requests", f"{summary.requests:,}, {summary.upstream_calls:,} reached the model")
    table.add_row(
        "served",
        f"[bold]{summary.hits:,} ({share:.0%})[/]: {tiers['exact']} exact, {tiers['alias']} exact "
        f"repeats of a hit by meaning, {tiers['semantic']} by meaning, "
        f"{tiers['coalesced']} by a call under way",
    )
    colour = "green" if not summary.wrong else "bold red"
    table.add_row("wrong hits", f"[{colour}]{len(summary.wrong)}[/] (another intent, or a pair "
                  "that a reader found to differ)")  # fmt: skip
    table.add_row(
        "money",
        f"{summary.cost:.3f} USD instead of {summary.cost_without:.3f}: "
        f"[bold]{money / summary.cost_without if summary.cost_without else 0:.0%} saved[/]",
    )
    table.add_row(
        "waiting",
        f"{summary.seconds:.0f} s instead of {summary.seconds_without:.0f} s: "
        f"[bold]{1 - summary.seconds / summary.seconds_without:.0%} saved[/]",
    )
    return Panel(table, title="what came of it", title_align="left", expand=False)


def _examples(summary: Summary) -> RenderableType:
    from rich.table import Table

    from semcache.cli.console import clean

    table = Table("asked", "served the answer to", title="Hits by meaning", title_justify="left")
    table.add_column("cosine", justify="right")
    for served in summary.examples:
        table.add_row(clean(served.prompt.text), clean(served.source.text), _cosine(served))
    return table


def _traps(summary: Summary) -> RenderableType:
    from rich.table import Table

    from semcache.cli.console import clean

    traps = summary.traps
    vetoed, below, served = (
        sum(trap.outcome == outcome for trap in traps) for outcome in ("vetoed", "below", "served")
    )
    alike = sum(trap.alike for trap in traps)
    title = (
        f"{len(traps)} traps: {vetoed} vetoed, {below} not alike enough, {served} served "
        f"({alike} scored high enough to be served)"
    )
    shown = summary.traps[:TRAPS_SHOWN]
    more = len(summary.traps) - len(shown)
    table = Table(
        "asked", "must not get the answer to", title=title, title_justify="left",
        caption=f"and {more} more; --json lists all" if more else None, caption_justify="left",
    )  # fmt: skip
    table.add_column("cosine", justify="right")
    table.add_column("why not")
    for trap in shown:
        why = f"[bold red]WRONG: {clean(trap.why)}[/]" if trap.wrong else clean(trap.why)
        cosine = "" if trap.cosine is None else f"{trap.cosine:.2f}"
        table.add_row(clean(trap.asked), clean(trap.look_alike), cosine, why)
    return table


def _policy(summary: Summary) -> RenderableType:
    from rich.table import Table

    from semcache.cli.console import clean

    table = Table(
        "asked again and again", "answered by", "what the policy said",
        title="The same words, another answer: the policy", title_justify="left",
    )  # fmt: skip
    for ruled in summary.policy:
        answered = ", ".join(
            tier if user is None else f"{tier} ({user})"
            for tier, user in zip(ruled.tiers, ruled.users, strict=True)
        )
        colour = "bold red" if ruled.wrong else "green"
        table.add_row(clean(ruled.asked), f"[{colour}]{clean(answered)}[/]", clean(ruled.why))
    return table


def _wrong(summary: Summary) -> RenderableType:
    from rich.table import Table

    from semcache.cli.console import clean

    table = Table("asked", "was served the answer to", title="Wrong hits", title_justify="left")
    table.add_column("tier")
    table.add_column("reason")
    for served in summary.wrong:
        table.add_row(
            clean(served.prompt.text), clean(served.source.text), served.tier, clean(served.reason)
        )
    return table
