"""The store without a disk: the same behaviour, in dictionaries, gone with the process."""

from __future__ import annotations

import math
import os
import secrets
import threading
import weakref
from collections import Counter, OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from semcache.candidates import CorpusStats, Found, SearchResult
from semcache.entry import Entry
from semcache.errors import ConfigurationError, EmbeddingError, StoreError
from semcache.stores.background import Background
from semcache.stores.base import BaseStore, Caps, Selection, StoreStats
from semcache.stores.limits import (
    ALIASES_PER_ENTRY,
    EXPIRED_PER_PUT,
    LEASE_SKEW_S,
    OVER_FETCH,
    SECRET_BYTES,
)
from semcache.stores.postings import IDF_LAG, average_idf, by_rare_terms, rare_first

if TYPE_CHECKING:
    from semcache.stores.base import Vector
    from semcache.stores.vector_index import Partition


@dataclass
class _Kept:
    """An entry and what belongs to it."""

    seq: int
    entry: Entry
    size: int
    vector: Vector | None
    terms: tuple[str, ...]
    aliases: dict[str, None] = field(default_factory=dict)


@dataclass
class _Scope:
    """The entries of one scope, by number, and its counts of terms."""

    kept: dict[int, _Kept] = field(default_factory=dict)
    postings: dict[str, set[int]] = field(default_factory=dict)
    partitions: dict[str, Partition] = field(default_factory=dict)
    length: int = 0
    changes: int = 0
    average_idf: float = 0.0

    def count(self, kept: _Kept, sign: int) -> None:
        self.length += sign * len(kept.terms)
        self.changes += 1
        for term in set(kept.terms):
            if sign > 0:
                self.postings.setdefault(term, set()).add(kept.seq)
            else:
                seqs = self.postings[term]
                seqs.discard(kept.seq)
                if not seqs:
                    del self.postings[term]
        if self.changes * IDF_LAG > len(self.kept):
            by_df = Counter(map(len, self.postings.values()))
            self.average_idf = average_idf(len(self.kept), by_df.items())
            self.changes = 0


