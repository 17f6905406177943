"""Scores of all pairs and neighbours, computed once. Vectors and logits are kept on disk.

A pair that a veto of the scorer refuses has the score ``-inf``. The verifier reads only pairs that
could be served: without a veto, and able to reach ``least`` if the verifier were sure; another pair
has the score 0 of the learned scorer, which is below every threshold that is tried.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from semcache.candidates import CorpusStats, Found
from semcache.decision.builtin import scorer_named
from semcache.decision.calibration import shipped
from semcache.decision.terms import terms
from semcache.decision.vetoes import ALL, vetoes
from semcache.entry import Entry
from semcache.errors import ModelMismatch

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from semcache.decision.scorers import Scorer
    from semcache.embedders.base import Embedder
    from semcache.verifiers.base import Verifier

    Vectors = NDArray[np.float32]

COSINE = "cosine"
"""Alone, without vetoes: what others do."""
SCORERS = ("hybrid", "lexical", "learned")
BATCH = 64
SAVED_EVERY = 512
# No threshold of the learned scorer below this is tried; the calibrations that ship have the same.
LEAST_LEARNED = 0.5

Tell = Callable[[str, int, int], None]


@dataclass(frozen=True, slots=True)
class Asked:
    """A prompt that is asked and one that is stored, with their cosine."""

    query: str
    stored: str
    cosine: float


class Cache:
    """Vectors and logits by name, in one ``.npz`` file; without a file it forgets."""

    def __init__(self, file: Path | None) -> None:
        self.file = file
        self.parts: dict[str, dict[str, Any]] = {}
        if file is not None and file.exists():
            with np.load(file, allow_pickle=False) as stored:
                for key in stored.files:
                    part, kind = key.rsplit("/", 1)
                    if kind == "names":
                        values = stored[f"{part}/values"]
                        names = stored[key].tolist()
                        self.parts[part] = dict(zip(names, values, strict=True))

    def part(self, name: str) -> dict[str, Any]:
        return self.parts.setdefault(name, {})

    def save(self) -> None:
        if self.file is None:
            return
        arrays: dict[str, Any] = {}
        for part, values in self.parts.items():
            if values:
                arrays[f"{part}/names"] = np.array(list(values))
                arrays[f"{part}/values"] = np.stack(list(values.values()))
        beside = self.file.with_suffix(".part.npz")
        np.savez(beside, **arrays)
        beside.replace(self.file)


def _name(*texts: str) -> str:
    joined = "\0".join(texts).encode("utf-8", "surrogatepass")
    return hashlib.blake2b(joined, digest_size=12).hexdigest()


class Known:
    """The models, the cache of what they said, and what it makes of pairs.

    Raises:
        ModelMismatch: the learned scorer was trained with another verifier, or the calibration
            that ships belongs to another revision of it.
    """

    def __init__(self, embedder: Embedder, verifier: Verifier, cache: Cache, tell: Tell) -> None:
        self.embedder, self.verifier, self.cache, self.tell = embedder, verifier, cache, tell
        self.scorers: dict[str, Scorer] = {name: scorer_named(name) for name in SCORERS}
        needed = self.scorers["learned"].verifier
        if needed is not None and needed != verifier.fingerprint:
            raise ModelMismatch(
                f"the learned scorer needs the verifier {needed!r}, and {verifier.fingerprint!r} "
                "is installed; its scores would mean nothing (--verifier FOLDER names another)"
            )
        self.vetoes = {
            name: frozenset(shipped(scorer.name).vetoes) for name, scorer in self.scorers.items()
        }
        self.verified = 0

    def vectors(self, texts: Sequence[str], what: str) -> Vectors:
        """Unit vectors of these texts."""
        have = self.cache.part(f"vectors {self.embedder.fingerprint}")
        missing = [text for text in dict.fromkeys(texts) if _name(text) not in have]
        for start in range(0, len(missing), BATCH):
            some = missing[start : start + BATCH]
            have.update(zip(map(_name, some), self.embedder.embed(some), strict=True))
            self.tell(f"{what}: embedding", start + len(some), len(missing))
        if missing:
            self.cache.save()
        return np.stack([have[_name(text)] for text in texts])

    def scores(
        self,
        asked: Sequence[Asked],
        corpus: CorpusStats,
        what: str,
        least: float = LEAST_LEARNED,
    ) -> dict[str, NDArray[np.float64]]:
        """For every scorer, and for the cosine alone, the score of each pair."""
        found = [_found(one) for one in asked]
        names = [frozenset(v.name for v in vetoes(o.query, o.stored, ALL)) for o in asked]
        open_to = {name: [not (fired & on) for fired in names] for name, on in self.vetoes.items()}
        learned = self.scorers["learned"]
        wanted = [
            i
            for i, one in enumerate(asked)
            if open_to["learned"][i]
            and learned.shortlist(one.query, terms(one.query), [found[i]], corpus, least)
        ]
        for i, logit in zip(wanted, self._logits([asked[i] for i in wanted], what), strict=True):
            found[i] = _found(asked[i], logit)
        scores = {COSINE: np.array([one.cosine for one in asked])}
        for name, scorer in self.scorers.items():
            values = np.full(len(asked), -math.inf)
            for i, one in enumerate(asked):
                if not open_to[name][i]:
                    continue
                if scorer.verifier is not None and found[i].logit is None:
                    values[i] = 0.0
                    continue
                values[i] = scorer.score(one.query, terms(one.query), [found[i]], corpus)[0].value
                if i % BATCH == 0:
                    self.tell(f"{what}: scoring", i, len(asked))
            scores[name] = values
        return scores

    def _logits(self, pairs: Sequence[Asked], what: str) -> list[float]:
        have = self.cache.part(f"logits {self.verifier.fingerprint}")
        names = [_name(*sorted((one.query, one.stored))) for one in pairs]
        missing = {n: p for n, p in zip(names, pairs, strict=True) if n not in have}
        listed = list(missing.items())
        for start in range(0, len(listed), BATCH):
            some = listed[start : start + BATCH]
            logits = self.verifier.score([(one.query, one.stored) for _, one in some])
            have.update(zip((name for name, _ in some), logits, strict=True))
            self.tell(f"{what}: verifying", start + len(some), len(listed))
            if start % SAVED_EVERY == 0:
                self.cache.save()
        self.cache.save()
        self.verified += len(listed)
        return [float(have[name]) for name in names]


def _found(one: Asked, logit: float | None = None) -> Found:
    entry = Entry(id="0" * 32, scope="0" * 32, query=one.stored, answer=None, created=0.0)
    return Found(entry, one.cosine, terms(one.stored), "vector", logit)


def summary(known: Known) -> Mapping[str, str]:
    """What the figures are about."""
    return {
        "encoder": known.embedder.fingerprint,
        "verifier": known.verifier.fingerprint,
        **{name: scorer.name for name, scorer in known.scorers.items()},
    }
