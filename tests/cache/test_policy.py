"""The policy in the data path: opt-in, asked before the call and before storing."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from semcache import CachePolicy, Scope, SemanticCache
from semcache.answer import PLAIN, Codec
from semcache.decision.momentary import MOMENTARY_TTL_S
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


# -- the answer has a say ---------------------------------------------------------------------

WEEK = 7 * 86400.0


def span_of(open_cache: OpenCache, answer: object, **options: object) -> float | None:
    """For how many seconds an answer to a timeless prompt is kept; 0: it is not."""
    clock = options.pop("clock", lambda: 1000.0)
    cache = open_cache(policy=CachePolicy(), clock=clock)
    if not cache.record("Who wrote Hamlet?", answer, **options):  # type: ignore[arg-type]
        return 0
    hit = cache.lookup("Who wrote Hamlet?", codec=options.get("codec", PLAIN))  # type: ignore[arg-type]
    assert hit is not None
    return None if hit.entry.expires is None else hit.entry.expires - hit.entry.created


def test_an_answer_for_now_is_kept_for_hours(open_cache: OpenCache) -> None:
    assert span_of(open_cache, "Shakespeare.") == 30 * 86400
    assert span_of(open_cache, "As of today, nobody knows for sure.") == MOMENTARY_TTL_S
    # The caller's own word on how long wins.
    assert span_of(open_cache, "As of today, nobody knows for sure.", ttl="7d") == WEEK


@pytest.mark.parametrize(
    "answer",
    [
        "I can't see your account balance from here.",
        "I've sent the email to Marta.",
        {"tool_calls": [{"function": {"name": "send_email", "arguments": "{}"}}]},
    ],
)
def test_an_answer_for_one_is_not_kept(open_cache: OpenCache, answer: object) -> None:
    assert span_of(open_cache, answer) == 0


def test_a_call_that_only_reads_is_kept(open_cache: OpenCache) -> None:
    answer = {"tool_calls": [{"function": {"name": "search_books", "arguments": "{}"}}]}
    assert span_of(open_cache, answer) == 30 * 86400


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"Cache-Control": "max-age=600", "Age": "60"}, 540.0),
        ({"cache-control": "no-store"}, 0),
        ({"Cache-Control": "public"}, 30 * 86400),
        (None, 30 * 86400),
    ],
)
def test_an_adapter_hands_the_headers_of_the_response_over(
    open_cache: OpenCache, headers: dict[str, str] | None, seconds: float
) -> None:
    codec = Codec(PLAIN.to_plain, PLAIN.from_plain, headers=lambda answer: headers)
    assert span_of(open_cache, "Shakespeare.", codec=codec) == seconds


def test_headers_that_cannot_be_read_change_nothing(open_cache: OpenCache) -> None:
    def broken(answer: object) -> dict[str, str]:
        raise LookupError("no response")

    codec = Codec(PLAIN.to_plain, PLAIN.from_plain, headers=broken)
    assert span_of(open_cache, "Shakespeare.", codec=codec) == 30 * 86400


# -- the default ------------------------------------------------------------------------------


def test_it_is_on_by_default_and_has_one_switch() -> None:
    def calls(prompt: str, **options: object) -> int:
        asked: list[str] = []
        with SemanticCache.open("memory://", embedder=None, **options) as cache:  # type: ignore[arg-type]
            for _ in range(2):
                cache.call(prompt, lambda: asked.append(prompt) or "an answer")
        return len(asked)

    live = "what's the weather like right now"
    assert calls(live) == 2, "an exact repeat of what is live is asked again"
    assert calls("Who wrote Hamlet?") == 1
    assert calls(live, policy=CachePolicy.off()) == calls(live, policy=None) == 1


def test_the_calls_own_ttl_wins_over_live() -> None:
    with SemanticCache.open("memory://", embedder=None) as cache:
        prompt = "what is bitcoin trading at right now"
        assert not cache.record(prompt, "100")
        assert cache.record(prompt, "100", ttl="30s")
        assert cache.lookup(prompt) is not None
