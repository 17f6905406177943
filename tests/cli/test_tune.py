"""The command ``tune``: a calibration from labels, a report, and a refusal that says what to do."""

from __future__ import annotations

import csv
import gzip
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from semcache import SemanticCache
from semcache.decision.calibration import Calibration
from semcache.errors import ModelMismatch
from tests.cli.conftest import Cli

THINGS = ("password", "invoice", "router", "calendar", "passport", "laptop", "printer", "garden")
PLACES = ("Oslo", "Rome", "Lima", "Cairo", "Delhi", "Perth", "Quito", "Sofia", "Tunis", "Vienna")

Row = tuple[str, str, int]
# Its scores depend on nothing that is trained, so that a test can tell what they must be.
HYBRID = ("--scorer", "hybrid")


def made_up() -> Iterator[Row]:
    """160 pairs: politeness is no difference, another place is one."""
    for thing in THINGS:
        for i, place in enumerate(PLACES):
            asked = f"Where can I repair my {thing} in {place}?"
            yield asked, f"where can i repair my {thing} in {place}, please", 1
            yield asked, f"Where can I repair my {thing} in {PLACES[i - 1]}?", 0


def write(path: Path, rows: list[Row], **more: object) -> Path:
    lines = [json.dumps({"a": a, "b": b, "label": label, **more}) for a, b, label in rows]
    text = "\n".join(lines) + "\n"
    path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())
    return path


@pytest.fixture
def pairs(tmp_path: Path) -> Path:
    return write(tmp_path / "pairs.jsonl.gz", list(made_up()))


def test_tune_writes_a_calibration_that_eval_and_the_cache_take(
    cli: Cli, tmp_path: Path, pairs: Path
) -> None:
    bound = ("--scorer", "cosine", "--max-wrong", "0.1")
    said = cli("tune", pairs, *bound, "--out", "mine.json", "--json").json
    assert said["supported"]
    assert said["refused"] is None
    assert (said["pairs"], said["positives"]) == (160, 80)
    assert (said["choosing"], said["evidence"]) == (0, 160)
    assert said["wrong"] == 0 < said["served"]
    assert said["upper"] <= 0.1
    assert said["rankings"].keys() == {"cosine", "hybrid"}
    assert said["best_missed"] is not None

    file = tmp_path / "mine.json"
    calibration = Calibration.from_file(file)
    assert calibration.threshold(0.1) == said["threshold"]
    measured = cli("eval", pairs, "--calibration", file, *bound, "--json")
    (report,) = measured.json["files"]
    assert report["threshold"] == said["threshold"]
    assert report["served_positive_share"] > 0
    assert report["served_negative_share"] == 0
    asked, again, _ = next(made_up())
    with SemanticCache.open("memory://", scorer="cosine", calibration=file, max_wrong=0.1) as cache:
        cache.record(asked, "Here.")
        hit = cache.lookup(again)
        assert hit is not None
        assert hit.tier == "semantic"
    with pytest.raises(ModelMismatch, match="scorer"):
        SemanticCache.open("memory://", scorer="hybrid", calibration=file)


def test_the_same_labels_give_the_same_calibration(cli: Cli, tmp_path: Path, pairs: Path) -> None:
    shuffled = write(tmp_path / "shuffled.jsonl", sorted(made_up(), key=lambda row: row[::-1]))
    first, again = (
        cli("tune", file, "--max-wrong", "0.1", "--scorer", "cosine", "--json").json
        for file in (pairs, shuffled)
    )
    assert first["points"] == again["points"]


def test_too_few_labels_are_refused_with_what_it_takes(
    cli: Cli, tmp_path: Path, pairs: Path
) -> None:
    ran = cli(
        "tune", *HYBRID, pairs, "--out", "mine.json", "--html", "report.html", "--json", status=3
    )
    assert "it takes 299 served pairs without a wrong one" in ran.err
    assert "semcache label" in ran.err
    assert ran.err.count("\n") == 1
    said = ran.json
    assert said["refused"] in ran.err.replace("\n", " ")
    assert said["threshold"] is None
    assert said["needed"] == 299 > said["clean"] > 0
    assert said["out"] is None
    assert not (tmp_path / "mine.json").exists()
    assert "it takes 299" in (tmp_path / "report.html").read_text()
    # What it offers instead is supported.
    (offered,) = re.findall(r"--max-wrong ([0-9.]+)", ran.err)
    assert cli("tune", *HYBRID, pairs, "--max-wrong", offered, "--json").json["supported"]


def test_labels_of_one_kind_are_refused(cli: Cli, tmp_path: Path) -> None:
    file = write(tmp_path / "ones.jsonl", [row for row in made_up() if row[2]])
    assert "both labels" in cli("tune", *HYBRID, file, status=3).err


def test_a_prior_costs_evidence(cli: Cli, pairs: Path) -> None:
    bounds = [
        cli("tune", *HYBRID, pairs, "--max-wrong", "0.9", *prior, "--json").json["upper"]
        for prior in ((), ("--prior", "0.1"))
    ]
    assert bounds[0] < bounds[1]
    assert "prior" in cli("tune", *HYBRID, pairs, "--prior", "1.5", status=1).err
    cli("tune", *HYBRID, pairs, "--prior", "0.5", "--prior-from", pairs, status=2)


