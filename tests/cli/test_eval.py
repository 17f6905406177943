"""The command ``eval``; what it measures is tested with ``semcache.evaluate``."""

from __future__ import annotations

import json
from pathlib import Path

from tests.cli.conftest import Cli

KEYS = {
    "file", "n", "positives", "average_precision", "roc_auc", "recall_at_precision", "threshold",
    "served_positive_share", "served_negative_share", "ms_per_pair",
}  # fmt: skip


def test_eval(cli: Cli, tmp_path: Path) -> None:
    pairs = [
        ("How do I reset my password?", "how can i reset my password", 1),
        ("How do I reset my password?", "How do I reset my phone?", 0),
        ("What is the capital of France?", "France's capital is what?", 1),
        ("What is the capital of France?", "What is the capital of Spain?", 0),
    ]
    file = tmp_path / "pairs.jsonl"
    rows = ({"a": a, "b": b, "label": label} for a, b, label in pairs)
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    said = cli("eval", file, "--scorer", "cosine", "--json").json
    assert said["scorer"] == "cosine"
    (report,) = said["files"]
    assert report.keys() >= KEYS
    assert (report["n"], report["positives"]) == (4, 2)
    assert report["recall_at_precision"].keys() == {"0.99", "0.97", "0.95", "0.90"}
    assert "pairs.jsonl" in cli("eval", file).out


def test_eval_says_what_is_wrong(cli: Cli, tmp_path: Path) -> None:
    assert "nothing.jsonl" in cli("eval", "nothing.jsonl", status=1).err
    (tmp_path / "bad.jsonl").write_text('{"a": "x"}\n')
    assert "bad.jsonl" in cli("eval", "bad.jsonl", status=1).err
