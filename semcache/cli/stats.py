"""``semcache stats``: what a cache holds, and what it has saved."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Annotated, Any

import typer

from semcache.cli.options import URL, Json, Url

if TYPE_CHECKING:
    from semcache.entry import Entry
    from semcache.observe.learning import LiveRate
    from semcache.observe.metrics import CacheStats

# Namespaces and models shown; --json has them all.
SHOWN = 8


@dataclass(slots=True)
class Ledger:
    """Sums over all entries. What a hit saves is what the entry's own upstream call took."""

    hits: int = 0
    expired: int = 0
    quarantined: int = 0
    seeds: int = 0
    notes: int = 0
    saved_usd: float = 0.0
    saved_seconds: float = 0.0
    saved_input_tokens: int = 0
    saved_output_tokens: int = 0
    namespaces: Counter[str] = field(default_factory=Counter)
    models: Counter[str] = field(default_factory=Counter)

    def add(self, entry: Entry, now: float) -> None:
        if entry.source == "note":  # what the cache learned, see docs/online.md
            self.notes += 1
            return
        self.hits += entry.hits
        self.expired += not entry.is_live(now)
        self.quarantined += entry.quarantined
        self.seeds += entry.source == "seed"
        self.saved_usd += entry.hits * (entry.cost or 0.0)
        self.saved_seconds += entry.hits * (entry.seconds or 0.0)
        if entry.usage is not None:
            self.saved_input_tokens += entry.hits * entry.usage.input_tokens
            self.saved_output_tokens += entry.hits * entry.usage.output_tokens
        self.namespaces[entry.namespace] += 1
        self.models[entry.model or "(none)"] += 1

    def to_json(self) -> dict[str, Any]:
        """As plain JSON data."""
        return {name: getattr(self, name) for name in self.__slots__}


def stats(
    url: Url = URL,
    quick: Annotated[
        bool, typer.Option("--quick", help="Only sizes: do not read every entry.")
    ] = False,
    json: Json = False,
) -> None:
    """What a cache holds, and what the entries that it still holds have saved.

    Hits, money and time are those of entries that are still there. A running app's own counts
    (misses, refusals, errors) are in its [cyan]cache.stats()[/].
    """
    import time

    from semcache.cli.console import print_json, progress
    from semcache.cli.opening import open_cache

    with open_cache(url, embeds=True) as cache:
        state = cache.stats()
        ledger = None if quick else Ledger()
        if ledger is not None:
            now = time.time()
            with progress(quiet=json) as bar:
                entries = state.store.entries if state.store else None
                for entry, _, _ in bar.track(
                    cache.store.iterate(), total=entries, description="reading"
                ):
                    ledger.add(entry, now)
    if json:
        document: dict[str, Any] = {"semantic": state.semantic}
        document["live"] = {name: asdict(rate) for name, rate in state.live.items()}
        if state.store is not None:
            held = state.store
            document |= {
                name: getattr(held, name)
                for name in ("url", "entries", "aliases", "scopes", "vectors", "bytes", "detail")
            }
        print_json(document | ({"ledger": ledger.to_json()} if ledger else {}))
    else:
        _show(state, ledger)


def _show(state: CacheStats, ledger: Ledger | None) -> None:
    from rich.table import Table

    from semcache.cli.console import clean, out, size

    held = state.store
    assert held is not None  # the cache is strict, so a store that fails raises
    table = Table(show_header=False, box=None, pad_edge=False)
    table.add_column(style="dim")
    table.add_column(overflow="fold")
    table.add_row("cache", clean(held.url))
    table.add_row("entries", f"{held.entries:,} with {held.aliases:,} other wordings (aliases)")
    table.add_row("scopes", f"{held.scopes:,}")
    table.add_row("vectors", f"{held.vectors:,}")
    table.add_row("answers", size(held.bytes))
    if "file_bytes" in held.detail:
        table.add_row("file", size(held.detail["file_bytes"]))
    table.add_row("by meaning", clean(state.semantic))
    for namespace, rate in state.live.items():
        table.add_row("wrong, live", clean(_rate(namespace, rate)))
    if ledger is not None:
        notes = ((ledger.expired, "expired"), (ledger.quarantined, "quarantined"),
                 (ledger.seeds, "seeds"), (ledger.notes, "notes"))  # fmt: skip
        if said := ", ".join(f"{count:,} {what}" for count, what in notes if count):
            table.add_row("of these", said)
        table.add_row("hits", f"{ledger.hits:,}")
        table.add_row(
            "saved",
            f"{ledger.saved_usd:,.2f} USD, {ledger.saved_seconds:,.0f} s, "
            f"{ledger.saved_input_tokens:,} + {ledger.saved_output_tokens:,} tokens",
        )
        table.add_row("namespaces", clean(_most(ledger.namespaces.most_common())))
        table.add_row("models", clean(_most(ledger.models.most_common())))
    out.print(table)


def _rate(namespace: str, rate: LiveRate) -> str:
    """The live rate of a namespace in a line."""
    limits = max(
        (rate.window, rate.lower, rate.upper),
        (rate.last_window, rate.last_lower, rate.last_upper),
    )
    said = [
        f"{namespace}: {limits[1]:.1%} to {limits[2]:.1%} by {limits[0]:,} samples",
        f"{rate.reported_wrong:,} of {rate.served:,} hits reported",
    ]
    if rate.paused:
        said.append("paused")
    elif rate.step:
        said.append(f"threshold raised to {rate.threshold:g}")
    return ", ".join(said)


def _most(counted: Iterable[tuple[str, int]]) -> str:
    listed = [f"{name} ({count:,})" for name, count in counted]
    more = len(listed) - SHOWN
    return ", ".join(listed[:SHOWN]) + (f" and {more:,} more" if more > 0 else "")
