"""demo and replay."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from semcache.demo.prompts import demo_prompts, groups
from tests.cli.conftest import Cli


def test_the_whole_demo_serves_nothing_wrong(cli: Cli, tmp_path: Path) -> None:
    said = cli("demo", "--json", "--speed", "2000").json
    served = sum(said["hits"].values())
    assert said["requests"] == len(demo_prompts()) == served + said["misses"]
    assert said["upstream_calls"] == said["misses"]
    assert said["wrong"] == 0
    assert said["hits"]["exact"] > 0
    assert said["hits"]["coalesced"] > 0
    assert len(said["traps"]) >= 30
    assert not any(trap["outcome"] == "served" for trap in said["traps"])
    # What the policy should see in a prompt it names, and nobody gets what was another's answer.
    assert len(said["policy"]) >= 8
    for ruled in said["policy"]:
        assert any(rule.startswith(ruled["rule"]) for rule in ruled["why"].split("; ")), ruled
        if ruled["rule"] not in ("personal", "days"):
            assert set(ruled["tiers"]) == {"model"}, ruled
    assert [r["tiers"] for r in said["policy"] if r["rule"] == "personal"] == [
        ["model", "model", "exact"]
    ]
    assert said["usd"]["saved"] > 0
    assert said["seconds"]["saved"] > 0
    assert "CC BY 4.0" in said["credits"]
    # The cache's own account agrees with the demo's: both know each answer's price.
    assert said["cache"]["hits"] == said["hits"]
    assert list(tmp_path.iterdir()) == []


def test_demo_without_a_terminal_prints_lines(cli: Cli) -> None:
    ran = cli("demo", "--limit", "25", "--speed", "5000")
    assert "25, " in ran.out
    assert "what came of it" in ran.out
    assert sum(line.startswith(("model", "exact", "semantic")) for line in ran.out.splitlines()) > 9
    assert "\x1b" not in ran.out


def test_demo_into_a_cache_that_is_kept(cli: Cli) -> None:
    cli("demo", "--limit", "20", "--speed", "5000", "--url", "kept.db", "--json")
    again = cli("demo", "--limit", "20", "--speed", "5000", "--url", "kept.db", "--json").json
    # A wording that was served by meaning the first time is an alias by now.
    assert again["hits"]["exact"] + again["hits"]["alias"] == 20 - again["upstream_calls"]
    # What the policy does not let be stored is asked again.
    assert again["upstream_calls"] <= 6


def test_demo_data() -> None:
    prompts = demo_prompts()
    known = {prompt.id: prompt for prompt in prompts}
    assert sum(not prompt.id.startswith("trap") for prompt in prompts) >= 300
    seen: set[str] = set()
    for prompt in prompts:
        assert prompt.kind == "policy" or (prompt.kind == "repeat") == (prompt.id in seen), prompt
        if prompt.kind == "trap":
            assert prompt.look_alike in seen, "a trap follows its look-alike"
            assert not prompt.may_share(known[prompt.look_alike])
            assert prompt.scope == known[prompt.look_alike].scope
        seen.add(prompt.id)
        for other in prompt.differs & known.keys():
            assert prompt.id in known[other].differs
    crowds = [group for group in groups(prompts) if len(group) > 1]
    assert len(crowds) == len({prompt.crowd for prompt in prompts if prompt.crowd})


@pytest.fixture
def stream(tmp_path: Path) -> Path:
    rows = [("Hi", "a"), ("Hi", "a"), ("Good  bye", "b"), ("Good bye", "b"), ("Hi", "c")]
    file = tmp_path / "stream.jsonl.gz"
    with gzip.open(file, "wt") as out:
        for text, group in rows:
            out.write(json.dumps({"text": text, "group": group}) + "\n")
    return file


def test_replay(cli: Cli, stream: Path, tmp_path: Path) -> None:
    said = cli("replay", stream, "--group", "group", "--json").json
    assert said["requests"] == 5
    assert said["hits"]["exact"] == 3
    assert (said["misses"], said["upstream_calls"], said["wrong"]) == (2, 2, 1)
    assert said["latency_ms"].keys() == {"exact", "semantic", "miss_overhead"}
    assert said["latency_ms"]["exact"].keys() == {"p50", "p95", "p99"}
    (pair,) = said["wrong_hits"]
    assert (pair["prompt"], pair["served"]) == ("Hi", "Hi")
    assert (pair["group"], pair["served_group"]) == ("c", "a")
    assert [path.name for path in tmp_path.iterdir()] == [stream.name]
    shown = cli("replay", stream, "--group", "group", "--limit", "2", "--scorer", "cosine").out
    assert "2 requests, 50.0% served" in shown


def test_replay_without_groups_knows_no_wrong_hits(cli: Cli, stream: Path) -> None:
    assert cli("replay", stream, "--json").json["wrong"] is None
    assert "unknown" in cli("replay", stream).out


def test_replay_says_what_is_wrong_with_a_stream(cli: Cli, stream: Path, tmp_path: Path) -> None:
    assert "no field 'nope'" in cli("replay", stream, "--group", "nope", status=1).err
    assert "cannot read" in cli("replay", "nothing.jsonl", status=1).err
    (tmp_path / "cut.jsonl.gz").write_bytes(stream.read_bytes()[:-12])
    assert "cannot read" in cli("replay", "cut.jsonl.gz", status=1).err
    (tmp_path / "bad.jsonl").write_text('{"text": 7}\n')
    assert "line 1" in cli("replay", "bad.jsonl", status=1).err
    assert "no scorer" in cli("replay", stream, "--scorer", "magic", status=1).err
    assert "max_wrong" in cli("replay", stream, "--max-wrong", "2", status=1).err
