"""What a user gets from ``report_wrong`` and ``report_right``: at once, everywhere, for good."""

from __future__ import annotations

import logging
import multiprocessing
from pathlib import Path

import pytest

from semcache import Event, Hit, Scope, SemanticCache, StoreError
from tests.cache.online_cases import AngleEmbedder, Clock, by_angle
from tests.conftest import OpenCache


def hit_of(cache: SemanticCache, query: str, scope: Scope | None = None) -> Hit:
    hit = cache.lookup(query, scope=scope)
    assert hit is not None, cache.explain(query, scope=scope).reason
    return hit


def reported_at_15(cache: SemanticCache) -> None:
    """The answer of "at 0" was served to "at 15" and was wrong."""
    cache.record("at 0", "zero")
    cache.report_wrong(hit_of(cache, "at 15"))


def test_a_wrong_pair_is_never_served_again_nor_its_neighbourhood(open_cache: OpenCache) -> None:
    cache = open_cache(**by_angle())
    reported_at_15(cache)
    for wrong in ("at 15", "at 14", "at 16", "at 10"):
        assert cache.lookup(wrong) is None
        said = cache.explain(wrong)
        assert said.outcome == "refused"
        assert "reported wrong" in said.reason
    # Who asks what the entry was recorded for, in other words, is still answered.
    assert hit_of(cache, "at 1").answer == "zero"
    assert hit_of(cache, "at -10").answer == "zero"
    assert hit_of(cache, "at 0").tier == "exact"


def test_aliases_of_the_neighbourhood_are_gone_too(open_cache: OpenCache) -> None:
    cache = open_cache(**by_angle())
    cache.record("at 0", "zero")
    assert hit_of(cache, "at 14").tier == hit_of(cache, "at 1").tier == "semantic"
    assert hit_of(cache, "at 14").tier == hit_of(cache, "at 1").tier == "alias"
    cache.report_wrong(hit_of(cache, "at 15"))
    assert cache.lookup("at 14") is None
    assert hit_of(cache, "at 1").tier == "semantic"


def test_a_wrong_alias_is_reported_like_a_first_hit(open_cache: OpenCache) -> None:
    cache = open_cache(**by_angle())
    cache.record("at 0", "zero")
    hit_of(cache, "at 15")
    alias = hit_of(cache, "at 15")
    assert alias.tier == "alias"
    cache.report_wrong(alias)
    assert cache.lookup("at 15") is None
    assert cache.lookup("at 14") is None


def test_a_near_duplicate_of_the_wrong_entry_is_as_wrong(open_cache: OpenCache) -> None:
    cache = open_cache(**by_angle())
    reported_at_15(cache)
    cache.record("at -1", "zero again")
    assert cache.lookup("at 15") is None
    assert hit_of(cache, "at -10").answer == "zero again"


def test_the_right_answer_serves_the_neighbourhood(open_cache: OpenCache) -> None:
    cache = open_cache(**by_angle())
    reported_at_15(cache)
    cache.record("at 15", "fifteen")
    assert hit_of(cache, "at 15").answer == "fifteen"
    assert hit_of(cache, "at 14").answer == "fifteen"


def test_recording_the_entry_anew_changes_nothing(open_cache: OpenCache) -> None:
    cache = open_cache(**by_angle())
    reported_at_15(cache)
    cache.record("at 0", "zero, again")
    assert cache.lookup("at 15") is None
    cache.invalidate("at 0")
    cache.record("at 0", "zero, once more")
    assert cache.lookup("at 15") is None
    assert hit_of(cache, "at 1").answer == "zero, once more"


def test_a_report_is_about_its_own_scope(open_cache: OpenCache) -> None:
    cache = open_cache(**by_angle())
    acme, initech = Scope(tenant="acme"), Scope(tenant="initech")
    for scope in (acme, initech):
        cache.record("at 0", "zero", scope=scope)
    cache.report_wrong(hit_of(cache, "at 15", scope=acme))
    assert cache.lookup("at 15", scope=acme) is None
    assert hit_of(cache, "at 15", scope=initech).answer == "zero"


