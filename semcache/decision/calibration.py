"""From a score to a threshold that keeps a promise, and the evidence for it.

A calibration records, for a fixed grid of thresholds, how many labelled pairs the decision would
have served (vetoes included), how many of those wrongly, and an exact upper bound on the wrong
share: Clopper and Pearson, "The use of confidence or fiducial limits", Biometrika 26 (1934).

``threshold(max_wrong)`` picks the largest served region whose bound is at most ``max_wrong`` by
fixed-sequence testing: thresholds are tested from the strictest down, each at the full level, and
the first failure ends it. So the chosen one is wrong with probability at most ``1 - confidence``
although many were looked at (Angelopoulos et al., "Learn then Test", arXiv 2110.01052, section 3).
The sequence begins at the strictest threshold that serves enough pairs to support the bound at all;
that depends on the scores and not on the labels, so it costs nothing.

The promise holds for pairs like those measured: an exchangeable sample, one verdict a pair. What
that means for traffic is in ``docs/decision.md``.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources
from typing import Any

from semcache.decision.lexicon import RULES
from semcache.errors import CalibrationError, ConfigurationError, ModelMismatch

VERSION = 1
CONFIDENCE = 0.95


@dataclass(frozen=True, slots=True)
class Point:
    """What was measured when everything scoring at least ``threshold`` is served.

    Attributes:
        threshold: a score.
        served, wrong: counts over the labelled pairs.
        upper: exact upper bound on the wrong share at the calibration's confidence, in [0, 1].
        probability: P(same answer) of a pair that scores just this (isotonic), in [0, 1].
    """

    threshold: float
    served: int
    wrong: int
    upper: float
    probability: float


@dataclass(frozen=True, slots=True)
class Calibration:
    """Evidence for one scorer.

    Attributes:
        version: of the file's format.
        scorer: name of the scorer whose values these are.
        encoder: fingerprint of the embedder, or ``None`` where the scores do not depend on one.
        rules: version of the vetoes' word lists and rules.
        vetoes: the vetoes that were on. With one of them off the evidence is void.
        confidence: of the bounds, 0.95.
        floor: no threshold below this is ever used, whatever ``max_wrong`` a call asks for.
        points: thresholds descending.
        pairs, positives: the labelled pairs measured.
        made_from: where they come from, for people.
    """

    scorer: str
    encoder: str | None
    vetoes: tuple[str, ...]
    floor: float
    points: tuple[Point, ...]
    pairs: int = 0
    positives: int = 0
    confidence: float = CONFIDENCE
    rules: str = RULES
    made_from: str = ""
    version: int = VERSION

    def probability(self, score: float) -> float:
        """P(same answer) of an unvetoed pair with this score: monotone, in [0, 1].

        Linear between the points; from the lowest point down to 0 at score 0. 0 without evidence.
        """
        if not self.points or not score > 0.0:
            return 0.0
        low_score, low_probability = 0.0, 0.0
        for point in reversed(self.points):
            if score < point.threshold:
                share = (score - low_score) / (point.threshold - low_score)
                return low_probability + share * (point.probability - low_probability)
            low_score, low_probability = point.threshold, point.probability
        return low_probability

    def threshold(self, max_wrong: float) -> float | None:
        """The lowest score that may be served under ``max_wrong``, never below ``floor``.

        ``None``: the evidence cannot support that bound, and nothing may be served by meaning.

        Raises:
            ConfigurationError: ``max_wrong`` is not within 0 and 1.
        """
        if not 0.0 <= max_wrong <= 1.0:
            raise ConfigurationError(
                f"max_wrong must be a share between 0 and 1 (0.01 is one in a hundred), "
                f"not {max_wrong!r}"
            )
        needed = served_needed(max_wrong, self.confidence)
        chosen = None
        for point in self.points:
            if point.served < needed:
                continue
            if point.upper > max_wrong or point.threshold < self.floor:
                break
            chosen = point.threshold
        return chosen

    def require(self, *, scorer: str, encoder: str | None) -> None:
        """Make sure that this evidence is about that scorer and encoder.

        Raises:
            ModelMismatch: it is not; the message says what to do.
        """
        if scorer != self.scorer:
            raise ModelMismatch(
                f"this calibration was made for the scorer {self.scorer!r}, not {scorer!r}; "
                f"use the calibration of {scorer!r}, or make one (semcache tune)"
            )
        if self.encoder is not None and encoder != self.encoder:
            raise ModelMismatch(
                f"this calibration was made with the embedder {self.encoder!r}, but vectors come "
                f"from {encoder!r}; thresholds do not carry over. Make a calibration with that "
                f"embedder (semcache tune), or go back to {self.encoder!r}"
            )

    def without_evidence(self, encoder: str) -> Calibration:
        """The same scorer with another encoder, of which nothing is known: it never serves."""
        return Calibration(scorer=self.scorer, encoder=encoder, vetoes=(), floor=1.0, points=())

    def to_json(self) -> str:
        """The calibration as a JSON document, for a file."""
        head = {
            "version": self.version,
            "scorer": self.scorer,
            "encoder": self.encoder,
            "rules": self.rules,
            "vetoes": list(self.vetoes),
            "confidence": self.confidence,
            "floor": self.floor,
            "pairs": self.pairs,
            "positives": self.positives,
            "made_from": self.made_from,
        }
        fields = ("threshold", "served", "wrong", "upper", "probability")
        rows = ",\n".join(
            "    " + json.dumps({name: getattr(point, name) for name in fields})
            for point in self.points
        )
        return json.dumps(head, indent=2)[:-2] + f',\n  "points": [\n{rows}\n  ]\n}}\n'

    @classmethod
    def from_json(cls, document: str) -> Calibration:
        """The calibration that ``to_json`` wrote.

        Raises:
            CalibrationError: not a calibration, incomplete, inconsistent, or of a newer version.
            ModelMismatch: made with other rules for the vetoes than this version of semcache has.
        """
        try:
            values = json.loads(document)
            version = values["version"]
            if version != VERSION:
                raise CalibrationError(
                    f"a calibration of version {version!r}; this semcache reads version {VERSION}. "
                    "Upgrade semcache, or make the calibration again (semcache tune)"
                )
            made = cls(
                scorer=str(values["scorer"]),
                encoder=None if values["encoder"] is None else str(values["encoder"]),
                vetoes=tuple(map(str, values["vetoes"])),
                floor=float(values["floor"]),
                points=tuple(_point(point) for point in values["points"]),
                pairs=int(values["pairs"]),
                positives=int(values["positives"]),
                confidence=float(values["confidence"]),
                rules=str(values["rules"]),
                made_from=str(values["made_from"]),
            )
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise CalibrationError(
                f"not a calibration file ({type(error).__name__}: {error}); make one with "
                "semcache tune"
            ) from error
        if made.rules != RULES:
            raise ModelMismatch(
                f"this calibration was made with the veto rules {made.rules!r}, and this semcache "
                f"has {RULES!r}; make it again (semcache tune)"
            )
        _check(made)
        return made


def _point(values: Mapping[str, Any]) -> Point:
    return Point(
        threshold=float(values["threshold"]),
        served=int(values["served"]),
        wrong=int(values["wrong"]),
        upper=float(values["upper"]),
        probability=float(values["probability"]),
    )


def _check(made: Calibration) -> None:
    """A file that contradicts itself must not decide anything."""
    numbers = [made.floor, made.confidence]
    for point in made.points:
        numbers += [point.threshold, point.upper, point.probability]
        if not 0 <= point.wrong <= point.served:
            raise CalibrationError(f"a calibration with {point.wrong} wrong of {point.served}")
        if not point.wrong <= point.upper * point.served + 1e-9:
            raise CalibrationError("a calibration whose bound is below what it measured")
    if not all(map(math.isfinite, numbers)) or not 0 < made.confidence < 1:
        raise CalibrationError("a calibration with numbers that are none")
    for stricter, looser in zip(made.points, made.points[1:], strict=False):
        if stricter.threshold <= looser.threshold or stricter.served > looser.served:
            raise CalibrationError("a calibration whose thresholds do not descend")
        if stricter.probability < looser.probability:
            raise CalibrationError("a calibration whose probability is not monotone")


def calibrate(
    scored: Iterable[tuple[float, bool, bool]],
    *,
    scorer: str,
    encoder: str | None,
    vetoes: Sequence[str],
    grid: Sequence[float],
    floor: float,
    confidence: float = CONFIDENCE,
    made_from: str = "",
) -> Calibration:
    """Evidence from labelled pairs, each as (score, whether vetoed, whether the same answer).

    ``grid``: the thresholds to measure, fixed before looking at any label. ``floor``: see there.

    Raises:
        CalibrationError: no pairs, or all of one label.
    """
    pairs = list(scored)
    positives = sum(same for _, _, same in pairs)
    if not 0 < positives < len(pairs):
        raise CalibrationError(
            f"{len(pairs)} pairs of which {positives} are positive; a calibration needs pairs of "
            "both labels"
        )
    open_pairs = sorted((score, same) for score, vetoed, same in pairs if not vetoed)
    # Rule of succession: n right answers in a row are no certainty.
    most = 1 - 1 / (len(open_pairs) + 2)
    fitted = [min(mean, most) for mean in _isotonic([same for _, same in open_pairs])]
    points: list[Point] = []
    for threshold in sorted(set(grid), reverse=True):
        served = [same for score, same in open_pairs if score >= threshold]
        wrong = len(served) - sum(served)
        below = len(open_pairs) - len(served)
        points.append(
            Point(
                threshold=threshold,
                served=len(served),
                wrong=wrong,
                upper=round(binomial_upper(wrong, len(served), confidence), 9),
                probability=round(fitted[min(below, len(fitted) - 1)], 6) if fitted else 0.0,
            )
        )
    return Calibration(
        scorer=scorer,
        encoder=encoder,
        vetoes=tuple(vetoes),
        floor=floor,
        points=tuple(points),
        pairs=len(pairs),
        positives=positives,
        confidence=confidence,
        made_from=made_from,
    )


def _isotonic(labels: Sequence[bool]) -> list[float]:
    """Pool-adjacent-violators: the monotone sequence nearest to the labels (Ayer et al. 1955)."""
    blocks: list[tuple[float, int]] = []
    for label in labels:
        mean, size = float(label), 1
        while blocks and blocks[-1][0] >= mean:
            before, count = blocks.pop()
            mean = (mean * size + before * count) / (size + count)
            size += count
        blocks.append((mean, size))
    return [mean for mean, size in blocks for _ in range(size)]


def binomial_upper(wrong: int, served: int, confidence: float = CONFIDENCE) -> float:
    """Clopper-Pearson one-sided upper bound on a share: ``wrong`` of ``served`` were observed.

    The share at which seeing so few is as improbable as ``1 - confidence``; 1 without data.
    Found by bisection to 1e-10.

    >>> round(binomial_upper(0, 299), 4), round(binomial_upper(3, 1000), 4)
    (0.01, 0.0077)
    """
    if served <= 0 or wrong >= served:
        return 1.0
    low, high = wrong / served, 1.0
    while high - low > 1e-10:
        middle = (low + high) / 2
        if _binomial_cdf(wrong, served, middle) > 1 - confidence:
            low = middle
        else:
            high = middle
    return high


def _binomial_cdf(k: int, n: int, p: float) -> float:
    log_p, log_q = math.log(p) if p > 0 else -math.inf, math.log1p(-p) if p < 1 else -math.inf
    whole = math.lgamma(n + 1)
    total = 0.0
    for i in range(k + 1):
        log_term = whole - math.lgamma(i + 1) - math.lgamma(n - i + 1) + (n - i) * log_q
        total += math.exp(log_term + i * log_p if i else log_term)
    return total


def served_needed(max_wrong: float, confidence: float = CONFIDENCE) -> float:
    """How many served pairs, all right, it takes to support a bound; infinite for 0.

    >>> served_needed(0.01)
    299
    """
    if max_wrong <= 0:
        return math.inf
    if max_wrong >= 1:
        return 1
    return math.ceil(math.log(1 - confidence) / math.log1p(-max_wrong))


@lru_cache(maxsize=8)
def shipped(scorer_name: str) -> Calibration:
    """The calibration that comes with semcache for a built-in scorer and the local embedder.

    Raises:
        CalibrationError: there is none for that scorer; the message says what to do.
    """
    folder = resources.files("semcache.decision") / "calibrations"
    file = folder / f"{scorer_name}.json"
    if not scorer_name.isidentifier() or not file.is_file():
        raise CalibrationError(
            f"no calibration is shipped for the scorer {scorer_name!r}; make one from labelled "
            "pairs (semcache tune) and pass it, or use the scorer 'hybrid' or 'cosine'"
        )
    return Calibration.from_json(file.read_text("utf-8"))
