from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from store_cases import FACTORIES

from semcache.stores.base import Caps, Store


@pytest.fixture(params=list(FACTORIES))
def open_it(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[..., Store]]:
    """Opens the store under test, with caps if given; closes it after the test."""
    opened: list[Store] = []

    def open_one(caps: Caps | None = None) -> Store:
        opened.append(FACTORIES[request.param](tmp_path, caps))
        return opened[-1]

    yield open_one
    for store in opened:
        store.close()


@pytest.fixture
def store(open_it: Callable[..., Store]) -> Store:
    return open_it()
