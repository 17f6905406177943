"""The ``cached`` decorator, on the four kinds of functions."""

from __future__ import annotations

import asyncio
import dataclasses
import functools
import gc
import inspect
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pydantic
import pytest

from semcache import (
    AnswerError,
    Codec,
    ConfigurationError,
    Scope,
    SemanticCache,
    Usage,
    cached,
)
from tests.conftest import OpenCache


def test_the_prompt_is_the_query_and_all_else_is_scope(cache: SemanticCache) -> None:
    calls: list[Any] = []

    @cached(cache)
    def ask(prompt: str, model: str = "gpt-5", *, temperature: float = 0) -> str:
        """Asks."""
        calls.append((prompt, model, temperature))
        return f"{model} on {prompt}"

    assert ask("hi there") == ask(" hi  there ") == ask(prompt="hi there", model="gpt-5")
    assert len(calls) == 1
    assert ask("hi there", temperature=0.0) == "gpt-5 on hi there"
    assert len(calls) == 1
    ask("hi there", "gpt-6")
    ask("hi there", temperature=1)
    assert len(calls) == 3
    assert (ask.__name__, ask.__doc__) == ("ask", "Asks.")
    assert list(inspect.signature(ask).parameters) == ["prompt", "model", "temperature"]
    info = ask.cache_info()
    assert (info.hits, info.misses, info.exact) == (3, 3, 3)


def test_the_prompt_argument_is_found(cache: SemanticCache) -> None:
    @cached(cache)
    def first_str(number: int, words: str) -> str:
        return words * number

    @cached(cache, prompt="b")
    def named(a: str, b: str) -> str:
        return a + b

    assert first_str(2, "x") == "xx"
    assert named("1", "2") == "12"
    with pytest.raises(ConfigurationError, match="no argument named"):
        cached(cache, prompt="nope")(lambda prompt: prompt)
    with pytest.raises(ConfigurationError, match="no argument that could"):
        cached(cache)(lambda: "x")
    with pytest.raises(ConfigurationError, match="must be a str"):
        first_str(2, 3)  # type: ignore[arg-type]


def test_an_argument_that_cannot_be_part_of_a_key_is_told(cache: SemanticCache) -> None:
    @cached(cache)
    def ask(prompt: str, client: object) -> str:
        return "a"

    with pytest.raises(ConfigurationError, match="scope="):
        ask("hi", object())

    @cached(cache, scope=lambda prompt, client, tenant: Scope(tenant=tenant))
    def scoped(prompt: str, client: object, tenant: str) -> str:
        return f"for {tenant}"

    assert scoped("hi", object(), "acme") == "for acme"
    assert scoped("hi", object(), "globex") == "for globex"
    assert scoped.cache_info().misses == 2
    scoped("hi", object(), "acme")
    assert scoped.cache_info().hits == 1


def test_two_functions_never_share_unless_they_share_a_name(cache: SemanticCache) -> None:
    same_scope = lambda prompt: Scope(model="gpt-5")  # noqa: E731

    @cached(cache, scope=same_scope)
    def summarise(prompt: str) -> str:
        return "summary"

    @cached(cache, scope=same_scope)
    def translate(prompt: str) -> str:
        return "translation"

    assert (summarise("text"), translate("text")) == ("summary", "translation")

    one = cached(cache, name="shared")(lambda prompt: "one")
    two = cached(cache, name="shared")(lambda prompt: "two")
    assert (one("text"), two("text")) == ("one", "one")

    def make(model: str) -> Any:
        @cached(cache)
        def ask(prompt: str) -> str:
            return model

        return ask

    assert (make("gpt-5")("text"), make("gpt-6")("text")) == ("gpt-5", "gpt-6")


def test_clear_and_explain(cache: SemanticCache) -> None:
    @cached(cache)
    def ask(prompt: str) -> str:
        return "a"

    @cached(cache)
    def other(prompt: str) -> str:
        return "b"

    assert ask.explain("hi").outcome == "miss"
    ask("hi")
    other("hi")
    assert ask.explain("hi").tier == "exact"
    assert ask.cache_info().hits == 0
    assert ask.cache_clear() == 1
    assert ask.explain("hi").outcome == "miss"
    assert other.explain("hi").tier == "exact"


def test_errors_of_the_function_reach_the_caller_and_are_not_cached(cache: SemanticCache) -> None:
    calls = []

    @cached(cache)
    def ask(prompt: str) -> str:
        calls.append(prompt)
        if len(calls) == 1:
            raise LookupError("upstream is down")
        return "fine"

    with pytest.raises(LookupError, match="upstream is down"):
        ask("hi")
    assert ask("hi") == "fine"
    assert ask("hi") == "fine"
    assert len(calls) == 2


class Answer(pydantic.BaseModel):
    text: str
    score: float


@dataclasses.dataclass
class Point:
    x: int
    y: int


