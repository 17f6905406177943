"""Measuring a decision on labelled pairs. Pure: vectors and a clock are passed in.

Two views of each file. The *ranking* (average precision, ROC-AUC, recall at a precision) is that of
the scorer's value alone, without vetoes, so that cosine's figures are those that others publish.
The *operating point* (what is served) is the whole of ``decide``, vetoes and calibrated threshold
included: it is what a cache would have done if ``b`` were stored and ``a`` were asked.

numpy is needed here, but never by the decision itself.
"""

from __future__ import annotations

import csv
import gzip
import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from semcache.candidates import CorpusStats, Found, SearchResult
from semcache.decision.bm25 import idf_mean
from semcache.decision.calibration import Calibration
from semcache.decision.decide import Verdict, decide
from semcache.decision.scorers import Scorer
from semcache.decision.terms import terms
from semcache.decision.vetoes import ALL
from semcache.entry import Entry
from semcache.errors import ConfigurationError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Vectors = NDArray[np.float32]

TOLD_EVERY = 100
PRECISIONS = (0.99, 0.97, 0.95, 0.90)


@dataclass(frozen=True, slots=True)
class Picked:
    """How ``semcache label`` came to ask for a pair.

    Attributes:
        how: ``"served"``, at random from what is served; ``"near"``, for being near the threshold.
        scorer: by whose score.
        least: the lowest score that was asked about.
    """

    how: str
    scorer: str
    least: float


@dataclass(frozen=True, slots=True)
class Pair:
    """Two texts, whether they may share an answer, and where they come from, if the file says."""

    a: str
    b: str
    same: bool
    group: str | None = None
    domain: str | None = None
    source: str | None = None
    picked: Picked | None = None


def read_pairs(path: Path, limit: int | None = None) -> list[Pair]:
    """Labelled pairs of a ``.jsonl`` or ``.csv`` file, or with ``.gz``: a, b, label (0 or 1).

    Raises:
        ConfigurationError: unreadable, of another kind, or a bad line (named by its number).
    """
    pairs: list[Pair] = []
    for number, record in records(path):
        pairs.append(_pair(record, f"{path}, line {number}"))
        if limit is not None and len(pairs) >= limit:
            break
    if not pairs:
        raise ConfigurationError(f"{path} has no pairs")
    return pairs


def records(path: Path) -> Iterator[tuple[int, Any]]:
    """Line numbers and records, as they are in the file.

    Raises:
        ConfigurationError: see ``read_pairs``.
    """
    name = path.name.lower()
    if not name.removesuffix(".gz").endswith((".jsonl", ".csv")):
        raise ConfigurationError(f"{path}: a file of pairs ends in .jsonl or .csv, or that and .gz")
    try:
        opener: Any = gzip.open if name.endswith(".gz") else open
        with opener(path, "rt", encoding="utf-8-sig", newline="") as text:
            if name.removesuffix(".gz").endswith(".csv"):
                reader = csv.DictReader(text, strict=True)
                for record in reader:
                    yield reader.line_num, record
                return
            for number, line in enumerate(text, 1):
                if line.strip():
                    try:
                        yield number, json.loads(line)
                    except ValueError as error:
                        raise ConfigurationError(
                            f"{path}, line {number}: not JSON ({error})"
                        ) from error
    except (OSError, EOFError, csv.Error, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path} cannot be read: {error}") from error


def _pair(record: Any, where: str) -> Pair:
    if not isinstance(record, Mapping):
        raise ConfigurationError(f"{where}: expected an object with a, b and label")
    missing = [name for name in ("a", "b", "label") if record.get(name) is None]
    if missing:
        raise ConfigurationError(f"{where}: {' and '.join(missing)} missing; expected a, b, label")
    a, b, label = record["a"], record["b"], record["label"]
    if not isinstance(a, str) or not isinstance(b, str):
        raise ConfigurationError(f"{where}: a and b must be text")
    if str(label).strip() not in ("0", "1"):
        raise ConfigurationError(f"{where}: label must be 0 or 1, not {label!r:.40}")
    known = (record.get(name) for name in ("group", "domain", "source"))
    # An empty cell of a CSV file says nothing, and is no group of its own.
    group, domain, source = (None if said in (None, "") else str(said) for said in known)
    same, picked = str(label).strip() == "1", _picked(record.get("picked"), where)
    return Pair(a, b, same, group, domain, source, picked)


