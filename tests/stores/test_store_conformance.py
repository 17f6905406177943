"""What every store does, whatever it is made of. A new store is added to ``FACTORIES``."""

from __future__ import annotations

import math
import sys
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import fields, replace

import numpy as np
import pytest
from store_cases import DIMENSION, FINGERPRINT, NOW, SCOPE, digest, entry, ids, vector

from semcache.entry import CLOCK_TOLERANCE_S, Entry, Usage
from semcache.errors import ConfigurationError, EmbeddingError, StoreError
from semcache.stores.base import Caps, Selection, Store

OTHER = digest("another scope")
Opener = Callable[..., Store]


def search(store: Store, wanted: np.ndarray | None = None, terms: tuple[str, ...] = (), **more):
    values = {"scope": SCOPE, "fingerprint": FINGERPRINT, "k": 5, "now": NOW, **more}
    return store.search(
        values["scope"], values["fingerprint"], wanted, terms, values["k"], values["now"]
    )


# What comes back is what went in ------------------------------------------------------------------


def test_an_entry_comes_back_as_it_was(store: Store) -> None:
    kept = entry(
        "everything",
        query="Wie geht's? \ud800 \0 \U0001f600",
        expires=NOW + 10,
        namespace="shop \udfff",
        tenant="t" * 32,
        tags=("faq", "b\0c", "ü \ud800"),
        model="gpt-x\udc00",
        usage=Usage(3, 4),
        cost=0.25,
        seconds=1.5,
        fingerprint="e5\ud800",
        hits=7,
        source="seed",
        quarantined=True,
    )
    terms = ("a", "\ud800", "\0", "a", "ß")
    store.put(kept, vector(1), terms)
    assert store.get(kept.id, NOW) == kept
    ((again, its_vector, its_terms),) = store.iterate()
    assert (again, its_terms) == (kept, terms)
    assert its_vector is not None
    assert its_vector.tobytes() == vector(1).tobytes()


def test_every_optional_field_may_be_missing(store: Store) -> None:
    bare = Entry("a" * 32, SCOPE, "", b"", NOW)
    store.put(bare, None, ())
    assert store.get(bare.id, NOW) == bare
    assert list(store.iterate()) == [(bare, None, ())]
    assert {spec.name for spec in fields(Entry)} >= {"usage", "cost", "expires"}


def test_answers_and_prompts_of_megabytes(store: Store) -> None:
    big = entry("big", answer=bytes(range(256)) * 20_000, query="x" * 1_000_000)
    store.put(big, vector(1), ["x"])
    assert store.get(big.id, NOW) == big
    assert store.stats(NOW).bytes == 5_120_000 + 1_000_000
    (found,) = search(store, vector(1)).candidates
    assert found.entry == replace(big, answer=None)


def test_an_entry_without_an_answer_is_refused(store: Store) -> None:
    with pytest.raises(ConfigurationError, match="no answer"):
        store.put(entry("a", answer=None), None, ())


def test_putting_again_replaces(store: Store) -> None:
    store.put(entry("a", tags=("old",)), vector(1), ["old"])
    store.put(entry("a", answer=b"new", tags=("new",)), vector(2), ["new"])
    found = store.get(digest("a"), NOW)
    assert found is not None
    assert found.answer == b"new"
    assert store.stats(NOW).entries == 1
    assert ids(search(store, terms=("old",))) == []
    assert ids(search(store, terms=("new",))) == [digest("a")]
    assert search(store, vector(2)).candidates[0].cosine == pytest.approx(1)
    assert store.invalidate(Selection(tags=("old",))) == 0
    assert store.check() == []


# Time ---------------------------------------------------------------------------------------------


def test_the_moment_of_expiry_is_too_late(store: Store) -> None:
    store.put(entry("a", expires=NOW + 10), vector(1), ["a"])
    for now, there in ((NOW + 9.999, 1), (NOW + 10, 0), (NOW + 11, 0)):
        assert (store.get(digest("a"), now) is not None) == there
        assert len(search(store, vector(1), ("a",), now=now).candidates) == there


def test_hits_do_not_extend_a_life(store: Store) -> None:
    store.put(entry("a", expires=NOW + 10), vector(1), ["a"])
    for step in range(9):
        store.touch(digest("a"), NOW + step)
        assert store.get(digest("a"), NOW + step) is not None
    assert store.get(digest("a"), NOW + 10) is None


