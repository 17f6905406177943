"""How what is learned is kept: as entries of the store, in scopes of their own.

A *note* is an entry that no request can find: its scope is a digest that no request has. So every
store keeps, shares, exports and forgets notes as it does answers, and a report is in force in every
process as soon as it is written. There are three kinds:

* ``wrong``: a prompt that was answered wrongly, with its vector, in one scope beside the scope that
  it was asked in. What is near a new prompt is found by the store's own search.
* ``right``: the same of a right answer, without a vector: nobody looks for it but ``tune``.
* ``live``: the state of the watch over the bound, one for each namespace, scorer and encoder.

With ``max_entries`` or ``max_bytes`` notes count, and the least recently used go first, as always.
Notes of a tenant or namespace go with it when it is invalidated.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Literal

from semcache.answer import decode_payload, encode_answer
from semcache.entry import Entry

if TYPE_CHECKING:
    from semcache.scope import Keys

Label = Literal["right", "wrong"]

# Scope digests of requests are made otherwise, so these texts collide with nothing.
_WRONG, _RIGHT, _LIVE = "online:wrong", "online:right", "online:live"


def label_scope(keys: Keys, scope: str, label: Label) -> str:
    """The scope of the notes about requests of ``scope``."""
    return keys.entry(scope, _WRONG if label == "wrong" else _RIGHT)


def label_note(
    keys: Keys,
    label: Label,
    scope: str,
    id: str,
    query: str,
    entry: Entry,
    now: float,
    fingerprint: str | None,
) -> Entry:
    """The note that ``entry`` was the right or the wrong answer to the request ``id``."""
    place = label_scope(keys, scope, label)
    said = {"label": label, "entry": entry.id, "asked": query, "answered": entry.query}
    return Entry(
        id=keys.entry(place, f"{id}:{entry.id}"),
        scope=place,
        query=query,
        answer=encode_answer(said),
        created=now,
        namespace=entry.namespace,
        tenant=entry.tenant,
        fingerprint=fingerprint,
        source="note",
    )


def mark(keys: Keys, scope: str, entry: Entry, now: float) -> Entry:
    """The note that there are ``wrong`` notes about ``scope``: one ``get`` instead of a search."""
    return Entry(
        id=mark_id(keys, scope),
        scope=label_scope(keys, scope, "wrong"),
        query="",
        answer=encode_answer({}),
        created=now,
        namespace=entry.namespace,
        tenant=entry.tenant,
        source="note",
    )


def mark_id(keys: Keys, scope: str) -> str:
    """Id of the ``mark`` of a scope."""
    return keys.entry(label_scope(keys, scope, "wrong"), "mark")


def live_note(id: str, scope: str, namespace: str, state: dict[str, Any], now: float) -> Entry:
    """The note of a state of the watch."""
    return Entry(
        id=id,
        scope=scope,
        query="",
        answer=encode_answer(state),
        created=now,
        namespace=namespace,
        source="note",
    )


def live_ids(keys: Keys, namespace: str, scorer: str, encoder: str) -> tuple[str, str]:
    """Id and scope of the state of one namespace under one scorer and encoder."""
    place = keys.entry(_LIVE, namespace)
    return keys.entry(place, f"{scorer}\n{encoder}"), place


def said(note: Entry | None) -> Any:
    """What the note says; ``None`` where there is none, or it cannot be read."""
    if note is None or note.answer is None:
        return None
    try:
        return decode_payload(note.answer).data
    except Exception:
        # Written by another version, or damaged: as if it had never been written.
        return None


def labelled_pairs(entries: Iterable[tuple[Entry, Any, Any]]) -> list[dict[str, Any]]:
    """The reports among these entries as ``{"a", "b", "label"}``; for one pair, wrong wins."""
    labels: dict[tuple[str, str], int] = {}
    for entry, _, _ in entries:
        told = said(entry) if entry.source == "note" else None
        if isinstance(told, dict) and told.get("label") in ("right", "wrong"):
            pair = told["asked"], told["answered"]
            labels[pair] = min(labels.get(pair, 1), int(told["label"] == "right"))
    return [{"a": a, "b": b, "label": label} for (a, b), label in labels.items()]
