"""What holds for every command."""

from __future__ import annotations

import stat
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.conftest import REPOSITORY, Cli

COMMANDS = (
    "demo", "eval", "replay", "tune", "label", "explain", "stats", "doctor", "export", "import",
    "invalidate", "vacuum",
)  # fmt: skip
LOOKING = (("stats",), ("explain", "Hi"), ("export", "out.jsonl"))
CHANGING = (("invalidate", "--all", "--yes"), ("vacuum",))


def test_help_lists_every_command(cli: Cli) -> None:
    said = cli("--help").out
    assert all(f" {command} " in said for command in COMMANDS)
    assert cli("--version").out.strip()


@pytest.mark.parametrize("command", COMMANDS)
def test_help_has_examples(cli: Cli, command: str) -> None:
    said = cli(command, "--help").out
    assert "Examples" in said
    assert f"$ semcache {command}" in said


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys, semcache.cli.app; "
        "print([m for m in ('numpy', 'onnxruntime', 'usearch', 'tokenizers', 'sklearn', "
        "'matplotlib', 'sqlite3.dbapi2') if m in sys.modules and m != 'sqlite3.dbapi2'])"
    )
    said = subprocess.run(
        [sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=True
    )
    assert said.stdout.strip() == "[]"


@pytest.mark.parametrize("command", LOOKING + CHANGING, ids=lambda command: command[0])
def test_no_cache_is_made_where_there_is_none(
    cli: Cli, tmp_path: Path, command: tuple[str, ...]
) -> None:
    ran = cli(*command, status=1)
    assert ran.out == ""
    assert ran.err.startswith("error: there is no cache at")
    assert ran.err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("command", LOOKING + CHANGING, ids=lambda command: command[0])
def test_memory_is_refused_where_it_makes_no_sense(cli: Cli, command: tuple[str, ...]) -> None:
    assert "memory://" in cli(*command, "--url", "memory://", status=1).err


@pytest.mark.parametrize("command", [*LOOKING, ("vacuum",), ("import", "seeds.jsonl")])
def test_a_file_that_is_no_cache_is_one_clear_line(
    cli: Cli, tmp_path: Path, seeds: Path, command: tuple[str, ...]
) -> None:
    wrong = tmp_path / "notes.txt"
    wrong.write_text("not a database at all, but long enough to be read as one " * 20)
    ran = cli(*command, "--url", wrong, status=1)
    assert ran.err.startswith("error: ")
    assert ran.err.count("\n") == 1
    assert wrong.read_text().startswith("not a database")


@pytest.mark.parametrize(
    "arguments",
    [
        ("nonsense",),
        ("stats", "--nonsense"),
        ("explain",),
        ("invalidate",),
        ("invalidate", "Hi", "--all"),
        ("demo", "--limit", "0"),
    ],
)
def test_a_wrong_command_line_is_status_2(cli: Cli, arguments: tuple[str, ...]) -> None:
    ran = cli(*arguments, status=2)
    assert ran.out == ""
    assert "Usage" in ran.err


def test_url_comes_from_the_environment(cli: Cli, tmp_path: Path, seeds: Path) -> None:
    url = f"sqlite:///{tmp_path}/other.db"
    cli("import", seeds, SEMCACHE_URL=url)
    assert cli("stats", "--json", "--quick", SEMCACHE_URL=url).json["entries"] == 4
    assert not (tmp_path / ".semcache").exists()


def test_an_unknown_scheme_says_which_there_are(cli: Cli) -> None:
    assert "sqlite:///" in cli("stats", "--url", "mongo://x", status=1).err


def test_files_are_for_their_owner_only(cli: Cli, filled: Path, tmp_path: Path) -> None:
    cli("export", "out.jsonl", "--key-file", "key")
    for file in (filled, tmp_path / "out.jsonl", tmp_path / "key"):
        assert stat.S_IMODE(file.stat().st_mode) == 0o600, file
