"""From a score to a threshold that keeps a promise, and the evidence for it.

A calibration records, for a fixed grid of thresholds, how many labelled pairs the decision would
have served (vetoes included), how many of those wrongly, and an exact upper bound on the wrong
share: Clopper and Pearson, "The use of confidence or fiducial limits", Biometrika 26 (1934).

``threshold(max_wrong)`` picks the largest served region whose bound is at most ``max_wrong`` by
fixed-sequence testing: thresholds are tested from the strictest down, each at the full level, and
the first failure ends it. So the chosen one is wrong with probability at most ``1 - confidence``
although many were looked at (Angelopoulos et al., "Learn then Test", arXiv 2110.01052, section 3).
The sequence begins at the strictest threshold that serves enough pairs to support the bound at all;
that depends on the scores and not on the labels, so it costs nothing. Or it begins at ``start``,
chosen on pairs that are not among those measured, where the bound is likeliest to be met ("split
fixed sequence testing", ibid.): a single wrong label at the very top then ends nothing.

With a ``prior`` the bounds are those of traffic in which that share of the candidates are true
duplicates; ``decision/shift.py`` says how.

The promise holds for pairs like those measured: an exchangeable sample, one verdict a pair. What
that means for traffic is in ``docs/decision.md``.
"""

from __future__ import annotations

import json
import math
from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources
from itertools import accumulate
from pathlib import Path
from typing import Any, TypeVar

from semcache.decision.binomial import CONFIDENCE, binomial_upper, served_needed
from semcache.decision.lexicon import RULES
from semcache.decision.shift import shifted_probability, shifted_upper
from semcache.errors import CalibrationError, ConfigurationError, ModelMismatch, SemcacheError

# 2: ``start``, ``prior`` and ``verifier``. A file of version 1 has none of them, and still counts.
VERSION = 2
READABLE = (1, 2)


