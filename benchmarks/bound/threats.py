"""What an offline bound says nothing about: another domain, wrong labels, an adversary.

* **Drift**: the calibration pairs are of one source, the traffic of another.
* **Label noise**: a share of the calibration labels is wrong: turned over at random; or only false
  matches are called the same, at random (a lenient reader); or those with the highest scores are
  (the worst case).
* **Adversary**: a share of the traffic meets an entry that was planted for it. ``look-alike``:
  written to differ by one thing that matters (prompt_pairs' adversarial domains). ``stuffed``: the
  popular question itself with another request behind it. ``collision``: unrelated text with a
  vector made to lie near, against which only what reads the text can help.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.bound.control import NEVER, Share, chosen_threshold, share_of, wrong_share
from benchmarks.bound.exchangeable import Pool, draw, members
from benchmarks.bound.known import COSINE, Asked, Known
from benchmarks.bound.online import Watched, calibration_at, watch
from semcache.evaluate import corpus_of

if TYPE_CHECKING:
    from benchmarks.bound.control import Flags, Floats

NOISES = (0.02, 0.05)
NOISE_KINDS = ("turned over at random", "false called same", "the likeliest false called same")
# A source with fewer pairs than this is neither calibrated on nor served.
LEAST_PAIRS = 150
ATTACKED_SHARE = 0.1
ATTACKS = ("look-alike", "stuffed", "collision")
PLANTED = 150
# How far from the target the planted vector lies; the cosine comes out at about .97.
COLLISION_NOISE = 0.25
# What others ship with, without vetoes.
USUAL_COSINE = 0.90
USUAL = f"cosine ≥ {USUAL_COSINE:.2f}"
REQUESTS = 20_000
ONLINE_RUNS = 10


@dataclass(frozen=True, slots=True)
class Online:
    """Several runs with the confidence sequence at work, together.

    Attributes:
        unwatched: true wrong share of the served with the same calibration left alone.
        wrong, late_wrong: of the served, of all requests and of their last quarter.
        served: share of what would have been served without watching.
        first_step: how many were served before the threshold first tightened: median of the runs in
            which it did.
        tightened, off: shares of the runs in which it did, and in which it ended serving nothing.
    """

    unwatched: float
    wrong: float
    late_wrong: float
    served: float
    first_step: float | None
    tightened: float
    off: float


@dataclass(frozen=True, slots=True)
class Threatened:
    """One scorer under one threat.

    Attributes:
        threat: what it is, for people.
        supported: of the calibrations.
        exceeds: share of the calibrations whose true wrong share exceeds the bound; where there is
            one calibration, it is one run.
        wrong: mean true wrong share, over those that serve.
        planted_served: of planted entries, where there are any.
        online: what watching makes of it.
    """

    threat: str
    scorer: str
    bound: float
    supported: Share
    exceeds: Share
    wrong: float
    planted_served: float | None = None
    online: Online | None = None

    def to_json(self) -> dict[str, Any]:
        from dataclasses import asdict

        plain = asdict(self)
        plain["supported"], plain["exceeds"] = self.supported.to_json(), self.exceeds.to_json()
        return plain


def watched(
    evidence: Pool,
    scores: Floats,
    same: Flags,
    scorer: str,
    bound: float,
    seed: int,
    requests: int,
) -> Online | None:
    """Calibrate on all the evidence, then serve these pairs with the bound watched."""
    threshold = chosen_threshold(evidence.scores[scorer], evidence.same, bound)
    if threshold == NEVER:
        return None
    calibration = calibration_at(evidence.scores[scorer], evidence.same, threshold, bound)
    rng = np.random.default_rng(seed)
    runs = [watch(calibration, bound, scores, same, requests, rng) for _ in range(ONLINE_RUNS)]
    usual = requests * float((scores >= threshold).mean())
    return _together(runs, usual, wrong_share(scores, same, threshold))


def _together(runs: Sequence[Watched], usual: float, unwatched: float) -> Online:
    firsts = [run.first_step for run in runs if run.first_step is not None]
    served = sum(run.served for run in runs)
    return Online(
        unwatched=unwatched,
        wrong=sum(run.wrong for run in runs) / max(1, served),
        late_wrong=sum(r.late_wrong for r in runs) / max(1, sum(r.late_served for r in runs)),
        served=served / max(1.0, usual * len(runs)),
        first_step=float(np.median(firsts)) if firsts else None,
        tightened=len(firsts) / len(runs),
        off=sum(run.off for run in runs) / len(runs),
    )


def drift(
    pool: Pool, bounds: Sequence[float], runs: int, seed: int, requests: int = REQUESTS
) -> list[Threatened]:
    """From each source with enough pairs to each other one; watched at the loosest bound."""
    rng = np.random.default_rng(seed)
    sources = np.array(pool.source)
    large = [s for s in sorted(set(pool.source)) if (sources == s).sum() >= LEAST_PAIRS]
    found: list[Threatened] = []
    for one in large:
        evidence = pool.of(sources == one)
        groups = members(evidence.component)
        drawn = [draw(rng, groups) for _ in range(runs)]
        for other in large:
            if other == one:
                continue
            traffic = pool.of(sources == other)
            for bound in bounds:
                for name, scores in traffic.scores.items():
                    at = [
                        chosen_threshold(evidence.scores[name][d], evidence.same[d], bound)
                        for d in drawn
                    ]
                    online = None
                    usual = _usual(at, scores, traffic.same)
                    if bound == max(bounds) and usual is not None:
                        online = watched(
                            evidence.of(drawn[usual]),
                            scores,
                            traffic.same,
                            name,
                            bound,
                            seed,
                            requests,
                        )
                    found.append(
                        _offline(
                            f"{_short(one)} → {_short(other)}",
                            name,
                            bound,
                            at,
                            scores,
                            traffic.same,
                            online=online,
                        )
                    )
    return found


def _usual(thresholds: Sequence[float], scores: Floats, same: Flags) -> int | None:
    """Of the calibrations that serve, the one with the median wrong share."""
    shares = sorted(
        (wrong_share(scores, same, at), i) for i, at in enumerate(thresholds) if at < NEVER
    )
    return shares[len(shares) // 2][1] if shares else None


def _short(source: str) -> str:
    return source.removesuffix("_stream").removesuffix("_queries")


def _offline(
    threat: str,
    scorer: str,
    bound: float,
    thresholds: Sequence[float],
    scores: Floats,
    same: Flags,
    **more: Any,
) -> Threatened:
    shares = [wrong_share(scores, same, at) for at in thresholds]
    serving = [s for s, at in zip(shares, thresholds, strict=True) if at < NEVER]
    return Threatened(
        threat,
        scorer,
        bound,
        share_of([at < NEVER for at in thresholds]),
        share_of([share > bound for share in shares]),
        float(np.mean(serving)) if serving else 0.0,
        **more,
    )


def mislabelled(
    scores: Floats, same: Flags, noise: float, kind: str, rng: np.random.Generator
) -> Flags:
    """The labels with a share of all of them wrong, in one of the ways of ``NOISE_KINDS``."""
    labels = same.copy()
    many = round(noise * len(labels))
    false = np.flatnonzero(~labels)
    if kind == NOISE_KINDS[0]:
        labels[rng.permutation(len(labels))[:many]] ^= True
    elif kind == NOISE_KINDS[1]:
        labels[rng.permutation(false)[:many]] = True
    else:
        labels[false[np.argsort(-scores[false], kind="stable")[:many]]] = True
    return labels


def label_noise(pool: Pool, bounds: Sequence[float], runs: int, seed: int) -> list[Threatened]:
    """Draws from the pool with labels made wrong; the truth is the pool with its own labels."""
    found: list[Threatened] = []
    for noise in NOISES:
        for kind in NOISE_KINDS:
            for name, scores in pool.scores.items():
                rng = np.random.default_rng(seed)
                at: list[list[float]] = [[] for _ in bounds]
                for _ in range(runs):
                    drawn = rng.integers(len(pool.same), size=len(pool.same))
                    labels = mislabelled(scores[drawn], pool.same[drawn], noise, kind, rng)
                    for one, bound in zip(at, bounds, strict=True):
                        one.append(chosen_threshold(scores[drawn], labels, bound))
                threat = f"{noise:.0%}: {kind}"
                found += [
                    _offline(threat, name, bound, one, scores, pool.same)
                    for one, bound in zip(at, bounds, strict=True)
                ]
    return found


def planted(
    look_alikes: Sequence[tuple[str, str]], popular: Sequence[str], known: Known, seed: int
) -> Mapping[str, Mapping[str, Floats]]:
    """Scores of planted entries for the question that each is planted for, by kind of attack."""
    rng = np.random.default_rng(seed)
    popular = list(dict.fromkeys(popular))
    targets = [popular[i] for i in rng.permutation(len(popular))[: 2 * PLANTED]]
    half = len(targets) // 2
    # Each target with the text of another one: no two of them ask the same.
    mates = list(zip(targets[:half], targets[half:], strict=False))
    stuffed = [(one, f"{one} {other}") for one, other in mates]
    texts = [text for pair in [*look_alikes, *stuffed] for text in pair]
    vectors = dict(zip(texts, known.vectors(texts, "adversary"), strict=True))
    near = {
        "look-alike": [_between(vectors, a, b) for a, b in look_alikes],
        "stuffed": [_between(vectors, a, b) for a, b in stuffed],
        "collision": [Asked(a, b, _collided(rng, vectors[a])) for a, b in mates],
    }
    corpus = corpus_of(dict.fromkeys(texts))
    return {kind: known.scores(asked, corpus, kind) for kind, asked in near.items()}


def _between(vectors: Mapping[str, Any], a: str, b: str) -> Asked:
    return Asked(a, b, float(vectors[a] @ vectors[b]))


def _collided(rng: np.random.Generator, target: Any) -> float:
    """The cosine to the target of its vector with a little noise."""
    noise = rng.standard_normal(len(target))
    moved = target + COLLISION_NOISE * noise / np.linalg.norm(noise)
    return float(target @ moved / np.linalg.norm(moved))


def adversary(
    pool: Pool,
    attacks: Mapping[str, Mapping[str, Floats]],
    bounds: Sequence[float],
    seed: int,
    requests: int = REQUESTS,
    shipped: Mapping[tuple[str, float], float] = MappingProxyType({}),
) -> list[Threatened]:
    """One calibration on the whole pool; a tenth of the traffic meets what was planted for it.

    Where the pool supports no threshold, the one that ships, if any. Beside: cosine at a usual
    threshold, without any calibration.
    """
    found: list[Threatened] = []
    for kind, by_scorer in attacks.items():
        # The planted ones repeated until they are their share of the traffic.
        many = math.ceil(len(pool.same) * ATTACKED_SHARE / (1 - ATTACKED_SHARE))
        same = np.concatenate([pool.same, np.zeros(many, dtype=bool)])
        for bound in bounds:
            for name in (USUAL, *pool.scores):
                usual = name == USUAL
                scores = pool.scores[COSINE if usual else name]
                entries = by_scorer[COSINE if usual else name]
                at = USUAL_COSINE if usual else chosen_threshold(scores, pool.same, bound)
                called = name
                if at == NEVER and (name, bound) in shipped:
                    at, called = shipped[name, bound], f"{name}, as shipped"
                mixed = np.concatenate([scores, np.resize(entries, many)])
                online = None
                if bound == max(bounds) and not usual:
                    online = watched(pool, mixed, same, name, bound, seed, requests)
                found.append(
                    _offline(
                        kind,
                        called,
                        bound,
                        [at],
                        mixed,
                        same,
                        planted_served=float((entries >= at).mean()),
                        online=online,
                    )
                )
    return found
