"""A cache that fails steps aside, visibly (promise 4); bad input is told clearly."""

from __future__ import annotations

import resource
import sqlite3
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from semcache import (
    ConfigurationError,
    EmbeddingError,
    Event,
    SemanticCache,
    SemcacheError,
    StoreError,
    cached,
)
from semcache.decision.calibration import Calibration
from semcache.embedders.base import BaseEmbedder, Kind
from semcache.embedders.local import LocalEmbedder
from tests.conftest import OpenCache

QUESTION = "How do I reset my password?"


def anything_goes() -> Calibration:
    """Evidence for any encoder, for tests whose encoder is not a real one."""
    from dataclasses import replace

    from semcache.decision.calibration import shipped

    return replace(shipped("hybrid"), encoder=None)


class BrokenEmbedder(BaseEmbedder):
    """An embedder whose results are the test's."""

    fingerprint = "broken"
    dimension = 4

    def __init__(self, result: Any) -> None:
        self.result = result
        self.calls = 0

    def embed(self, texts: Sequence[str], kind: Kind = "query") -> NDArray[np.float32]:
        self.calls += 1
        if isinstance(self.result, Exception):
            raise self.result
        return np.asarray(self.result, dtype=np.float32)

    def fits(self, text: str) -> bool:
        return True


@pytest.mark.parametrize(
    ("result", "why"),
    [
        ([[np.nan, 0, 0, 1]], "finite"),
        ([[0, 0, 0, 0]], "zero|norm"),
        ([[1, 0, 0]], "shape"),
        ([[1, 0, 0, 0], [1, 0, 0, 0]], "shape"),
        (RuntimeError("the GPU is gone"), "RuntimeError"),
    ],
)
def test_a_broken_embedder_leaves_the_exact_tier(
    open_cache: OpenCache, result: Any, why: str, caplog: pytest.LogCaptureFixture
) -> None:
    events: list[Event] = []
    options: dict[str, Any] = {"calibration": anything_goes(), "embedder": BrokenEmbedder(result)}
    cache = open_cache(on_event=events.append, **options)
    ask = cached(cache)(lambda prompt: f"answer to {prompt}")
    assert ask(QUESTION) == ask(QUESTION) == f"answer to {QUESTION}"
    assert ask.cache_info().exact == 1
    assert "embedding-error" in {event.kind for event in events}
    assert cache.stats().embedding_errors >= 1
    assert "paused" in cache.stats().semantic
    assert "embedding failed" in caplog.text
    assert "embedder" in ask.explain("another question").reason
    strict = open_cache(strict=True, url="memory://", **options)
    with pytest.raises((SemcacheError, RuntimeError)):
        strict.lookup(QUESTION)


def test_an_embedder_that_recovers_is_used_again() -> None:
    embedder = BrokenEmbedder(EmbeddingError("not now"))
    with SemanticCache.open("memory://", embedder=embedder, calibration=anything_goes()) as cache:
        cache.lookup("one")
        asked = embedder.calls
        cache.lookup("two")
        assert embedder.calls == asked  # it is left alone for a while
        embedder.result = [[1, 0, 0, 0]]
        cache._engine.embedder_breaker._open_until = 0  # … which the test does not wait for
        cache.record("three", "a")
        assert cache.stats().semantic == "on"