@dataclass(frozen=True, slots=True)
class Point:
    """What was measured when everything scoring at least ``threshold`` is served.

    Attributes:
        threshold: a score.
        served, wrong: counts over the labelled pairs.
        upper: upper bound on the wrong share at the calibration's confidence, in [0, 1]: exact,
            or corrected for the calibration's prior.
        probability: P(same answer) of a pair that scores just this (isotonic), in [0, 1].
        at_best: with a prior, what ``upper`` would be if none of the served were wrong.
    """

    threshold: float
    served: int
    wrong: int
    upper: float
    probability: float
    at_best: float | None = None

    def begins(self, max_wrong: float, needed: float) -> bool:
        """Whether testing may begin here: whether the bound is within reach, labels unseen."""
        return self.served >= needed if self.at_best is None else self.at_best <= max_wrong


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
        start: where the sequence of tests begins; ``None``: where enough pairs are served.
        prior: share of true duplicates that the bounds are for; ``None``: as among the pairs.
        verifier: fingerprint of the verifier, or ``None`` where the scores depend on none.
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
    start: float | None = None
    prior: float | None = None
    verifier: str | None = None
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
            early = self.start is not None and point.threshold > self.start
            if early or not point.begins(max_wrong, needed):
                continue
            if point.upper > max_wrong or point.threshold < self.floor:
                break
            chosen = point.threshold
        return chosen

    def require(self, *, scorer: str, encoder: str | None, verifier: str | None = None) -> None:
        """Make sure that this evidence is about that scorer, encoder and verifier.

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
        if self.verifier is not None and verifier != self.verifier:
            raise ModelMismatch(
                f"this calibration was made with the verifier {self.verifier!r}, not {verifier!r}; "
                "make one with that verifier (semcache tune), or go back to the old one"
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
            "verifier": self.verifier,
            "rules": self.rules,
            "vetoes": list(self.vetoes),
            "confidence": self.confidence,
            "floor": self.floor,
            "start": self.start,
            "prior": self.prior,
            "pairs": self.pairs,
            "positives": self.positives,
            "made_from": self.made_from,
        }
        fields = ["threshold", "served", "wrong", "upper", "probability"]
        fields += ["at_best"] if self.prior is not None else []
        rows = ",\n".join(
            "    " + json.dumps({name: getattr(point, name) for name in fields})
            for point in self.points
        )
        return json.dumps(head, indent=2)[:-2] + f',\n  "points": [\n{rows}\n  ]\n}}\n'

    @classmethod
    def from_file(cls, path: str | Path) -> Calibration:
        """The calibration in a file that ``semcache tune`` wrote.

        Raises:
            CalibrationError: unreadable, or not a calibration; the message names the file.
            ModelMismatch: see ``from_json``.
        """
        try:
            document = Path(path).read_text("utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise CalibrationError(f"cannot read the calibration {path}: {error}") from error
        try:
            return cls.from_json(document)
        except SemcacheError as error:
            raise type(error)(f"{path}: {error}") from error

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
            if version not in READABLE:
                raise CalibrationError(
                    f"a calibration of version {version!r}; this semcache reads {READABLE}. "
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
                start=_optional(float, values.get("start")),
                prior=_optional(float, values.get("prior")),
                verifier=_optional(str, values.get("verifier")),
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


Kind = TypeVar("Kind")


def _optional(kind: Callable[[Any], Kind], value: Any) -> Kind | None:
    return None if value is None else kind(value)


def _point(values: Mapping[str, Any]) -> Point:
    return Point(
        threshold=float(values["threshold"]),
        served=int(values["served"]),
        wrong=int(values["wrong"]),
        upper=float(values["upper"]),
        probability=float(values["probability"]),
        at_best=_optional(float, values.get("at_best")),
    )


def _check(made: Calibration) -> None:
    """A file that contradicts itself must not decide anything."""
    numbers = [made.floor, made.confidence, made.start or 0.0]
    if made.prior is not None and not 0 < made.prior < 1:
        raise CalibrationError(f"a calibration with the prior {made.prior}")
    for point in made.points:
        numbers += [point.threshold, point.upper, point.probability, point.at_best or 0.0]
        if (made.prior is None) != (point.at_best is None):
            raise CalibrationError("a calibration that has a prior for some of its points only")
        if not 0 <= point.wrong <= point.served:
            raise CalibrationError(f"a calibration with {point.wrong} wrong of {point.served}")
        if made.prior is None and not point.wrong <= point.upper * point.served + 1e-9:
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
    start: float | None = None,
    prior: float | None = None,
    verifier: str | None = None,
    sampled: bool = False,
) -> Calibration:
    """Evidence from labelled pairs, each as (score, whether vetoed, whether the same answer).

    ``grid``: the thresholds to measure, fixed before looking at any label; with a prior, the true
    matches may be looked at (``shift.py``). ``floor``, ``prior``, ``verifier``: see there.
    ``start``: likewise, chosen without the labels of these pairs.
    ``sampled``: the pairs are a sample of what would be served, so that none wrong among them says
    something; of other pairs it would only say how they were collected.

    Raises:
        CalibrationError: no pairs, or all of one label.
        ConfigurationError: ``prior`` is not between 0 and 1.
    """
    pairs = list(scored)
    positives = sum(same for _, _, same in pairs)
    if not 0 < positives < len(pairs) + sampled:
        raise CalibrationError(
            f"{len(pairs)} pairs of which {positives} are positive; a calibration needs pairs of "
            "both labels"
        )
    if prior is not None and not 0 < prior < 1:
        raise ConfigurationError(
            f"prior must be a share between 0 and 1 (0.2: one candidate in five), not {prior!r}"
        )
    share = positives / len(pairs)
    open_pairs = sorted((score, same) for score, vetoed, same in pairs if not vetoed)
    # Rule of succession: n right answers in a row are no certainty.
    most = 1 - 1 / (len(open_pairs) + 2)
    fitted = [min(mean, most) for mean in isotonic([same for _, same in open_pairs])]
    scores = [score for score, _ in open_pairs]
    right_below = list(accumulate((same for _, same in open_pairs), initial=0))
    points: list[Point] = []
    for threshold in sorted(set(grid), reverse=True):
        below = bisect_left(scores, threshold)
        served = len(open_pairs) - below
        right = right_below[-1] - right_below[below]
        probability = fitted[min(below, len(fitted) - 1)] if fitted else 0.0
        at_best = None
        if prior is None:
            upper = binomial_upper(served - right, served, confidence)
        else:
            probability = shifted_probability(probability, share, prior)
            at_best, upper = (
                shifted_upper(
                    wrong,
                    right,
                    negatives=len(pairs) - positives,
                    positives=positives,
                    prior=prior,
                    confidence=confidence,
                )
                for wrong in (0, served - right)
            )
            at_best = round(at_best, 9)
        points.append(
            Point(
                threshold,
                served,
                served - right,
                round(upper, 9),
                round(probability, 6),
                at_best,
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
        start=start,
        prior=prior,
        verifier=verifier,
    )


def isotonic(labels: Sequence[bool]) -> list[float]:
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


@lru_cache(maxsize=8)
def shipped(scorer_name: str) -> Calibration:
    """The calibration that comes with semcache for a built-in scorer and the local models.

    Args:
        scorer_name: a name of ``builtin.NAMES``, or a scorer's own, with its revision.

    Raises:
        CalibrationError: there is none for that scorer; the message says what to do.
        ModelMismatch: there is one, for another revision.
    """
    folder = resources.files("semcache.decision") / "calibrations"
    family = scorer_name.partition("-")[0]
    file = folder / f"{family}.json"
    if not family.isidentifier() or not file.is_file():
        raise CalibrationError(
            f"no calibration is shipped for the scorer {scorer_name!r}; make one from labelled "
            "pairs (semcache tune) and pass it, or use the scorer 'hybrid' or 'cosine'"
        )
    made = Calibration.from_json(file.read_text("utf-8"))
    if scorer_name != family:  # a revision was named
        made.require(scorer=scorer_name, encoder=made.encoder, verifier=made.verifier)
    return made
