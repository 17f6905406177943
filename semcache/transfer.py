"""Export and import: entries as JSON lines, for backup, moving and seeding.

The first line of an export says what it is: ``{"semcache_export": 1, "key": "<check>"}``. Every
further line is an entry with its vector (base64 of little-endian float32) and terms. A line without
``"entry"`` is a *seed*: ``{"query": …, "answer": …, "scope": {…}, "ttl": …, "tags": […]}``, which
needs no header.

Ids are digests under the cache's secret, so entries only fit a cache with the same secret.
"""

from __future__ import annotations

import base64
import io
import json
import os
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO, cast

from semcache.admission import refusal
from semcache.entry import Entry, entry_from_json, entry_to_json, parse_ttl
from semcache.errors import ConfigurationError, EmbeddingError, StoreError
from semcache.scope import SCOPE_FIELDS, Scope

if TYPE_CHECKING:
    from semcache.cache import SemanticCache
    from semcache.stores.base import Vector

EXPORT_VERSION = 1
Advance = Callable[[], None]


def _nothing() -> None: ...


@dataclass(frozen=True, slots=True)
class Transferred:
    """How many entries were written or read, and how many of them had to be embedded anew."""

    entries: int
    seeds: int = 0
    embedded: int = 0


def export_entries(
    cache: SemanticCache, path: str | Path, advance: Advance = _nothing
) -> Transferred:
    """Write every entry of the cache to ``path`` (gzip if it ends in ``.gz``).

    The file appears whole or not at all, and only its owner can read it.

    Raises:
        ConfigurationError: the file is the cache's own.
        StoreError: the store failed, or the file cannot be written.
    """
    target = Path(path)
    own = Path(cache.store.url.removeprefix("sqlite:///"))
    if target.exists() and own.exists() and target.samefile(own):
        raise ConfigurationError(f"{target} is the cache itself; export to another file")
    partial = target.with_name(f".{target.name}.{os.getpid()}.partial")
    count = 0
    try:
        descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "wb") as raw, _writer(raw, target) as out:
            out.write(json.dumps({"semcache_export": EXPORT_VERSION, "key": cache.keys.check}))
            out.write("\n")
            for entry, vector, entry_terms in cache.store.iterate():
                line = {
                    "entry": entry_to_json(entry),
                    "vector": None if vector is None else _vector_text(vector),
                    "terms": list(entry_terms),
                }
                out.write(json.dumps(line, separators=(",", ":")) + "\n")
                count += 1
                advance()
        partial.replace(target)
    except OSError as error:
        raise StoreError(f"cannot write the export to {target}: {error.strerror}") from error
    finally:
        partial.unlink(missing_ok=True)
    return Transferred(count)


def import_entries(
    cache: SemanticCache, path: str | Path, advance: Advance = _nothing
) -> Transferred:
    """Read an export or seeds into the cache. The whole file is checked before the first entry.

    Entries whose vector is of another embedder are embedded anew where the cache has an embedder.

    Raises:
        ConfigurationError: not an export, a malformed line, or an export under another secret.
        StoreError: the store failed; entries before that are there, importing again is harmless.
    """
    source = Path(path)
    under_header = False
    for number, line in _lines(source):
        under_header = under_header or "semcache_export" in line
        _check(cache, source, number, line, under_header)
    entries = seeds = embedded = 0
    for _, line in _lines(source):
        if "semcache_export" in line:
            continue
        if "entry" not in line:
            _record_seed(cache, line)
            seeds += 1
        else:
            embedded += _put(cache, line)
            entries += 1
        advance()
    return Transferred(entries, seeds, embedded)


def _writer(raw: Any, target: Path) -> TextIO:
    if target.suffix == ".gz":
        import gzip

        return cast(TextIO, gzip.open(raw, "wt", encoding="ascii"))
    return io.TextIOWrapper(raw, encoding="ascii")


def _reader(source: Path) -> TextIO:
    if source.suffix == ".gz":
        import gzip

        return cast(TextIO, gzip.open(source, "rt", encoding="utf-8"))
    return source.open("rt", encoding="utf-8")


def _lines(source: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    try:
        with _reader(source) as file:
            for number, text in enumerate(file, 1):
                if text.strip():
                    yield number, _parse(source, number, text)
    except (OSError, EOFError, zlib.error) as error:
        raise ConfigurationError(f"cannot read {source}: {error}") from error
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"{source} is not UTF-8 text; is it an export?") from error


