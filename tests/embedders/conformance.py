"""What every embedder must do. A new one passes by being added to ``EMBEDDERS``.

Each entry makes an embedder that needs nothing but this checkout; one that needs a server or
weights brings a fake server, not a fake embedder.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import pytest

from semcache.embedders.base import Embedder, Kind
from semcache.embedders.local import LocalEmbedder
from semcache.errors import EmbeddingError


@dataclass(frozen=True)
class Case:
    """An embedder under test, and what it promises beyond the protocol."""

    name: str
    make: Callable[[], Embedder]
    bit_exact: bool = True
    """The same text gets the same bits alone and in any batch."""
    limit: int | None = 256
    """Tokens it reads, or None where it reads everything."""


EMBEDDERS = [
    Case("local", LocalEmbedder),
    Case("local-two-threads", lambda: LocalEmbedder(threads=2)),
]

KINDS: tuple[Kind, ...] = ("query", "document")

TEXTS = [
    "How do I reset my password?",
    "how to reset password",
    "What is the capital of France, and how many people live there today?",
    "E-4021",
    "Wie setze ich mein Passwort zurück?",
    "パスワードをリセットするには？",
    "",
    "   ",
    "def f(x):\n\treturn x ** 2",
    "a long text, " * 20,
]

HOSTILE = {
    "empty": "",
    "NUL": "a\0b",
    "only NUL": "\0",
    "lone surrogate": "caf\ud83d\ude00 \ud800 x",
    "zero width": "\u200b\u200d\ufeff",
    "noncharacter": "\uffff\U0010ffff",
    "combining": "e" + "\u0301" * 500,
    "one long word": "x" * 10_000,
    "right to left": "\u202eمرحبا\u202c",
}


class EmbedderConformance:
    """Subclass in a test module, with an ``embedder`` and a ``case`` fixture."""

    def test_is_an_embedder(self, embedder: Embedder) -> None:
        assert isinstance(embedder, Embedder)

    def test_fingerprint_is_a_stable_safe_key(self, embedder: Embedder, case: Case) -> None:
        assert re.fullmatch(r"[A-Za-z0-9._-]{8,80}", embedder.fingerprint)
        assert case.make().fingerprint == embedder.fingerprint

    @pytest.mark.parametrize("kind", KINDS)
    def test_unit_vectors_of_the_right_shape(self, embedder: Embedder, kind: Kind) -> None:
        vectors = embedder.embed(TEXTS, kind)
        assert vectors.shape == (len(TEXTS), embedder.dimension)
        assert vectors.dtype == np.float32
        assert vectors.flags.c_contiguous
        np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)

    def test_no_texts(self, embedder: Embedder) -> None:
        assert embedder.embed([]).shape == (0, embedder.dimension)

    def test_accepts_any_sequence(self, embedder: Embedder) -> None:
        assert embedder.embed(tuple(TEXTS[:2])).shape[0] == 2

    def test_same_text_same_bits(self, embedder: Embedder, case: Case) -> None:
        if not case.bit_exact:
            pytest.skip("does not promise it")
        batch = embedder.embed(TEXTS)
        alone = np.concatenate([embedder.embed([text]) for text in TEXTS])
        backwards = embedder.embed(TEXTS[::-1])[::-1]
        assert batch.tobytes() == alone.tobytes() == backwards.tobytes()
        doubled = embedder.embed(TEXTS + TEXTS)
        assert doubled.tobytes() == batch.tobytes() * 2

    def test_repeats_itself(self, embedder: Embedder) -> None:
        first, second = embedder.embed(TEXTS[:3]), embedder.embed(TEXTS[:3])
        np.testing.assert_allclose(first, second, atol=1e-6)

    def test_nearer_in_meaning_is_nearer(self, embedder: Embedder) -> None:
        asked, same, other = embedder.embed(TEXTS[:3])
        assert asked @ same > asked @ other

    def test_async_gives_the_same(self, embedder: Embedder) -> None:
        vectors = asyncio.run(embedder.aembed(TEXTS[:3]))
        np.testing.assert_allclose(vectors, embedder.embed(TEXTS[:3]), atol=1e-6)

    def test_many_threads_at_once(self, embedder: Embedder) -> None:
        expected = embedder.embed(TEXTS)
        with ThreadPoolExecutor(8) as pool:
            for vectors in pool.map(lambda _: embedder.embed(TEXTS), range(8)):
                np.testing.assert_allclose(vectors, expected, atol=1e-6)

    @pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE.keys())
    def test_hostile_text(self, embedder: Embedder, text: str) -> None:
        vectors = embedder.embed([text, "ok"])
        assert np.isfinite(vectors).all()
        assert isinstance(embedder.fits(text), bool)

    def test_refuses_what_is_not_a_list_of_texts(self, embedder: Embedder) -> None:
        with pytest.raises(EmbeddingError, match="one string"):
            embedder.embed("a bare string")
        with pytest.raises(EmbeddingError, match="int"):
            embedder.embed(["fine", 3])  # type: ignore[list-item]

    def test_fits(self, embedder: Embedder, case: Case) -> None:
        assert embedder.fits("")
        assert embedder.fits("How do I reset my password?")
        if case.limit is not None:
            assert embedder.fits("x" * (case.limit - 2))
            assert not embedder.fits("word " * (case.limit + 1))