def test_without_an_expiry_it_lives_for_ever(store: Store) -> None:
    store.put(entry("a"), None, ())
    assert store.get(digest("a"), NOW + 1e9) is not None


def test_a_clock_that_stepped_back_serves_nothing_from_the_future(store: Store) -> None:
    store.put(entry("a", expires=NOW + 3600), vector(1), ["a"])
    back = NOW - CLOCK_TOLERANCE_S - 1
    assert store.get(digest("a"), back) is None
    assert ids(search(store, vector(1), ("a",), now=back)) == []
    # When the clock is right again, so is everything else.
    assert store.get(digest("a"), NOW) is not None
    assert ids(search(store, vector(1), ("a",))) == [digest("a")]


def test_vacuum_removes_what_has_expired(store: Store) -> None:
    for number in range(10):
        store.put(entry(f"e{number}", expires=NOW + number), vector(number), [f"t{number}"])
    assert store.vacuum(NOW + 4) == 5
    assert store.stats(NOW).entries == 5
    assert store.vacuum(NOW + 4) == 0
    assert store.check() == []


# Finding by meaning -------------------------------------------------------------------------------


def test_the_nearest_come_first_with_their_exact_cosine(store: Store) -> None:
    for number in range(50):
        store.put(entry(f"e{number}"), vector(number), ())
    wanted = vector(7) + 0.5 * vector(8)
    result = search(store, wanted, k=10)
    unit = wanted / np.linalg.norm(wanted)
    true = {digest(f"e{n}"): float(vector(n) @ unit) for n in range(50)}
    best = sorted(true, key=lambda id: -true[id])[:10]
    assert ids(result) == best
    for found in result.candidates:
        assert found.cosine == pytest.approx(true[found.entry.id], abs=1e-6)
        assert found.entry.answer is None
        assert found.by == "vector"


def test_length_does_not_matter_for_cosine(store: Store) -> None:
    store.put(entry("a"), 100 * vector(1), ())
    assert search(store, 0.01 * vector(1)).candidates[0].cosine == pytest.approx(1, abs=1e-6)


def test_a_scope_is_a_wall(store: Store) -> None:
    store.put(entry("mine"), vector(1), ["word"])
    store.put(entry("theirs", scope=OTHER), vector(1), ["word"])
    assert ids(search(store, vector(1), ("word",))) == [digest("mine")]
    assert ids(search(store, vector(1), ("word",), scope=OTHER)) == [digest("theirs")]
    assert ids(search(store, vector(1), ("word",), scope=digest("third"))) == []
    assert search(store, terms=("word",)).corpus.documents == 1


def test_vectors_of_another_embedder_are_never_compared(store: Store) -> None:
    store.put(entry("a"), vector(1), ["word"])
    assert ids(search(store, vector(1), fingerprint="another")) == []
    (found,) = search(store, vector(1), ("word",), fingerprint="another").candidates
    assert (found.by, found.cosine) == ("terms", None)
    store.put(entry("b", fingerprint="another"), vector(1, 8), ())
    assert ids(search(store, vector(1, 8), fingerprint="another")) == [digest("b")]
    assert ids(search(store, vector(1))) == [digest("a")]


