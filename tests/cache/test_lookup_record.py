"""What a user gets from ``lookup``, ``record``, ``explain``, ``report_wrong``, ``invalidate``."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest

from semcache import (
    AnswerError,
    ConfigurationError,
    Event,
    Price,
    Request,
    Scope,
    SemanticCache,
    Usage,
)
from semcache.embedders.local import LocalEmbedder
from tests.conftest import OpenCache

ACME = Scope(model="gpt-5", tenant="acme", system="You help.")
QUESTION = "How do I reset my password?"


class Clock:
    """A clock that the test sets."""

    def __init__(self, now: float = 1_000_000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


@pytest.fixture(scope="module")
def embedder() -> LocalEmbedder:
    return LocalEmbedder()


@pytest.mark.parametrize(
    "answer",
    ["Use the link.", "", 0, None, ["a", {"b": (1, 2.5)}], {"$tuple": 1}, b"\x00\xff", "\ud800"],
)
def test_what_comes_back_is_what_was_recorded(cache: SemanticCache, answer: Any) -> None:
    recorded = cache.record(QUESTION, answer, scope=ACME)
    hit = cache.lookup(QUESTION, scope=ACME)
    if answer is None or answer == "":
        assert not recorded
        assert "empty" in recorded.reason
        assert hit is None
    else:
        assert hit is not None
        assert hit.answer == answer
        assert type(hit.answer) is type(answer)


def test_a_hit_is_the_callers_own_copy(cache: SemanticCache) -> None:
    cache.record(QUESTION, {"steps": [1, 2]}, scope=ACME)
    first = cache.lookup(QUESTION, scope=ACME)
    assert first is not None
    first.answer["steps"].append(3)
    second = cache.lookup(QUESTION, scope=ACME)
    assert second is not None
    assert second.answer == {"steps": [1, 2]}


@pytest.mark.parametrize(
    "other",
    [
        Scope(model="gpt-6", tenant="acme", system="You help."),
        Scope(model="gpt-5", tenant="globex", system="You help."),
        Scope(model="gpt-5", system="You help."),
        Scope(model="gpt-5", tenant="acme", system="You are rude."),
        Scope(model="gpt-5", tenant="acme", system="You help.", params={"temperature": 1}),
        Scope(model="gpt-5", tenant="acme", system="You help.", history=["Hi"]),
        Scope(model="gpt-5", tenant="acme", system="You help.", namespace="other"),
        Scope(model="gpt-5", tenant="acme", system="You help.", user="u1"),
    ],
)
def test_a_scope_is_a_wall(open_cache: OpenCache, embedder: LocalEmbedder, other: Scope) -> None:
    cache = open_cache(embedder=embedder)
    cache.record(QUESTION, "Use the link.", scope=ACME)
    assert cache.lookup(QUESTION, scope=other) is None
    assert cache.explain(QUESTION, scope=other).candidates == ()
    assert cache.lookup(QUESTION, scope=ACME) is not None


def test_a_paraphrase_is_served_and_then_an_exact_alias(
    open_cache: OpenCache, embedder: LocalEmbedder
) -> None:
    cache = open_cache(embedder=embedder)
    cache.record(QUESTION, "Use the link.", scope=ACME)
    first = cache.lookup("how do i reset my password", scope=ACME)
    assert first is not None
    assert (first.tier, first.answer) == ("semantic", "Use the link.")
    assert first.probability > 0.5
    second = cache.lookup("how do i reset my password", scope=ACME)
    assert second is not None
    assert second.tier == "alias"


@pytest.mark.parametrize(
    ("stored", "asked"),
    [
        ("What is your return policy?", "What is your shipping policy?"),
        ("What is the diet for type 1 diabetes?", "What is the diet for type 2 diabetes?"),
        ("How far is it from Berlin to Paris?", "How far is it from Paris to Berlin?"),
        (
            "How do I enable two-factor authentication?",
            "How do I disable two-factor authentication?",
        ),
        ("Can I return it within 30 days?", "Can I return it within 15 days?"),
        ("What does error E-4021 mean?", "What does error E-4012 mean?"),
        ("Is coffee good for you?", "Is coffee not good for you?"),
    ],
)
def test_what_looks_alike_and_means_something_else_is_not_served(
    open_cache: OpenCache, embedder: LocalEmbedder, stored: str, asked: str
) -> None:
    cache = open_cache(embedder=embedder)
    cache.record(stored, "the stored answer", scope=ACME)
    assert cache.lookup(asked, scope=ACME) is None
    decision = cache.explain(asked, scope=ACME)
    assert decision.outcome in ("refused", "miss")
    assert decision.candidate is not None
    assert decision.candidate.found.entry.query == stored
    assert decision.reason


def test_the_right_error_code_is_found_among_thousands(
    open_cache: OpenCache, embedder: LocalEmbedder
) -> None:
    cache = open_cache(embedder=embedder)
    for code in range(4000, 4300):
        cache.record(f"what does error E-{code} mean?", f"it means {code}", scope=ACME)
    hit = cache.lookup("What does error E-4021 mean", scope=ACME)
    assert hit is not None
    assert hit.answer == "it means 4021"
    assert cache.lookup("What does error E-3999 mean", scope=ACME) is None


def test_explain_leaves_no_trace(open_cache: OpenCache, embedder: LocalEmbedder) -> None:
    cache = open_cache(embedder=embedder)
    cache.record(QUESTION, "Use the link.", scope=ACME)
    before = cache.stats()
    decision = cache.explain("how do i reset my password", scope=ACME)
    assert decision.outcome == "hit"
    assert decision.tier == "semantic"
    assert cache.stats() == before
    assert cache.explain("how do i reset my password", scope=ACME).tier == "semantic"


def test_a_wrong_hit_by_meaning_is_never_served_again(
    open_cache: OpenCache, embedder: LocalEmbedder
) -> None:
    cache = open_cache(embedder=embedder)
    cache.record(QUESTION, "Use the link.", scope=ACME)
    hit = cache.lookup("how do i reset my password", scope=ACME)
    assert hit is not None
    cache.report_wrong(hit)
    assert cache.lookup("how do i reset my password", scope=ACME) is None
    assert cache.lookup("HOW do I reset my password", scope=ACME) is None
    assert cache.lookup(QUESTION, scope=ACME) is not None
    assert cache.stats().reported_wrong == 1


def test_a_wrong_exact_hit_is_removed(cache: SemanticCache) -> None:
    cache.record(QUESTION, "Use the link.", scope=ACME)
    hit = cache.lookup(QUESTION, scope=ACME)
    assert hit is not None
    cache.report_wrong(hit)
    assert cache.lookup(QUESTION, scope=ACME) is None


def test_ttl_is_exact_and_not_extended_by_hits(open_cache: OpenCache) -> None:
    clock = Clock()
    cache = open_cache(clock=clock, ttl="1h")
    cache.record(QUESTION, "a", scope=ACME)
    cache.record("forever?", "b", scope=ACME, ttl=None)
    assert not cache.record("never?", "c", scope=ACME, ttl=0)
    start = clock.now
    for seconds in (1, 1800, 3599.999):
        clock.now = start + seconds
        assert cache.lookup(QUESTION, scope=ACME) is not None
    clock.now = start + 3600
    assert cache.lookup(QUESTION, scope=ACME) is None
    assert cache.lookup("never?", scope=ACME) is None
    clock.now = start + 10 * 365 * 86400
    assert cache.lookup("forever?", scope=ACME) is not None


def test_an_alias_does_not_outlive_its_answer(
    open_cache: OpenCache, embedder: LocalEmbedder
) -> None:
    clock = Clock()
    cache = open_cache(clock=clock, ttl=100, embedder=embedder)
    cache.record(QUESTION, "a", scope=ACME)
    clock.now += 99
    assert cache.lookup("how do i reset my password", scope=ACME) is not None
    clock.now += 1
    assert cache.lookup("how do i reset my password", scope=ACME) is None


def test_a_clock_that_steps_back_gives_no_entry_more_time(open_cache: OpenCache) -> None:
    clock = Clock()
    cache = open_cache(clock=clock, ttl=100)
    cache.record(QUESTION, "a", scope=ACME)
    clock.now -= 3600
    assert cache.lookup(QUESTION, scope=ACME) is None
    cache.record(QUESTION, "b", scope=ACME)
    hit = cache.lookup(QUESTION, scope=ACME)
    assert hit is not None
    assert hit.answer == "b"


@pytest.mark.parametrize(
    ("selection", "left"),
    [
        ({"tags": ["faq"]}, {"q2", "q3"}),
        ({"tags": ["faq", "hr"]}, {"q3"}),
        ({"tenant": "acme"}, {"q3"}),
        ({"namespace": "docs"}, {"q1", "q2"}),
        ({"query": "q2", "scope": ACME}, {"q1", "q3"}),
        ({"scope": ACME}, {"q3"}),
        ({"everything": True}, set()),
        ({"tags": ["nothing"]}, {"q1", "q2", "q3"}),
        ({"tenant": "acme", "tags": ["hr"]}, {"q1", "q3"}),
    ],
)
def test_invalidate(cache: SemanticCache, selection: dict[str, Any], left: set[str]) -> None:
    docs = Scope(namespace="docs")
    where = {"q1": ACME, "q2": ACME, "q3": docs}
    cache.record("q1", "a", scope=ACME, tags=["faq"])
    cache.record("q2", "a", scope=ACME, tags=["hr"])
    cache.record("q3", "a", scope=docs)
    removed = cache.invalidate(**selection)
    assert removed == 3 - len(left)
    assert {query for query, scope in where.items() if cache.lookup(query, scope=scope)} == left


def test_misuse_is_told_before_anything_changes(cache: SemanticCache) -> None:
    with pytest.raises(ConfigurationError, match="say what to invalidate"):
        cache.invalidate()
    with pytest.raises(ConfigurationError, match="tags must be a list"):
        cache.record(QUESTION, "a", tags="faq")
    with pytest.raises(ConfigurationError, match="ttl"):
        cache.record(QUESTION, "a", ttl=-1)
    with pytest.raises(ConfigurationError, match="max_wrong"):
        cache.lookup(QUESTION, max_wrong=1.5)
    with pytest.raises(ConfigurationError, match="query must be a str"):
        cache.lookup(17)  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="empty"):
        cache.record("  \n ", "a")
    with pytest.raises(AnswerError, match=r"_thread\.lock"):
        cache.record(QUESTION, threading.Lock())
    assert cache.lookup(QUESTION) is None
    assert cache.stats().store is not None
    assert cache.stats().store.entries == 0  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        ({"choices": [{"finish_reason": "length", "message": {"content": "x"}}]}, "length"),
        ({"choices": [{"finish_reason": "content_filter", "message": {}}]}, "content_filter"),
        ({"stop_reason": "max_tokens", "content": [{"text": "x"}]}, "max_tokens"),
        ({"error": {"message": "overloaded"}}, "error"),
        ({"object": "response", "status": "incomplete"}, "incomplete"),
        ({"choices": [{"message": {"refusal": "I can't"}, "finish_reason": "stop"}]}, "refused"),
        (
            {"message": {"tool_calls": [{"function": {"name": "f", "arguments": '{"a": '}}]}},
            "tool call",
        ),
        ("   ", "empty"),
    ],
)
def test_nothing_unworthy_is_stored(cache: SemanticCache, answer: Any, why: str) -> None:
    recorded = cache.record(QUESTION, answer)
    assert not recorded
    assert why in recorded.reason
    assert cache.lookup(QUESTION) is None


def test_a_cut_off_answer_is_refused_by_its_finish_reason(cache: SemanticCache) -> None:
    assert not cache.record(QUESTION, "Once upon", finish_reason="length")
    assert cache.record(QUESTION, "Once upon a time.", finish_reason="stop")


def test_admit_has_the_last_word(cache: SemanticCache) -> None:
    assert not cache.record(QUESTION, "I don't know", admit=lambda text: "know" not in text)

    def broken(answer: str) -> bool:
        raise RuntimeError("boom")

    recorded = cache.record(QUESTION, "fine", admit=broken)
    assert not recorded
    assert "RuntimeError" in recorded.reason


def test_no_cache_and_no_store(cache: SemanticCache) -> None:
    answers = iter(["one", "two", "three"])
    ask = lambda **controls: cache.call(QUESTION, lambda: next(answers), **controls)  # noqa: E731
    assert ask() == "one"
    assert ask() == "one"
    assert ask(no_cache=True, no_store=True) == "two"
    assert ask() == "one"
    assert ask(no_cache=True) == "three"
    assert ask() == "three"


def test_stats_count_tokens_money_and_seconds(open_cache: OpenCache) -> None:
    cache = open_cache(prices={"gpt-5": Price(2.0, 8.0)})
    usage = Usage(input_tokens=1000, output_tokens=500)
    cache.record(QUESTION, "a", scope=ACME, usage=usage, seconds=1.5)
    for _ in range(3):
        cache.lookup(QUESTION, scope=ACME)
    cache.lookup("something else", scope=ACME)
    stats = cache.stats()
    assert stats.hits["exact"] == 3
    assert stats.misses == 1
    assert stats.hit_rate == 0.75
    assert (stats.saved_input_tokens, stats.saved_output_tokens) == (3000, 1500)
    assert stats.saved_usd == pytest.approx(3 * 0.006)
    assert stats.saved_seconds == pytest.approx(4.5)
    assert stats.to_json()["requests"] == 4


def test_events_tell_the_story_without_prompts(
    open_cache: OpenCache, caplog: pytest.LogCaptureFixture
) -> None:
    events: list[Event] = []
    cache = open_cache(on_event=events.append)
    secret_prompt, secret_answer = "my card is 4111 1111", "the answer is hidden"
    with caplog.at_level("INFO", logger="semcache"):
        cache.lookup(secret_prompt, scope=ACME)
        cache.record(secret_prompt, secret_answer, scope=ACME)
        cache.lookup(secret_prompt, scope=ACME)
        cache.record("x", {"choices": [{"finish_reason": "length"}]}, scope=ACME)
    assert [event.kind for event in events] == ["miss", "stored", "hit", "not-admitted"]
    told = repr(events) + caplog.text
    for text in (secret_prompt, secret_answer, "acme"):
        assert text not in told


def test_a_listener_that_raises_disturbs_nobody(cache: SemanticCache) -> None:
    def broken(event: Event) -> None:
        raise RuntimeError("boom")

    seen: list[Event] = []
    cache.subscribe(broken)
    undo = cache.subscribe(seen.append)
    cache.record(QUESTION, "a")
    assert cache.lookup(QUESTION) is not None
    count = len(seen)
    undo()
    cache.lookup(QUESTION)
    assert len(seen) == count


def test_requests_from_chat_go_through(cache: SemanticCache) -> None:
    messages = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": QUESTION},
    ]
    request = Request.from_chat(messages, model="gpt-5", temperature=0)
    cache.record(request, {"role": "assistant", "content": "Use the link."})
    again = Request.from_chat(list(messages), model="gpt-5", temperature=0.0, stream=True)
    assert cache.lookup(again) is not None
    warmer = Request.from_chat(messages, model="gpt-5", temperature=1)
    assert cache.lookup(warmer) is None


async def test_every_twin_does_the_same(open_cache: OpenCache, embedder: LocalEmbedder) -> None:
    cache = open_cache(embedder=embedder)
    assert await cache.alookup(QUESTION, scope=ACME) is None
    assert await cache.arecord(QUESTION, "Use the link.", scope=ACME, tags=["faq"])
    hit = await cache.alookup("how do i reset my password", scope=ACME)
    assert hit is not None
    assert hit.tier == "semantic"
    assert (await cache.aexplain(QUESTION, scope=ACME)).tier == "exact"
    await cache.areport_wrong(hit)
    assert await cache.alookup("how do i reset my password", scope=ACME) is None
    assert (await cache.astats()).stored == 1
    assert await cache.ainvalidate(tags=["faq"]) == 1
    assert await cache.avacuum() == 0
    await cache.aclose()


def test_export_and_import_move_a_cache(
    open_cache: OpenCache, embedder: LocalEmbedder, tmp_path: Path
) -> None:
    source = open_cache(embedder=embedder, secret="a secret of sixteen bytes or more")
    source.record(QUESTION, "Use the link.", scope=ACME, tags=["faq"], usage=Usage(1, 2))
    source.record("\ud800 odd", ("a", b"\x00"), ttl=None)
    done = source.export(tmp_path / "all.jsonl.gz")
    assert done.entries == 2
    target = open_cache(
        embedder=embedder, secret="a secret of sixteen bytes or more", url="memory://"
    )
    assert target.import_(tmp_path / "all.jsonl.gz").entries == 2
    hit = target.lookup("how do i reset my password", scope=ACME)
    assert hit is not None
    assert hit.answer == "Use the link."
    assert hit.entry.tags == ("faq",)
    odd = target.lookup("\ud800 odd")
    assert odd is not None
    assert odd.answer == ("a", b"\x00")
    stranger = open_cache(url="memory://")
    with pytest.raises(ConfigurationError, match="another secret"):
        stranger.import_(tmp_path / "all.jsonl.gz")


def test_import_reads_seeds_and_checks_the_whole_file_first(
    cache: SemanticCache, tmp_path: Path
) -> None:
    seeds = tmp_path / "seeds.jsonl"
    good = '{"query": "What are your hours?", "answer": "9 to 5", "scope": {"model": "gpt-5"}}\n'
    seeds.write_text(good + '{"query": "", "answer": "x"}\n')
    with pytest.raises(ConfigurationError, match=r"line 2.*query"):
        cache.import_(seeds)
    assert cache.lookup("What are your hours?", scope=Scope(model="gpt-5")) is None
    seeds.write_text(good)
    assert cache.import_(seeds).seeds == 1
    hit = cache.lookup("What are your hours?", scope=Scope(model="gpt-5"))
    assert hit is not None
    assert hit.entry.source == "seed"


def test_an_entry_survives_reopening(tmp_path: Path, embedder: LocalEmbedder) -> None:
    url = f"sqlite:///{tmp_path}/cache.db"
    with SemanticCache.open(url, embedder=embedder) as cache:
        cache.record(QUESTION, "Use the link.", scope=ACME)
    with SemanticCache.open(url, embedder=embedder) as cache:
        hit = cache.lookup("how do i reset my password", scope=ACME)
        assert hit is not None
        assert hit.tier == "semantic"


def test_no_tenant_id_reaches_the_disk(tmp_path: Path) -> None:
    with SemanticCache.open(f"sqlite:///{tmp_path}/cache.db", embedder=None) as cache:
        scope = Scope(tenant="tenant-acme-4711", user="user-jane-4711", system="prompt-4711")
        cache.record("hello", "a", scope=scope)
        on_disk = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    assert b"hello" in on_disk
    assert b"4711" not in on_disk