class MemoryStore(BaseStore):
    """Entries in this process's memory.

    Args:
        caps: what it may hold; the least recently used entries beyond it go. An entry that is
            larger than ``caps.bytes`` by itself is not kept.

    >>> store = MemoryStore()
    >>> store.put(Entry("a" * 32, "b" * 32, "hi?", b"hello", created=1.0), None, ["hi"])
    >>> store.get("a" * 32, now=2.0).answer
    b'hello'
    """

    url = "memory://"

    def __init__(self, caps: Caps | None = None) -> None:
        self._caps = caps or Caps()
        self._lock = threading.RLock()
        self._secret = os.urandom(SECRET_BYTES)
        self._seq = 0
        self._bytes = 0
        self._now = -math.inf
        self._closed = False
        # In the order of last use: the first one goes first.
        self._kept: OrderedDict[str, _Kept] = OrderedDict()
        self._scopes: dict[str, _Scope] = {}
        self._aliases: dict[str, str] = {}
        self._leases: dict[str, tuple[str, float, float]] = {}
        self._background = Background(self._build)
        _forkable.add(self)

    def secret(self) -> bytes:
        """A secret that lives as long as this store."""
        self._usable()
        return self._secret

    def adopt_secret(self, secret: bytes) -> None:
        """Replace the secret; ``StoreError`` where there are entries."""
        with self._lock:
            self._usable()
            if self._kept:
                raise StoreError(
                    f"{self.url} has entries under its own secret; import into an empty cache"
                )
            self._secret = bytes(secret)

    # Reading ---------------------------------------------------------------------------------

    def get(self, id: str, now: float) -> Entry | None:
        """The live entry of that id or of the alias of that id, with its answer."""
        with self._lock:
            self._usable()
            self._now = now
            kept = self._kept.get(self._aliases.get(id, id))
            return kept.entry if kept is not None and kept.entry.is_live(now) else None

    def search(
        self,
        scope: str,
        fingerprint: str,
        vector: Vector | None,
        terms: Sequence[str],
        k: int,
        now: float,
    ) -> SearchResult:
        """Up to ``k`` nearest entries by cosine and up to ``k`` by rare terms, of this scope only.

        Raises:
            EmbeddingError: the vector holds NaN or infinity, or has another dimension than those
                stored under this fingerprint.
        """
        if vector is not None:
            from semcache.stores.vector_index import checked

            vector = checked(vector)
        with self._lock:
            self._usable()
            self._now = now
            place = self._scopes.get(scope)
            if place is None:
                return SearchResult((), CorpusStats(frequencies=dict.fromkeys(terms, 0)))
            near = self._nearest(place, fingerprint, vector, k, now)
            rare = self._rare(place, terms, k, now)
            found = _found(place, fingerprint, vector, near, rare)
            named = dict.fromkeys(terms)
            for candidate in found:
                named.update(dict.fromkeys(candidate.terms))
            frequencies = {term: len(place.postings.get(term, ())) for term in named}
            corpus = CorpusStats(len(place.kept), place.length, place.average_idf, frequencies)
            return SearchResult(found, corpus)

    def _nearest(
        self, place: _Scope, fingerprint: str, vector: Vector | None, k: int, now: float
    ) -> list[int]:
        partition = place.partitions.get(fingerprint)
        if vector is None or partition is None or k < 1:
            return []
        if vector.size != partition.dimension:
            raise _other_dimension(vector.size, partition.dimension)
        count = k + OVER_FETCH
        while True:
            live = _live(place, partition.search(vector, count), now)
            if len(live) >= k or count >= partition.size:
                break
            count *= 4
        cosine = _cosines(place, fingerprint, vector, live)
        return sorted(live, key=lambda seq: (-cosine[seq], -seq))[:k]

    def _rare(self, place: _Scope, terms: Sequence[str], k: int, now: float) -> list[int]:
        frequencies = {term: len(place.postings.get(term, ())) for term in terms}
        seqs = by_rare_terms(
            rare_first(terms, frequencies, len(place.kept)),
            len(place.kept),
            lambda term: place.postings[term],
        )
        return _live(place, seqs, now)[: max(0, k)]

    # Writing ---------------------------------------------------------------------------------

    def put(self, entry: Entry, vector: Vector | None, terms: Sequence[str]) -> None:
        """Insert or replace the entry (and any alias of its id).

        Raises:
            EmbeddingError: the vector holds NaN or infinity, is not one-dimensional, or has another
                dimension than those stored under the same fingerprint. Nothing was changed.
        """
        if entry.answer is None:
            raise ConfigurationError(f"entry {entry.id} has no answer; there is nothing to store")
        if vector is not None:
            from semcache.stores.vector_index import checked

            if entry.fingerprint is None:
                raise EmbeddingError(
                    f"entry {entry.id} has a vector but no fingerprint that says whose it is"
                )
            vector = checked(vector).copy()
        size = len(entry.query.encode("utf-8", "surrogatepass")) + len(entry.answer)
        with self._lock:
            self._usable()
            if vector is not None:
                self._check_dimension(entry, vector.size)
            self._unalias(entry.id)
            aliases: dict[str, None] = {}
            old = self._kept.get(entry.id)
            if old is not None:
                if old.entry.expires is None or entry.created < old.entry.expires:
                    aliases, old.aliases = old.aliases, {}
                    if old.entry.quarantined:
                        entry = replace(entry, quarantined=True)
                self._remove(old)
            if self._caps.bytes is not None and size > self._caps.bytes:
                for alias in aliases:
                    del self._aliases[alias]
                return
            self._seq += 1
            self._insert(_Kept(self._seq, entry, size, vector, tuple(terms), aliases))
            self._evict(entry.id)

    def _check_dimension(self, entry: Entry, dimension: int) -> None:
        assert entry.fingerprint is not None
        for scope in self._scopes.values():
            partition = scope.partitions.get(entry.fingerprint)
            if partition is not None and partition.dimension != dimension:
                raise _other_dimension(dimension, partition.dimension)
            if partition is not None:
                return

    def _insert(self, kept: _Kept) -> None:
        entry = kept.entry
        self._kept[entry.id] = kept
        self._bytes += kept.size
        scope = self._scopes.setdefault(entry.scope, _Scope())
        scope.kept[kept.seq] = kept
        scope.count(kept, 1)
        if kept.vector is not None:
            from semcache.stores.vector_index import Partition

            assert entry.fingerprint is not None
            partition = scope.partitions.get(entry.fingerprint)
            if partition is None:
                partition = scope.partitions[entry.fingerprint] = Partition(kept.vector.size)
            partition.add([kept.seq], kept.vector[None, :])
            if partition.wants_building:
                self._background.ask((entry.scope, entry.fingerprint))

    def _remove(self, kept: _Kept) -> None:
        entry = kept.entry
        del self._kept[entry.id]
        self._bytes -= kept.size
        for alias in kept.aliases:
            del self._aliases[alias]
        scope = self._scopes[entry.scope]
        del scope.kept[kept.seq]
        scope.count(kept, -1)
        if kept.vector is not None:
            assert entry.fingerprint is not None
            partition = scope.partitions[entry.fingerprint]
            partition.discard([kept.seq])
            if partition.size == 0:
                del scope.partitions[entry.fingerprint]
            elif partition.wants_building:
                self._background.ask((entry.scope, entry.fingerprint))
        if not scope.kept:
            del self._scopes[entry.scope]

    def _evict(self, newest: str) -> None:
        expired = 0
        while self._kept:
            oldest = next(iter(self._kept.values()))
            over = (self._caps.entries is not None and len(self._kept) > self._caps.entries) or (
                self._caps.bytes is not None and self._bytes > self._caps.bytes
            )
            gone = _has_expired(oldest.entry, self._now) and expired < EXPIRED_PER_PUT
            if oldest.entry.id == newest or not (over or gone):
                return
            expired += 1
            self._remove(oldest)

    def alias(self, id: str, target: str, scope: str) -> None:
        """Make ``get(id)`` return the entry ``target`` of the same scope while that one lives.

        Does nothing where ``id`` is an entry, or ``target`` is not one of that scope or is
        quarantined. An entry keeps its newest 256 aliases.
        """
        with self._lock:
            self._usable()
            kept = self._kept.get(target)
            if kept is None or kept.entry.scope != scope or kept.entry.quarantined or id == target:
                return
            own = self._kept.get(id)
            if own is not None:
                if not _has_expired(own.entry, self._now):
                    return
                self._remove(own)
            self._unalias(id)
            self._aliases[id] = target
            kept.aliases[id] = None
            if len(kept.aliases) > ALIASES_PER_ENTRY:
                self._unalias(next(iter(kept.aliases)))

    def unalias(self, id: str) -> None:
        """Remove the alias ``id``, if there is one; the entry it points to stays."""
        with self._lock:
            self._usable()
            self._unalias(id)

    def _unalias(self, id: str) -> None:
        target = self._aliases.pop(id, None)
        if target is not None:
            del self._kept[target].aliases[id]

    def quarantine(self, id: str) -> None:
        """Never find this entry by ``search`` again, and remove its aliases."""
        with self._lock:
            self._usable()
            kept = self._kept.get(id)
            if kept is not None:
                kept.entry = replace(kept.entry, quarantined=True)
                for alias in list(kept.aliases):
                    self._unalias(alias)

    def touch(self, id: str, now: float) -> None:
        """Count a hit and make the entry the most recently used."""
        with self._lock:
            self._usable()
            self._now = now
            kept = self._kept.get(id)
            if kept is not None:
                kept.entry = replace(kept.entry, hits=kept.entry.hits + 1)
                self._kept.move_to_end(id)

    def invalidate(self, selection: Selection) -> int:
        """Remove what the selection means, with aliases; returns the number of entries removed."""
        with self._lock:
            self._usable()
            doomed = [
                kept for kept in self._candidates(selection) if _selects(selection, kept.entry)
            ]
            for kept in doomed:
                self._remove(kept)
            return len(doomed)

    def _candidates(self, selection: Selection) -> Iterable[_Kept]:
        if selection.ids is not None:
            ids = dict.fromkeys(selection.ids)
            return [kept for id in ids if (kept := self._kept.get(id)) is not None]
        if selection.scope is not None:
            scope = self._scopes.get(selection.scope)
            return [] if scope is None else list(scope.kept.values())
        return list(self._kept.values())

    # Leases ----------------------------------------------------------------------------------

    def lease(self, id: str, ttl: float, now: float) -> str | None:
        """Take the right to call upstream for ``ttl`` seconds; ``None`` if it is taken."""
        with self._lock:
            self._usable()
            if self._holder(id, now) is not None:
                return None
            for other in [o for o in self._leases if self._holder(o, now) is None]:
                del self._leases[other]
            token = secrets.token_hex(16)
            self._leases[id] = (token, now + ttl, ttl)
            return token

    def _holder(self, id: str, now: float) -> str | None:
        token, expires, ttl = self._leases.get(id, ("", -math.inf, 0.0))
        # One that would last longer than it was made for is from before the clock stepped back.
        return token if now < expires <= now + ttl + LEASE_SKEW_S else None

    def renew(self, id: str, token: str, ttl: float, now: float) -> bool:
        """Extend a lease that ``token`` still holds; ``False`` where it was lost."""
        with self._lock:
            self._usable()
            if self._holder(id, now) != token:
                return False
            self._leases[id] = (token, now + ttl, ttl)
            return True

    def release(self, id: str, token: str) -> None:
        """Give a lease back; does nothing where ``token`` no longer holds it."""
        with self._lock:
            self._usable()
            if self._leases.get(id, ("",))[0] == token:
                del self._leases[id]

    # Everything ------------------------------------------------------------------------------

    def iterate(self) -> Iterator[tuple[Entry, Vector | None, tuple[str, ...]]]:
        """Every entry with its answer, vector and terms, oldest first; expired ones too."""
        with self._lock:
            self._usable()
            everything = sorted(self._kept.values(), key=lambda kept: kept.seq)
        for kept in everything:
            yield kept.entry, kept.vector, kept.terms

    def stats(self, now: float) -> StoreStats:
        """Sizes at this moment; entries that expired count until they are removed."""
        with self._lock:
            self._usable()
            vectors = sum(kept.vector is not None for kept in self._kept.values())
            return StoreStats(
                self.url,
                len(self._kept),
                len(self._aliases),
                len(self._scopes),
                self._bytes,
                vectors,
            )

    def check(self) -> list[str]:
        """Nothing can have gone wrong that this could see; always empty."""
        self._usable()
        return []

    def vacuum(self, now: float) -> int:
        """Remove expired entries; returns the number of entries removed."""
        return self.invalidate(Selection(expired_at=now))

    def settle(self, timeout: float = 60.0) -> bool:
        """Wait until the vector index is built; ``False`` if it takes longer than ``timeout`` s."""
        return self._background.settle(timeout)

    def close(self) -> None:
        """Let go of everything; twice is fine."""
        self._background.stop()
        with self._lock:
            self._closed = True
            self._kept.clear()
            self._scopes.clear()
            self._aliases.clear()
            self._leases.clear()

    def _usable(self) -> None:
        if self._closed:
            raise StoreError("this store is closed; open a new one")

    def _build(self, task: tuple[str, str]) -> None:
        scope, fingerprint = task
        while not self._background.stopping:
            place = self._scopes.get(scope)
            partition = None if place is None else place.partitions.get(fingerprint)
            if partition is None:
                return
            with self._background.step:
                if not partition.build():
                    return


