"""invalidate, export, import, vacuum."""

from __future__ import annotations

import gzip
import json
import time
from pathlib import Path

from tests.cli.conftest import Cli


def entries(cli: Cli, *arguments: object) -> int:
    count: int = cli("stats", "--quick", "--json", *arguments).json["entries"]
    return count


def test_invalidate_by_tag(cli: Cli, filled: Path) -> None:
    assert cli("invalidate", "--tag", "price", "--tag", "nonsense", "--json").json == {"removed": 1}
    assert "Removed 1 entry." in cli("invalidate", "--tag", "faq").out
    assert entries(cli) == 2


def test_invalidate_a_prompt_in_its_scope(cli: Cli, filled: Path) -> None:
    assert cli("invalidate", "What does it cost?", "--json").json == {"removed": 0}
    said = cli("invalidate", "What does it cost?", "--model", "m", "--json").json
    assert said == {"removed": 1}
    assert entries(cli) == 3


def test_invalidate_one_scope_namespace_or_tenant(cli: Cli, filled: Path) -> None:
    assert cli("invalidate", "--model", "m", "--json").json == {"removed": 2}
    assert cli("invalidate", "--tenant", "acme", "--json").json == {"removed": 1}
    assert cli("invalidate", "--namespace", "chat", "--json").json == {"removed": 1}


def test_invalidate_all_asks(cli: Cli, filled: Path) -> None:
    assert "--yes" in cli("invalidate", "--all", status=2).err
    assert entries(cli) == 4
    assert cli("invalidate", "--all", "--yes", "--json").json == {"removed": 4}
    assert entries(cli) == 0


def test_export_and_import_under_another_secret(cli: Cli, filled: Path, tmp_path: Path) -> None:
    said = cli("export", "out.jsonl.gz", "--key-file", "key", "--json").json
    assert said["entries"] == 4
    with gzip.open(tmp_path / "out.jsonl.gz", "rt") as file:
        assert len(file.readlines()) == 5
    assert "another secret" in cli("import", "out.jsonl.gz", "--url", "b.db", status=1).err
    done = cli("import", "out.jsonl.gz", "--url", "b.db", "--key-file", "key", "--json").json
    assert (done["entries"], done["seeds"], done["embedded"]) == (4, 0, 0)
    hit = cli("explain", "What does it cost?", "--model", "m", "--url", "b.db", "--json").json
    assert hit["tier"] == "exact"
    # Importing again is harmless, and the key is the cache's own by now.
    cli("import", "out.jsonl.gz", "--url", "b.db", "--key-file", "key")
    assert entries(cli, "--url", "b.db") == 4


def test_the_environment_s_secret_is_exported(cli: Cli, seeds: Path) -> None:
    secret = "a secret of more than sixteen letters"
    cli("import", seeds, SEMCACHE_SECRET=secret)
    cli("export", "out.jsonl", "--key-file", "key", SEMCACHE_SECRET=secret)
    refused = cli("import", "out.jsonl", "--url", "b.db", "--key-file", "key", status=1,
                  SEMCACHE_SECRET=secret)  # fmt: skip
    assert "unset it" in refused.err
    cli("import", "out.jsonl", "--url", "b.db", "--key-file", "key")
    assert cli("explain", "Hi", "--namespace", "chat", "--url", "b.db", "--json").json["tier"]


def test_a_key_does_not_replace_that_of_a_cache_in_use(cli: Cli, filled: Path, seeds: Path) -> None:
    cli("export", "out.jsonl", "--key-file", "key")
    cli("import", seeds, "--url", "b.db")
    refused = cli("import", "out.jsonl", "--url", "b.db", "--key-file", "key", status=1)
    assert "empty cache" in refused.err
    assert entries(cli, "--url", "b.db") == 4


def test_import_refuses_what_it_cannot_read(cli: Cli, tmp_path: Path, seeds: Path) -> None:
    assert "no file" in cli("import", "nothing.jsonl", status=1).err
    assert not (tmp_path / ".semcache").exists()
    (tmp_path / "bad.jsonl").write_text('{"query": "a", "answer": 1}\n{"query": 7}\n')
    assert "bad.jsonl, line 2" in cli("import", "bad.jsonl", status=1).err
    assert entries(cli) == 0
    (tmp_path / "key").write_text("not a key")
    assert "not a key file" in cli("import", seeds, "--key-file", "key", status=1).err
    assert "memory://" in cli("import", seeds, "--url", "memory://", status=1).err


def test_a_damaged_archive_is_refused(cli: Cli, tmp_path: Path, seeds: Path) -> None:
    whole = gzip.compress(seeds.read_bytes())
    (tmp_path / "cut.jsonl.gz").write_bytes(whole[:-20])
    (tmp_path / "bad.jsonl.gz").write_bytes(whole[:60] + b"\xff" * 60)
    for name in ("cut.jsonl.gz", "bad.jsonl.gz"):
        assert name in cli("import", name, status=1).err
    assert entries(cli) == 0


def test_an_export_does_not_replace_the_cache(cli: Cli, filled: Path) -> None:
    assert "the cache itself" in cli("export", filled, status=1).err
    assert "in use" in cli("export", "out.jsonl", "--key-file", filled, status=1).err
    assert "in use" in cli("export", "out.jsonl", "--key-file", "out.jsonl", status=1).err
    assert entries(cli) == 4


def test_export_into_a_folder_that_is_not_there(cli: Cli, filled: Path) -> None:
    assert "cannot write" in cli("export", "nowhere/out.jsonl", status=1).err


def test_vacuum_removes_what_has_expired(cli: Cli, tmp_path: Path) -> None:
    rows = ({"query": f"q{n}", "answer": "x" * 10_000, "ttl": 0.5} for n in range(20))
    (tmp_path / "short.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    cli("import", "short.jsonl")
    time.sleep(0.6)
    said = cli("vacuum", "--json").json
    assert said["removed"] > 0
    assert entries(cli) == 0
    assert "Removed 0 expired" in cli("vacuum").out
