"""``semcache doctor``: is everything as it should be, and if not, what to do."""

from __future__ import annotations

import shutil
import sqlite3
import stat
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import typer

from semcache.cli.options import URL, Json, Url
from semcache.errors import SemcacheError

if TYPE_CHECKING:
    from semcache.cache import SemanticCache
    from semcache.entry import Entry
    from semcache.stores.base import Vector

Status = Literal["ok", "warn", "fail"]

SQLITE_LEAST = (3, 35, 0)
# The encoder gives paraphrases like these about .85 and strangers about .0; far outside of that the
# files are not what they claim to be.
TWINS = ("How do I reset my password?", "How can I reset my password?")
STRANGER = "The weather in Lisbon is mild in March."
TWINS_LEAST, STRANGERS_MOST = 0.8, 0.4
INDEX_WAIT_S = 60.0
# Entries of equal text lie at equal distance, so an entry need not come first.
SELF_AMONG = 32
SPACE_FAIL, SPACE_WARN = 50e6, 1e9
COLOURS: dict[Status, str] = {"ok": "green", "warn": "yellow", "fail": "red"}


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at."""

    check: str
    status: Status
    detail: str
    todo: str = ""


def doctor(url: Url = URL, json: Json = False) -> None:
    """Check the installation and a cache; exit status 1 if something must be done.

    Reads the whole cache; changes nothing, and makes no cache where there is none.
    """
    from semcache.cli.console import print_json, progress

    with progress(quiet=json) as bar:
        bar.add_task("checking", total=None)
        findings = list(examine(url))
    failed = any(finding.status == "fail" for finding in findings)
    if json:
        print_json({"ok": not failed, "url": url, "checks": [asdict(one) for one in findings]})
    else:
        _show(findings)
    raise typer.Exit(1 if failed else 0)


def examine(url: str) -> Iterator[Finding]:
    """Every check, in an order in which the first failure explains later ones."""
    yield _python()
    yield _sqlite()
    yield from _packages()
    yield _encoder()
    yield from _cache(url)


def _python() -> Finding:
    return Finding("python", "ok", f"{sys.version.split()[0]} on {sys.platform}")


def _sqlite() -> Finding:
    if sqlite3.sqlite_version_info < SQLITE_LEAST:
        least = ".".join(map(str, SQLITE_LEAST))
        return Finding(
            "sqlite", "fail", sqlite3.sqlite_version, f"use a Python built with SQLite {least}+"
        )
    return Finding("sqlite", "ok", sqlite3.sqlite_version)


def _packages() -> Iterator[Finding]:
    for name in ("numpy", "usearch", "onnxruntime", "tokenizers", "semcache-models"):
        try:
            yield Finding(name, "ok", version(name))
        except PackageNotFoundError:
            todo = 'pip install "semcache[local]" (without it, only exact repeats are served)'
            yield Finding(name, "warn", "not installed", todo)


def _encoder() -> Finding:
    from semcache.cli.opening import local_if_installed

    if local_if_installed() is None:
        return Finding("encoder", "warn", "not installed", 'pip install "semcache[local]"')
    try:
        from semcache.embedders.local import LocalEmbedder

        started = time.perf_counter()
        embedder = LocalEmbedder()
        one, two, other = embedder.embed([*TWINS, STRANGER])
        seconds = time.perf_counter() - started
    except (SemcacheError, ImportError, OSError) as error:
        return Finding(
            "encoder", "fail", str(error), "pip install --force-reinstall semcache-models"
        )
    alike, unlike = float(one @ two), float(one @ other)
    detail = f"{embedder.fingerprint}, loaded in {seconds:.1f} s, paraphrase {alike:.2f}, "
    detail += f"stranger {unlike:.2f}"
    if alike < TWINS_LEAST or unlike > STRANGERS_MOST:
        return Finding("encoder", "fail", detail, "its vectors make no sense; reinstall the model")
    return Finding("encoder", "ok", detail)


def _cache(url: str) -> Iterator[Finding]:
    from semcache.cli.opening import file_of, require_existing

    path = file_of(url)
    if path is not None:
        yield from _place(path)
    try:
        require_existing(url)
    except SemcacheError as error:
        what, _, todo = str(error).partition("; ")
        yield Finding("store", "warn", what, todo)
        return
    yield from _opened(url)


def _place(path: Path) -> Iterator[Finding]:
    """The folder, the disk and who may read."""
    folder = next(parent for parent in path.absolute().parents if parent.exists())
    free = shutil.disk_usage(folder).free
    status: Status = "fail" if free < SPACE_FAIL else "warn" if free < SPACE_WARN else "ok"
    todo = "" if status == "ok" else "free some space, or set max_bytes and run semcache vacuum"
    yield Finding("disk", status, f"{free / 1e9:,.1f} GB free at {folder}", todo)
    if not _writable(path if path.exists() else folder):
        yield Finding(
            "permissions", "fail", f"{path} cannot be written", "make it writable for this user"
        )
        return
    if not path.exists():
        yield Finding("permissions", "ok", f"{folder} can be written")
        return
    mode = stat.S_IMODE(path.stat().st_mode)
    if mode & 0o077:
        yield Finding(
            "permissions",
            "warn",
            f"{path} has mode {mode:04o}: others may read prompts and answers",
            f"chmod 600 {path}",
        )
    else:
        yield Finding("permissions", "ok", f"{path} has mode {mode:04o}")


def _writable(path: Path) -> bool:
    import os

    return os.access(path, os.W_OK)


def _opened(url: str) -> Iterator[Finding]:
    """What can be seen only from inside."""
    from semcache.cli.opening import open_cache

    try:
        cache = open_cache(url, embeds=True)
    except SemcacheError as error:
        yield Finding("store", "fail", str(error), "see the message; nothing was changed")
        return
    with cache:
        for look in (_store, _content, _index, _meaning):
            yield _guarded(look, cache)


def _guarded(look: Callable[[SemanticCache], Finding], cache: SemanticCache) -> Finding:
    try:
        return look(cache)
    except SemcacheError as error:
        return Finding("store", "fail", str(error), "see the message; nothing was changed")


def _store(cache: SemanticCache) -> Finding:
    held = cache.store.stats(time.time())
    return Finding("store", "ok", f"{held.url}: {held.entries:,} entries in {held.scopes:,} scopes")


def _content(cache: SemanticCache) -> Finding:
    problems = cache.store.check()
    if not problems:
        return Finding("content", "ok", "counters, vectors and terms agree with the entries")
    return Finding(
        "content",
        "fail",
        "; ".join(problems),
        "semcache export what can be read, move the file away, semcache import",
    )


def _index(cache: SemanticCache) -> Finding:
    """Does an entry find itself? That needs the index, the vectors and the scope to be right."""
    held = cache.store.stats(time.time())
    if not held.vectors:
        return Finding("index", "ok", "no vectors yet")
    entry, vector = next((e, v) for e, v, _ in cache.store.iterate() if v is not None)
    settle = getattr(cache.store, "settle", None)
    if settle is not None:
        _search_self(cache, entry, vector)  # sets the loading off
        settle(INDEX_WAIT_S)
    # At the moment it was made it had not expired yet, whatever its time to live.
    if not entry.quarantined and entry.id not in _search_self(cache, entry, vector):
        todo = "move the folder <cache>.index away; it is built again from the cache"
        return Finding("index", "fail", f"entry {entry.id} does not find itself", todo)
    detail = f"{held.vectors:,} vectors, an entry finds itself"
    bare = held.entries - held.vectors
    if bare > 0:  # what the cache learned (docs/online.md) needs none
        bare -= sum(v is None and e.source == "note" for e, v, _ in cache.store.iterate())
    if bare > 0 and cache.embedder is not None:
        return Finding(
            "index",
            "warn",
            f"{detail}; {bare:,} entries without a vector are found by exact repeats only",
            "fine for prompts longer than the encoder reads; otherwise export and import them",
        )
    return Finding("index", "ok", detail)


def _search_self(cache: SemanticCache, entry: Entry, vector: Vector) -> set[str]:
    found = cache.store.search(
        entry.scope, entry.fingerprint or "", vector, (), SELF_AMONG, entry.created
    )
    return {one.entry.id for one in found.candidates}


def _meaning(cache: SemanticCache) -> Finding:
    state = cache.stats().semantic
    if state == "on":
        return Finding("by meaning", "ok", f"on, max_wrong {cache.max_wrong:g}")
    return Finding("by meaning", "warn", f"off: {state}", "only exact repeats are served")


def _show(findings: list[Finding]) -> None:
    from rich.table import Table

    from semcache.cli.console import clean, out

    table = Table(show_header=False, box=None, pad_edge=False)
    table.add_column()
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for finding in findings:
        text = clean(finding.detail)
        if finding.todo:
            text += f"\n[bold]→ {clean(finding.todo)}[/]"
        colour = COLOURS[finding.status]
        table.add_row(f"[{colour}]{finding.status}[/]", finding.check, text)
    out.print(table)
    counted = {status: sum(one.status == status for one in findings) for status in COLOURS}
    out.print(", ".join(f"[{COLOURS[s]}]{n} {s}[/]" for s, n in counted.items()))