def test_a_prior_from_traffic_is_a_cautious_one(cli: Cli, tmp_path: Path, pairs: Path) -> None:
    rare = [row for i, row in enumerate(made_up()) if not row[2] or i % 8 == 0]
    lines = [json.dumps({"a": a, "b": b}) + "\n" for a, b, _ in rare]
    (tmp_path / "traffic.jsonl").write_text("".join(lines))
    said = cli(
        "tune", *HYBRID, pairs, "--prior-from", "traffic.jsonl", "--max-wrong", "0.9", "--json"
    ).json
    assert said["pairs"] == 160
    assert 0 < said["prior"] < 0.5


def test_the_report_is_one_file_and_hurts_nobody(cli: Cli, tmp_path: Path) -> None:
    rows = [*made_up(), ("<script>alert(1)</script>?", "<script>alert(1)</script>!", 0)]
    file = write(tmp_path / "pairs.jsonl", rows, source="a <b> & [bold]c")
    ran = cli("tune", *HYBRID, file, "--max-wrong", "0.2", "--html", "r.html", "--png", "r.png")
    assert "Worst false matches" in ran.out
    assert "Best missed matches" in ran.out
    assert (tmp_path / "r.png").read_bytes().startswith(b"\x89PNG")
    page = (tmp_path / "r.html").read_text()
    assert "<script" not in page
    assert "&lt;script&gt;" in page
    assert page.count("<svg ") == 2 + 5
    assert not re.search(r"(src|href)=\"https?:|@import|url\(https?:", page)


def test_files_are_read_together_and_the_last_label_counts(cli: Cli, tmp_path: Path) -> None:
    first = write(tmp_path / "one.jsonl", list(made_up()))
    second = tmp_path / "two.csv"
    with second.open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(("a", "b", "label"))
        a, b, label = next(made_up())
        rows.writerow((b, a, 1 - label))
        rows.writerow(("Is it new?", "What is that?", 0))
    said = cli("tune", *HYBRID, first, second, "--max-wrong", "0.5", "--json").json
    assert (said["pairs"], said["positives"]) == (161, 79)
    assert {source["name"] for source in said["sources"]} <= {"one.jsonl", "two.csv"}


def test_labels_near_the_threshold_are_shown_and_are_no_evidence(cli: Cli, tmp_path: Path) -> None:
    rows = list(made_up())
    write(tmp_path / "sampled.jsonl", rows[:120])
    picked = {"how": "near", "scorer": "hybrid", "least": 0.8}
    write(tmp_path / "near.jsonl", rows[120:], picked=picked)
    said = cli("tune", *HYBRID, "sampled.jsonl", "near.jsonl", "--max-wrong", "0.5", "--json").json
    assert said["pairs"] == 160
    assert said["evidence"] == 120


def test_a_part_to_choose_on_is_no_evidence(cli: Cli, pairs: Path) -> None:
    said = cli("tune", *HYBRID, pairs, "--choose-on", "0.4", "--max-wrong", "0.3", "--json").json
    assert said["choosing"] > 0 < said["evidence"]
    assert said["choosing"] + said["evidence"] == 160
    assert said["start"] >= said["floor"]
    assert (
        "prior" in cli("tune", *HYBRID, pairs, "--choose-on", "0.4", "--prior", "0.2", status=1).err
    )


def test_a_veto_can_be_switched_off(cli: Cli, tmp_path: Path, pairs: Path) -> None:
    options = ("--max-wrong", "0.6", "--without-veto", "content", "--out", "m.json", "--json")
    said = cli("tune", *HYBRID, pairs, *options).json
    assert "content" not in {veto["name"] for veto in said["vetoes"]}
    assert "content" not in Calibration.from_file(tmp_path / "m.json").vetoes
    assert "content" in cli("tune", *HYBRID, pairs, "--without-veto", "contents", status=1).err


def test_without_matplotlib_it_says_so_at_once(cli: Cli, tmp_path: Path, pairs: Path) -> None:
    (tmp_path / "hidden" / "matplotlib").mkdir(parents=True)
    (tmp_path / "hidden" / "matplotlib" / "__init__.py").write_text("raise ImportError('hidden')")
    (tmp_path / "hidden" / "sitecustomize.py").write_text(
        f"import sys; sys.path.insert(0, {str(tmp_path / 'hidden')!r})"
    )
    repository = Path(__file__).resolve().parents[2]
    ran = cli("tune", *HYBRID, pairs, "--png", "r.png", status=1,
              PYTHONPATH=f"{tmp_path / 'hidden'}:{repository}")  # fmt: skip
    assert 'pip install "semcache[tune]"' in ran.err


def test_by_default_the_learned_scorer_is_tuned_with_its_verifier(cli: Cli, pairs: Path) -> None:
    said = cli("tune", pairs, "--max-wrong", "0.9", "--json", "--out", "mine.json").json
    assert said["scorer"].startswith("learned-")
    assert said["verifier"] is not None