def test_the_dead_do_not_crowd_out_the_living(store: Store) -> None:
    for number in range(200):
        store.put(entry(f"dead{number}", expires=NOW + 1), vector(1) + 0.001 * vector(number), ())
    for number in range(3):
        store.put(entry(f"live{number}"), vector(1) + vector(1000 + number), ())
    result = search(store, vector(1), k=3, now=NOW + 2)
    assert set(ids(result)) == {digest(f"live{n}") for n in range(3)}


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (np.full(DIMENSION, np.nan, np.float32), "NaN"),
        (np.full(DIMENSION, np.inf, np.float32), "infinity"),
        (np.array([1.0] * (DIMENSION - 1) + [-math.inf], np.float32), "infinity"),
        (np.ones(DIMENSION + 1, np.float32), f"{DIMENSION + 1} numbers"),
        (np.ones((1, DIMENSION), np.float32), "one dimension"),
        (np.ones((), np.float32), "one dimension"),
        (np.ones(0, np.float32), "one dimension"),
        (np.zeros(DIMENSION, np.float32), "length zero"),
        (np.array(["x"] * DIMENSION), "not numbers"),
    ],
)
def test_what_is_not_a_vector_changes_nothing(store: Store, bad: np.ndarray, message: str) -> None:
    store.put(entry("a"), vector(1), ["word"])
    before = store.stats(NOW)
    with pytest.raises(EmbeddingError, match=message):
        store.put(entry("a", answer=b"other"), bad, ["other"])
    with pytest.raises(EmbeddingError, match=message):
        store.put(entry("b"), bad, ["other"])
    with pytest.raises(EmbeddingError, match=message):
        search(store, bad)
    assert store.get(digest("a"), NOW) == entry("a")
    after = store.stats(NOW)
    assert (after.entries, after.vectors, after.bytes) == (before.entries, 1, before.bytes)
    assert ids(search(store, vector(1), ("other",))) == [digest("a")]
    assert store.check() == []


def test_a_vector_needs_a_fingerprint(store: Store) -> None:
    with pytest.raises(EmbeddingError, match="no fingerprint"):
        store.put(entry("a", fingerprint=None), vector(1), ())


def test_an_emptied_store_takes_another_dimension(store: Store) -> None:
    store.put(entry("a"), vector(1), ())
    store.invalidate(Selection(everything=True))
    store.put(entry("a"), vector(1, 8), ())
    assert ids(search(store, vector(1, 8))) == [digest("a")]


def test_k_bounds_each_kind(store: Store) -> None:
    for number in range(20):
        store.put(entry(f"v{number}"), vector(number), ())
        store.put(entry(f"t{number}", fingerprint=None), None, ["word"])
    result = search(store, vector(0), ("word",), k=4)
    assert Counter(found.by for found in result.candidates) == {"vector": 4, "terms": 4}
    assert [found.cosine is None for found in result.candidates] == [False] * 4 + [True] * 4
    assert search(store, vector(0), ("word",), k=0).candidates == ()


# Finding by rare terms ----------------------------------------------------------------------------


def test_an_identifier_finds_its_own_entry_among_thousands(store: Store) -> None:
    for code in range(4000, 5500):
        store.put(entry(f"E-{code}"), None, ["error", "code", f"e-{code}"])
    for code in range(4000, 5500, 97):
        terms = ("what", "does", "error", f"e-{code}", "mean")
        assert ids(search(store, terms=terms)) == [digest(f"E-{code}")]


def test_each_of_six_thousand_error_codes_finds_its_own_entry(store: Store) -> None:
    """All vectors are alike, as embeddings of such prompts nearly are: only the terms tell."""
    codes = range(4000, 10_000)
    for code in codes:
        store.put(entry(f"E-{code}"), vector(1), ("error", "code", f"e-{code}"))
    for code in codes[::200]:
        asked = ("what", "does", "error", f"e-{code}", "mean")
        assert digest(f"E-{code}") in ids(search(store, vector(1), asked))


def test_the_rarest_term_ranks_first(store: Store) -> None:
    for number in range(30):
        store.put(entry(f"e{number}"), None, ["common", f"own{number}"])
    result = search(store, terms=("common", "own3"), k=5)
    assert ids(result)[0] == digest("e3")
    assert {found.by for found in result.candidates} == {"terms"}


def test_found_both_ways_it_is_one_candidate(store: Store) -> None:
    store.put(entry("a"), vector(1), ["a", "word", "word"])
    (found,) = search(store, vector(1), ("word",)).candidates
    assert (found.by, found.terms) == ("both", ("a", "word", "word"))
    assert found.cosine == pytest.approx(1)


def test_a_candidate_by_terms_has_its_cosine_too(store: Store) -> None:
    for number in range(10):
        store.put(entry(f"e{number}"), vector(number), [f"t{number}"])
    result = search(store, vector(0), ("t5",), k=1)
    assert ids(result) == [digest("e0"), digest("e5")]
    assert result.candidates[1].cosine == pytest.approx(float(vector(0) @ vector(5)), abs=1e-6)


