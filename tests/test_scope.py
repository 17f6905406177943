"""Scopes are walls, and keys are digests that tell nobody anything."""

from __future__ import annotations

import copy
import enum
import gc
import pickle
import unicodedata
import weakref
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from semcache.errors import ConfigurationError
from semcache.scope import Keys, Scope

KEYS = Keys(b"0123456789abcdef")
QUERY = "How do I reset my password?"

TOOL = {"type": "function", "function": {"name": "find", "parameters": {"type": "object"}}}
FULL: dict[str, Any] = {
    "model": "gpt-5",
    "tenant": "acme",
    "user": "u-1",
    "namespace": "faq",
    "system": "Be brief.",
    "history": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}],
    "tools": [TOOL],
    "tool_choice": "auto",
    "response_format": {"type": "json_object"},
    "params": {"temperature": 0.5, "seed": 7, "stop": ["\n"], "new_feature": {"mode": 1}},
    "attachments": [b"image bytes"],
}
CHANGES: list[tuple[str, Any]] = [
    ("model", "gpt-5-mini"),
    ("model", "GPT-5"),
    ("model", None),
    ("tenant", "globex"),
    ("tenant", "Acme"),
    ("tenant", ""),
    ("tenant", None),
    ("user", "u-2"),
    ("user", None),
    ("namespace", "docs"),
    ("system", "Be brief"),
    ("system", ""),
    ("system", None),
    ("history", []),
    ("history", FULL["history"][::-1]),
    ("history", FULL["history"][:1]),
    ("tools", None),
    ("tools", [TOOL, TOOL]),
    ("tools", [{**TOOL, "function": {"name": "find", "parameters": {"type": "array"}}}]),
    ("tool_choice", "none"),
    ("tool_choice", None),
    ("response_format", {"type": "text"}),
    ("response_format", None),
    ("params", {**FULL["params"], "temperature": 0.50001}),
    ("params", {**FULL["params"], "temperature": True}),
    ("params", {**FULL["params"], "seed": 8}),
    ("params", {**FULL["params"], "seed": "7"}),
    ("params", {**FULL["params"], "stop": ["\n", "."]}),
    ("params", {**FULL["params"], "new_feature": {"mode": 2}}),
    ("params", {**FULL["params"], "unheard_of": 0}),
    ("params", {}),
    ("attachments", [b"image byteS"]),
    ("attachments", [b"image bytes", b"image bytes"]),
    ("attachments", []),
]


def key(scope: Scope, keys: Keys = KEYS) -> str:
    return keys.entry(keys.scope(scope), QUERY)


@pytest.mark.parametrize(("facet", "value"), CHANGES)
def test_any_change_of_any_facet_gives_another_key(facet: str, value: Any) -> None:
    one, other = Scope(**FULL), Scope(**{**FULL, facet: value})
    assert one != other
    assert KEYS.scope(one) != KEYS.scope(other)
    assert key(one) != key(other)


def test_no_two_of_the_changes_share_a_key() -> None:
    keys = [key(Scope(**{**FULL, facet: value})) for facet, value in CHANGES]
    assert len(set(keys)) == len(keys)


def test_a_value_in_another_facet_is_another_scope() -> None:
    names = ("model", "tenant", "user", "namespace", "system", "tools", "tool_choice")
    given: list[dict[str, Any]] = [{name: "x"} for name in (*names, "response_format")]
    scopes = [Scope(**facets) for facets in given]
    scopes += [Scope(params={name: "x"}) for name in names]
    scopes += [Scope(history=["x"]), Scope(attachments=["x"])]
    assert len({key(scope) for scope in scopes}) == len(scopes)


@given(st.permutations(list(FULL["params"])))
def test_order_of_parameters_does_not_matter(names: list[str]) -> None:
    params = {name: FULL["params"][name] for name in names}
    assert key(Scope(**{**FULL, "params": params})) == key(Scope(**FULL))


@given(st.text(min_size=1))
def test_unicode_form_of_any_name_does_not_matter(name: str) -> None:
    composed, decomposed = (unicodedata.normalize(form, name) for form in ("NFC", "NFD"))
    for facet in ("model", "tenant", "user", "namespace", "system"):
        one, other = (Scope(**{**FULL, facet: text}) for text in (composed, decomposed))
        assert one == other
        assert key(one) == key(other)


def test_what_was_not_given_is_as_if_it_were_none() -> None:
    bare = Scope(model="m")
    assert Scope(model="m", params={"top_p": None}, history=[], tools=[], attachments=[]) == bare
    assert key(Scope(model="m", params={"top_p": None}, history=[], tools=[])) == key(bare)


scopes = st.builds(
    Scope,
    model=st.none() | st.text(),
    tenant=st.none() | st.text(),
    user=st.none() | st.text(),
    namespace=st.text(min_size=1),
    system=st.none() | st.text(),
    params=st.dictionaries(st.text(max_size=3), st.integers() | st.text(max_size=3), max_size=2),
)


@given(scopes, scopes)
def test_equal_scopes_and_only_they_share_a_digest(one: Scope, other: Scope) -> None:
    assert (one == other) == (KEYS.scope(one) == KEYS.scope(other))
    assert one != other or hash(one) == hash(other)


@given(scopes)
def test_copies_are_the_same_scope(scope: Scope) -> None:
    for made in (copy.copy(scope), copy.deepcopy(scope), replace(scope)):
        assert made == scope
        assert key(made) == key(scope)
    assert pickle.loads(pickle.dumps(scope)) == scope


# Names that have a letter which no hexadecimal digit is.
names = st.text("ghijklmnop0123", min_size=4, max_size=20).filter(lambda name: name.islower())