def test_models_and_dataclasses_come_back_as_themselves(cache: SemanticCache) -> None:
    @cached(cache)
    def structured(prompt: str) -> Answer:
        return Answer(text=prompt, score=0.5)

    @cached(cache)
    def points(prompt: str) -> list[Point]:
        return [Point(1, 2)]

    for _ in range(2):
        assert structured("hi") == Answer(text="hi", score=0.5)
        assert points("hi") == [Point(1, 2)]
    assert structured.cache_info().hits == points.cache_info().hits == 1


def test_an_answer_that_cannot_be_recorded_is_still_the_answer(open_cache: OpenCache) -> None:
    cache = open_cache()

    @cached(cache)
    def ask(prompt: str) -> object:
        return object()

    assert type(ask("hi")) is object
    assert type(ask("hi")) is object
    assert ask.cache_info().misses == 2
    assert cache.stats().not_admitted == 2

    strict = open_cache(strict=True)

    @cached(strict)
    def strictly(prompt: str) -> object:
        return object()

    with pytest.raises(AnswerError, match="cannot be recorded"):
        strictly("hi")


@pytest.mark.parametrize("prompt", ["", "  \n\t "])
def test_an_empty_prompt_is_answered_and_never_cached(cache: SemanticCache, prompt: str) -> None:
    calls = []

    @cached(cache)
    def ask(prompt: str) -> str:
        calls.append(prompt)
        return "a"

    assert [ask(prompt), ask(prompt)] == ["a", "a"]
    assert len(calls) == 2
    assert cache.lookup(prompt) is None
    assert "empty" in cache.explain(prompt).reason


def test_usage_is_read_off_the_answer(cache: SemanticCache) -> None:
    @cached(cache, usage=lambda answer: Usage(*answer["usage"]))
    def ask(prompt: str) -> dict[str, Any]:
        return {"text": "a", "usage": [10, 20]}

    ask("hi")
    ask("hi")
    assert cache.stats().saved_output_tokens == 20


async def test_coroutines(cache: SemanticCache) -> None:
    calls = []

    @cached(cache, ttl="1d")
    async def ask(prompt: str) -> str:
        calls.append(prompt)
        await asyncio.sleep(0)
        return "a"

    assert inspect.iscoroutinefunction(ask)
    assert await ask("hi") == await ask("hi") == "a"
    assert len(calls) == 1


def test_generators_replay_chunk_by_chunk(cache: SemanticCache) -> None:
    calls = []

    @cached(cache)
    def ask(prompt: str) -> Iterator[str]:
        calls.append(prompt)
        yield from ("one ", "two ", "three")

    assert inspect.isgeneratorfunction(ask)
    assert list(ask("hi")) == list(ask("hi")) == ["one ", "two ", "three"]
    assert len(calls) == 1


async def test_async_generators_replay_chunk_by_chunk(cache: SemanticCache) -> None:
    calls = []

    @cached(cache)
    async def ask(prompt: str) -> AsyncIterator[dict[str, int]]:
        calls.append(prompt)
        for number in range(3):
            yield {"n": number}

    assert inspect.isasyncgenfunction(ask)
    for _ in range(2):
        assert [chunk async for chunk in ask("hi")] == [{"n": 0}, {"n": 1}, {"n": 2}]
    assert len(calls) == 1


def test_a_consumer_that_stops_early_records_nothing_and_closes_the_source(
    cache: SemanticCache,
) -> None:
    closed = []

    @cached(cache)
    def ask(prompt: str) -> Iterator[str]:
        try:
            yield "one"
            yield "two"
        finally:
            closed.append(prompt)

    stream = ask("hi")
    assert next(stream) == "one"
    stream.close()  # type: ignore[attr-defined]
    assert closed == ["hi"]
    assert ask.explain("hi").outcome == "miss"

    for chunk in ask("dropped"):
        assert chunk == "one"
        break
    gc.collect()
    assert closed == ["hi", "dropped"]
    assert list(ask("hi")) == ["one", "two"]
    assert ask.explain("hi").tier == "exact"


async def test_an_async_consumer_that_stops_early_records_nothing_and_closes_the_source(
    cache: SemanticCache,
) -> None:
    closed = []

    @cached(cache)
    async def ask(prompt: str) -> AsyncIterator[str]:
        try:
            yield "one"
            await asyncio.sleep(0)
            yield "two"
        finally:
            closed.append(prompt)

    stream = ask("hi")
    assert await anext(stream) == "one"
    await stream.aclose()  # type: ignore[attr-defined]
    assert closed == ["hi"]
    assert ask.explain("hi").outcome == "miss"

    async def reads_until_cancelled() -> None:
        async for _ in ask("cancelled"):
            started.set()
            await asyncio.Event().wait()

    started = asyncio.Event()
    task = asyncio.create_task(reads_until_cancelled())
    await started.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    while len(asyncio.all_tasks()) > 1:  # what is left tidies up and ends
        await asyncio.sleep(0)
    assert closed == ["hi", "cancelled"]
    assert ask.explain("cancelled").outcome == "miss"