def test_an_entry_that_is_wrong_for_three_prompts_answers_only_its_own(
    open_cache: OpenCache,
) -> None:
    cache = open_cache(**by_angle(max_wrong=0.9999))  # so that the reports tighten nothing
    cache.record("at 0", "zero")
    for wrong in ("at 17", "at 17/120", "at 17/240"):
        assert hit_of(cache, "at 1").answer == "zero"
        cache.report_wrong(hit_of(cache, wrong))
    assert cache.lookup("at 1") is None
    assert hit_of(cache, "at 0").answer == "zero"


def test_other_processes_and_later_ones_know(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/cache.db"
    with SemanticCache.open(url, **by_angle()) as one, SemanticCache.open(url, **by_angle()) as two:
        one.record("at 0", "zero")
        assert hit_of(two, "at 14").answer == "zero"
        one.report_wrong(hit_of(one, "at 15"))
        assert two.lookup("at 14") is None
        assert two.lookup("at 15") is None
    with SemanticCache.open(url, **by_angle()) as later:
        assert later.lookup("at 15") is None
        assert later.stats().live["default"].reported_wrong == 1


def report_at_15(url: str) -> None:
    with SemanticCache.open(url, **by_angle()) as cache:
        cache.report_wrong(hit_of(cache, "at 15"))


def test_a_report_of_another_process_holds_at_once(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/cache.db"
    with SemanticCache.open(url, **by_angle()) as cache:
        cache.record("at 0", "zero")
        assert hit_of(cache, "at 14").tier == "semantic"
        process = multiprocessing.get_context("spawn").Process(target=report_at_15, args=(url,))
        process.start()
        process.join(60)
        assert process.exitcode == 0
        assert cache.lookup("at 14") is None
        assert hit_of(cache, "at 1").answer == "zero"


def test_reports_travel_with_an_export(open_cache: OpenCache, tmp_path: Path) -> None:
    with SemanticCache.open("memory://", secret="x" * 16, **by_angle()) as source:
        reported_at_15(source)
        source.export(tmp_path / "all.jsonl")
    with SemanticCache.open("memory://", secret="x" * 16, **by_angle()) as target:
        target.import_(tmp_path / "all.jsonl")
        assert target.lookup("at 15") is None
        assert hit_of(target, "at 1").answer == "zero"


def test_without_vectors_the_whole_entry_is_quarantined(open_cache: OpenCache) -> None:
    embedder = AngleEmbedder()
    cache = open_cache(**by_angle(embedder=embedder))
    cache.record("at 0", "zero")
    for query in ("at 15", "at 1"):
        hit_of(cache, query)
    alias = hit_of(cache, "at 15")
    embedder.broken = True
    cache._shell._memo._reset()  # as if the prompts had been embedded long ago
    cache.report_wrong(alias)
    assert cache.lookup("at 15") is None
    assert cache.lookup("at 1") is None
    assert hit_of(cache, "at 0").answer == "zero"


def test_a_report_that_did_not_help_raises(open_cache: OpenCache) -> None:
    cache = open_cache(**by_angle())
    cache.record("at 0", "zero")
    hit = hit_of(cache, "at 15")
    cache.store.close()
    with pytest.raises(StoreError):
        cache.report_wrong(hit)
    with pytest.raises(StoreError):
        cache.report_right(hit)


# What reports say about the rate --------------------------------------------------------------


def test_reports_are_counted_once_a_pair(open_cache: OpenCache) -> None:
    cache = open_cache(**by_angle())
    cache.record("at 0", "zero")
    right, wrong = hit_of(cache, "at 1"), hit_of(cache, "at 15")
    for _ in range(3):
        cache.report_right(right)
        cache.report_wrong(wrong)
    stats = cache.stats()
    assert (stats.reported_right, stats.reported_wrong) == (3, 3)
    live = stats.live["default"]
    assert (live.served, live.reported_right, live.reported_wrong) == (2, 1, 1)
    assert sorted(cache.reported_pairs(), key=lambda pair: pair["a"]) == [
        {"a": "at 1", "b": "at 0", "label": 1},
        {"a": "at 15", "b": "at 0", "label": 0},
    ]


def test_a_report_of_an_exact_hit_says_nothing_about_meaning(open_cache: OpenCache) -> None:
    cache = open_cache(**by_angle())
    cache.record("at 0", "zero")
    cache.report_right(hit_of(cache, "at 0"))
    cache.report_wrong(hit_of(cache, "at 0"))
    assert cache.lookup("at 0") is None
    assert cache.reported_pairs() == []
    assert "default" not in cache.stats().live


def spoiled(cache: SemanticCache) -> None:
    """The only two hits, both reported wrong: no chance that only 1 % are."""
    for angle in (0, 50):
        cache.record(f"at {angle}", "zero")
        cache.report_wrong(hit_of(cache, f"at {angle + 15}"))


def test_many_reports_tighten_the_threshold(
    open_cache: OpenCache, caplog: pytest.LogCaptureFixture
) -> None:
    events: list[Event] = []
    cache = open_cache(**by_angle(on_event=events.append))
    with caplog.at_level(logging.WARNING, "semcache"):
        spoiled(cache)
    (tightened,) = (event for event in events if event.kind == "tightened")
    assert "by reports" in tightened.reason
    assert tightened.reason in caplog.text
    live = cache.stats().live["default"]
    assert (live.step, live.threshold, live.paused) == (1, 0.97, False)
    # Another entry, 15 degrees away: it would have been served before.
    cache.record("at 270", "far")
    assert cache.lookup("at 285") is None
    assert hit_of(cache, "at 272").answer == "far"


def test_a_few_reports_among_many_hits_tighten_nothing(open_cache: OpenCache) -> None:
    cache = open_cache(**by_angle())
    cache.record("at 0", "zero")
    for _ in range(300):
        hit_of(cache, "at 1")
    cache.report_wrong(hit_of(cache, "at 15"))
    live = cache.stats().live["default"]
    assert (live.served, live.reported_wrong, live.step) == (301, 1, 0)
    assert 0 < live.reported_lower < 0.01


def test_one_namespace_does_not_tighten_another(open_cache: OpenCache) -> None:
    cache = open_cache(**by_angle())
    spoiled(cache)
    other = Scope(namespace="other")
    cache.record("at 0", "zero", scope=other)
    assert hit_of(cache, "at 15", scope=other).answer == "zero"


def test_a_tightened_threshold_survives_and_is_seen_by_others(tmp_path: Path) -> None:
    url, clock = f"sqlite:///{tmp_path}/cache.db", Clock()
    with (
        SemanticCache.open(url, **by_angle(clock=clock)) as one,
        SemanticCache.open(url, **by_angle(clock=clock)) as two,
    ):
        one.record("at 300", "far")
        assert hit_of(two, "at 315").answer == "far"
        spoiled(one)
        clock.now += 10  # what others do is read again after a few seconds
        assert two.lookup("at 315") is None, "not even the alias that it has become"
    with SemanticCache.open(url, **by_angle(clock=clock)) as later:
        assert later.stats().live["default"].step > 0
        assert later.lookup("at 316") is None
        later.reset_live_rate()
        assert later.stats().live["default"].step == 0
        assert hit_of(later, "at 316").answer == "far"
        assert later.lookup("at 15") is None, "what was reported wrong stays forbidden"


async def test_the_same_for_event_loops(open_cache: OpenCache) -> None:
    cache = open_cache(**by_angle())
    cache.record("at 0", "zero")
    right, wrong = await cache.alookup("at 1"), await cache.alookup("at 15")
    assert right is not None
    assert wrong is not None
    await cache.areport_right(right)
    await cache.areport_wrong(wrong)
    assert await cache.alookup("at 14") is None
    live = (await cache.astats()).live["default"]
    assert (live.reported_right, live.reported_wrong) == (1, 1)
    await cache.areset_live_rate()
    assert (await cache.astats()).live["default"].reported_wrong == 0
    assert await cache.adrain(60)