def _picked(said: Any, where: str) -> Picked | None:
    if said in (None, ""):
        return None
    try:
        return Picked(str(said["how"]), str(said["scorer"]), float(said["least"]))
    except (KeyError, TypeError, ValueError) as error:
        raise ConfigurationError(
            f"{where}: picked is what semcache label writes, not {said!r:.60}"
        ) from error


def unique_texts(pairs: Iterable[Pair]) -> list[str]:
    """Every text once, in order of appearance."""
    return list(dict.fromkeys(text for pair in pairs for text in (pair.a, pair.b)))


def corpus_of(texts: Iterable[str]) -> CorpusStats:
    """BM25 statistics of a static corpus, counted by ``rank_bm25`` where it is installed.

    >>> corpus_of(["reset my pin", "reset my card"]).frequencies["reset"]
    2
    """
    documents = [list(terms(text)) for text in texts]
    try:
        from rank_bm25 import BM25Okapi
    except ImportError:
        return count_corpus(documents)
    if not any(documents):
        return count_corpus(documents)
    index = BM25Okapi(documents)
    return CorpusStats(
        documents=index.corpus_size,
        length=sum(index.doc_len),
        average_idf=index.average_idf,
        frequencies=Counter(term for counts in index.doc_freqs for term in counts),
    )


def count_corpus(documents: Sequence[Sequence[str]]) -> CorpusStats:
    """The same statistics, counted here."""
    frequencies = Counter(term for document in documents for term in set(document))
    return CorpusStats(
        documents=len(documents),
        length=sum(map(len, documents)),
        average_idf=idf_mean(len(documents), frequencies),
        frequencies=frequencies,
    )


def judge(
    pair: Pair,
    cosine: float,
    corpus: CorpusStats,
    *,
    scorer: Scorer,
    calibration: Calibration,
    max_wrong: float,
    enabled_vetoes: frozenset[str] = ALL,
    logit: float | None = None,
) -> Verdict:
    """The decision if ``pair.b`` were the one stored entry found and ``pair.a`` were asked.

    ``logit``: the verifier's, where the scorer asks one.
    """
    entry = Entry(id="0" * 32, scope="0" * 32, query=pair.b, answer=None, created=0.0)
    found = Found(entry, cosine, terms(pair.b), "vector", logit)
    return decide(
        pair.a,
        SearchResult((found,), corpus),
        scorer=scorer,
        calibration=calibration,
        max_wrong=max_wrong,
        enabled_vetoes=enabled_vetoes,
    )


@dataclass(frozen=True, slots=True)
class Report:
    """What was measured on one file; ``None`` where a measure does not exist.

    ``ms_per_pair``: wall time of embedding and decision together, over the number of pairs.
    """

    file: str
    n: int
    positives: int
    average_precision: float | None
    roc_auc: float | None
    recall_at_precision: Mapping[float, float | None]
    threshold: float | None
    served_positive_share: float | None
    served_negative_share: float | None
    ms_per_pair: float

    def to_json(self) -> dict[str, Any]:
        """As plain data; the keys are fixed, scripts read them."""
        return {
            "file": self.file,
            "n": self.n,
            "positives": self.positives,
            "average_precision": self.average_precision,
            "roc_auc": self.roc_auc,
            "recall_at_precision": {
                f"{precision:.2f}": recall for precision, recall in self.recall_at_precision.items()
            },
            "threshold": self.threshold,
            "served_positive_share": self.served_positive_share,
            "served_negative_share": self.served_negative_share,
            "ms_per_pair": self.ms_per_pair,
        }