def test_the_statistics_are_those_of_the_scope(store: Store) -> None:
    documents = [("a", "b", "b"), ("a", "c"), ("a",), ("b", "\ud800"), ()]
    for number, terms in enumerate(documents):
        store.put(entry(f"d{number}"), vector(number), terms)
    store.put(entry("elsewhere", scope=OTHER), None, ["a", "z"])
    check_corpus(store, documents)
    store.invalidate(Selection(ids=(digest("d0"),)))
    check_corpus(store, documents[1:])
    store.put(entry("d1"), None, ["q"])
    check_corpus(store, [("q",), *documents[2:]])


def check_corpus(store: Store, documents: list[tuple[str, ...]]) -> None:
    corpus = search(store, vector(3), ("a", "z", "nowhere"), k=10).corpus
    df = Counter(term for terms in documents for term in set(terms))
    n = len(documents)
    assert corpus.documents == n
    assert corpus.length == sum(map(len, documents))
    assert corpus.average_idf == pytest.approx(
        sum(math.log((n - count + 0.5) / (count + 0.5)) for count in df.values()) / len(df)
    )
    assert corpus.frequencies["a"] == df["a"]
    assert corpus.frequencies["z"] == corpus.frequencies["nowhere"] == 0
    found = search(store, vector(3), ("a", "z"), k=10)
    for candidate in found.candidates:
        for term in candidate.terms:
            assert found.corpus.frequencies[term] == df[term]


def test_an_unknown_scope_has_empty_statistics(store: Store) -> None:
    corpus = search(store, vector(1), ("a",), scope=OTHER).corpus
    assert (corpus.documents, corpus.length, dict(corpus.frequencies)) == (0, 0, {"a": 0})


# Aliases ------------------------------------------------------------------------------------------


def test_an_alias_leads_to_its_target(store: Store) -> None:
    store.put(entry("a"), None, ())
    store.alias(digest("other words"), digest("a"), SCOPE)
    assert store.get(digest("other words"), NOW) == entry("a")
    assert store.stats(NOW).aliases == 1
    store.unalias(digest("other words"))
    store.unalias(digest("never there"))
    assert store.get(digest("other words"), NOW) is None
    assert store.get(digest("a"), NOW) == entry("a")
    assert store.stats(NOW).aliases == 0


def test_an_alias_never_crosses_a_scope_and_never_hides_an_entry(store: Store) -> None:
    store.put(entry("a"), None, ())
    store.put(entry("b"), None, ())
    store.alias(digest("x"), digest("a"), OTHER)
    store.alias(digest("y"), digest("nowhere"), SCOPE)
    store.alias(digest("b"), digest("a"), SCOPE)
    store.alias(digest("a"), digest("a"), SCOPE)
    assert store.get(digest("x"), NOW) is None
    assert store.get(digest("y"), NOW) is None
    assert store.get(digest("b"), NOW) == entry("b")
    assert store.stats(NOW).aliases == 0


def test_an_alias_of_an_alias_is_none(store: Store) -> None:
    store.put(entry("a"), None, ())
    store.alias(digest("x"), digest("a"), SCOPE)
    store.alias(digest("y"), digest("x"), SCOPE)
    assert store.get(digest("y"), NOW) is None


def test_an_alias_dies_with_its_target(store: Store) -> None:
    store.put(entry("a", expires=NOW + 5), None, ())
    store.alias(digest("x"), digest("a"), SCOPE)
    assert store.get(digest("x"), NOW + 5) is None
    store.invalidate(Selection(ids=(digest("a"),)))
    store.put(entry("a"), None, ())
    assert store.get(digest("x"), NOW) is None
    assert store.stats(NOW).aliases == 0
    assert store.check() == []


def test_a_put_takes_the_place_of_an_alias(store: Store) -> None:
    store.put(entry("a"), None, ())
    store.alias(digest("x"), digest("a"), SCOPE)
    store.put(entry("x"), None, ())
    assert store.get(digest("x"), NOW) == entry("x")
    assert store.stats(NOW).aliases == 0


def test_an_alias_outlives_a_new_answer_but_not_a_lapse(store: Store) -> None:
    store.put(entry("a", expires=NOW + 5), None, ())
    store.alias(digest("x"), digest("a"), SCOPE)
    store.put(entry("a", answer=b"better", created=NOW + 1, expires=NOW + 9), None, ())
    found = store.get(digest("x"), NOW + 2)
    assert found is not None
    assert found.answer == b"better"
    store.put(entry("a", created=NOW + 9), None, ())
    assert store.get(digest("x"), NOW + 9) is None


