"""Measures equal scikit-learn's; pair files are read or refused with file and line."""

import gzip
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, precision_recall_curve, roc_auc_score
from typer.testing import CliRunner

from semcache.decision.calibration import shipped
from semcache.decision.scorers import CosineScorer
from semcache.errors import ConfigurationError
from semcache.evaluate import (
    Pair,
    average_precision,
    evaluate,
    read_pairs,
    recall_at_precision,
    roc_auc,
)

scored = st.lists(
    st.tuples(st.booleans(), st.integers(-5, 5).map(lambda i: i / 5)), min_size=2, max_size=40
)


@given(scored)
def test_measures_equal_scikit_learns(pairs: list[tuple[bool, float]]) -> None:
    labels, scores = [label for label, _ in pairs], [score for _, score in pairs]
    if len(set(labels)) == 1:
        assert average_precision(labels, scores) is None
        assert roc_auc(labels, scores) is None
        assert recall_at_precision(labels, scores, 0.9) is None
        return
    assert average_precision(labels, scores) == pytest.approx(
        average_precision_score(labels, scores)
    )
    assert roc_auc(labels, scores) == pytest.approx(roc_auc_score(labels, scores))
    precision, recall, _ = precision_recall_curve(labels, scores)
    for least in (0.5, 0.9, 0.99):
        expected = max(recall[:-1][precision[:-1] >= least], default=0.0)
        assert recall_at_precision(labels, scores, least) == pytest.approx(expected)


def rows(*records: object) -> str:
    return "".join(json.dumps(record) + "\n" for record in records)


GOOD = [{"a": "x", "b": "y", "label": 1}, {"a": "x", "b": "z", "label": 0, "group": "g"}]


def test_files(tmp_path: Path) -> None:
    plain, packed, table = tmp_path / "p.jsonl", tmp_path / "p.jsonl.gz", tmp_path / "p.csv"
    plain.write_text(rows(*GOOD) + "\n")
    packed.write_bytes(gzip.compress(rows(*GOOD).encode()))
    table.write_text('a,b,label\nx,y,1\nx,"z",0\n')
    expected = [Pair("x", "y", True), Pair("x", "z", False, "g")]
    assert read_pairs(plain) == read_pairs(packed) == expected
    assert read_pairs(table) == [Pair("x", "y", True), Pair("x", "z", False)]
    assert read_pairs(plain, limit=1) == expected[:1]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("p.jsonl", rows(GOOD[0]) + "{", "line 2: not JSON"),
        ("p.jsonl", rows(GOOD[0], {"a": "x", "label": 1}), "line 2: b missing"),
        ("p.jsonl", rows({"a": "x", "b": "y", "label": 2}), "line 1: label must be 0 or 1"),
        ("p.jsonl", rows({"a": 1, "b": "y", "label": 1}), "line 1: a and b must be text"),
        ("p.jsonl", rows([1]), "line 1: expected an object"),
        ("p.csv", "a,b\nx,y\n", "line 2: label missing"),
        ("p.jsonl", "", "no pairs"),
        ("p.txt", "x", "ends in .jsonl"),
        ("p.jsonl.gz", "not gzip", "cannot be read"),
    ],
)
def test_bad_files_are_named_with_their_line(
    tmp_path: Path, name: str, content: str, message: str
) -> None:
    path = tmp_path / name
    path.write_text(content)
    with pytest.raises(ConfigurationError, match=message) as caught:
        read_pairs(path)
    assert str(path) in str(caught.value)


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="cannot be read"):
        read_pairs(tmp_path / "none.jsonl")


def test_the_operating_point_is_the_whole_decision() -> None:
    pairs = [
        Pair("reset my pin", "Reset my PIN!", True),
        Pair("roast for 15 minutes", "roast for 30 minutes", False),
    ]
    report = evaluate(
        "x",
        pairs,
        lambda texts: np.ones((len(texts), 1), dtype=np.float32),
        scorer=CosineScorer(),
        calibration=shipped("cosine"),
        max_wrong=0.05,
        clock=lambda: 0.0,
    )
    assert report.threshold is not None
    assert report.served_positive_share == 1.0
    assert report.served_negative_share == 0.0
    assert report.roc_auc == 0.5
    assert set(report.to_json()["recall_at_precision"]) == {"0.99", "0.97", "0.95", "0.90"}


def test_the_command_prints_clean_json(tmp_path: Path) -> None:
    from semcache.cli.app import app

    path = tmp_path / "p.jsonl"
    path.write_text(rows(*GOOD))
    result = CliRunner().invoke(app, ["eval", str(path), "--scorer", "cosine", "--json"])
    assert result.exit_code == 0, result.output
    document = json.loads(result.stdout)
    assert document["scorer"] == "cosine"
    assert list(document["files"][0]) == [
        "file", "n", "positives", "average_precision", "roc_auc", "recall_at_precision",
        "threshold", "served_positive_share", "served_negative_share", "ms_per_pair",
    ]  # fmt: skip