def _parse(source: Path, number: int, text: str) -> dict[str, Any]:
    try:
        line = json.loads(text)
    except ValueError as error:
        raise ConfigurationError(f"{source}, line {number}: not JSON ({error})") from error
    if not isinstance(line, dict):
        raise ConfigurationError(f"{source}, line {number}: a JSON object is expected")
    return line


def _check(
    cache: SemanticCache, source: Path, number: int, line: Mapping[str, Any], under_header: bool
) -> None:
    where = f"{source}, line {number}"
    try:
        if "semcache_export" in line:
            _check_header(cache, line)
        elif "entry" in line:
            if not under_header:
                raise ConfigurationError("the header line of the export is missing")
            if entry_from_json(line["entry"]).answer is None:
                raise ConfigurationError("an exported entry has no answer")
            if line.get("vector") is not None:
                _read_vector(line["vector"])
        else:
            if not isinstance(line.get("query"), str) or not line["query"].strip():
                raise ConfigurationError("a seed needs a non-empty query")
            if "answer" not in line:
                raise ConfigurationError("a seed needs an answer")
            if (reason := refusal(line["answer"])) is not None:
                raise ConfigurationError(f"a seed would not be stored: {reason}")
            cache.checked_controls(tags=line.get("tags") or ())
            _seed_scope(line)
            if parse_ttl(line.get("ttl")) == 0:
                raise ConfigurationError("a seed with ttl 0 would not be stored")
    except ConfigurationError as error:
        raise ConfigurationError(f"{where}: {error}") from error


def _check_header(cache: SemanticCache, line: Mapping[str, Any]) -> None:
    if line["semcache_export"] != EXPORT_VERSION:
        raise ConfigurationError(
            f"export version {line['semcache_export']!r}; this semcache reads {EXPORT_VERSION}"
        )
    if line.get("key") != cache.keys.check:
        raise ConfigurationError(
            "this export was made under another secret, so its entries would never be found; set "
            "SEMCACHE_SECRET to that of the source, or import into an empty cache with the key "
            "file that `semcache export --key-file` wrote"
        )


def _seed_scope(line: Mapping[str, Any]) -> Scope:
    given = line.get("scope") or {}
    if not isinstance(given, dict) or set(given) - SCOPE_FIELDS:
        raise ConfigurationError(
            f"a seed's scope is an object with keys among {sorted(SCOPE_FIELDS)}"
        )
    return Scope(**given)


def _record_seed(cache: SemanticCache, line: Mapping[str, Any]) -> None:
    recorded = cache.record(
        line["query"],
        line["answer"],
        scope=_seed_scope(line),
        tags=line.get("tags") or (),
        source="seed",
        **({"ttl": line["ttl"]} if "ttl" in line else {}),
    )
    if not recorded:
        raise StoreError(f"a seed was not stored: {recorded.reason} (query: {line['query']!r:.60})")


def _put(cache: SemanticCache, line: Mapping[str, Any]) -> int:
    """Put one exported entry; returns 1 where it was embedded anew."""
    from semcache.decision.terms import terms

    entry: Entry = entry_from_json(line["entry"])
    vector = None if line.get("vector") is None else _read_vector(line["vector"])
    entry_terms = tuple(line.get("terms") or terms(entry.query))
    embedder = cache.embedder
    plain_note = entry.source == "note" and vector is None
    if embedder is None or entry.fingerprint == embedder.fingerprint or plain_note:
        cache.store.put(entry, vector, entry_terms)
        return 0
    try:
        if not embedder.fits(entry.query):
            cache.store.put(replace(entry, fingerprint=None), None, entry_terms)
            return 0
        vector = embedder.embed([entry.query])[0]
    except EmbeddingError:
        cache.store.put(entry, vector, entry_terms)
        return 0
    cache.store.put(replace(entry, fingerprint=embedder.fingerprint), vector, entry_terms)
    return 1


def _vector_text(vector: Vector) -> str:
    return base64.b64encode(vector.astype("<f4").tobytes()).decode("ascii")


def _read_vector(text: Any) -> Vector:
    try:
        import numpy as np
    except ImportError as error:
        raise ConfigurationError(
            'this export has vectors, which need numpy: pip install "semcache[local]"'
        ) from error
    try:
        return np.frombuffer(base64.b64decode(text, validate=True), dtype="<f4")
    except (ValueError, TypeError) as error:
        raise ConfigurationError("a vector is not base64 of float32 numbers") from error