def test_an_alias_can_be_pointed_elsewhere(store: Store) -> None:
    store.put(entry("a"), None, ())
    store.put(entry("b"), None, ())
    store.alias(digest("x"), digest("a"), SCOPE)
    store.alias(digest("x"), digest("b"), SCOPE)
    assert store.get(digest("x"), NOW) == entry("b")
    assert store.stats(NOW).aliases == 1
    store.invalidate(Selection(ids=(digest("a"),)))
    assert store.get(digest("x"), NOW) == entry("b")


def test_an_alias_may_replace_an_entry_that_expired(store: Store) -> None:
    store.put(entry("old", expires=NOW + 1), None, ())
    store.put(entry("a"), None, ())
    assert store.get(digest("old"), NOW + 2) is None
    store.alias(digest("old"), digest("a"), SCOPE)
    assert store.get(digest("old"), NOW + 2) == entry("a")
    assert store.check() == []


def test_an_entry_keeps_its_newest_aliases(store: Store) -> None:
    store.put(entry("a"), None, ())
    for number in range(300):
        store.alias(digest(f"x{number}"), digest("a"), SCOPE)
    assert store.stats(NOW).aliases == 256
    assert store.get(digest("x299"), NOW) is not None
    assert store.get(digest("x0"), NOW) is None


# Quarantine ---------------------------------------------------------------------------------------


def test_a_quarantined_entry_is_never_found_again(store: Store) -> None:
    store.put(entry("a"), vector(1), ["word"])
    store.put(entry("b"), vector(2), ["word"])
    store.alias(digest("x"), digest("a"), SCOPE)
    store.quarantine(digest("a"))
    store.quarantine(digest("nowhere"))
    for _ in range(2):
        assert ids(search(store, vector(1), ("word",))) == [digest("b")]
    assert store.get(digest("x"), NOW) is None
    assert store.get(digest("a"), NOW) == entry("a", quarantined=True)
    store.alias(digest("x"), digest("a"), SCOPE)
    assert store.get(digest("x"), NOW) is None
    store.put(entry("a"), vector(1), ["word"])
    assert store.get(digest("a"), NOW) == entry("a", quarantined=True)
    assert ids(search(store, vector(1), ("word",))) == [digest("b")]
    store.invalidate(Selection(ids=(digest("a"),)))
    store.put(entry("a"), vector(1), ["word"])
    assert set(ids(search(store, vector(1), ("word",)))) == {digest("a"), digest("b")}


# Room ---------------------------------------------------------------------------------------------


def test_the_least_recently_used_goes_first(open_it: Opener) -> None:
    store = open_it(Caps(entries=3))
    for name in "abc":
        store.put(entry(name), vector(ord(name)), [name])
    store.touch(digest("a"), NOW)
    store.put(entry("d"), vector(4), ["d"])
    assert {name for name in "abcd" if store.get(digest(name), NOW)} == set("acd")
    assert store.stats(NOW).entries == 3
    assert ids(search(store, vector(ord("b")), ("b",), k=9)).count(digest("b")) == 0
    store.put(entry("c"), None, ())
    store.put(entry("e"), None, ())
    assert {name for name in "abcde" if store.get(digest(name), NOW)} == set("dce")
    assert store.check() == []


def test_bytes_are_capped_too(open_it: Opener) -> None:
    store = open_it(Caps(bytes=1000))
    for number in range(20):
        store.put(entry(f"e{number}", query="q" * 10, answer=b"x" * 190), None, ())
    assert store.stats(NOW).bytes == 1000
    assert store.stats(NOW).entries == 5
    store.put(entry("large", query="", answer=b"x" * 900), None, ())
    assert [e.id for e, _, _ in store.iterate()] == [digest("large")]
    # What cannot be kept does not push out what can, and does not leave an old answer behind.
    store.put(entry("huge", query="", answer=b"x" * 1001), None, ())
    assert [e.id for e, _, _ in store.iterate()] == [digest("large")]
    store.put(entry("large", query="", answer=b"x" * 1001), None, ())
    assert list(store.iterate()) == []
    assert store.stats(NOW).bytes == 0


