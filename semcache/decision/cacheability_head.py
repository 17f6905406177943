"""The head: a small model on the embedding and the words, in plain NumPy.

    given = vector, cues, rarity of the words
    sum = linear(given) + hashed words, pairs and triples   (one matrix each)
    mix = (1 - share) * sum + share * mean of small networks on given

then Platt's logistic for each flag and a softmax with temperature for the lifetimes. The file is an
``.npz`` of numbers and one JSON text, read without pickle; it is bound to the encoder's fingerprint
and to the version of the lexical features, and refused where either differs.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from semcache.decision.cacheability import FLAGS, OUTPUTS, logistic, softmax
from semcache.decision.cacheability_words import FEATURES, WORDS_VERSION, Words, grams
from semcache.errors import ModelMismatch
from semcache.observe.events import log

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Array = NDArray[np.float32]

HEAD_VERSION = 2
FILE = "head.npz"


@dataclass(frozen=True, slots=True)
class Head:
    """A trained head. All arrays are float32; ``o`` is ``len(OUTPUTS)``.

    Attributes:
        fingerprint: of the encoder whose vectors it reads.
        points: see ``Cacheability``.
        vector_scale, cue_scale, gram_scale: what the inputs were multiplied with in training.
        rare: see ``rarity``; a byte a bucket.
        linear: ``[inputs, o]`` (inputs: d, features, ``RARITIES``); bias: ``[o]``; hashed:
            ``[buckets, o]``.
        inner: ``[networks, inputs, hidden]``; inner_bias: ``[networks, hidden]``;
            outer: ``[networks, hidden, o]``; outer_bias: ``[networks, o]``.
        share: of the networks in the mix, in [0, 1].
        scale, shift, temperature: calibration, as in ``Rules``.
    """

    fingerprint: str
    points: Mapping[str, float]
    vector_scale: float
    cue_scale: float
    gram_scale: float
    rare: bytes
    linear: Array
    bias: Array
    hashed: Array
    inner: Array
    inner_bias: Array
    outer: Array
    outer_bias: Array
    share: float
    scale: tuple[float, ...]
    shift: tuple[float, ...]
    temperature: float

    def probabilities(
        self, vector: Any, words: Words, present: Sequence[int]
    ) -> tuple[list[float], list[float]]:
        """Of the flags and of the lifetimes, for one prompt."""
        mixed = self.sums(vector, words, present).tolist()
        flags = [logistic(self.scale[i] * mixed[i] + self.shift[i]) for i in range(len(FLAGS))]
        return flags, softmax([value / self.temperature for value in mixed[len(FLAGS) :]])

    def sums(self, vector: Any, words: Words, present: Sequence[int]) -> Array:
        """One sum for each of ``OUTPUTS``, before calibration."""
        import numpy as np

        dimension = len(vector)
        given = np.zeros(dimension + len(FEATURES) + RARITIES, np.float32)
        given[:dimension] = vector
        given[:dimension] *= self.vector_scale
        for position in present:
            given[dimension + position] = self.cue_scale
        given[-RARITIES:] = rarity(words, self.rare)
        buckets = hashed_grams(words, len(self.hashed))
        sums = given @ self.linear + self.bias
        if buckets:
            weight = self.gram_scale / len(buckets) ** 0.5
            sums = sums + weight * self.hashed[buckets].sum(axis=0)
        inner = np.tanh(np.einsum("i,nih->nh", given, self.inner) + self.inner_bias)
        deep = (np.einsum("nh,nho->no", inner, self.outer) + self.outer_bias).mean(axis=0)
        mixed: Array = (1 - self.share) * sums + self.share * deep
        return mixed


def hashed_grams(words: Words, buckets: int) -> list[int]:
    """Which buckets the words, pairs and triples of a prompt fall into, each gram once.

    >>> from semcache.decision.cacheability_words import read
    >>> hashed_grams(read("hello"), 8192) == hashed_grams(read("Hello"), 8192)
    True
    """
    return [
        zlib.crc32(gram.encode("utf-8", "surrogatepass")) % buckets for gram in set(grams(words))
    ]


# What `rarity` gives, and the steps of it that a table keeps in a byte.
RARITIES = 20
RARITY_STEP = 0.05


def rarity(words: Words, table: bytes) -> list[float]:
    """How rare the words are, and in which sentence: "what are the rules?" holds none that is.

    A prompt that stands for itself names what it is about, and names are rarer than the words
    around them. ``table``: bucket of a word → ``log(texts / texts with it)`` in ``RARITY_STEP``.
    """
    found = sorted((_rare(word, table) for word in set(words.tokens)), reverse=True)
    a, b, c = (*found, 0.0, 0.0, 0.0)[:3]
    last = sorted((_rare(word, table) for word in set(words.last)), reverse=True)
    d, e = (*last, 0.0, 0.0)[:2]
    reacts = float(0 < words.opening <= 3)
    return [
        a / 10, b / 10, c / 10, sum(x > 5.5 for x in found) / 4, sum(x > 7 for x in found) / 3,
        d / 10, e / 10, float(a < 5), float(a < 6), float(a < 7), float(a > 8.5), float(d < 5),
        float(d < 6), float(words.sentences == 2), float(words.sentences > 2), reacts,
        reacts * d / 10, float(words.opening > 3), float(words.end in (".", "!")),
        float(words.end == "?"),
    ]  # fmt: skip


def rare_bucket(word: str, buckets: int) -> int:
    """Where a table of that size keeps a word."""
    return zlib.crc32(word.encode("utf-8", "surrogatepass")) % buckets


def _rare(word: str, table: bytes) -> float:
    return table[rare_bucket(word, len(table))] * RARITY_STEP if word[0].isalpha() else 0.0


@lru_cache(maxsize=4)
def load_head(path: str | Path) -> Head:
    """The head in that file.

    Raises:
        ModelMismatch: it is of another version, or of other lexical features.
        OSError, ValueError: not a head.
    """
    import numpy as np

    with np.load(path, allow_pickle=False) as stored:
        about = json.loads(str(stored["about"]))
        arrays = {
            name: stored[name].tobytes() if name == "rare" else stored[name].astype(np.float32)
            for name in stored.files
            if name != "about"
        }
    if about.get("version") != HEAD_VERSION or about.get("words") != WORDS_VERSION:
        raise ModelMismatch(
            f"the cacheability head {path} is of version {about.get('version')!r} and words "
            f"{about.get('words')!r}; this semcache reads {HEAD_VERSION} and {WORDS_VERSION}: "
            "upgrade semcache-models together with semcache"
        )
    if about["features"] != list(FEATURES) or about["outputs"] != list(OUTPUTS):
        raise ModelMismatch(f"the cacheability head {path} was made for other features")
    return Head(
        fingerprint=about["fingerprint"],
        points=about["points"],
        vector_scale=about["vector_scale"],
        cue_scale=about["cue_scale"],
        gram_scale=about["gram_scale"],
        share=about["share"],
        scale=tuple(about["scale"]),
        shift=tuple(about["shift"]),
        temperature=about["temperature"],
        **arrays,
    )


def head_for(fingerprint: str | None) -> Head | None:
    """The shipped head if it reads that encoder's vectors, else ``None``. Never raises."""
    if fingerprint is None:
        return None
    head = _shipped()
    return head if head is not None and head.fingerprint == fingerprint else None


@lru_cache(maxsize=1)
def _shipped() -> Head | None:
    try:
        from semcache_models import path

        return load_head(path("cacheability") / FILE)
    except (ImportError, FileNotFoundError):
        return None
    except Exception as error:
        # A damaged or newer file must not take the cache down: the words alone judge.
        log.warning("the cacheability head cannot be used: %s", error)
        return None
