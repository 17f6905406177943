"""What the store tests share: the stores under test, and entries to put into them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import numpy as np

from semcache.entry import Entry
from semcache.stores.base import Caps, Store
from semcache.stores.opening import open_store

# A store joins the conformance suite by being added here: name → how to open one. Opening the same
# folder again opens the same store, where there is one to come back to.
FACTORIES: dict[str, Callable[[Path, Caps | None], Store]] = {
    "memory": lambda folder, caps: open_store("memory://", caps),
    "sqlite": lambda folder, caps: open_store(f"sqlite:///{folder}/cache.db", caps),
}

NOW = 1_700_000_000.0
FINGERPRINT = "test-embedder/1"
DIMENSION = 16


def digest(name: str) -> str:
    """An id or a scope: 32 hexadecimal digits."""
    return hashlib.blake2b(name.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


SCOPE = digest("scope")


def entry(name: str, **changes: object) -> Entry:
    """The entry of that name; fields may be overridden."""
    values: dict[str, object] = {
        "id": digest(name),
        "scope": SCOPE,
        "query": f"what is {name}?",
        "answer": f"the answer to {name}".encode(),
        "created": NOW,
        "fingerprint": FINGERPRINT,
    }
    return Entry(**{**values, **changes})  # type: ignore[arg-type]


def vector(seed: int, dimension: int = DIMENSION) -> np.ndarray:
    """A random direction; the same for the same seed."""
    values = np.random.default_rng(seed).standard_normal(dimension).astype(np.float32)
    return values / np.linalg.norm(values)


def ids(result: object) -> list[str]:
    """The ids of a search's candidates, best first."""
    return [found.entry.id for found in result.candidates]  # type: ignore[attr-defined]
