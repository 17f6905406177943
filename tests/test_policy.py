"""What the cache may do with a request. Every prompt here was written for this test."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from semcache.decision.cacheability import Cacheability, Facts, Said, assess
from semcache.errors import ConfigurationError
from semcache.policy import CachePolicy, PolicyDecision, Rule, Wanted, apply

DAY = 86400.0
NOBODY = Facts()
USER = Facts(user=True)
CHAT = Facts(earlier_turns=True)


def said(**given: Any) -> Cacheability:
    """A judgement with these probabilities, all others 0; every point is .5."""
    words = given.pop("words", 9)
    life = {"timeless": 0.0, "months": 0.0, "days": 0.0, "live": 0.0}
    life.update({name: given.pop(name) for name in list(given) if name in life})
    life["timeless"] = 1 - sum(life.values())
    flags = {
        name: Said(given.get(name, 0.0), ("it",) if given.get(name) else ())
        for name in ("personal", "action", "context", "variety")
    }
    points = {**dict.fromkeys((*flags, "live"), 0.5), "doubt": 0.7}
    return Cacheability(life, flags, points, "head", words=words)  # type: ignore[arg-type]


def decide(
    one: Cacheability, facts: Facts = NOBODY, policy: CachePolicy | None = None, **wanted: Any
) -> PolicyDecision:
    return apply(policy or CachePolicy(), one, facts, Wanted(**{"ttl": 30 * DAY, **wanted}))


@pytest.mark.parametrize(
    ("lifetime", "ttl"), [("timeless", 30 * DAY), ("months", 7 * DAY), ("days", 6 * 3600.0)]
)
def test_the_lifetime_is_the_time_to_live(lifetime: str, ttl: float) -> None:
    made = decide(said(**{lifetime: 0.9}) if lifetime != "timeless" else said())
    assert (made.ttl, made.may_store, made.may_serve_by_meaning) == (ttl, True, True)
    assert made.shared


def test_live_is_not_stored_but_shared_while_under_way() -> None:
    made = decide(said(live=0.9))
    assert (made.ttl, made.may_store) == (0, False)
    assert made.may_serve_exact
    assert not made.may_serve_by_meaning


def test_unsure_between_two_lifetimes_takes_the_shorter() -> None:
    assert decide(said(months=0.4)).ttl == 7 * DAY
    assert decide(said(days=0.25, live=0.2)).ttl == 6 * 3600.0
    assert decide(said(months=0.2)).ttl == 30 * DAY


def test_personal_needs_somebody() -> None:
    refused = decide(said(personal=0.9))
    assert not (refused.may_store)
    assert not (refused.may_serve_exact)
    assert not (refused.may_serve_by_meaning)
    own = decide(said(personal=0.9), USER)
    assert own.may_store
    assert own.may_serve_exact
    assert not own.shared
    assert decide(said(personal=0.9), Facts(tenant=True)).may_store
    assert not decide(said(personal=0.9), USER, CachePolicy(personal="never")).may_store


@pytest.mark.parametrize("flag", ["action", "variety"])
def test_never_served_and_never_stored(flag: str) -> None:
    for facts in (NOBODY, USER, CHAT):
        made = decide(said(**{flag: 0.9}), facts)
        assert not (made.may_store)
        assert not (made.may_serve_exact)
        assert not (made.may_serve_by_meaning)
        assert made.rules[-1].startswith(flag)
    assert decide(said(**{flag: 0.9}), policy=CachePolicy.from_mapping({flag: "allow"})).may_store


def test_context_only_after_the_same_turns() -> None:
    assert not decide(said(context=0.9)).may_serve_exact
    for facts in (CHAT, Facts(attachments=True)):
        made = decide(said(context=0.9), facts)
        assert made.may_store
        assert made.may_serve_exact
        assert not made.may_serve_by_meaning


def test_tools_make_actions_likelier() -> None:
    assert decide(said(action=0.4)).may_store
    assert not decide(said(action=0.4), Facts(tools=True)).may_store


def test_a_first_try_is_not_context_by_accident() -> None:
    bare = said(words=1, context=0.7)
    bare.flags["context"] = Said(0.7)  # type: ignore[index]
    assert decide(bare).may_store


def test_the_call_wins() -> None:
    made = decide(said(live=0.9), ttl=60.0, ttl_given=True)
    assert (made.ttl, made.may_store) == (60.0, True)
    assert decide(said(), ttl=None, ttl_given=True).ttl is None
    assert not decide(said(), no_store=True).may_store
    # A ttl says how long, not for whom.
    assert not decide(said(action=0.9), ttl=60.0, ttl_given=True).may_store


def test_the_caches_ttl_is_a_cap() -> None:
    assert decide(said(), ttl=DAY).ttl == DAY
    assert decide(said(), ttl=None).ttl == 30 * DAY
    assert not decide(said(), ttl=0.0).may_store


def test_own_rules_win_and_the_first_counts() -> None:
    policy = CachePolicy(
        rules=(
            Rule("prices", matches=r"(?i)\bprice", ttl="1h"),
            Rule("faq", tags=("faq",), store=True),
            Rule("lab", namespace="lab", serve="never", store=False),
            Rule("small", model="tiny", serve="exact", shared=False),
            Rule("late", matches="price", store=False),
        )
    )
    assert decide(said(live=0.9), policy=policy, query="Price of tea?").ttl == 3600
    forced = decide(said(live=0.9, action=0.9), policy=policy, tags=("faq",))
    assert forced.may_store
    assert forced.may_serve_by_meaning
    assert forced.ttl == 30 * DAY
    assert not decide(said(), policy=policy, namespace="lab").may_serve_exact
    small = decide(said(), policy=policy, model="tiny")
    assert small.may_serve_exact
    assert not small.may_serve_by_meaning
    assert not small.shared
    assert small.rules[-1] == "rule small: exact repeats only, not shared"


def test_many_small_doubts_are_one_big_one() -> None:
    several = said(personal=0.45, action=0.45, context=0.45)
    assert not decide(several).may_store
    assert decide(several).rules[-1].startswith("in doubt")
    # What the scope takes care of, and what the policy allows, is no reason for doubt.
    assert decide(several, Facts(user=True, earlier_turns=True)).may_store
    assert decide(several, policy=CachePolicy(personal="allow", context="allow")).may_store


def test_off_is_off() -> None:
    made = decide(said(action=0.9, live=0.9), policy=CachePolicy.off(), ttl=5.0)
    assert made == PolicyDecision(5.0, True, True, True, True, ("policy: off",))
    assert not decide(said(), policy=CachePolicy.off(), no_store=True).may_store


def test_points_can_be_set() -> None:
    assert not decide(said(variety=0.2), policy=CachePolicy(points={"variety": 0.1})).may_store


@settings(deadline=None)
@given(st.text(max_size=200), st.booleans(), st.booleans(), st.booleans())
def test_what_is_not_served_is_not_stored(text: str, turns: bool, user: bool, tools: bool) -> None:
    facts = Facts(earlier_turns=turns, user=user, tools=tools)
    made = apply(CachePolicy(), assess(text), facts, Wanted(query=text))
    assert made.may_serve_exact or not made.may_store
    assert made.may_serve_exact or not made.may_serve_by_meaning
    assert made.rules


@pytest.mark.parametrize("text", ["hello", "hi", "q1", "q2", "test", "hi there", "two", "x"])
def test_how_everybody_tries_a_cache_out(text: str) -> None:
    made = apply(CachePolicy(), assess(text), NOBODY, Wanted(query=text))
    assert made.may_store
    assert made.may_serve_exact


# -- from code and from TOML ------------------------------------------------------------------

TOML = """
[policy]
variety = "allow"
context = "never"
points = { personal = 0.3 }
[policy.ttl]
days = "2h"
live = "30s"
[[policy.rules]]
name = "prices"
matches = "(?i)price"
ttl = 60
[[policy.rules]]
name = "faq"
tags = ["faq"]
store = true
"""


def test_from_toml(tmp_path: Path) -> None:
    policy = CachePolicy.from_toml(TOML)
    assert policy.seconds("days") == 7200
    assert policy.seconds("live") == 30
    assert policy.seconds("timeless") == 30 * DAY
    assert [rule.name for rule in policy.rules] == ["prices", "faq"]
    assert policy.rules[1].tags == ("faq",)
    file = tmp_path / "policy.toml"
    file.write_text(
        TOML.replace("[policy", "[tool.semcache.policy").replace(
            "[[policy", "[[tool.semcache.policy"
        )
    )
    assert CachePolicy.from_toml(file) == policy
    assert CachePolicy.from_toml(str(file)) == policy
    assert CachePolicy.from_toml("enabled = false\n") == CachePolicy.off()


@pytest.mark.parametrize(
    "text",
    [
        "[policy]\nvarietty = 'allow'\n",
        "[policy]\nvariety = 'sometimes'\n",
        "[policy.ttl]\nweeks = '1d'\n",
        "[policy.ttl]\ndays = 'soon'\n",
        "[policy]\npoints = { personal = 2.0 }\n",
        "[[policy.rules]]\nname = 'r'\n",
        "[[policy.rules]]\nname = 'r'\nmatches = '('\nstore = true\n",
        "[[policy.rules]]\nname = 'r'\nmatches = 'a'\n",
        "[[policy.rules]]\nname = 'r'\nmatches = 'a'\nstore = true\nfoo = 1\n",
        "policy = 3\n",
        "[policy\n",
    ],
)
def test_a_policy_that_cannot_be(text: str) -> None:
    with pytest.raises(ConfigurationError):
        CachePolicy.from_toml(text)


def test_a_file_that_is_not_there() -> None:
    with pytest.raises(ConfigurationError, match="cannot be read"):
        CachePolicy.from_toml("/nowhere/policy.toml")


def test_importing_the_policy_does_not_import_pydantic_or_numpy() -> None:
    code = (
        "import sys, semcache.policy; semcache.policy.CachePolicy();"
        "print([m for m in ('pydantic', 'numpy') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]", done.stderr