def test_an_unknown_embedder_serves_nothing_by_meaning_without_evidence(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with SemanticCache.open("memory://", embedder=BrokenEmbedder([[1, 0, 0, 0]])) as cache:
        cache.record(QUESTION, "a")
        assert cache.lookup("how do I reset my password") is None
        assert "calibration" in cache.explain("how do I reset my password").reason
        assert cache.lookup(QUESTION) is not None
    assert "only exact repeats" in caplog.text


def test_a_bound_without_support_switches_the_semantic_tier_off() -> None:
    with SemanticCache.open("memory://", max_wrong=1e-6) as cache:
        cache.record(QUESTION, "a")
        assert cache.lookup("how do i reset my password") is None
        assert "no support" in cache.explain("how do i reset my password").reason
        assert "no support" in cache.stats().semantic
        assert cache.lookup(QUESTION) is not None


def test_a_missing_model_file_leaves_the_exact_tier(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(SemcacheError, match="semcache"):
        LocalEmbedder(tmp_path / "nothing here").embed(["x"])
    import semcache_models

    monkeypatch.setattr(semcache_models, "path", lambda name="encoder": tmp_path / "gone")
    with SemanticCache.open("memory://") as cache:
        ask = cached(cache)(lambda prompt: "a")
        assert ask(QUESTION) == "a"
        assert cache.lookup(QUESTION, namespace="default") is None
        assert cache.stats().semantic != "on"
    with pytest.raises(SemcacheError):
        SemanticCache.open("memory://", strict=True).lookup(QUESTION)


def corrupt(path: Path) -> bytes:
    path.write_bytes(b"this is not a database, but somebody may need it " * 100)
    return path.read_bytes()


def newer(path: Path) -> bytes:
    with SemanticCache.open(f"sqlite:///{path}", embedder=None) as cache:
        cache.record(QUESTION, "a")
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version = 9999")
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
    return path.read_bytes()


@pytest.mark.parametrize(("make", "why"), [(corrupt, "database"), (newer, "9999")])
def test_a_file_that_cannot_be_used_is_left_alone(
    tmp_path: Path, make: Any, why: str, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "cache.db"
    before = make(path)
    url = f"sqlite:///{path}"
    with pytest.raises(StoreError, match=why):
        SemanticCache.open(url, embedder=None, strict=True)
    with SemanticCache.open(url, embedder=None) as cache:
        assert cached(cache)(lambda prompt: "a")(QUESTION) == "a"
        assert cache.lookup(QUESTION) is None
        assert cache.stats().store_errors >= 1
        assert cache.stats().store is None
        with pytest.raises(StoreError, match=why):
            cache.invalidate(everything=True)
    assert "steps aside" in caplog.text
    assert path.read_bytes() == before


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    url = f"sqlite:///{tmp_path}/file/cache.db"
    with pytest.raises(StoreError, match="file"):
        SemanticCache.open(url, embedder=None, strict=True)
    with SemanticCache.open(url, embedder=None) as cache:
        assert cache.call(QUESTION, lambda: "a") == "a"


@pytest.mark.parametrize(
    "url", ["sqlite://", "sqlite:///", "redis-ish://x", "", "http://localhost"]
)
def test_a_url_that_names_no_store_is_told(url: str) -> None:
    with pytest.raises(ConfigurationError):
        SemanticCache.open(url, embedder=None)


def test_a_locked_database_delays_a_call_by_little(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/cache.db"
    with SemanticCache.open(url, embedder=None, policy=None) as cache:
        cache.record(QUESTION, "stored")
        other = sqlite3.connect(tmp_path / "cache.db", isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        started = time.perf_counter()
        assert cache.call("a new question", lambda: "from the model") == "from the model"
        assert time.perf_counter() - started < 1.0
        other.execute("ROLLBACK")
        other.close()
        assert cache.stats().store_errors >= 1
        cache._engine.write_breaker._open_until = 0  # the pause, which the test does not wait for
        assert cache.call("a new question", lambda: "again") == "again"
        assert cache.lookup("a new question") is not None


def test_a_full_disk_costs_the_recording_and_nothing_else(tmp_path: Path) -> None:
    program = f"""
import resource
from semcache import SemanticCache
with SemanticCache.open("sqlite:///{tmp_path}/cache.db", embedder=None) as cache:
    cache.record("kept?", "kept")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, hard))
    assert cache.call("big?", lambda: "x" * (4 << 20)) == "x" * (4 << 20)
    assert cache.stats().store_errors == 1, cache.stats()
    cache._engine.write_breaker._open_until = 0
    assert cache.lookup("kept?").answer == "kept"
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    cache._engine.write_breaker._open_until = 0
    assert cache.record("big?", "x" * (4 << 20))
    assert len(cache.lookup("big?").answer) == 4 << 20
"""
    assert resource.RLIMIT_FSIZE is not None
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert "full" in done.stderr or "space" in done.stderr or "size" in done.stderr


@pytest.mark.parametrize("prompt", ["\ud800 lone", "nul \x00 byte", "😀" * 10, "ß ﬁ ½", "a\r\nb"])
def test_odd_text_is_only_text(open_cache: OpenCache, prompt: str) -> None:
    cache = open_cache(embedder=LocalEmbedder())
    assert cache.lookup(prompt) is None
    assert cache.record(prompt, prompt, tags=[prompt])
    hit = cache.lookup(prompt)
    assert hit is not None
    assert (hit.answer, hit.entry.query) == (prompt, prompt)
    assert cache.invalidate(tags=[prompt]) == 1


def test_megabyte_prompts_are_told_apart_and_never_served_by_meaning(
    open_cache: OpenCache, caplog: pytest.LogCaptureFixture
) -> None:
    events: list[Event] = []
    cache = open_cache(embedder=LocalEmbedder(), on_event=events.append)
    one, two = "word " * 200_000 + "one", "word " * 200_000 + "two"
    assert cache.record(one, "first")
    assert "truncated" in {event.kind for event in events}
    assert "longer than the encoder reads" in caplog.text
    assert cache.lookup(two) is None
    assert "longer than the encoder reads" in cache.explain(two).reason
    hit = cache.lookup(one)
    assert hit is not None
    assert hit.answer == "first"


def test_megabyte_answers_come_back(open_cache: OpenCache) -> None:
    cache = open_cache()
    answer = "answer ü " * 500_000
    cache.record(QUESTION, answer)
    hit = cache.lookup(QUESTION)
    assert hit is not None
    assert hit.answer == answer


def test_a_closed_cache_steps_aside(open_cache: OpenCache) -> None:
    cache = open_cache()
    cache.record(QUESTION, "a")
    cache.close()
    cache.close()
    assert cache.call(QUESTION, lambda: "from the model") == "from the model"


def test_the_core_works_without_numpy(tmp_path: Path) -> None:
    program = f"""
import sys
for name in ("numpy", "usearch", "onnxruntime", "tokenizers", "semcache_models"):
    sys.modules[name] = None
from semcache import SemanticCache
with SemanticCache.open("sqlite:///{tmp_path}/cache.db", embedder=None) as cache:
    assert cache.call("hi", lambda: "a") == "a"
    assert cache.lookup("hi").tier == "exact"
    cache.export("{tmp_path}/out.jsonl")
    cache.import_("{tmp_path}/out.jsonl")
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)


def test_importing_semcache_imports_nothing_heavy() -> None:
    program = (
        "import sys, semcache\n"
        "heavy = {'numpy', 'usearch', 'onnxruntime', 'tokenizers', 'pydantic', 'rich', 'typer'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"
