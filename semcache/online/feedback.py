"""What a report does: the pair never again, and its neighbourhood neither, at once and everywhere.

The rule is in ``decision.neighbourhood``; here is what it reads and writes. A report embeds both
prompts again (the hit may be an alias's, which never had a vector), writes a note with the vector
of the wrong prompt, and cuts the aliases of the entry: some of them may lie in the neighbourhood,
and those that do not come back when they are asked for next.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from semcache.online.notes import Label, label_note, label_scope, mark, mark_id, said
from semcache.steps import Embed, Steps, StoreCall
from semcache.stores.base import Selection

if TYPE_CHECKING:
    from semcache.candidates import SearchResult
    from semcache.engine import Engine, Prepared
    from semcache.entry import Entry
    from semcache.outcome import Hit
    from semcache.stores.base import Vector

# How many reports around a prompt are looked at. Each is about a prompt that got a wrong answer, so
# there are few; of those around one entry, only as many as it takes to quarantine it count.
NEAREST = 32


def by_meaning(hit: Hit) -> bool:
    """Whether the answer was recorded under another prompt."""
    return hit.entry.id != hit.id


def right(engine: Engine, hit: Hit) -> Steps[bool]:
    """Note that the hit was right; false where that was noted before."""
    return (yield from _note_pair(engine, hit, "right", None))


def wrong(engine: Engine, hit: Hit) -> Steps[bool]:
    """Forbid the pair and its neighbourhood; false where the pair was reported before.

    Raises:
        StoreError: the store failed. What had been written until then is in force.
    """
    vectors = None
    if engine.embedder is not None and hit.decision.query:
        try:
            asked = yield Embed(hit.decision.query)
            answered = yield Embed(hit.entry.query)
            if asked is not None and answered is not None:
                vectors = asked, answered
        except Exception:
            vectors = None
    # First what stops it: the alias of this wording, then the note, then everything around.
    yield StoreCall("unalias", (hit.id,))
    new: bool = yield from _note_pair(engine, hit, "wrong", None if vectors is None else vectors[0])
    if vectors is None:
        # Nobody can say what is near, so nothing but its own prompt gets this answer.
        yield StoreCall("quarantine", (hit.entry.id,))
        return new
    if (yield from _wrongs_of(engine, hit, vectors[1])):
        yield StoreCall("quarantine", (hit.entry.id,))
    else:
        yield from _cut_aliases(engine, hit.entry.id, vectors[1])
    return new


def _note_pair(engine: Engine, hit: Hit, label: Label, vector: Vector | None) -> Steps[bool]:
    note = label_note(
        engine.keys,
        label,
        hit.decision.scope,
        hit.id,
        hit.decision.query,
        hit.entry,
        engine.clock(),
        None if vector is None or engine.embedder is None else engine.embedder.fingerprint,
    )
    known: Entry | None = yield StoreCall("get", (note.id, engine.clock()))
    if known is not None and (vector is None or known.fingerprint == note.fingerprint):
        return False
    yield StoreCall("put", (note, vector, ()))
    if label == "wrong":
        here = mark(engine.keys, hit.decision.scope, hit.entry, engine.clock())
        yield StoreCall("put", (here, None, ()))
    return known is None


def _wrongs_of(engine: Engine, hit: Hit, vector: Vector) -> Steps[bool]:
    """Whether this entry was wrong for so many prompts that it shall serve no other any more."""
    from semcache.decision.neighbourhood import WRONGS_OF_ONE_ENTRY

    assert engine.embedder is not None
    place = label_scope(engine.keys, hit.decision.scope, "wrong")
    result: SearchResult = yield StoreCall(
        "search", (place, engine.embedder.fingerprint, vector, (), NEAREST, engine.clock())
    )
    count = 0
    for found in result.candidates:
        note: Entry | None = yield StoreCall("get", (found.entry.id, engine.clock()))
        told = said(note)
        count += isinstance(told, dict) and told.get("entry") == hit.entry.id
    return count >= WRONGS_OF_ONE_ENTRY


def _cut_aliases(engine: Engine, id: str, vector: Vector) -> Steps[None]:
    """Remove every alias of an entry: the entry is removed with them and put back.

    A process that dies in between loses an entry, which costs one call.
    """
    from semcache.decision.terms import terms

    entry: Entry | None = yield StoreCall("get", (id, engine.clock()))
    if entry is None or entry.id != id or entry.quarantined:
        return
    assert engine.embedder is not None
    entry = replace(entry, fingerprint=engine.embedder.fingerprint)
    yield StoreCall("invalidate", (Selection(ids=(id,)),))
    yield StoreCall("put", (entry, vector, terms(entry.query)))


def unreported(
    engine: Engine, prepared: Prepared, result: SearchResult
) -> Steps[SearchResult | None]:
    """The candidates that no report forbids: ``result`` itself where that is all of them.

    ``None`` where the store cannot be asked: then nobody knows, and nothing may be served.
    """
    from semcache.decision.neighbourhood import Wrong, forbidden

    assert engine.embedder is not None
    now = engine.clock()
    failed = object()
    # Nearly always there are none, and to know that takes a fraction of a search.
    marked = mark_id(engine.keys, prepared.scope)
    known = yield from engine.store(failed, "get", marked, now)
    if known is None or known is failed:
        return result if known is None else None
    # In use, so that a full store drops it last.
    yield from engine.store(None, "touch", marked, now)
    place = label_scope(engine.keys, prepared.scope, "wrong")
    near: SearchResult | None = yield from engine.store(
        None, "search", place, engine.embedder.fingerprint, prepared.vector, (), NEAREST, now
    )
    if near is None:
        return None
    wrongs: list[Wrong] = []
    for found in near.candidates:
        if found.cosine is None:
            continue
        note: Entry | None = yield from engine.store(None, "get", found.entry.id, now)
        told = said(note)
        if isinstance(told, dict) and isinstance(told.get("entry"), str):
            wrongs.append(Wrong(told["entry"], found.cosine))
    if not wrongs:
        return result
    left = tuple(
        found
        for found in result.candidates
        if found.cosine is None or not forbidden(found.entry.id, found.cosine, wrongs)
    )
    return result if len(left) == len(result.candidates) else replace(result, candidates=left)
