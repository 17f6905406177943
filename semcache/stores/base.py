"""What a store is: the protocol and its value types.

A store keeps entries and finds candidates. It knows nothing of requests, decisions or models: ids
and scopes are opaque digests, time is passed in (``now``, seconds since the epoch), and terms are
strings that the decision core has tokenised. Every implementation passes ``tests/stores``.

Every method has an ``a``-twin. ``BaseStore`` derives the twins for stores whose reads take
microseconds: reads run inline, writes in a thread, so that an event loop never waits for a disk.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from semcache.candidates import SearchResult
from semcache.entry import Entry
from semcache.errors import ConfigurationError
from semcache.threads import in_thread

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Vector = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Selection:
    """Which entries an ``invalidate`` means: all conditions that are set must hold.

    An empty selection selects nothing; everything is ``Selection(everything=True)``.
    ``tags`` selects entries that carry *any* of them. ``expired_at`` selects what has expired then.
    """

    ids: tuple[str, ...] | None = None
    scope: str | None = None
    tags: tuple[str, ...] | None = None
    namespace: str | None = None
    tenant: str | None = None
    expired_at: float | None = None
    everything: bool = False


@dataclass(frozen=True, slots=True)
class StoreStats:
    """Sizes at one moment. ``bytes`` is the size of all answers and queries, uncompressed."""

    url: str
    entries: int
    aliases: int
    scopes: int
    bytes: int
    vectors: int
    detail: Mapping[str, Any] = field(default_factory=dict)


@runtime_checkable
class Store(Protocol):
    """A place for entries. All methods are thread-safe; errors are ``StoreError``.

    ``get`` follows an alias: then the entry's ``id`` differs from the one asked for.
    """

    url: str

    def secret(self) -> bytes:
        """The cache's secret; made at random and kept when the store was created."""
        ...

    def adopt_secret(self, secret: bytes) -> None:
        """Replace the secret of a store without entries (``StoreError`` where there are any)."""
        ...

    def get(self, id: str, now: float) -> Entry | None:
        """The live entry of that id or of the alias of that id, with its answer."""
        ...

    def search(
        self,
        scope: str,
        fingerprint: str,
        vector: Vector | None,
        terms: Sequence[str],
        k: int,
        now: float,
    ) -> SearchResult:
        """Up to ``k`` nearest entries of the scope by cosine plus up to ``k`` by rare terms.

        Only live entries that are not quarantined. Vectors of another fingerprint are never
        compared. ``vector=None`` searches by terms alone.
        """
        ...

    def put(self, entry: Entry, vector: Vector | None, terms: Sequence[str]) -> None:
        """Insert or replace the entry (and any alias of its id); durable on return.

        What replaces a quarantined entry that is live is quarantined, too.

        Evicts the least recently used entries beyond the store's caps.
        """
        ...

    def alias(self, id: str, target: str, scope: str) -> None:
        """Make ``get(id)`` return the entry ``target`` of the same scope while that one lives.

        Does nothing where ``id`` is an entry, or ``target`` is not one of that scope or is
        quarantined. A store may forget the oldest aliases of an entry that has hundreds.
        """
        ...

    def unalias(self, id: str) -> None:
        """Remove the alias ``id``, if there is one; the entry it points to stays."""
        ...

    def quarantine(self, id: str) -> None:
        """Never find this entry, or what replaces it, by ``search``; remove its aliases."""
        ...

    def touch(self, id: str, now: float) -> None:
        """Count a hit and make the entry the most recently used; may be written later."""
        ...

    def invalidate(self, selection: Selection) -> int:
        """Remove what the selection means, with aliases; returns the number of entries removed."""
        ...

    def lease(self, id: str, ttl: float, now: float) -> str | None:
        """Take or renew the right to call upstream for ``id``; a token, or ``None`` if taken."""
        ...

    def renew(self, id: str, token: str, ttl: float, now: float) -> bool:
        """Extend a lease that ``token`` still holds; ``False`` where it was lost."""
        ...

    def release(self, id: str, token: str) -> None:
        """Give a lease back; does nothing where ``token`` no longer holds it."""
        ...

    def iterate(self) -> Iterator[tuple[Entry, Vector | None, tuple[str, ...]]]:
        """Every entry with its answer, vector and terms, oldest first; expired ones too."""
        ...

    def stats(self, now: float) -> StoreStats: ...

    def check(self) -> list[str]:
        """Problems found by looking at everything (``doctor``); empty when all is well."""
        ...

    def vacuum(self, now: float) -> int:
        """Remove expired entries and give space back; returns the number of entries removed."""
        ...

    def close(self) -> None:
        """Write what is pending and let go of files; closing twice is fine."""
        ...

    async def aget(self, id: str, now: float) -> Entry | None: ...
    async def asearch(
        self,
        scope: str,
        fingerprint: str,
        vector: Vector | None,
        terms: Sequence[str],
        k: int,
        now: float,
    ) -> SearchResult: ...
    async def aput(self, entry: Entry, vector: Vector | None, terms: Sequence[str]) -> None: ...
    async def aalias(self, id: str, target: str, scope: str) -> None: ...
    async def aunalias(self, id: str) -> None: ...
    async def aquarantine(self, id: str) -> None: ...
    async def atouch(self, id: str, now: float) -> None: ...
    async def ainvalidate(self, selection: Selection) -> int: ...
    async def alease(self, id: str, ttl: float, now: float) -> str | None: ...
    async def arenew(self, id: str, token: str, ttl: float, now: float) -> bool: ...
    async def arelease(self, id: str, token: str) -> None: ...
    async def astats(self, now: float) -> StoreStats: ...
    async def avacuum(self, now: float) -> int: ...
    async def aclose(self) -> None: ...