def _has_expired(entry: Entry, now: float) -> bool:
    return entry.expires is not None and entry.expires <= now


def _selects(selection: Selection, entry: Entry) -> bool:
    conditions = [
        (selection.ids, selection.ids is not None and entry.id in selection.ids),
        (selection.scope, entry.scope == selection.scope),
        (selection.tags, bool(set(selection.tags or ()) & set(entry.tags))),
        (selection.namespace, entry.namespace == selection.namespace),
        (selection.tenant, entry.tenant == selection.tenant),
        (
            selection.expired_at,
            selection.expired_at is not None and _has_expired(entry, selection.expired_at),
        ),
    ]
    asked = [holds for wanted, holds in conditions if wanted is not None]
    return all(asked) if asked else selection.everything


def _live(place: _Scope, seqs: Iterable[int], now: float) -> list[int]:
    return [
        seq
        for seq in seqs
        if (kept := place.kept.get(seq)) is not None
        and not kept.entry.quarantined
        and kept.entry.is_live(now)
    ]


def _cosines(
    place: _Scope, fingerprint: str, vector: Vector | None, seqs: Iterable[int]
) -> dict[int, float]:
    if vector is None:
        return {}
    import numpy as np

    from semcache.stores.vector_index import cosines

    stored = [
        (seq, kept.vector)
        for seq in seqs
        if (kept := place.kept[seq]).vector is not None and kept.entry.fingerprint == fingerprint
    ]
    if not stored:
        return {}
    values = cosines(np.stack([its for _, its in stored if its is not None]), vector)
    return {seq: value for (seq, _), value in zip(stored, values, strict=True)}


