"""Samples: what a user sees of hits that go to the model anyway, and of what they show."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from semcache import ConfigurationError, Event, SemanticCache, cached
from semcache.judges import Compared, EmbeddingJudge, ExactJudge, VerifierJudge
from tests.cache.online_cases import AngleEmbedder, by_angle
from tests.conftest import OpenCache

WAIT_S = 60.0


def sampling(**options: Any) -> dict[str, Any]:
    """Options of ``open``: every hit is a sample, compared by its words."""
    return by_angle(**({"shadow_rate": 1.0, "judge": ExactJudge()} | options))


class Model:
    """Answers with what it was told to, and counts."""

    def __init__(self, answer: Any = "zero") -> None:
        self.answer = answer
        self.calls = 0
        self.called = threading.Event()

    def __call__(self) -> Any:
        self.calls += 1
        self.called.set()
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer

    async def later(self) -> Any:
        return self()


def settled(cache: SemanticCache) -> tuple[int, int, int]:
    """Right, wrong and undecided samples, once all are in."""
    assert cache.drain(WAIT_S)
    shadow = cache.stats().shadow
    return shadow.right, shadow.wrong, shadow.undecided


def test_by_default_no_hit_goes_to_the_model(open_cache: OpenCache) -> None:
    cache, model = open_cache(**by_angle()), Model()
    cache.record("at 0", "zero")
    for _ in range(3):
        assert cache.call("at 10", model) == "zero"
    assert model.calls == 0
    assert cache.stats().live == {}


# Inline ---------------------------------------------------------------------------------------


def test_inline_the_caller_gets_the_fresh_answer(open_cache: OpenCache) -> None:
    cache, model = open_cache(**sampling()), Model("zero")
    cache.record("at 0", "zero")
    assert cache.call("at 10", model) == "zero"
    assert model.calls == 1
    assert settled(cache) == (1, 0, 0)
    live = cache.stats().live["default"]
    assert (live.samples, live.wrong, live.lower) == (1, 0, 0.0)
    assert (live.window, live.upper) == (1, 1.0)


def test_a_wrong_sample_forbids_the_pair_and_counts(open_cache: OpenCache) -> None:
    cache = open_cache(**sampling())
    cache.record("at 0", "zero")
    assert cache.call("at 15", Model("fifteen")) == "fifteen"
    assert settled(cache) == (0, 1, 0)
    assert cache.stats().live["default"].wrong == 1
    hit = cache.lookup("at 15")
    assert hit is not None
    assert hit.answer == "fifteen", "the fresh answer was recorded"
    assert cache.explain("at 14").candidates[0].found.entry.query == "at 15"


def test_an_alias_is_a_sample_like_a_first_hit(open_cache: OpenCache) -> None:
    draws = iter([0.9, 0.1])
    cache = open_cache(**sampling(shadow_rate=0.5, random=lambda: next(draws)))
    cache.record("at 0", "zero")
    model = Model("zero")
    assert cache.call("at 10", model) == "zero"
    assert model.calls == 0
    assert cache.call("at 10", model) == "zero"
    assert model.calls == 1
    assert settled(cache) == (1, 0, 0)


def test_exact_hits_are_no_samples(open_cache: OpenCache) -> None:
    cache, model = open_cache(**sampling()), Model()
    cache.record("at 0", "zero")
    assert cache.call("at 0", model) == "zero"
    assert model.calls == 0


def test_which_hits_are_drawn_is_what_random_says(open_cache: OpenCache) -> None:
    draws = iter([0.5, 0.005, 0.02, 0.0099, 0.01])
    cache = open_cache(**sampling(shadow_rate=0.01, random=lambda: next(draws)))
    cache.record("at 0", "zero")
    model = Model("zero")
    sampled = []
    for angle in range(1, 6):
        before = model.calls
        cache.call(f"at {angle}", model)
        sampled.append(model.calls > before)
    assert sampled == [False, True, False, True, False]


def test_a_call_may_choose_its_own_rate(open_cache: OpenCache) -> None:
    cache, model = open_cache(**sampling(shadow_rate=0.0)), Model()
    cache.record("at 0", "zero")
    cache.call("at 1", model, shadow_rate=1.0)
    assert model.calls == 1
    cache.call("at 2", model)
    assert model.calls == 1


def test_if_the_model_fails_the_stored_answer_is_served_after_all(open_cache: OpenCache) -> None:
    events: list[Event] = []
    cache = open_cache(**sampling(on_event=events.append))
    cache.record("at 0", "zero")
    assert cache.call("at 10", Model(OSError("down"))) == "zero"
    assert settled(cache) == (0, 0, 0)
    assert cache.stats().shadow.errors == 1
    assert any(event.kind == "shadow-error" and "OSError" in event.reason for event in events)
    with pytest.raises(OSError, match="down"):
        cache.call("at 90", Model(OSError("down")))


def test_lookup_and_record_are_compared_too(open_cache: OpenCache) -> None:
    cache = open_cache(**sampling())
    cache.record("at 0", "zero")
    assert cache.lookup("at 15") is None
    cache.record("at 15", "fifteen")
    assert settled(cache) == (0, 1, 0)
    assert cache.lookup("at 1", shadow_rate=0.0) is not None


def test_an_answer_that_is_cut_off_proves_nothing(open_cache: OpenCache) -> None:
    cache = open_cache(**sampling())
    cache.record("at 0", "zero")
    assert cache.lookup("at 15") is None
    assert not cache.record("at 15", "fif", finish_reason="length")
    assert settled(cache) == (0, 0, 1)
    assert cache.lookup("at 15", shadow_rate=0.0) is not None


# In the background ----------------------------------------------------------------------------


def test_in_the_background_the_stored_answer_comes_at_once(open_cache: OpenCache) -> None:
    cache = open_cache(**sampling(shadow="background"))
    cache.record("at 0", "zero")
    gate, called = threading.Event(), threading.Event()

    def model() -> str:
        called.set()
        assert gate.wait(WAIT_S)
        return "fifteen"

    assert cache.call("at 15", model) == "zero"
    assert called.wait(WAIT_S)
    gate.set()
    assert settled(cache) == (0, 1, 0)
    # The model's answer is known now, so the next one gets it.
    assert cache.call("at 15", Model("no")) == "fifteen"
    stats = cache.stats()
    assert stats.hits["semantic"] == 1
    assert stats.live["default"].wrong == 1


def test_nothing_that_goes_wrong_there_reaches_anybody(open_cache: OpenCache) -> None:
    def judge(compared: Compared) -> bool:
        raise RuntimeError("no verdict today")

    cache = open_cache(**sampling(shadow="background", judge=judge))
    cache.record("at 0", "zero")
    assert cache.call("at 1", Model(OSError("down"))) == "zero"
    assert cache.call("at 2", Model("zero")) == "zero"
    assert settled(cache) == (0, 0, 0)
    assert cache.stats().shadow.errors == 2
    assert cache.stats().live == {}


def test_only_so_many_are_under_way_at_once(open_cache: OpenCache) -> None:
    cache = open_cache(**sampling(shadow="background"))
    cache.record("at 0", "zero")
    gate = threading.Event()

    def model() -> str:
        assert gate.wait(WAIT_S)
        return "zero"

    for number in range(50):
        assert cache.call(f"at {number / 100}", model) == "zero"
    gate.set()
    right, wrong, undecided = settled(cache)
    dropped = cache.stats().shadow.dropped
    assert (wrong, undecided) == (0, 0)
    assert right + dropped == 50
    assert dropped > 0
    assert cache.stats().live["default"].samples == right, "none overwrote another"


def test_closing_waits_for_what_is_under_way(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/cache.db"
    gate, called = threading.Event(), threading.Event()

    def model() -> str:
        called.set()
        assert gate.wait(WAIT_S)
        return "fifteen"

    cache = SemanticCache.open(url, **sampling(shadow="background"))
    cache.record("at 0", "zero")
    cache.call("at 15", model)
    assert called.wait(WAIT_S)
    closing = threading.Thread(target=cache.close)
    closing.start()
    gate.set()
    closing.join(WAIT_S)
    assert not closing.is_alive()
    with SemanticCache.open(url, **by_angle()) as later:
        hit = later.lookup("at 15")
        assert hit is not None
        assert hit.answer == "fifteen"
        assert later.stats().live["default"].wrong == 1


# Event loops and streams ----------------------------------------------------------------------


@pytest.mark.parametrize("way", ["inline", "background"])
async def test_coroutines(open_cache: OpenCache, way: str) -> None:
    loop = asyncio.get_running_loop()
    where: list[object] = []

    async def judge(compared: Compared) -> bool:
        where.append(asyncio.get_running_loop())
        return compared.stored_text == compared.fresh_text

    async def model() -> str:
        where.append(asyncio.get_running_loop())
        return "fifteen"

    cache = open_cache(**sampling(shadow=way, judge=judge))
    await cache.arecord("at 0", "zero")
    answer = await cache.acall("at 15", model)
    assert answer == ("fifteen" if way == "inline" else "zero")
    assert await cache.adrain(WAIT_S)
    assert (await cache.astats()).shadow.wrong == 1
    assert where == [loop, loop], "the caller's clients live on its loop"
    assert await cache.acall("at 15", model) == "fifteen"
    await cache.aclose()


async def test_a_failing_coroutine_is_spared(open_cache: OpenCache) -> None:
    cache = open_cache(**sampling())
    await cache.arecord("at 0", "zero")
    assert await cache.acall("at 15", Model(OSError("down")).later) == "zero"


@pytest.mark.parametrize("way", ["inline", "background"])
def test_streams(open_cache: OpenCache, way: str) -> None:
    cache = open_cache(**sampling(shadow=way))
    cache.record("at 0", ["ze", "ro"], stream=True)
    fresh = list(cache.stream("at 10", lambda: iter(["z", "ero"])))
    assert fresh == (["z", "ero"] if way == "inline" else ["ze", "ro"])
    assert settled(cache) == (1, 0, 0), "the same words, cut otherwise"
    assert list(cache.stream("at 15", lambda: iter(["fif", "teen"]))) != []
    assert settled(cache) == (1, 1, 0)
    assert list(cache.stream("at 15", lambda: iter(["no"]))) == ["fif", "teen"]


@pytest.mark.parametrize("way", ["inline", "background"])
async def test_async_streams(open_cache: OpenCache, way: str) -> None:
    async def source() -> AsyncIterator[str]:
        yield "fif"
        yield "teen"

    cache = open_cache(**sampling(shadow=way))
    await cache.arecord("at 0", ["ze", "ro"], stream=True)
    got = [chunk async for chunk in cache.astream("at 15", source)]
    assert got == (["fif", "teen"] if way == "inline" else ["ze", "ro"])
    assert await cache.adrain(WAIT_S)
    assert (await cache.astats()).shadow.wrong == 1


def failing(after: int) -> Iterator[str]:
    yield from ["fif", "teen"][:after]
    raise OSError("down")


async def afailing(after: int) -> AsyncIterator[str]:
    for chunk in failing(after):
        yield chunk


async def test_a_stream_that_never_began_is_spared(open_cache: OpenCache) -> None:
    cache = open_cache(**sampling())
    cache.record("at 0", ["ze", "ro"], stream=True)
    assert list(cache.stream("at 10", lambda: failing(0))) == ["ze", "ro"]
    assert [chunk async for chunk in cache.astream("at 11", lambda: afailing(0))] == ["ze", "ro"]
    for_nothing = cache.stream("at 12", lambda: failing(1))
    assert next(for_nothing) == "fif"
    with pytest.raises(OSError, match="down"):
        next(for_nothing)


# Judges ---------------------------------------------------------------------------------------


class LogitOfLength:
    """Surer, the more alike in length."""

    fingerprint = "length"

    def score(self, pairs: list[tuple[str, str]]) -> list[float]:
        return [5.0 - abs(len(one) - len(two)) for one, two in pairs]

    def fits(self, one: str, two: str) -> bool:
        return len(one) + len(two) < 100


def compared(stored: str, fresh: str) -> Compared:
    return Compared("asked", "answered", stored, fresh, stored, fresh)


@pytest.mark.parametrize(
    ("judge", "stored", "fresh", "same"),
    [
        (ExactJudge(), "a  b", "a b\n", True),
        (ExactJudge(), "a b", "a c", False),
        (EmbeddingJudge(AngleEmbedder(), 0.97), "at 0", "at 10", True),
        (EmbeddingJudge(AngleEmbedder(), 0.97), "at 0", "at 20", None),
        (EmbeddingJudge(AngleEmbedder(), 0.97, 0.95), "at 0", "at 20", False),
        (EmbeddingJudge(AngleEmbedder()), "at 0", "", None),
        (VerifierJudge(LogitOfLength()), "four", "for", True),  # type: ignore[arg-type]
        (VerifierJudge(LogitOfLength()), "four", "f", True),  # type: ignore[arg-type]
        (VerifierJudge(LogitOfLength()), "fourteen", "f", False),  # type: ignore[arg-type]
        (VerifierJudge(LogitOfLength()), "x" * 60, "y" * 60, None),  # type: ignore[arg-type]
    ],
)
def test_the_judges_of_semcache(
    judge: Callable[[Compared], bool | None], stored: str, fresh: str, same: bool | None
) -> None:
    assert judge(compared(stored, fresh)) is same


def test_a_judge_sees_both_prompts_and_both_answers(open_cache: OpenCache) -> None:
    seen: list[Compared] = []

    def judge(compared: Compared) -> None:
        seen.append(compared)

    cache = open_cache(**sampling(judge=judge))
    cache.record("at 0", {"choices": [{"message": {"content": "zero"}}]})
    fresh = {"choices": [{"message": {"content": "null"}}]}
    assert cache.call("at 10", Model(fresh)) == fresh
    assert settled(cache) == (0, 0, 1), "None: cannot say, does not count"
    (one,) = seen
    assert (one.query, one.candidate) == ("at 10", "at 0")
    assert (one.stored_text, one.fresh_text) == ("zero", "null")
    assert one.fresh == fresh
    assert cache.stats().live == {}


@pytest.mark.parametrize(
    "options",
    [{"shadow_rate": 1.5}, {"shadow_rate": -0.1}, {"shadow_rate": True}, {"shadow": "now"},
     {"judge": "me"}],
)  # fmt: skip
def test_what_cannot_be_is_said_at_once(open_cache: OpenCache, options: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError):
        open_cache(**by_angle(**options))


# The bound ------------------------------------------------------------------------------------


def wordings(around: float) -> Iterator[float]:
    """Angles within a hundredth of a degree: always a new prompt, always the same meaning."""
    step = 0
    while True:
        step += 1
        yield round(around + step * 1e-6, 6)


def right_then_wrong(cache: SemanticCache, right: int, wrong: int, first: int = 0) -> None:
    cache.record("at 200", "stored")
    fresh = wordings(200)
    for _ in range(right):
        cache.call(f"at {next(fresh)}", Model("stored"))
        assert cache.drain(WAIT_S)
    for number in range(first, first + wrong):
        # Each entry is wrong for a wording at no distance at all: no threshold helps.
        cache.record(f"at {number}", "stored")
        cache.call(f"at {number}.000001", Model("fresh"))
        assert cache.drain(WAIT_S)


def moves(events: list[Event]) -> list[str]:
    steps = [event.reason for event in events if event.kind in ("tightened", "relaxed")]
    return [reason.rpartition("; ")[2] for reason in steps]


def test_the_threshold_goes_up_as_far_as_the_bound_is_broken_and_then_pauses() -> None:
    events: list[Event] = []
    with SemanticCache.open("memory://", on_event=events.append, **sampling()) as cache:
        right_then_wrong(cache, 10, 5)  # at least 1.9 %
        live = cache.stats().live["default"]
        assert (live.step, live.threshold, live.paused) == (1, 0.97, False)
        right_then_wrong(cache, 0, 2, first=50)  # at least 3.4 %
        live = cache.stats().live["default"]
        assert (live.paused, live.step, live.threshold) == (True, 3, None)
        assert moves(events) == [
            "tightened: threshold 0.97",
            "tightened: nothing is served by meaning",
        ]
        assert "paused" in cache.explain("at 100.5").reason
        # Nothing is served. What would be is compared all the same: the model is called anyway.
        cache.record("at 300", "stored")
        fresh, model = wordings(300), Model("stored")
        for number in range(489):
            assert cache.call(f"at {next(fresh)}", model, shadow_rate=0.001) == "stored"
            assert model.calls == number + 1
            assert cache.drain(WAIT_S)
        live = cache.stats().live["default"]
        assert (live.paused, live.step, live.threshold) == (False, 2, 0.99)
        assert cache.call(f"at {next(fresh)}", model, shadow_rate=0.0) == "stored"
        assert model.calls == 489


def test_evidence_of_slack_relaxes_and_never_under_the_calibration() -> None:
    events: list[Event] = []
    with SemanticCache.open("memory://", on_event=events.append, **sampling()) as cache:
        right_then_wrong(cache, 10, 5)
        assert cache.stats().live["default"].threshold == 0.97
        cache.record("at 300", "stored")
        fresh = wordings(300)
        for _ in range(2 * 489):  # 489 are what it takes to bring the upper limit to 1 %
            cache.call(f"at {next(fresh)}", Model("stored"))
            assert cache.drain(WAIT_S)
        live = cache.stats().live["default"]
        assert (live.step, live.threshold) == (0, 0.95)
        # That was shown, and a new window looks out for a change.
        assert (live.last_window, live.last_upper, live.window) == (489, 0.01, 0)
        assert moves(events) == ["tightened: threshold 0.97", "relaxed: threshold 0.95"]


def test_hits_under_another_bound_are_another_population(open_cache: OpenCache) -> None:
    cache = open_cache(**sampling())
    cache.record("at 0", "zero")
    cache.call("at 15", Model("fifteen"), max_wrong=0.5)
    assert settled(cache) == (0, 1, 0)
    assert cache.stats().live == {}


def test_a_decorated_function_may_choose_too(open_cache: OpenCache) -> None:
    cache, model = open_cache(**sampling(shadow_rate=0.0)), Model("zero")

    @cached(cache, shadow_rate=1.0, shadow="background")
    def ask(prompt: str) -> str:
        return str(model())

    assert ask("at 0") == ask("at 10") == "zero"
    assert settled(cache) == (1, 0, 0)
    assert model.calls == 2
