"""Parts of labelled pairs that have nothing to do with each other.

Pairs that share a text, or a group, are not independent: they stay together. A component of linked
texts goes to a part by the hash of its name, so that the same pairs fall the same way on every
machine, and more pairs added later move only the components that they join.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from semcache.evaluate import Pair

SALT = "semcache tune "


def components(pairs: Sequence[Pair]) -> list[str]:
    """For each pair, the name of its component: the least of the linked texts.

    Texts are compared by letters and digits, case folded.

    >>> one, two, three = (Pair("a b", "c", True), Pair("C!", "d", False), Pair("e", "f", True))
    >>> components([one, two, three])
    ['ab', 'ab', 'e']
    """
    parent: dict[str, str] = {}

    def root(name: str) -> str:
        parent.setdefault(name, name)
        while parent[name] != name:
            parent[name] = parent[parent[name]]
            name = parent[name]
        return name

    for pair in pairs:
        names = [_plain(pair.a), _plain(pair.b)]
        if pair.group is not None:
            names.append("group:" + pair.group)
        for name in names[1:]:
            # The lesser name is the root, so that the order of the pairs does not matter.
            low, high = sorted((root(names[0]), root(name)))
            parent[high] = low
    return [root(_plain(pair.a)) for pair in pairs]


def falls_in(component: str, share: float) -> bool:
    """Whether a component belongs to the part which is ``share`` of all.

    >>> sum(falls_in(str(i), 0.3) for i in range(1000)) / 1000
    0.281
    """
    digest = hashlib.sha256((SALT + component).encode("utf-8", "surrogatepass")).digest()
    return int.from_bytes(digest[:8], "big") < share * 2**64


def _plain(text: str) -> str:
    letters = "".join(letter for letter in text.casefold() if letter.isalnum())
    return letters or text
