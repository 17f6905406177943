"""The vectors of the last few texts, so that a miss and its recording embed once."""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import TYPE_CHECKING

from semcache.fork import after_fork_in_child

if TYPE_CHECKING:
    from semcache.stores.base import Vector

# 1,024 vectors of 384 float32 take 1.5 MB.
REMEMBERED = 1024
# The key is the text itself, so a long text is not worth remembering.
LONGEST_TEXT = 4096


class VectorMemo:
    """A small thread-safe LRU map from text to vector, for one embedder."""

    def __init__(self) -> None:
        self._reset()
        after_fork_in_child(self, VectorMemo._reset)

    def _reset(self) -> None:
        self._lock = threading.Lock()
        self._vectors: OrderedDict[str, Vector] = OrderedDict()

    def get(self, text: str) -> Vector | None:
        with self._lock:
            vector = self._vectors.get(text)
            if vector is not None:
                self._vectors.move_to_end(text)
            return vector

    def put(self, text: str, vector: Vector) -> None:
        if len(text) > LONGEST_TEXT:
            return
        with self._lock:
            self._vectors[text] = vector
            if len(self._vectors) > REMEMBERED:
                self._vectors.popitem(last=False)