@given(names, names)
def test_tenant_and_user_are_in_no_key_digest_or_text(tenant: str, user: str) -> None:
    scope = Scope(model="m", tenant=tenant, user=user)
    shown = [KEYS.scope(scope), key(scope), str(KEYS.tenant(tenant)), repr(scope), str(scope)]
    for text in shown:
        assert tenant not in text
        assert user not in text


def test_a_tenant_id_is_not_in_error_messages() -> None:
    with pytest.raises(ConfigurationError, match="scope tenant must be a str") as error:
        Scope(tenant=4711)  # type: ignore[arg-type]
    assert "4711" not in str(error.value)


def test_keys_depend_on_the_secret() -> None:
    other = Keys(b"fedcba9876543210")
    scope = Scope(**FULL)
    assert other.scope(scope) != KEYS.scope(scope)
    assert key(scope, other) != key(scope)
    assert other.tenant("acme") != KEYS.tenant("acme")
    assert other.check != KEYS.check
    assert Keys(b"0123456789abcdef").check == KEYS.check
    assert key(scope, Keys(b"0123456789abcdef")) == key(scope)


def test_keys_are_32_hexadecimal_digits() -> None:
    scope = Scope(**FULL)
    for digest in (KEYS.scope(scope), key(scope), KEYS.tenant("acme") or "", KEYS.check):
        assert len(digest) == 32
        int(digest, 16)


def test_keys_stay_what_they_are_from_version_to_version() -> None:
    # A change here makes every stored answer unreachable: then SCOPE_VERSION has to change, too.
    scope = Scope(**FULL)
    assert (KEYS.scope(scope), key(scope)) == (
        "bb7d1557005a394eee2e143b2a2eb400",
        "651a611b12521a8b057c448d45b07966",
    )


def test_a_tenant_is_not_a_user() -> None:
    assert KEYS.tenant("a") != KEYS.tenant("b")
    assert KEYS.tenant(None) is None
    assert key(Scope(tenant="a", user="b")) != key(Scope(tenant="b", user="a"))


@given(st.text(), st.text())
def test_different_queries_in_a_scope_have_different_ids(one: str, other: str) -> None:
    digest = KEYS.scope(Scope())
    assert (KEYS.entry(digest, one) == KEYS.entry(digest, other)) == (one == other)


class Customer(str, enum.Enum):  # noqa: UP042 - formats as "Customer.ACME"
    ACME = "acme"


def test_an_enum_member_is_its_text() -> None:
    assert Scope(tenant=Customer.ACME, model=Customer.ACME) == Scope(tenant="acme", model="acme")
    assert KEYS.tenant(Customer.ACME) == KEYS.tenant("acme")


def test_mutation_of_what_was_passed_in_changes_nothing() -> None:
    history = [{"role": "user", "content": "Hi"}]
    params = {"stop": ["a"]}
    scope = Scope(model="m", history=history, params=params)
    digest = KEYS.scope(scope)
    moved = KEYS.scope(scope.within(tenant="acme"))
    history.append({"role": "assistant", "content": "Hello"})
    params["stop"].append("b")
    assert KEYS.scope(scope) == digest
    assert Keys(b"0123456789abcdef").scope(scope) == digest
    assert KEYS.scope(scope.within(tenant="acme")) == moved


def test_within_moves_to_another_tenant_or_namespace_and_keeps_the_rest() -> None:
    scope = Scope(**FULL)
    assert scope.within() is scope
    assert scope.within(tenant="globex") == Scope(**{**FULL, "tenant": "globex"})
    assert scope.within(tenant="globex").tenant == "globex"
    assert scope.within(namespace="docs") == Scope(**{**FULL, "namespace": "docs"})
    assert scope.within(tenant="x", namespace="y").within(tenant="acme", namespace="faq") == scope
    with pytest.raises(ConfigurationError):
        scope.within(namespace="")
    with pytest.raises(ConfigurationError):
        scope.within(tenant=1)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("facets", "expected"),
    [
        ({}, False),
        ({"system": "Be brief."}, False),
        ({"history": [{"role": "system", "content": "Be brief."}]}, False),
        ({"history": [{"role": "developer", "content": "Be brief."}]}, False),
        ({"history": [{"role": "user", "content": "Hi"}]}, True),
        ({"history": [{"role": "assistant", "content": "Hi"}]}, True),
        ({"history": ["anything else"]}, True),
        ({"attachments": [b"x"]}, True),
    ],
)
def test_has_history_means_turns_or_attachments(facets: dict[str, Any], expected: bool) -> None:
    assert Scope(**facets).has_history is expected
    assert Scope(**facets).within(tenant="t").has_history is expected


@pytest.mark.parametrize(
    "facets",
    [
        {"model": 5},
        {"tenant": b"acme"},
        {"user": 1},
        {"system": ["Be brief."]},
        {"namespace": ""},
        {"namespace": None},
        {"params": ["temperature"]},
        {"params": {"callback": print}},
        {"history": "Hi"},
        {"history": {"role": "user"}},
        {"history": None},
        {"attachments": b"image"},
        {"attachments": [object()]},
    ],
)
def test_nonsense_is_refused_at_once(facets: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError):
        Scope(**facets)


def test_a_short_secret_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="16 bytes"):
        Keys(b"short")


def test_keys_keep_no_conversation_alive() -> None:
    class Turn(dict[str, Any]):
        pass

    turn = Turn(role="user", content="x" * 1_000_000)
    scope = Scope(history=[turn])
    keys = Keys(b"0123456789abcdef")
    keys.scope(scope)
    gone = weakref.ref(turn)
    del scope, turn
    gc.collect()
    assert gone() is None