def evaluate(
    file: str,
    pairs: Sequence[Pair],
    embed: Callable[[Sequence[str]], Vectors],
    *,
    scorer: Scorer,
    calibration: Calibration,
    max_wrong: float,
    clock: Callable[[], float],
    verify: Callable[[Sequence[tuple[str, str]]], Sequence[float]] | None = None,
    advance: Callable[[int], None] = lambda done: None,
) -> Report:
    """Measure one file of pairs.

    ``embed`` gives unit vectors of unique texts; ``verify`` a verifier's logits of all pairs, where
    the scorer asks one (a cache has it read only those that could be served); ``clock`` counts
    seconds; ``advance`` is told now and then how many pairs are judged so far.
    """
    start = clock()
    texts = unique_texts(pairs)
    vectors = dict(zip(texts, embed(texts), strict=True))
    corpus = corpus_of(texts)
    logits: Sequence[float | None] = [None] * len(pairs)
    if verify is not None:
        logits = verify([(pair.a, pair.b) for pair in pairs])
    verdicts: list[Verdict] = []
    for pair, logit in zip(pairs, logits, strict=True):
        cosine = float(vectors[pair.a] @ vectors[pair.b])
        verdicts.append(
            judge(
                pair,
                cosine,
                corpus,
                scorer=scorer,
                calibration=calibration,
                max_wrong=max_wrong,
                logit=logit,
            )
        )
        if len(verdicts) % TOLD_EVERY == 0:
            advance(len(verdicts))
    labels = [pair.same for pair in pairs]
    scores = [verdict.judged[0].score for verdict in verdicts]
    served = [verdict.served is not None for verdict in verdicts]
    return Report(
        file=file,
        n=len(pairs),
        positives=sum(labels),
        average_precision=average_precision(labels, scores),
        roc_auc=roc_auc(labels, scores),
        recall_at_precision={
            precision: recall_at_precision(labels, scores, precision) for precision in PRECISIONS
        },
        threshold=verdicts[0].threshold,
        served_positive_share=_share(served, labels),
        served_negative_share=_share(served, [not label for label in labels]),
        ms_per_pair=(clock() - start) * 1000 / len(pairs),
    )


def _share(served: Sequence[bool], among: Sequence[bool]) -> float | None:
    chosen = [one for one, counts in zip(served, among, strict=True) if counts]
    return sum(chosen) / len(chosen) if chosen else None


def average_precision(labels: Sequence[bool], scores: Sequence[float]) -> float | None:
    """Area under precision and recall as a step function (scikit-learn's definition), in [0, 1].

    ``None`` for one label only. Equal scores are one threshold.

    >>> average_precision([True, False, True], [0.9, 0.8, 0.7])
    0.8333333333333333
    """
    curve = _curve(labels, scores)
    if curve is None:
        return None
    import numpy as np

    precision, recall = curve
    return float(np.sum(np.diff(recall, prepend=0.0) * precision))


def roc_auc(labels: Sequence[bool], scores: Sequence[float]) -> float | None:
    """P(a positive scores above a negative), ties counting half; ``None`` for one label only.

    Mann-Whitney's U by mean ranks.

    >>> roc_auc([True, False, True], [0.9, 0.8, 0.7])
    0.5
    """
    import numpy as np

    truth = np.asarray(labels, dtype=bool)
    positives = int(truth.sum())
    negatives = len(truth) - positives
    if not positives or not negatives:
        return None
    _, inverse, counts = np.unique(
        np.asarray(scores, dtype=np.float64), return_inverse=True, return_counts=True
    )
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[inverse]
    wins = float(ranks[truth].sum()) - positives * (positives + 1) / 2
    return wins / (positives * negatives)


def recall_at_precision(
    labels: Sequence[bool], scores: Sequence[float], precision: float
) -> float | None:
    """The largest recall of any threshold whose precision is at least ``precision``; 0 if none.

    ``None`` for one label only.
    """
    curve = _curve(labels, scores)
    if curve is None:
        return None
    reached = curve[1][curve[0] >= precision]
    return float(reached.max()) if reached.size else 0.0


def _curve(
    labels: Sequence[bool], scores: Sequence[float]
) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
    """Precision and recall at every distinct score, from the highest down."""
    import numpy as np

    truth = np.asarray(labels, dtype=np.float64)
    values = np.asarray(scores, dtype=np.float64)
    if not 0 < truth.sum() < len(truth):
        return None
    order = np.argsort(-values, kind="stable")
    hits = np.cumsum(truth[order])
    ordered = values[order]
    last = np.append(ordered[1:] != ordered[:-1], True)
    ranks = np.arange(1, len(truth) + 1)
    return (hits / ranks)[last], (hits / truth.sum())[last]
