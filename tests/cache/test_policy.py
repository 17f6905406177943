"""The policy in the data path: opt-in, asked before the call and before storing."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from semcache import CachePolicy, Scope
from semcache.embedders.local import LocalEmbedder
from tests.conftest import OpenCache


def calls_of_two(
    open_cache: OpenCache, prompt: str, scope: Scope | None = None, **options: object
) -> int:
    """How often the model is called when a prompt is asked twice."""
    cache = open_cache(embedder=LocalEmbedder(), **options)
    calls: list[str] = []

    def model() -> str:
        calls.append(prompt)
        return "an answer"

    for _ in range(2):
        assert cache.call(prompt, model, scope=scope) == "an answer"
    return len(calls)


@pytest.mark.parametrize(
    "prompt", ["hello", "what is 2+2", "write a poem about spring", "translate 'hello' into French"]
)
def test_what_everybody_may_share_is_kept(open_cache: OpenCache, prompt: str) -> None:
    assert calls_of_two(open_cache, prompt, policy=CachePolicy()) == 1


@pytest.mark.parametrize(
    "prompt",
    [
        "what's the weather like right now",
        "send 50 € to Marta",
        "and the second one?",
        "tell me another joke",
        "what's my account balance",
    ],
)
def test_what_is_nobody_elses_answer_is_not_kept(open_cache: OpenCache, prompt: str) -> None:
    assert calls_of_two(open_cache, prompt, policy=CachePolicy()) == 2
    # Without a policy a prompt is a prompt.
    assert calls_of_two(open_cache, prompt) == 1


def test_my_balance_is_kept_for_me(open_cache: OpenCache) -> None:
    mine = Scope(user="jane")
    prompt = "what is the name of my company"
    assert calls_of_two(open_cache, prompt, policy=CachePolicy()) == 2
    assert calls_of_two(open_cache, prompt, mine, policy=CachePolicy()) == 1


def test_the_policy_says_so(open_cache: OpenCache) -> None:
    cache = open_cache(embedder=LocalEmbedder(), policy=CachePolicy())
    recorded = cache.record("send 50 € to Marta", "Done.")
    assert not recorded
    assert "policy" in recorded.reason
    assert cache.explain("send 50 € to Marta").policy
    assert any("policy" in reason for reason in cache.stats().reasons)


def test_an_action_is_shared_with_nobody(open_cache: OpenCache) -> None:
    cache = open_cache(embedder=LocalEmbedder(), policy=CachePolicy())
    barrier = threading.Barrier(3)

    def model() -> int:
        barrier.wait(60)  # all three are here at once, so all three were called
        return 1

    with ThreadPoolExecutor(3) as pool:
        asked = [pool.submit(cache.call, "send 50 € to Marta", model) for _ in range(3)]
        assert [future.result() for future in asked] == [1, 1, 1]
