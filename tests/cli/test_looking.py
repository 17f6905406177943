"""stats, explain, doctor."""

from __future__ import annotations

import json
from pathlib import Path

from semcache import SemanticCache
from tests.cache.online_cases import by_angle
from tests.cli.conftest import Cli


def test_stats(cli: Cli, filled: Path) -> None:
    said = cli("stats", "--json").json
    assert (said["entries"], said["scopes"]) == (4, 3)
    assert said["ledger"]["seeds"] == 4
    assert said["ledger"]["namespaces"] == {"default": 3, "chat": 1}
    assert said["ledger"]["models"] == {"m": 3, "(none)": 1}
    shown = cli("stats").out
    assert "4 with 0 other wordings" in shown
    assert "ledger" not in cli("stats", "--quick", "--json").json


def test_stats_and_doctor_tell_what_was_learned_from_answers(cli: Cli, tmp_path: Path) -> None:
    with SemanticCache.open(tmp_path / ".semcache" / "cache.db", **by_angle()) as cache:
        cache.record("at 0", "zero")
        hit = cache.lookup("at 15")
        assert hit is not None
        cache.report_wrong(hit)
    said = cli("stats", "--json").json
    assert said["ledger"]["notes"] > 0
    assert said["entries"] == 1 + said["ledger"]["notes"]
    assert sum(said["ledger"]["namespaces"].values()) == 1
    assert "notes" in cli("stats").out
    checks = {check["check"]: check for check in cli("doctor", "--json").json["checks"]}
    assert checks["index"]["status"] == "ok"


def test_explain_an_exact_hit_and_leave_no_trace(cli: Cli, filled: Path) -> None:
    said = cli("explain", "How do  I reset my password?", "--model", "m", "--json").json
    assert (said["outcome"], said["tier"]) == ("hit", "exact")
    assert cli("stats", "--json").json["ledger"]["hits"] == 0


def test_explain_keeps_to_the_scope(cli: Cli, filled: Path) -> None:
    ran = cli("explain", "How do I reset my password?", "--json")
    assert (ran.json["outcome"], ran.json["candidates"]) == ("miss", [])
    said = cli("explain", "What does it cost?", "--model", "m", "--tenant", "acme").out
    assert "hit (exact)" in said


def test_explain_shows_the_candidates(cli: Cli, filled: Path) -> None:
    # At a loose bound there is always a threshold, hence a search.
    arguments = "How do I reset my password? Error E-17", "--model", "m", "--max-wrong", "0.5"
    (candidate, *_) = cli("explain", *arguments, "--json").json["candidates"]
    assert candidate["query"] == "How do I reset my password?"
    assert {"cosine", "score", "probability", "vetoes"} <= candidate.keys()
    shown = cli("explain", *arguments).out
    assert "How do I reset my password?" in shown
    assert "cosine" in shown


def test_explain_takes_the_rest_of_a_scope_as_json(cli: Cli, filled: Path) -> None:
    same = '{"params": {"temperature": null}}'
    arguments = ("explain", "What does it cost?", "--model", "m", "--json")
    assert cli(*arguments, "--scope", same).json["tier"] == "exact"
    other = '{"params": {"temperature": 0}}'
    assert cli(*arguments, "--scope", other).json["outcome"] == "miss"
    assert "not JSON" in cli(*arguments, "--scope", "{", status=1).err
    assert "keys among" in cli(*arguments, "--scope", '{"nonsense": 1}', status=1).err
    assert "both give" in cli(*arguments, "--scope", '{"model": "m"}', status=1).err


def test_explain_prints_hostile_text_harmlessly(cli: Cli, tmp_path: Path) -> None:
    query = "[red]reset[/] \x1b[31m my \u202e password \x07"
    seed = tmp_path / "seed.jsonl"
    seed.write_text(json.dumps({"query": query, "answer": "x"}))
    cli("import", seed)
    said = cli("explain", "[bold]reset[/bold] my password", "--max-wrong", "0.5").out
    assert "[bold]reset[/bold] my password" in said
    assert "\x1b" not in said
    assert "\x07" not in said


def test_doctor_without_a_cache(cli: Cli, tmp_path: Path) -> None:
    said = cli("doctor", "--json").json
    statuses = {check["check"]: check["status"] for check in said["checks"]}
    assert said["ok"]
    assert statuses["encoder"] == "ok"
    assert statuses["store"] == "warn"
    assert list(tmp_path.iterdir()) == []


def test_doctor_of_a_healthy_cache(cli: Cli, filled: Path) -> None:
    said = cli("doctor", "--json").json
    statuses = {check["check"]: check["status"] for check in said["checks"]}
    assert said["ok"]
    for check in ("python", "sqlite", "encoder", "permissions", "store", "content", "index"):
        assert statuses[check] == "ok", said
    assert "0 fail" in cli("doctor").out


def test_doctor_warns_of_open_permissions(cli: Cli, filled: Path) -> None:
    filled.chmod(0o644)
    checks = {check["check"]: check for check in cli("doctor", "--json").json["checks"]}
    assert checks["permissions"]["status"] == "warn"
    assert "chmod 600" in checks["permissions"]["todo"]


def test_doctor_fails_on_what_is_no_cache(cli: Cli, tmp_path: Path) -> None:
    wrong = tmp_path / "notes.txt"
    wrong.write_text("not a database at all, but long enough to be read as one " * 20)
    wrong.chmod(0o600)
    ran = cli("doctor", "--json", "--url", wrong, status=1)
    assert not ran.json["ok"]
    store = next(check for check in ran.json["checks"] if check["check"] == "store")
    assert store["status"] == "fail"
    assert "not an SQLite database" in store["detail"]
