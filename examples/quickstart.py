"""The cache in five minutes, offline: the model is a function that says what it was asked.

Run it twice: the second time, the first answer comes from the file that the first run left.

    python examples/quickstart.py
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from typing import Any

from semcache import Request, Scope, SemanticCache, cached


def model(prompt: str) -> str:
    """Stands for a model: slow, and different every time."""
    time.sleep(0.2)
    return f"An answer to {prompt!r}, thought of at {time.strftime('%H:%M:%S')}"


def timed(label: str, answer: str, started: float) -> None:
    print(f"  {label:<28} {1000 * (time.perf_counter() - started):6.1f} ms  {answer}")


def decorated(cache: SemanticCache) -> None:
    print("A decorated function")

    @cached(cache, ttl="1h", tags=["quickstart"])
    def ask(prompt: str) -> str:
        return model(prompt)

    for label in ("asked", "asked again"):
        started = time.perf_counter()
        timed(label, ask("How do I reset my password?"), started)
    print(" ", ask.cache_info())


def streamed(cache: SemanticCache) -> None:
    print("A stream: recorded when it was read to its end, replayed chunk by chunk")

    @cached(cache, ttl="1h", tags=["quickstart"])
    def stream(prompt: str) -> Iterator[str]:
        yield from model(prompt).split(" ")

    for label in ("streamed", "replayed"):
        started = time.perf_counter()
        timed(label, " ".join(stream("How do tides work?")), started)


def scoped(cache: SemanticCache) -> None:
    print("Scopes: what one tenant asked is not there for another")
    question = "What is our notice period?"
    for tenant, answer in (("acme", "Three months."), ("globex", "Six weeks.")):
        cache.record(question, answer, tenant=tenant, ttl="1h", tags=["quickstart"])
    for tenant in ("acme", "globex", "initech"):
        hit = cache.lookup(question, tenant=tenant)
        print(f"  {tenant:<28} {hit.answer if hit else 'not in the cache'}")


async def chat(cache: SemanticCache) -> None:
    print("A chat, in an event loop: everything but the last user message is scope")
    messages: list[dict[str, Any]] = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Which of the two is larger, 3 or 5?"},
        {"role": "assistant", "content": "5"},
        {"role": "user", "content": "And the smaller one?"},
    ]
    request = Request.from_chat(messages, model="gpt-5", temperature=0)

    async def answer() -> str:
        return await asyncio.to_thread(model, request.query)

    for label in ("in this conversation", "in this conversation, again"):
        started = time.perf_counter()
        timed(label, await cache.acall(request, answer, tags=["quickstart"]), started)
    other = Request.from_chat([*messages[:2], messages[3]], model="gpt-5", temperature=0)
    decision = await cache.aexplain(other)
    print(f"  {'in another':<28} {decision.outcome}: {decision.reason}")


def main() -> None:
    with SemanticCache.open() as cache:
        decorated(cache)
        streamed(cache)
        scoped(cache)
        asyncio.run(chat(cache))
        print("A miss explains itself")
        print(" ", cache.explain("How do I reset my PIN?", scope=Scope()).reason)
        stats = cache.stats()
        print(f"By meaning: {stats.semantic}")
        print(f"{sum(stats.hits.values())} hits, {stats.misses} misses")


if __name__ == "__main__":
    main()
