"""What a prompt says about its answer. Every prompt here was written for this test."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from semcache.decision.cacheability import FLAGS, LIFETIMES, Cacheability, Facts, assess
from semcache.decision.cacheability_head import Head, head_for
from semcache.decision.cacheability_words import FEATURES, INDEX, features, grams, read
from semcache.decision.momentary import has_effect, http_hint, momentary
from semcache.embedders.local import LocalEmbedder
from semcache.policy import CachePolicy, Wanted, apply
from semcache.scope import Scope

# (prompt, what must hold): a flag, or "live"; or a lifetime among several that are right.
HOLDS = [
    ("what's the weather in Trondheim right now?", "live"),
    ("what time is it in Lima", "live"),
    ("is the site down?", "live"),
    ("What's my account balance?", "personal"),
    ("where is my parcel", "personal"),
    ("why was my card declined", "personal"),
    ("and the second one?", "context"),
    ("can you explain that again", "context"),
    ("make it shorter", "context"),
    ("what does he mean by it", "context"),
    ("tell me another joke", "variety"),
    ("flip a coin", "variety"),
    ("give me a random fact", "variety"),
    ("send 50 € to Marta", "action"),
    ("book a table for two at Luigi's tonight", "action"),
    ("turn off the kitchen lights", "action"),
    ("please delete all my photos", "action"),
    ("remind me to call the dentist at nine", "action"),
]
HARMLESS = [
    "what is 2+2",
    "What is the capital of France?",
    "translate 'hello' into Spanish",
    "write a poem about spring",
    "How do I reset my password?",
    "how do I send an email with Python",
    "who wrote Moby Dick?",
    "explain how weather forecasts are made",
    "difference between TCP and UDP",
    "Who is the current president of Portugal?",
]


@pytest.fixture(scope="module")
def embedder() -> LocalEmbedder:
    return LocalEmbedder()


@pytest.fixture(scope="module")
def head(embedder: LocalEmbedder) -> Head:
    found = head_for(embedder.fingerprint)
    assert found is not None, "semcache-models has no cacheability head for its own encoder"
    return found


def asked(text: str, embedder: LocalEmbedder, head: Head) -> Cacheability:
    vector = embedder.embed([text])[0]
    return assess(text, vector, fingerprint=embedder.fingerprint, head=head)


@pytest.mark.parametrize(("text", "name"), HOLDS)
def test_the_head_sees_what_must_not_be_stored(
    text: str, name: str, embedder: LocalEmbedder, head: Head
) -> None:
    said = asked(text, embedder, head)
    assert said.by == "head"
    assert said.holds(name), said


@pytest.mark.parametrize(
    ("text", "name"),
    # Its words speak for the meaning of a word as much as for an earlier turn.
    [one for one in HOLDS if one[0] != "what does he mean by it"],
)
def test_the_words_alone_refuse_it_too_and_say_which_words(text: str, name: str) -> None:
    said = assess(text)
    assert said.by == "words"
    assert "words alone" in said.note
    assert not apply(CachePolicy(), said, Facts(), Wanted()).may_store, said
    assert said.now_words if name == "live" else said.flags[name].words  # type: ignore[index]


@pytest.mark.parametrize("text", HARMLESS)
def test_what_everybody_may_share_has_no_flag(
    text: str, embedder: LocalEmbedder, head: Head
) -> None:
    said = asked(text, embedder, head)
    assert not [name for name in (*FLAGS, "live") if said.holds(name)], said
    assert apply(CachePolicy(), said, Facts(), Wanted()).may_store


def test_lifetimes(embedder: LocalEmbedder, head: Head) -> None:
    assert asked("what is 2+2", embedder, head).lifetime == "timeless"
    assert asked("who is the current president of Peru", embedder, head).lifetime == "months"
    assert asked("latest news about the rail strike", embedder, head).lifetime == "days"
    assert asked("bitcoin price now", embedder, head).lifetime == "live"


def test_quoted_words_are_not_the_request() -> None:
    quoted = assess('What does "send me the money right now" mean in German?')
    assert quoted.flags["action"].words == ()
    assert quoted.now_words == ()
    assert "quote" in read("translate `rm -rf /`").cues


def test_another_encoders_vectors_are_not_judged_by_the_head(head: Head) -> None:
    vector = np.zeros(384, np.float32)
    said = assess("What is the capital of France?", vector, fingerprint="other-384-0", head=head)
    assert said.by == "words"
    assert "other-384-0" in said.note
    assert head_for("other-384-0") is None
    assert head_for(None) is None


@settings(deadline=None, max_examples=200)
@given(st.text(max_size=400))
def test_any_text_has_probabilities(text: str) -> None:
    said = assess(text)
    assert set(said.flags) == set(FLAGS)
    assert abs(sum(said.lifetimes[name] for name in LIFETIMES) - 1) < 1e-9
    assert all(0 <= one.probability <= 1 for one in said.flags.values())
    assert assess(text) == said
    said.to_json()


@pytest.mark.parametrize("text", ["", " ", "\ud800", "?" * 5000, "my " * 20000, "“", "```", "İ"])
def test_odd_texts(text: str, head: Head) -> None:
    vector = np.zeros(384, np.float32)
    said = assess(text, vector, fingerprint=head.fingerprint, head=head)
    assert all(np.isfinite(one.probability) for one in said.flags.values())
    list(grams(read(text)))


def test_features_are_sorted_positions() -> None:
    found = features(read("and the second one?"))
    assert found == sorted(set(found))
    assert max(found) < len(FEATURES) == len(INDEX)


def test_judging_costs_little(head: Head) -> None:
    """Far above the budget of 0.3 ms: this catches a slip, not noise."""
    text = "can you tell me how long it usually takes to renew a passport in Canada?"
    vector = np.ones(384, np.float32) / 384**0.5
    best = 1.0
    for _ in range(30):
        started = time.perf_counter()
        assess(text, vector, fingerprint=head.fingerprint, head=head)
        best = min(best, time.perf_counter() - started)
    assert best < 0.003


def test_facts_of_a_scope() -> None:
    assert Facts.of(Scope()) == Facts()
    full = Facts.of(Scope(user="u", tools=[{"name": "f"}], attachments=[b"png"]))
    assert (full.user, full.tools, full.attachments) == (True, True, True)
    assert full.somebody
    assert full.context_known


# -- the answer's say -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "seconds"),
    [
        ("As of today, the ferry leaves at nine.", 21600),
        ("It is raining in Oslo right now.", 21600),
        ("I don't have access to real-time data, but usually it is mild.", 21600),
        ("I can't see your account, please log in.", 0),
        ("I do not have access to your calendar.", 0),
        ("Your current balance is 12 €.", 0),
        ("Done! I've sent the email to Marta.", 0),
        ("Your reservation has been confirmed.", 0),
        ("I don’t see any attachment. Could you paste the text?", 0),
        ("Could you please clarify what you mean?", 0),
        ({"choices": [{"message": {"content": "As of this morning it is open."}}]}, 21600),
        ({"choices": [{"message": {"tool_calls": [{"function": {"name": "book_table"}}]}}]}, 0),
        ({"output": [{"type": "function_call", "name": "sendEmail", "arguments": "{}"}]}, 0),
        ({"content": [{"type": "tool_use", "name": "delete_file", "input": {}}]}, 0),
    ],
)
def test_an_answer_that_is_of_the_moment(answer: Any, seconds: float) -> None:
    say = momentary(answer)
    assert say is not None
    assert say.max_ttl == seconds


@pytest.mark.parametrize(
    "answer",
    [
        "Paris is the capital of France.",
        "To reset your password, open Settings and choose Security.",
        "The current flows from plus to minus.",
        "As of my last update in 2024, the tallest building was the Burj Khalifa.",
        {"choices": [{"message": {"tool_calls": [{"function": {"name": "get_weather"}}]}}]},
        None,
        3.5,
        b"bytes",
        [],
    ],
)
def test_an_answer_that_is_not(answer: Any) -> None:
    assert momentary(answer) is None


def test_streams_are_read_across_their_chunks() -> None:
    assert momentary(["It is wet ", "right", " now."], stream=True) is not None
    chunks = [{"choices": [{"delta": {"content": piece}}]} for piece in ("As of ", "today: ", "5")]
    assert momentary(chunks, stream=True) is not None


def test_a_deep_or_endless_answer_does_no_harm() -> None:
    deep: Any = "right now"
    for _ in range(5000):
        deep = {"content": deep}
    assert momentary(deep) is None
    assert momentary([["x"] * 100_000] * 10) is None


@pytest.mark.parametrize("name", ["send_email", "createTicket", "crm.update-lead", "PAY"])
def test_effects_by_name(name: str) -> None:
    assert has_effect(name)


@pytest.mark.parametrize("name", ["get_weather", "searchOrders", "list_sent_mail", "f", "", "x1"])
def test_reads_by_name(name: str) -> None:
    assert not has_effect(name)


def test_http_hints() -> None:
    assert http_hint({}) is None
    assert http_hint({"cache-control": "no-store"}).max_ttl == 0  # type: ignore[union-attr]
    assert http_hint({"Cache-Control": "s-maxage=5, max-age=99", "Age": "x"}).max_ttl == 5  # type: ignore[union-attr]
    assert http_hint({"Cache-Control": "max-age=10", "Age": "60"}).max_ttl == 0  # type: ignore[union-attr]
    assert http_hint({"Cache-Control": "private"}) is None