def _found(
    place: _Scope,
    fingerprint: str,
    vector: Vector | None,
    near: Sequence[int],
    rare: Sequence[int],
) -> tuple[Found, ...]:
    seqs = list(dict.fromkeys([*near, *rare]))
    cosine = _cosines(place, fingerprint, vector, seqs)
    by_vector, by_terms = set(near), set(rare)
    found = []
    # Stable: those without a cosine stay in the order of their rare terms.
    for seq in sorted(seqs, key=lambda seq: -cosine.get(seq, -2.0)):
        kept = place.kept[seq]
        both = seq in by_vector and seq in by_terms
        by = "both" if both else "vector" if seq in by_vector else "terms"
        found.append(Found(replace(kept.entry, answer=None), cosine.get(seq), kept.terms, by))
    return tuple(found)


def _other_dimension(given: int, stored: int) -> EmbeddingError:
    return EmbeddingError(
        f"a vector has {given} numbers where this store has {stored} under the same fingerprint; "
        "an embedder that changed needs another fingerprint"
    )


_forkable: weakref.WeakSet[MemoryStore] = weakref.WeakSet()
_forking: list[MemoryStore] = []


def _before_fork() -> None:
    # A thread that held a lock at this moment would not be there in the child to release it.
    _forking.extend(sorted(_forkable, key=id))
    for store in _forking:
        store._background.step.acquire()
        store._lock.acquire()


def _after_fork(in_child: bool) -> None:
    while _forking:
        store = _forking.pop()
        store._lock.release()
        store._background.step.release()
        if in_child:
            store._background.after_fork_in_child()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_before_fork,
        after_in_parent=lambda: _after_fork(False),
        after_in_child=lambda: _after_fork(True),
    )
