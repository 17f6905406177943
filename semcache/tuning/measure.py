"""Every labelled pair with all that can be known about it, computed once."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from semcache.candidates import Found
from semcache.decision.scorers import HybridScorer, Scorer
from semcache.decision.terms import terms
from semcache.decision.vetoes import ALL, Veto, vetoes
from semcache.entry import Entry
from semcache.evaluate import Pair, corpus_of, unique_texts
from semcache.tuning.parts import components, falls_in

if TYPE_CHECKING:
    from semcache.evaluate import Vectors

TOLD_EVERY = 50


@dataclass(frozen=True, slots=True)
class Scored:
    """One pair, as the decision would see it if ``pair.b`` were stored and ``pair.a`` asked.

    Attributes:
        values: of every scorer, by its name.
        lexical: the normalised BM25, in [0, 1].
        fired: all vetoes against it, whether they are switched on or not.
        choosing, evidence: which part it is in. Neither: it is only shown.
        half: of two halves of all components, for what is foretold crosswise.
    """

    pair: Pair
    cosine: float
    lexical: float
    values: Mapping[str, float]
    fired: tuple[Veto, ...]
    choosing: bool
    evidence: bool
    half: bool

    def vetoed(self, enabled: frozenset[str]) -> bool:
        """Whether one of the vetoes that are switched on refuses it."""
        return any(veto.name in enabled for veto in self.fired)


def measure(
    pairs: Sequence[Pair],
    embed: Callable[[Sequence[str]], Vectors],
    *,
    scorers: Sequence[Scorer],
    choosing_share: float,
    verify: Callable[[Sequence[tuple[str, str]]], Sequence[float]] | None = None,
    counts: Callable[[Pair], bool] = lambda pair: pair.picked is None,
    advance: Callable[[int], None] = lambda done: None,
) -> list[Scored]:
    """Score all pairs with all scorers, against the corpus that their texts make.

    ``embed`` gives unit vectors of unique texts; ``verify`` a verifier's logits of pairs, where a
    scorer needs them; ``counts`` says which pairs may be chosen on or be evidence; ``advance`` is
    told now and then how many pairs are done.
    """
    texts = unique_texts(pairs)
    vectors = dict(zip(texts, embed(texts), strict=True))
    corpus = corpus_of(texts)
    lexical = HybridScorer(alpha=0.0)
    logits: Sequence[float | None] = [None] * len(pairs)
    if verify is not None:
        logits = verify([(pair.a, pair.b) for pair in pairs])
    scored: list[Scored] = []
    for pair, component, logit in zip(pairs, components(pairs), logits, strict=True):
        cosine = float(vectors[pair.a] @ vectors[pair.b])
        entry = Entry(id="0" * 32, scope="0" * 32, query=pair.b, answer=None, created=0.0)
        found = [Found(entry, cosine, terms(pair.b), "vector", logit)]
        words = terms(pair.a)
        counted = counts(pair)
        choosing = falls_in(component, choosing_share)
        scored.append(
            Scored(
                pair=pair,
                cosine=cosine,
                lexical=lexical.score(pair.a, words, found, corpus)[0].value,
                values={
                    scorer.name: scorer.score(pair.a, words, found, corpus)[0].value
                    for scorer in scorers
                },
                fired=vetoes(pair.a, pair.b, ALL),
                choosing=counted and choosing,
                evidence=counted and not choosing,
                half=falls_in("half " + component, 0.5),
            )
        )
        if len(scored) % TOLD_EVERY == 0:
            advance(len(scored))
    return scored
