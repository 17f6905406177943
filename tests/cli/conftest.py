"""The real command line, in processes of its own, on real files."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Ran:
    status: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """Stdout as JSON in the strict sense: no NaN, nothing before or after."""

        def refuse(constant: str) -> Any:
            raise AssertionError(f"{constant} is not JSON")

        return json.loads(self.out, parse_constant=refuse)


Cli = Callable[..., Ran]


def run_in(folder: Path, *arguments: object, status: int | None = 0, **environment: str) -> Ran:
    """``semcache`` with these arguments in that folder; stdin is no terminal."""
    inherited = {k: v for k, v in os.environ.items() if not k.startswith("SEMCACHE_")}
    done = subprocess.run(
        [sys.executable, "-m", "semcache", *map(str, arguments)],
        cwd=folder,
        env={**inherited, "PYTHONPATH": str(REPOSITORY), "COLUMNS": "120", **environment},
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        timeout=100,
    )
    ran = Ran(done.returncode, done.stdout, done.stderr)
    assert "Traceback" not in ran.err, ran.err
    assert status is None or ran.status == status, (ran.status, ran.out, ran.err)
    return ran


@pytest.fixture
def cli(tmp_path: Path) -> Cli:
    """``cli("stats", "--json")`` in an empty folder."""
    return partial(run_in, tmp_path)


SEEDS = [
    {"query": "How do I reset my password?", "answer": "Use the link.",
     "scope": {"model": "m"}, "tags": ["faq"]},
    {"query": "What does it cost?", "answer": {"usd": [5, 7]}, "scope": {"model": "m"}},
    {"query": "What does it cost?", "answer": "It is free.",
     "scope": {"model": "m", "tenant": "acme"}, "tags": ["faq", "price"]},
    {"query": "Hi", "answer": "Hello", "scope": {"namespace": "chat"}, "ttl": None},
]  # fmt: skip


@pytest.fixture
def seeds(tmp_path: Path) -> Path:
    """A file of four seeds, in three scopes."""
    file = tmp_path / "seeds.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in SEEDS))
    return file


@pytest.fixture(scope="session")
def seeded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a cache made of the seeds; made once, to be copied."""
    folder = tmp_path_factory.mktemp("seeded")
    (folder / "seeds.jsonl").write_text("".join(json.dumps(row) + "\n" for row in SEEDS))
    run_in(folder, "import", "seeds.jsonl")
    return folder / ".semcache"


@pytest.fixture
def filled(seeded: Path, tmp_path: Path) -> Path:
    """The default cache, with the seeds in it."""
    shutil.copytree(seeded, tmp_path / ".semcache")
    return tmp_path / ".semcache" / "cache.db"