def test_a_stream_that_fails_is_not_recorded(cache: SemanticCache) -> None:
    @cached(cache)
    def ask(prompt: str) -> Iterator[str]:
        yield "one"
        raise ConnectionError("cut")

    for _ in range(2):
        stream = ask("hi")
        assert next(stream) == "one"
        with pytest.raises(ConnectionError, match="cut"):
            next(stream)
    assert ask.explain("hi").outcome == "miss"


def test_nothing_is_pulled_that_nobody_asked_for(cache: SemanticCache) -> None:
    pulled = []

    @cached(cache)
    def endless(prompt: str) -> Iterator[int]:
        number = 0
        while True:
            pulled.append(number)
            yield number
            number += 1

    stream = endless("hi")
    assert pulled == []
    assert [next(stream), next(stream)] == [0, 1]
    assert pulled == [0, 1]
    stream.close()  # type: ignore[attr-defined]


async def test_an_endless_async_stream_does_not_hang_the_loop(cache: SemanticCache) -> None:
    @cached(cache)
    async def endless(prompt: str) -> AsyncIterator[int]:
        number = 0
        while True:
            yield number
            number += 1

    received = []
    async for number in endless("hi"):
        received.append(number)
        if number == 3:
            break
    assert received == [0, 1, 2, 3]


def test_recursion_does_not_wait_for_itself(cache: SemanticCache) -> None:
    depth = []

    @cached(cache)
    def ask(prompt: str) -> str:
        depth.append(1)
        return "leaf" if len(depth) > 1 else f"root of {ask(prompt)}"

    assert ask("hi") == "root of leaf"


async def test_async_recursion_does_not_wait_for_itself(cache: SemanticCache) -> None:
    depth = []

    @cached(cache)
    async def ask(prompt: str) -> str:
        depth.append(1)
        if len(depth) > 1:
            return "leaf"
        return f"root of {(await asyncio.gather(ask(prompt)))[0]}"

    assert await ask("hi") == "root of leaf"


async def test_a_blocking_call_inside_the_leaders_loop_does_not_hang(cache: SemanticCache) -> None:
    gate = asyncio.Event()

    async def slow() -> str:
        await gate.wait()
        return "slow"

    leader = asyncio.create_task(cache.acall("hi", slow))
    while not cache.stats().misses:
        await asyncio.sleep(0)
    assert cache.call("hi", lambda: "quick") == "quick"
    gate.set()
    assert await leader == "slow"


def test_functions_of_one_name_that_captured_something_else_do_not_share(
    cache: SemanticCache, caplog: pytest.LogCaptureFixture
) -> None:
    class Client:
        def __init__(self, model: str) -> None:
            self.model = model

        def ask(self, prompt: str) -> str:
            return self.model

    def with_client(client: Client) -> Any:
        return cached(cache)(lambda prompt: client.model)

    def with_options(options: dict[str, str]) -> Any:
        @cached(cache)
        def ask(prompt: str) -> str:
            return options["role"]

        return ask

    one, two = Client("one"), Client("two")
    assert [with_client(one)("hi"), with_client(two)("hi")] == ["one", "two"]
    assert "give each of them a name=" in caplog.text
    assert [cached(cache)(one.ask)("hi"), cached(cache)(two.ask)("hi")] == ["one", "two"]
    assert with_options({"role": "pirate"})("hi") == "pirate"
    assert with_options({"role": "lawyer"})("hi") == "lawyer"
    assert [cached(cache)(lambda prompt: "a")("hi"), cached(cache)(lambda prompt: "b")("hi")] == [
        "a",
        "b",
    ]
    with pytest.raises(ConfigurationError, match="name="):
        cached(cache)(functools.partial(one.ask))
    assert cached(cache, name="partial")(functools.partial(one.ask))("hi") == "one"


def test_a_codec_or_usage_that_raises_costs_the_recording_and_nothing_else(
    cache: SemanticCache,
) -> None:
    def broken(value: Any) -> Any:
        raise KeyError("the secret answer")

    codec = Codec(to_plain=broken, from_plain=broken)
    ask = cached(cache, codec=codec)(lambda prompt: "the secret answer")
    assert ask("hi") == "the secret answer"
    assert "secret" not in str(cache.stats().reasons)
    counted = cached(cache, usage=lambda answer: {"tokens": 1}, name="x")(lambda prompt: "a")  # type: ignore[arg-type,return-value]
    assert [counted("hi"), counted("hi")] == ["a", "a"]
    assert counted.cache_info().hits == 1
    assert cache.stats().store_errors == 0
