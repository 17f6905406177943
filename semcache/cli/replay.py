"""``semcache replay``: a stream of prompts through the whole cache."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from semcache.cli.options import Json, MaxWrong
from semcache.judging import DEFAULT_SCORER

if TYPE_CHECKING:
    from semcache.replay import Replayed

PROMPT_LETTERS = 60


def replay(
    stream: Annotated[
        Path, typer.Argument(help='JSON lines with "text"; .gz is unpacked.', show_default=False)
    ],
    group: Annotated[
        str | None,
        typer.Option(metavar="FIELD", help="The field that says which prompts share an answer."),
    ] = None,
    scorer: Annotated[str, typer.Option(help="How candidates are judged.")] = DEFAULT_SCORER,
    max_wrong: MaxWrong = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Only the first N prompts.")] = None,
    url: Annotated[
        str | None,
        typer.Option(
            metavar="URL",
            help="Replay into this cache and keep it.",
            show_default="a new sqlite file, removed afterwards",
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Send a prompt stream through the whole cache: hit rate, wrong hits, latency per tier.

    The model is simulated and takes no time; what is measured is the cache. The policy stays out:
    the groups say which prompts share an answer, ``eval --cacheability`` which answers last.
    """
    import tempfile
    from itertools import islice

    from semcache.cli.console import print_json, progress
    from semcache.cli.opening import open_cache
    from semcache.replay import read_prompts
    from semcache.replay import replay as run

    prompts = list(islice(read_prompts(stream, group), limit))
    options = {} if max_wrong is None else {"max_wrong": max_wrong}
    with tempfile.TemporaryDirectory(prefix="semcache-replay-") as folder:
        address = url or f"sqlite:///{folder}/cache.db"
        with (
            open_cache(
                address,
                must_exist=False,
                embeds=True,
                scorer=scorer,
                ttl=None,
                policy=None,
                **options,
            ) as cache,
            progress(quiet=json) as bar,
        ):
            task = bar.add_task("replaying", total=len(prompts))
            # The encoder loads with its first text; that is start-up, not a request's latency.
            cache.explain("warm up")
            done = run(cache, prompts, lambda: bar.advance(task))
            semantic = cache.stats().semantic
            bound = cache.max_wrong
    if json:
        about = {"scorer": scorer, "max_wrong": bound, "semantic": semantic}
        print_json({**done.to_json(), **about})
    else:
        _show(done, semantic)


def _show(done: Replayed, semantic: str) -> None:
    from rich.table import Table

    from semcache.cli.console import brief, clean, out
    from semcache.replay import PERCENTILES, percentile

    wrong = f"{done.wrong:,}" if done.grouped else "unknown (give --group)"
    served = sum(done.hits.values())
    out.print(
        f"[bold]{done.requests:,}[/] requests, [bold]{done.hit_rate:.1%}[/] served "
        f"({done.hits['exact']:,} exact, {done.hits['semantic']:,} by meaning), "
        f"{done.misses:,} misses, {done.upstream_calls:,} upstream calls; wrong: [bold]{wrong}[/]"
        + (f" ({done.wrong / served:.2%} of those served)" if done.grouped and served else "")
    )
    if semantic != "on":
        out.print(f"By meaning: off, {clean(semantic)}")
    table = Table("latency", "n", *(f"p{percent}" for percent in PERCENTILES))
    for name, seconds in done.latencies.items():
        found = (percentile(seconds, percent) for percent in PERCENTILES)
        table.add_row(
            name.replace("_", " "),
            f"{len(seconds):,}",
            *("-" if one is None else f"{one * 1000:.3f} ms" for one in found),
        )
    out.print(table)
    if done.wrong_hits:
        pairs = Table("asked", "served the answer to", "groups", title="wrong hits", expand=True)
        for hit in done.wrong_hits:
            pairs.add_row(
                brief(hit.prompt, PROMPT_LETTERS),
                brief(hit.served, PROMPT_LETTERS),
                clean(f"{hit.group} / {hit.served_group}"),
            )
        out.print(pairs)
