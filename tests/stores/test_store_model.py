"""Any sequence of operations leaves a store as it leaves a plain dictionary."""

from __future__ import annotations

import tempfile
from collections import OrderedDict
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from store_cases import FACTORIES, FINGERPRINT, NOW, SCOPE, digest, entry, vector

from semcache.entry import Entry
from semcache.stores.base import Caps, Selection, Store

NAMES = st.sampled_from([f"n{number}" for number in range(8)])
WORDS = st.lists(st.sampled_from(["a", "b", "c", "e-1", "\ud800"]), max_size=4)
TAGS = st.lists(st.sampled_from(["t1", "t2"]), max_size=2, unique=True)
CAP = 5


class StoreMachine(RuleBasedStateMachine):
    """The model keeps entries in the order of last use, vectors, terms and aliases."""

    kind = "memory"
    capped = False

    @initialize()
    def open(self) -> None:
        self.folder = tempfile.TemporaryDirectory()
        self.now = NOW
        self.model: OrderedDict[str, tuple[Entry, np.ndarray | None, tuple[str, ...]]] = (
            OrderedDict()
        )
        self.aliases: dict[str, str] = {}
        self.store = self.opened()

    def opened(self) -> Store:
        caps = Caps(entries=CAP) if self.capped else None
        return FACTORIES[self.kind](Path(self.folder.name), caps)

    @rule(
        name=NAMES,
        life=st.one_of(st.none(), st.integers(1, 5)),
        seed=st.one_of(st.none(), st.integers(0, 5)),
        words=WORDS,
        tags=TAGS,
    )
    def put(
        self, name: str, life: int | None, seed: int | None, words: list[str], tags: list[str]
    ) -> None:
        # Whether an expired entry still takes up room is the store's affair, so not with caps.
        expires = None if life is None or self.capped else self.now + life
        new = entry(name, created=self.now, expires=expires, tags=tuple(tags))
        its_vector = None if seed is None else vector(seed)
        self.store.put(new, its_vector, words)
        self.aliases.pop(new.id, None)
        old = self.model.pop(new.id, None)
        if old is not None and not old[0].is_live(self.now):
            self.forget_aliases_of(new.id)
        elif old is not None and old[0].quarantined:
            new = replace(new, quarantined=True)
        self.model[new.id] = (new, its_vector, tuple(words))
        if self.capped and len(self.model) > CAP:
            self.remove(next(iter(self.model)))

    def remove(self, id: str) -> None:
        del self.model[id]
        self.forget_aliases_of(id)

    def forget_aliases_of(self, id: str) -> None:
        self.aliases = {alias: target for alias, target in self.aliases.items() if target != id}

    def live(self, id: str) -> bool:
        return id in self.model and self.model[id][0].is_live(self.now)

    @rule(name=NAMES, to=NAMES)
    def alias(self, name: str, to: str) -> None:
        id, target = digest(name), digest(to)
        if not self.live(target) or self.model[target][0].quarantined:
            return
        self.store.get(id, self.now)
        self.store.alias(id, target, SCOPE)
        if not self.live(id):
            if id in self.model:
                self.remove(id)
            self.aliases[id] = target

    @rule(name=NAMES)
    def unalias(self, name: str) -> None:
        self.store.unalias(digest(name))
        self.aliases.pop(digest(name), None)

    @rule(name=NAMES)
    def touch(self, name: str) -> None:
        id = digest(name)
        self.store.touch(id, self.now)
        if id in self.model:
            kept, its_vector, words = self.model[id]
            self.model[id] = (replace(kept, hits=kept.hits + 1), its_vector, words)
            self.model.move_to_end(id)

    @rule(name=NAMES)
    def quarantine(self, name: str) -> None:
        id = digest(name)
        self.store.quarantine(id)
        if id in self.model:
            kept, its_vector, words = self.model[id]
            self.model[id] = (replace(kept, quarantined=True), its_vector, words)
        self.forget_aliases_of(id)

    @rule(names=st.lists(NAMES, max_size=3))
    def invalidate_ids(self, names: list[str]) -> None:
        chosen = {digest(name) for name in names}
        self.store.invalidate(Selection(ids=tuple(chosen)))
        for id in chosen & self.model.keys():
            self.remove(id)

    @rule(tags=TAGS)
    def invalidate_tags(self, tags: list[str]) -> None:
        self.store.invalidate(Selection(tags=tuple(tags)))
        for id in [id for id, (kept, _, _) in self.model.items() if set(kept.tags) & set(tags)]:
            self.remove(id)

    @rule(seconds=st.integers(1, 3))
    def wait(self, seconds: int) -> None:
        self.now += seconds

    @rule()
    def vacuum(self) -> None:
        self.store.vacuum(self.now)
        for id in [id for id in self.model if not self.live(id)]:
            self.remove(id)

    @rule(name=NAMES)
    def get(self, name: str) -> None:
        id = digest(name)
        id = self.aliases.get(id, id)
        expected = self.model[id][0] if self.live(id) else None
        assert self.store.get(digest(name), self.now) == expected

    @rule(seed=st.integers(0, 5), words=WORDS)
    def search(self, seed: int, words: list[str]) -> None:
        result = self.store.search(SCOPE, FINGERPRINT, vector(seed), words, 10, self.now)
        found = {candidate.entry.id: candidate for candidate in result.candidates}
        expected = {}
        for id, (kept, its_vector, its_words) in self.model.items():
            shares = bool(set(words) & set(its_words))
            if self.live(id) and not kept.quarantined and (its_vector is not None or shares):
                cosine = None if its_vector is None else float(its_vector @ vector(seed))
                expected[id] = cosine
        assert found.keys() == expected.keys()
        for id, cosine in expected.items():
            assert found[id].cosine == (None if cosine is None else pytest.approx(cosine, abs=1e-6))
            assert found[id].terms == self.model[id][2]
            assert found[id].entry == replace(self.model[id][0], answer=None)

    @rule()
    def reopen(self) -> None:
        if self.kind != "memory":
            self.store.close()
            self.store = self.opened()

    @invariant()
    def is_consistent(self) -> None:
        if hasattr(self, "store"):
            assert self.store.check() == []

    def teardown(self) -> None:
        if hasattr(self, "store"):
            self.store.close()
            self.folder.cleanup()


def _case(kind: str, capped: bool) -> type:
    name = f"{kind.title()}{'Capped' if capped else ''}Machine"
    machine = type(name, (StoreMachine,), {"kind": kind, "capped": capped})
    case: type = machine.TestCase  # type: ignore[attr-defined]
    case.settings = settings(  # type: ignore[attr-defined]
        max_examples=40,
        stateful_step_count=40,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    return case


TestMemory = _case("memory", capped=False)
TestMemoryCapped = _case("memory", capped=True)
TestSqlite = _case("sqlite", capped=False)
TestSqliteCapped = _case("sqlite", capped=True)
