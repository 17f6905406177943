"""What a type checker sees of the public API. Checked by mypy in ``make lint``, never run."""

from __future__ import annotations

from collections.abc import AsyncIterator, Coroutine, Iterator
from typing import Any, assert_type

from semcache import (
    AnswerJudge,
    CacheInfo,
    CacheStats,
    Compared,
    Decision,
    ExactJudge,
    GreyPair,
    GreyZone,
    Hit,
    LiveRate,
    Recorded,
    Scope,
    SemanticCache,
    cached,
)

cache = SemanticCache.open("memory://")


@cached(cache, ttl="1d", tags=["faq"])
def ask(prompt: str, temperature: float = 0) -> str:
    return prompt


@cached(cache)
async def ask_async(prompt: str) -> int:
    return 1


@cached(cache)
def ask_stream(prompt: str) -> Iterator[str]:
    yield prompt


@cached(cache)
async def ask_async_stream(prompt: str) -> AsyncIterator[bytes]:
    yield b""


assert_type(ask("hi", temperature=1), str)
assert_type(ask_stream("hi"), Iterator[str])
assert_type(ask_async_stream("hi"), AsyncIterator[bytes])
assert_type(ask.cache_info(), CacheInfo)
assert_type(ask.explain("hi"), Decision)
ask(1)  # type: ignore[arg-type]
ask("hi", mood="bad")  # type: ignore[call-arg]

assert_type(cache.lookup("hi", scope=Scope(tenant="acme")), Hit | None)
assert_type(cache.record("hi", "there"), Recorded)
assert_type(cache.call("hi", lambda: 1), int)
assert_type(cache.stats(), CacheStats)
assert_type(cache.invalidate(tags=["faq"]), int)
assert_type(cache.stats().live["default"], LiveRate)
assert_type(cache.drain(1.0), bool)


def judge(compared: Compared) -> bool | None:
    return compared.stored_text == compared.fresh_text


async def judge_async(compared: Compared) -> bool:
    return compared.stored_text == compared.fresh_text


async def verify(pair: GreyPair) -> bool | None:
    return pair.query == pair.candidate


SemanticCache.open(shadow_rate=0.01, shadow="background", judge=judge, grey_zone=GreyZone(verify))
judges: list[AnswerJudge] = [judge, judge_async, ExactJudge()]


async def twins() -> None:
    async def model() -> str:
        return ""

    coroutine = assert_type(ask_async("hi"), Coroutine[Any, Any, int])
    assert_type(await coroutine, int)
    assert_type(await cache.alookup("hi"), Hit | None)
    assert_type(await cache.acall("hi", model), str)
    async with SemanticCache.open() as other:
        assert_type(other, SemanticCache)
