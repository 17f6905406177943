"""``semcache vacuum``: remove what has expired and give the space back."""

from __future__ import annotations

from semcache.cli.options import URL, Json, Url


def vacuum(url: Url = URL, json: Json = False) -> None:
    """Remove expired entries and give their space back to the disk."""
    from semcache.cli.console import out, print_json, size
    from semcache.cli.opening import file_of, open_cache

    with open_cache(url) as cache:
        path = file_of(url)
        before = path.stat().st_size if path else None
        removed = cache.vacuum()
        after = path.stat().st_size if path else None
    if json:
        print_json({"removed": removed, "file_bytes": {"before": before, "after": after}})
        return
    out.print(f"Removed {removed:,} expired entries.")
    if before is not None and after is not None:
        out.print(f"The file was {size(before)} and is {size(after)}.")
