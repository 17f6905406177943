"""Opening the store that a URL names."""

from __future__ import annotations

from semcache.errors import ConfigurationError
from semcache.stores.base import Caps, Store


def open_store(url: str, caps: Caps | None = None, *, timeout: float = 0.05) -> Store:
    """The store that a URL names: ``memory://``, ``sqlite:///path`` or a path of a file.

    Args:
        timeout: how long, in seconds, one operation may wait for a store that is busy.

    Raises:
        ConfigurationError: no store of that scheme, or a URL without a path.
        StoreError: the file cannot be opened, is corrupt, or of a newer version.
    """
    caps = caps or Caps()
    if url == "memory://":
        from semcache.stores.memory import MemoryStore

        return MemoryStore(caps)
    if url.startswith("sqlite://") or "://" not in url:
        from semcache.stores.sqlite import SqliteStore

        path = url if "://" not in url else url.removeprefix("sqlite://").removeprefix("/")
        if not path:
            raise ConfigurationError(
                f"{url!r} names no file; write sqlite:///relative.db or sqlite:////absolute.db"
            )
        return SqliteStore(path, caps, timeout=timeout)
    raise ConfigurationError(
        f"no store for {url.partition('://')[0]}://…; this version knows memory:// and sqlite:///path"
    )
