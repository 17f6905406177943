"""What tests share: caches on every embedded store, and prompts that an encoder need not judge."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from semcache import CachePolicy, SemanticCache

OpenCache = Callable[..., SemanticCache]


@pytest.fixture(params=["memory", "sqlite"])
def open_cache(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[OpenCache]:
    """Opens caches on the store under test; by default without an embedder, so exact tier only.

    And without a policy, which has tests of its own: "tell me a joke" is a text like another here.
    """
    opened: list[SemanticCache] = []

    def open_one(**options: Any) -> SemanticCache:
        options.setdefault("embedder", None)
        options.setdefault("policy", CachePolicy.off())
        url = options.pop("url", None)
        if url is None:
            url = "memory://" if request.param == "memory" else f"sqlite:///{tmp_path}/cache.db"
        cache = SemanticCache.open(url, **options)
        opened.append(cache)
        return cache

    yield open_one
    for cache in opened:
        cache.close()


@pytest.fixture
def cache(open_cache: OpenCache) -> SemanticCache:
    return open_cache()