def test_hits_are_counted(store: Store) -> None:
    store.put(entry("a", hits=2), None, ())
    for _ in range(300):
        store.touch(digest("a"), NOW)
    store.touch(digest("nowhere"), NOW)
    found = store.get(digest("a"), NOW)
    assert found is not None
    assert found.hits == 302
    store.put(entry("b"), None, ())
    again = store.get(digest("a"), NOW)
    assert again is not None
    assert again.hits == 302


# Removing -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("selection", "gone"),
    [
        (Selection(), ""),
        (Selection(everything=True), "abcd"),
        (Selection(ids=(digest("a"), digest("zz"), digest("c"))), "ac"),
        (Selection(ids=()), ""),
        (Selection(scope=OTHER), "d"),
        (Selection(tags=("t1",)), "ab"),
        (Selection(tags=("t1", "t2")), "abc"),
        (Selection(tags=()), ""),
        (Selection(namespace="n"), "bd"),
        (Selection(tenant="acme"), "c"),
        (Selection(expired_at=NOW + 5), "a"),
        (Selection(tags=("t1",), namespace="n"), "b"),
        (Selection(tags=("t1",), namespace="n", everything=True), "b"),
        (Selection(ids=(digest("a"),), scope=OTHER), ""),
    ],
)
def test_invalidate_removes_what_is_meant(store: Store, selection: Selection, gone: str) -> None:
    store.put(entry("a", tags=("t1",), expires=NOW + 5), vector(1), ["w"])
    store.put(entry("b", tags=("t1", "t2"), namespace="n", expires=NOW + 6), vector(2), ["w"])
    store.put(entry("c", tags=("t2",), tenant="acme"), vector(3), ["w"])
    store.put(entry("d", scope=OTHER, namespace="n"), vector(4), ["w"])
    store.alias(digest("x"), digest("a"), SCOPE)
    assert store.invalidate(selection) == len(gone)
    left = [name for name in "abcd" if name not in gone]
    assert [e.id for e, _, _ in store.iterate()] == [digest(name) for name in left]
    assert (store.get(digest("x"), NOW) is None) == ("a" in gone)
    found = set(ids(search(store, vector(1), ("w",), k=9)))
    assert found == {digest(name) for name in left if name != "d"}
    assert store.check() == []


# Leases -------------------------------------------------------------------------------------------


def test_a_lease_is_held_by_one(store: Store) -> None:
    token = store.lease("x", 10, NOW)
    assert token
    assert store.lease("x", 10, NOW + 9.9) is None
    assert store.lease("y", 10, NOW) not in (None, token)
    assert store.renew("x", token, 10, NOW + 9)
    assert store.lease("x", 10, NOW + 18) is None
    taken_over = store.lease("x", 10, NOW + 19)
    assert taken_over not in (None, token)
    assert not store.renew("x", token, 10, NOW + 20)
    store.release("x", token)
    assert store.lease("x", 10, NOW + 20) is None
    assert taken_over is not None
    store.release("x", taken_over)
    store.release("x", taken_over)
    assert store.lease("x", 10, NOW + 20)


def test_an_expired_lease_cannot_be_renewed(store: Store) -> None:
    token = store.lease("x", 10, NOW)
    assert token
    assert not store.renew("x", token, 10, NOW + 10)


def test_who_read_the_clock_a_moment_earlier_does_not_take_the_lease_away(store: Store) -> None:
    token = store.lease("x", 10, NOW + 0.001)
    assert token
    assert store.lease("x", 10, NOW) is None
    assert store.renew("x", token, 10, NOW)


def test_a_clock_that_steps_back_does_not_make_a_lease_immortal(store: Store) -> None:
    assert store.lease("x", 10, NOW + 3600)
    assert store.lease("x", 10, NOW)


def test_one_of_many_threads_gets_the_lease(store: Store) -> None:
    tokens: list[str | None] = []
    start = threading.Barrier(16)

    def take() -> None:
        start.wait()
        tokens.append(store.lease("x", 10, NOW))

    run_threads(take, 16)
    assert len(tokens) == 16
    assert sum(token is not None for token in tokens) == 1


# Life ---------------------------------------------------------------------------------------------


