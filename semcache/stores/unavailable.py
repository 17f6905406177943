"""The store of a cache that steps aside: it could not be opened, and every operation says so."""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, NoReturn

from semcache.candidates import SearchResult
from semcache.entry import Entry
from semcache.errors import StoreError, StoreUnavailable
from semcache.stores.base import BaseStore, Selection, StoreStats

if TYPE_CHECKING:
    from semcache.stores.base import Vector


class UnavailableStore(BaseStore):
    """Raises ``StoreUnavailable`` with the error that opening the real store gave."""

    def __init__(self, url: str, error: StoreError) -> None:
        self.url = url
        self._error = error

    def _refuse(self) -> NoReturn:
        raise StoreUnavailable(f"the store could not be opened: {self._error}") from self._error

    def secret(self) -> bytes:
        return secrets.token_bytes(32)

    def adopt_secret(self, secret: bytes) -> None:
        self._refuse()

    def get(self, id: str, now: float) -> Entry | None:
        self._refuse()

    def search(
        self,
        scope: str,
        fingerprint: str,
        vector: Vector | None,
        terms: Sequence[str],
        k: int,
        now: float,
    ) -> SearchResult:
        self._refuse()

    def put(self, entry: Entry, vector: Vector | None, terms: Sequence[str]) -> None:
        self._refuse()

    def alias(self, id: str, target: str, scope: str) -> None:
        self._refuse()

    def unalias(self, id: str) -> None:
        self._refuse()

    def quarantine(self, id: str) -> None:
        self._refuse()

    def touch(self, id: str, now: float) -> None:
        self._refuse()

    def invalidate(self, selection: Selection) -> int:
        self._refuse()

    def lease(self, id: str, ttl: float, now: float) -> str | None:
        self._refuse()

    def renew(self, id: str, token: str, ttl: float, now: float) -> bool:
        self._refuse()

    def release(self, id: str, token: str) -> None:
        self._refuse()

    def iterate(self) -> Iterator[tuple[Entry, Vector | None, tuple[str, ...]]]:
        self._refuse()

    def stats(self, now: float) -> StoreStats:
        self._refuse()

    def check(self) -> list[str]:
        return [str(self._error)]

    def vacuum(self, now: float) -> int:
        self._refuse()

    def close(self) -> None:
        pass
