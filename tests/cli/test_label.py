"""The command ``label``: questions in, labels on disk, nothing lost."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from semcache import SemanticCache
from semcache.errors import ConfigurationError
from semcache.evaluate import read_pairs
from semcache.labelling.journal import Journal
from tests.cli.conftest import REPOSITORY, Cli, Ran

TOPICS = ("password", "invoice", "router", "calendar", "passport")
Label = Callable[..., Ran]


@pytest.fixture
def label(tmp_path: Path) -> Label:
    """``label("y\\nn\\n", "pairs.jsonl", …)``: the command with these lines on stdin."""

    def run(answers: str, *arguments: object, status: int = 0) -> Ran:
        inherited = {k: v for k, v in os.environ.items() if not k.startswith("SEMCACHE_")}
        done = subprocess.run(
            [sys.executable, "-m", "semcache", "label", *map(str, arguments)],
            cwd=tmp_path,
            env={**inherited, "PYTHONPATH": str(REPOSITORY), "COLUMNS": "120"},
            input=answers,
            capture_output=True,
            text=True,
            timeout=100,
        )
        assert "Traceback" not in done.stderr, done.stderr
        assert done.returncode == status, (done.returncode, done.stdout, done.stderr)
        return Ran(done.returncode, done.stdout, done.stderr)

    return run


@pytest.fixture
def pairs(tmp_path: Path) -> Path:
    """Five pairs that would be served, one that a veto refuses, one with a label."""
    rows: list[dict[str, Any]] = [
        {"a": f"How do I renew my {topic}?", "b": f"how do i renew my {topic}, please"}
        for topic in TOPICS
    ]
    rows.append({"a": "Is it open at 5?", "b": "Is it open at 6?"})
    rows.append({"a": "Where is my bag?", "b": "where is my bag", "label": 1})
    file = tmp_path / "pairs.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return file


def labels(tmp_path: Path) -> list[dict[str, Any]]:
    file = tmp_path / "labels.jsonl"
    return [json.loads(line) for line in file.read_text().splitlines()]


def test_answers_become_labels_that_tune_reads(
    label: Label, cli: Cli, tmp_path: Path, pairs: Path
) -> None:
    said = label("y\nn\nhuh\n s \nY\nyes\n", pairs, "--json").json
    assert (said["right"], said["wrong"], said["skipped"], said["left"]) == (3, 1, 1, 0)
    assert (said["candidates"], said["labels"]) == (6, 4)
    rows = labels(tmp_path)
    assert [row["label"] for row in rows] == [1, 0, 1, 1]
    assert {row["picked"]["how"] for row in rows} == {"served"}
    assert {row["source"] for row in rows} == {"pairs.jsonl"}
    assert stat.S_IMODE((tmp_path / "labels.jsonl").stat().st_mode) == 0o600
    assert len(read_pairs(tmp_path / "labels.jsonl")) == 4
    tuned = cli("tune", "labels.jsonl", "--max-wrong", "0.9", "--json").json
    assert tuned["evidence"] == 4
    # With another scorer they are no sample of what is served.
    assert "0 pairs" in cli("tune", "labels.jsonl", "--scorer", "cosine", status=3).err


def test_undo_and_going_on_another_day(label: Label, tmp_path: Path, pairs: Path) -> None:
    said = label("u\ny\nu\nn\ns\nu\ny\nq\ny\n", pairs, "--json").json
    assert (said["right"], said["wrong"], said["skipped"], said["left"]) == (1, 1, 0, 3)
    assert [row["label"] for row in labels(tmp_path)] == [0, 1]
    before = labels(tmp_path)
    said = label("y\n", pairs, "--limit", "1", "--json").json
    assert (said["right"], said["labels"]) == (1, 3)
    assert labels(tmp_path)[:2] == before
    assert len({row["a"] for row in labels(tmp_path)}) == 3


def test_questions_are_on_stderr_and_the_end_of_stdin_is_quit(label: Label, pairs: Path) -> None:
    ran = label("", pairs)
    assert "How do I renew my" in ran.err
    assert "May one answer serve both?" in ran.err
    assert "0 yes, 0 no, 0 skipped, 5 left" in ran.out
    assert "Is it open at 5?" not in ran.err


def test_near_asks_for_the_most_doubtful_first(label: Label, tmp_path: Path, pairs: Path) -> None:
    label("y\n" * 5, pairs, "--pick", "near", "--from", "0.9", "--json")
    distances = [abs(row["score"] - 0.9) for row in labels(tmp_path)]
    assert len(distances) == 5
    assert distances == sorted(distances)
    assert {row["picked"]["how"] for row in labels(tmp_path)} == {"near"}


def test_neighbours_in_a_cache(label: Label, tmp_path: Path) -> None:
    with SemanticCache.open(f"sqlite:///{tmp_path}/c.db", scorer="hybrid", policy=None) as cache:
        for topic in TOPICS[:2]:
            cache.record(f"How do I renew my {topic}?", f"Renew the {topic} there.")
            cache.record(f"how do i renew my {topic}, please", "As above.")
        cache.record("how do i renew my passport", "Elsewhere.")
    said = label("y\ny\ny\n", "--from-cache", "--url", f"sqlite:///{tmp_path}/c.db", "--json")
    assert said.json["right"] == 2
    assert "Renew the password there." in said.err
    assert {row["source"] for row in labels(tmp_path)} == {"cache default"}


def test_what_cannot_be_is_said(label: Label, tmp_path: Path, pairs: Path) -> None:
    label("", status=2)
    label("", pairs, "--from-cache", status=2)
    label("", pairs, "--pick", "best", status=2)
    assert "there is no cache" in label("", "--from-cache", status=1).err
    (tmp_path / "done.jsonl").write_text('{"a": "x", "b": "y", "label": 0}\n')
    assert "--again" in label("", "done.jsonl", status=1).err
    (tmp_path / "notes.txt").write_text("shopping list\n")
    assert "not a label" in label("", pairs, "--out", "notes.txt", status=1).err
    assert (tmp_path / "notes.txt").read_text() == "shopping list\n"


def row(a: str, same: int = 1) -> dict[str, Any]:
    return {"a": a, "b": "b", "label": same}


def test_a_label_is_on_disk_at_once_and_half_a_line_is_mended(tmp_path: Path) -> None:
    file = tmp_path / "labels.jsonl"
    with Journal(file) as journal:
        journal.add(row("one"))
        assert [pair.a for pair in read_pairs(file)] == ["one"]
        journal.add(row("two"))
    file.write_bytes(file.read_bytes() + b'{"a": "three", "b"')
    with Journal(file) as journal:
        assert journal.mended
        assert len(journal.known) == 2
        assert not journal.undo()
        journal.add(row("four"))
        journal.add(row("one", 0))
        assert journal.undo()
        assert journal.known[frozenset(("one", "b"))] is True
    assert [pair.a for pair in read_pairs(file)] == ["one", "two", "four"]


def test_a_last_line_left_open_by_an_editor_counts(tmp_path: Path) -> None:
    file = tmp_path / "labels.jsonl"
    file.write_text(json.dumps(row("one")))
    with Journal(file) as journal:
        assert not journal.mended
        journal.add(row("two"))
    assert [pair.a for pair in read_pairs(file)] == ["one", "two"]


def test_two_sessions_in_one_file_lose_nothing(tmp_path: Path) -> None:
    file = tmp_path / "labels.jsonl"
    with Journal(file) as mine, Journal(file) as theirs:
        mine.add(row("one"))
        with pytest.raises(ConfigurationError, match="somebody else"):
            theirs.add(row("two"))
        mine.add(row("three"))
        mine.undo()
    assert [pair.a for pair in read_pairs(file)] == ["one"]