def test_the_secret_stays_and_can_be_adopted_while_empty(store: Store) -> None:
    assert len(store.secret()) >= 16
    assert store.secret() == store.secret()
    store.adopt_secret(b"s" * 32)
    assert store.secret() == b"s" * 32
    store.put(entry("a"), None, ())
    with pytest.raises(StoreError, match="empty cache"):
        store.adopt_secret(b"t" * 32)
    assert store.secret() == b"s" * 32


def test_after_close_everything_says_so(store: Store) -> None:
    store.put(entry("a"), vector(1), ())
    store.close()
    store.close()
    for use in (
        lambda: store.get(digest("a"), NOW),
        lambda: store.put(entry("a"), None, ()),
        lambda: search(store, vector(1)),
        lambda: store.lease("x", 1, NOW),
        lambda: store.stats(NOW),
        lambda: list(store.iterate()),
        lambda: store.secret(),
        lambda: store.invalidate(Selection(everything=True)),
        lambda: store.alias("x", "y", SCOPE),
        lambda: store.quarantine("x"),
        lambda: store.vacuum(NOW),
        lambda: store.check(),
    ):
        with pytest.raises(StoreError, match="closed"):
            use()


def test_iterate_survives_concurrent_writes(store: Store) -> None:
    for number in range(600):
        store.put(entry(f"e{number}"), None, ())
    seen = []
    for number, (kept, _, _) in enumerate(store.iterate()):
        seen.append(kept.id)
        if number == 10:
            store.invalidate(Selection(ids=(digest("e20"), digest("e500"))))
            store.put(entry("late"), None, ())
    assert {digest(f"e{n}") for n in range(600)} - set(seen) <= {digest("e20"), digest("e500")}
    assert len(seen) == len(set(seen))


def test_many_threads_at_once(open_it: Opener) -> None:
    store = open_it(Caps(entries=100))
    failures: list[BaseException] = []

    def work(worker: int) -> None:
        try:
            for step in range(40):
                name = f"e{(worker * 7 + step) % 60}"
                store.put(entry(name), vector(step), ["word", name])
                store.touch(digest(name), NOW)
                found = search(store, vector(step), (name,), k=3)
                assert all(c.entry.scope == SCOPE for c in found.candidates)
                store.alias(digest(f"alias{worker}"), digest(name), SCOPE)
                if step % 10 == 0:
                    store.invalidate(Selection(ids=(digest(f"e{worker}"),)))
        except BaseException as error:
            failures.append(error)

    run_threads(work, 12)
    assert failures == []
    assert store.check() == []


def run_threads(work: Callable[..., None], count: int) -> None:
    takes_number = work.__code__.co_argcount
    threads = [
        threading.Thread(target=work, args=(n,) if takes_number else ()) for n in range(count)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)


async def test_the_async_twins_do_the_same(store: Store) -> None:
    await store.aput(entry("a"), vector(1), ["word"])
    await store.atouch(digest("a"), NOW)
    await store.aalias(digest("x"), digest("a"), SCOPE)
    found = await store.aget(digest("x"), NOW)
    assert found is not None
    assert found.hits == 1
    result = await store.asearch(SCOPE, FINGERPRINT, vector(1), ("word",), 3, NOW)
    assert ids(result) == [digest("a")]
    token = await store.alease("l", 5, NOW)
    assert token
    assert await store.arenew("l", token, 5, NOW)
    await store.arelease("l", token)
    await store.aunalias(digest("x"))
    await store.aquarantine(digest("a"))
    assert (await store.astats(NOW)).entries == 1
    assert await store.ainvalidate(Selection(everything=True)) == 1
    assert await store.avacuum(NOW) == 0
    await store.aclose()


@pytest.mark.skipif(sys.platform == "win32", reason="there is no fork")
def test_a_forked_child_goes_on(store: Store) -> None:
    import os

    store.put(entry("a"), vector(1), ["word"])
    search(store, vector(1))
    child = os.fork()
    if child == 0:
        status = 1
        try:
            assert store.get(digest("a"), NOW) == entry("a")
            store.put(entry("child"), vector(2), ["child"])
            assert ids(search(store, vector(2), ("child",)))[0] == digest("child")
            status = 0
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    store.put(entry("parent"), vector(3), ["parent"])
    assert digest("parent") in ids(search(store, vector(3), k=9))
    assert store.check() == []
