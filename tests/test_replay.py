"""The core of replay: counting, wrong hits, percentiles, reading streams."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from semcache import ConfigurationError, SemanticCache
from semcache.replay import PAIRS_KEPT, Prompt, percentile, read_prompts, replay


@pytest.fixture
def cache() -> SemanticCache:
    return SemanticCache.open("memory://", embedder=None, policy=None)


def test_counts_and_advances(cache: SemanticCache) -> None:
    advanced: list[int] = []
    prompts = [Prompt("a", "1"), Prompt("b", "2"), Prompt("a", "1"), Prompt("", "3")]
    done = replay(cache, prompts, lambda: advanced.append(1))
    assert (done.requests, done.misses, done.upstream_calls, len(advanced)) == (4, 3, 3, 4)
    assert done.hits == {"exact": 1}
    assert done.hit_rate == 0.25
    assert len(done.latencies["exact"]) == 1
    assert len(done.latencies["miss_overhead"]) == 3
    assert done.to_json()["wrong"] == 0


def test_time_in_the_model_is_not_the_cache_s(cache: SemanticCache) -> None:
    done = replay(cache, [Prompt("a")])
    assert 0 < done.latencies["miss_overhead"][0] < done.seconds


def test_wrong_hits_are_counted_and_some_are_kept(cache: SemanticCache) -> None:
    prompts = [Prompt("same", str(number)) for number in range(PAIRS_KEPT + 11)]
    done = replay(cache, prompts)
    assert done.wrong == PAIRS_KEPT + 10
    assert len(done.wrong_hits) == PAIRS_KEPT
    assert done.wrong_hits[0].served_group == "0"
    assert done.wrong_hits[0].tier == "exact"


def test_without_groups_nothing_is_said_about_wrong_hits(cache: SemanticCache) -> None:
    assert replay(cache, [Prompt("a"), Prompt("a")]).to_json()["wrong"] is None


def test_meets_nothing_of_others(cache: SemanticCache) -> None:
    cache.record("a", "somebody's answer")
    assert replay(cache, [Prompt("a", "1")]).misses == 1


@given(st.lists(st.floats(0, 1e6), min_size=1), st.integers(1, 100))
def test_a_percentile_is_a_value_that_so_many_do_not_exceed(
    values: list[float], percent: int
) -> None:
    found = percentile(values, percent)
    assert found in values
    assert sum(value <= found for value in values) >= percent / 100 * len(values) - 1e-9
    assert sum(value < found for value in values) < percent / 100 * len(values) + 1e-9


def test_reads_a_stream(tmp_path: Path) -> None:
    file = tmp_path / "s.jsonl"
    file.write_text('{"text": "a", "n": 1}\n\n{"text": "\\ud800", "n": 2}\n')
    assert list(read_prompts(file, "n")) == [Prompt("a", "1"), Prompt("\ud800", "2")]
    assert list(read_prompts(file)) == [Prompt("a"), Prompt("\ud800")]


@pytest.mark.parametrize(
    "line", ["{", "[]", '{"text": 1}', '{"txt": ""}', '{"text": "", "g": null}']
)
def test_a_bad_line_is_named(tmp_path: Path, line: str) -> None:
    file = tmp_path / "s.jsonl"
    file.write_text('{"text": "a", "g": 1}\n' + line)
    with pytest.raises(ConfigurationError, match=r"s\.jsonl, line 2: "):
        list(read_prompts(file, "g"))
