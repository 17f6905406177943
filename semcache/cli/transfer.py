"""``semcache export`` and ``semcache import``: entries to and from a file, with or without the key.

Entry ids are digests under the cache's secret. An export without it is only of use to a cache with
the same secret; ``--key-file`` keeps the secret in a second file, to be kept apart from the first.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from semcache.cli.options import URL, Json, Url
from semcache.errors import ConfigurationError, StoreError

if TYPE_CHECKING:
    from semcache.transfer import Transferred

SECRET_VARIABLE = "SEMCACHE_SECRET"
KEY_FILE_HEAD = "semcache-key-1:"


def export(
    file: Annotated[Path, typer.Argument(help="The file to write; .gz compresses.")],
    url: Url = URL,
    key_file: Annotated[
        Path | None,
        typer.Option(help="Also write the cache's secret here, so that another cache can take it."),
    ] = None,
    json: Json = False,
) -> None:
    """Write every entry to a file of JSON lines.

    The file holds prompts and answers in clear, and is readable by its owner only.
    """
    from semcache.cli.console import out, print_json, progress, size
    from semcache.cli.opening import open_cache
    from semcache.transfer import export_entries

    _keep_apart(url, file, key_file)
    with open_cache(url) as cache, progress(quiet=json) as bar:
        task = bar.add_task("exporting", total=cache.store.stats(0.0).entries)
        if key_file is not None:
            _write_key(key_file, _secret_in_use(cache.store.secret()))
        done = export_entries(cache, file, lambda: bar.advance(task))
    if json:
        print_json({"entries": done.entries, "file": str(file), "bytes": file.stat().st_size})
        return
    out.print(f"Wrote {done.entries:,} entries to {file} ({size(file.stat().st_size)}).")
    if key_file is not None:
        out.print(f"Wrote the key to {key_file}; keep it apart from the export.")


def import_(
    file: Annotated[Path, typer.Argument(help="An export, or seed lines; .gz is unpacked.")],
    url: Url = URL,
    key_file: Annotated[
        Path | None,
        typer.Option(help="The key that the export was made with; the cache must be empty."),
    ] = None,
    json: Json = False,
) -> None:
    """Read an export, or seeds, into a cache, making the cache where there is none.

    A seed is a line [cyan]{"query": "…", "answer": "…", "scope": {…}, "ttl": "1d", "tags": […]}[/].
    """
    from semcache.cli.console import out, print_json, progress
    from semcache.cli.opening import open_cache
    from semcache.transfer import import_entries

    if url == "memory://":
        raise ConfigurationError("memory:// would end with this command; give the --url of a file")
    if not file.is_file():
        # Before anything is made: a mistyped name must not leave an empty cache behind.
        raise ConfigurationError(f"there is no file {file}")
    if key_file is not None:
        _adopt(url, key_file)
    with (
        open_cache(url, must_exist=False, embeds=True) as cache,
        progress(quiet=json) as bar,
    ):
        task = bar.add_task("importing", total=None)
        done = import_entries(cache, file, lambda: bar.advance(task))
    if json:
        print_json(
            {"entries": done.entries, "seeds": done.seeds, "embedded": done.embedded, "url": url}
        )
    else:
        out.print(_summary(done, url))


def _keep_apart(url: str, file: Path, key_file: Path | None) -> None:
    """An export replaces the file that it writes: that must be neither the cache nor the key."""
    from semcache.cli.opening import file_of

    cache = file_of(url)
    if cache is not None and file.resolve() == cache.resolve():
        raise ConfigurationError(f"{file} is the cache itself; name another file for the export")
    if key_file is not None and key_file.resolve() in {
        file.resolve(),
        None if cache is None else cache.resolve(),
    }:
        raise ConfigurationError(f"{key_file} is in use already; name another file for the key")


def _summary(done: Transferred, url: str) -> str:
    said = f"Read {done.entries:,} entries and {done.seeds:,} seeds into {url}."
    if done.embedded:
        said += f" {done.embedded:,} of them had vectors of another encoder and were embedded anew."
    return said


def _secret_in_use(stored: bytes) -> bytes:
    """The secret of the entries' ids: the environment's goes before the store's own."""
    from_environment = os.environ.get(SECRET_VARIABLE)
    if from_environment is None:
        return stored
    return from_environment.encode("utf-8", "surrogatepass")


def _write_key(path: Path, secret: bytes) -> None:
    try:
        # Only for its owner from the first moment on; an existing file keeps its mode otherwise.
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            os.fchmod(descriptor, 0o600)
            file.write(f"{KEY_FILE_HEAD}{secret.hex()}\n")
    except OSError as error:
        raise StoreError(f"cannot write the key to {path}: {error.strerror}") from error


def _read_key(path: Path) -> bytes:
    try:
        text = path.read_text(encoding="ascii").strip()
    except OSError as error:
        raise ConfigurationError(f"cannot read the key file {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"{path} is not a key file of semcache export") from error
    try:
        if not text.startswith(KEY_FILE_HEAD):
            raise ValueError("the head is missing")
        return bytes.fromhex(text.removeprefix(KEY_FILE_HEAD))
    except ValueError as error:
        raise ConfigurationError(f"{path} is not a key file of semcache export") from error


def _adopt(url: str, key_file: Path) -> None:
    """Give the cache at ``url`` the export's secret, before anything is keyed with another."""
    from semcache.cli.opening import TIMEOUT_S
    from semcache.stores.opening import open_store

    secret = _read_key(key_file)
    if SECRET_VARIABLE in os.environ:
        raise ConfigurationError(
            f"{SECRET_VARIABLE} is set and goes before the secret of a cache; "
            "unset it to use --key-file"
        )
    store = open_store(url, timeout=TIMEOUT_S)
    try:
        if store.secret() != secret:
            store.adopt_secret(secret)
    finally:
        store.close()