class BaseStore:
    """The ``a``-twins of an in-process store: reads inline, writes in a thread."""

    async def aget(self: Store, id: str, now: float) -> Entry | None:
        return self.get(id, now)

    async def asearch(
        self: Store,
        scope: str,
        fingerprint: str,
        vector: Vector | None,
        terms: Sequence[str],
        k: int,
        now: float,
    ) -> SearchResult:
        return self.search(scope, fingerprint, vector, terms, k, now)

    async def aput(self: Store, entry: Entry, vector: Vector | None, terms: Sequence[str]) -> None:
        await in_thread(self.put, entry, vector, terms)

    async def aalias(self: Store, id: str, target: str, scope: str) -> None:
        await in_thread(self.alias, id, target, scope)

    async def aunalias(self: Store, id: str) -> None:
        await in_thread(self.unalias, id)

    async def aquarantine(self: Store, id: str) -> None:
        await in_thread(self.quarantine, id)

    async def atouch(self: Store, id: str, now: float) -> None:
        self.touch(id, now)

    async def ainvalidate(self: Store, selection: Selection) -> int:
        return await in_thread(self.invalidate, selection)

    async def alease(self: Store, id: str, ttl: float, now: float) -> str | None:
        return await in_thread(self.lease, id, ttl, now)

    async def arenew(self: Store, id: str, token: str, ttl: float, now: float) -> bool:
        return await in_thread(self.renew, id, token, ttl, now)

    async def arelease(self: Store, id: str, token: str) -> None:
        await in_thread(self.release, id, token)

    async def astats(self: Store, now: float) -> StoreStats:
        return await in_thread(self.stats, now)

    async def avacuum(self: Store, now: float) -> int:
        return await in_thread(self.vacuum, now)

    async def aclose(self: Store) -> None:
        await in_thread(self.close)


@dataclass(frozen=True, slots=True)
class Caps:
    """How much a store may hold; ``None`` means no cap. Beyond it, least recently used goes."""

    entries: int | None = None
    bytes: int | None = None

    def __post_init__(self) -> None:
        for name in ("entries", "bytes"):
            value = getattr(self, name)
            if value is not None and (not isinstance(value, int) or value < 1):
                raise ConfigurationError(f"max_{name} must be a positive integer or None")
