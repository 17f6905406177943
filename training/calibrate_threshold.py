"""Makes the calibrations that ship: ``semcache/decision/calibrations/{cosine,hybrid}.json``.

    python training/calibrate_threshold.py ../shared/data

Evidence comes from pairs that look like traffic: ``strict_pairs.tune`` (real people's prompts, each
beside a near neighbour) and the domain ``natural`` of ``prompt_pairs.tune`` (ordinary paraphrases
and ordinary neighbours). The other domains of ``prompt_pairs`` are traps made to share more words
than the paraphrases do; they are counted separately, as a stress test.

Texts that are linked (a shared text, a shared group) form one component, and a component goes to
one of two parts by the hash of its name:

* ``read`` (60 %): whose errors were read while the word lists and rules of the vetoes were written;
* ``measured`` (40 %): nobody read its traffic-like pairs. The evidence comes from here alone.

Each scorer's floor is the first threshold of the grid above which all but ``FLOOR_QUANTILE`` of the
unvetoed pairs of the ``read`` part lie: below it the evidence is thin, whatever the pooled bound
says.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import Progress, track
from rich.table import Table

from semcache.candidates import CorpusStats, Found
from semcache.decision.calibration import Calibration, calibrate
from semcache.decision.scorers import CosineScorer, HybridScorer, Scorer
from semcache.decision.terms import terms
from semcache.decision.vetoes import VETOES, vetoes
from semcache.embedders.local import LocalEmbedder
from semcache.entry import Entry
from semcache.evaluate import Pair, corpus_of, read_pairs, unique_texts
from semcache.tuning.parts import components

FILES = ("strict_pairs.tune.jsonl.gz", "prompt_pairs.tune.jsonl.gz")
SALT = "semcache decision "
READ_SHARE = 0.6
TRAFFIC_LIKE = (None, "natural")
FLOOR_QUANTILE = 0.05
# Fixed before any label was looked at: .995, .990, ... .500.
GRID = tuple(round(0.5 + 0.005 * i, 3) for i in range(100))
BATCH = 256
OUT = Path(__file__).parent.parent / "semcache" / "decision" / "calibrations"
MADE_FROM = (
    "strict_pairs.tune and the domain natural of prompt_pairs.tune, the 40 % of components that "
    "nobody read (training/calibrate_threshold.py)"
)

console = Console(stderr=True)


def is_read(component: str) -> bool:
    """Whether the component belongs to the part whose errors were read."""
    digest = hashlib.sha256((SALT + component).encode("utf-8", "surrogatepass")).hexdigest()
    return int(digest[:8], 16) / 2**32 < READ_SHARE


def score_all(
    pairs: Sequence[Pair], cosines: Sequence[float], scorer: Scorer, corpus: CorpusStats
) -> list[float]:
    """The scorer's value of every pair."""
    values = []
    for pair, cosine in zip(pairs, cosines, strict=True):
        entry = Entry(id="0" * 32, scope="0" * 32, query=pair.b, answer=None, created=0.0)
        found = Found(entry, cosine, terms(pair.b), "vector")
        values.append(scorer.score(pair.a, terms(pair.a), [found], corpus)[0].value)
    return values


def main(
    data: Annotated[Path, typer.Argument(help="folder with the *.tune pair files")],
    out: Annotated[Path, typer.Option(help="where to write the calibrations")] = OUT,
) -> None:
    """Measure both scorers on the measured part and write their calibrations."""
    pairs: list[Pair] = []
    names: list[str] = []
    for file in FILES:
        some = read_pairs(data / file)
        pairs += some
        names += components(some)
    read = [is_read(name) for name in names]
    console.print(stress(pairs, read))
    like_traffic = [i for i, pair in enumerate(pairs) if pair.domain in TRAFFIC_LIKE]
    pairs, read = [pairs[i] for i in like_traffic], [read[i] for i in like_traffic]
    texts = unique_texts(pairs)
    embedder = LocalEmbedder()
    vectors: dict[str, Any] = {}
    with Progress(console=console) as progress:
        task = progress.add_task("embedding", total=len(texts))
        for start in range(0, len(texts), BATCH):
            batch = texts[start : start + BATCH]
            vectors.update(zip(batch, embedder.embed(batch), strict=True))
            progress.advance(task, len(batch))
    cosines = [float(vectors[pair.a] @ vectors[pair.b]) for pair in pairs]
    vetoed = [bool(vetoes(pair.a, pair.b)) for pair in track(pairs, "vetoes", console=console)]
    corpus = corpus_of(texts)
    out.mkdir(parents=True, exist_ok=True)
    for scorer in (CosineScorer(), HybridScorer()):
        values = score_all(pairs, cosines, scorer, corpus)
        known = sorted(
            value for value, no, part in zip(values, vetoed, read, strict=True) if part and not no
        )
        lowest = known[int(len(known) * FLOOR_QUANTILE)]
        floor = min(threshold for threshold in GRID if threshold >= lowest)
        measured = [
            (value, no, pair.same)
            for value, no, pair, part in zip(values, vetoed, pairs, read, strict=True)
            if not part
        ]
        for on, label in ((True, "with vetoes"), (False, "without vetoes, not shipped")):
            made = calibrate(
                [(value, no and on, same) for value, no, same in measured],
                scorer=scorer.name,
                encoder=embedder.fingerprint,
                vetoes=tuple(VETOES) if on else (),
                grid=GRID,
                floor=floor,
                made_from=MADE_FROM,
            )
            console.print(table(made, f"{scorer.name}, {label}"))
            if on:
                (out / f"{scorer.name}.json").write_text(made.to_json(), "utf-8")


def stress(pairs: Sequence[Pair], read: Sequence[bool]) -> str:
    """How many of the traps no veto refuses, in the part that was not read."""
    traps = [
        pair
        for pair, part in zip(pairs, read, strict=True)
        if not part and not pair.same and pair.domain not in TRAFFIC_LIKE
    ]
    let_through = sum(not vetoes(pair.a, pair.b) for pair in traps)
    return f"traps of the measured part without a veto: {let_through} of {len(traps)}"


def table(made: Calibration, title: str) -> Table:
    """What the calibration says, for people."""
    shown = Table(title=f"{title}: {made.pairs} pairs, {made.positives} positive")
    for column in ("threshold", "served", "wrong", "upper bound", "P(same)"):
        shown.add_column(column, justify="right")
    for point in made.points[::5]:
        shown.add_row(
            f"{point.threshold:.3f}",
            str(point.served),
            str(point.wrong),
            f"{point.upper:.4f}",
            f"{point.probability:.3f}",
        )
    chosen = ", ".join(
        f"{bound:g}: {made.threshold(bound)}" for bound in (0.05, 0.02, 0.01, 0.005, 0.001)
    )
    shown.caption = f"floor {made.floor}; threshold by max_wrong: {chosen}"
    return shown


if __name__ == "__main__":
    typer.run(main)
