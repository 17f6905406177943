"""Opening the cache that a command is about."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from semcache.cache import SemanticCache
from semcache.cli.console import note
from semcache.errors import ConfigurationError
from semcache.judging import missing_for_local

# A person waits for a busy store longer than an app's request may.
TIMEOUT_S = 5.0


def file_of(url: str) -> Path | None:
    """The file behind a URL of the embedded store; ``None`` for any other URL."""
    if url.startswith("sqlite://"):
        return Path(url.removeprefix("sqlite://").removeprefix("/")).expanduser()
    return None if "://" in url else Path(url).expanduser()


def require_existing(url: str) -> None:
    """Make sure that there is a cache to look at, so that looking does not make one.

    Raises:
        ConfigurationError: there is none.
    """
    if url == "memory://":
        raise ConfigurationError(
            "memory:// lives inside one process, so a command sees nothing of it; "
            "give the --url of a cache that is kept (sqlite:///path)"
        )
    path = file_of(url)
    if path is not None and not path.exists():
        raise ConfigurationError(
            f"there is no cache at {path}; give its --url or set SEMCACHE_URL "
            "(a cache is made by the first call that uses it)"
        )


def open_cache(
    url: str,
    *,
    must_exist: bool = True,
    embeds: bool = False,
    **options: Any,
) -> SemanticCache:
    """The cache at ``url``; failures are raised, not stepped around.

    Args:
        embeds: whether the command needs vectors; others do not load the encoder.
    """
    if must_exist:
        require_existing(url)
    return SemanticCache.open(
        url,
        embedder=local_if_installed() if embeds else None,
        strict=True,
        timeout=TIMEOUT_S,
        **options,
    )


def local_if_installed() -> Literal["local"] | None:
    """The default embedder, or ``None`` and a word about it where it is not installed."""
    missing = missing_for_local()
    if not missing:
        return "local"
    note(
        f"{', '.join(missing)} not installed: only exact repeats are found; "
        'pip install "semcache[local]"'
    )
    return None
