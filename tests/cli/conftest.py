"""The real command line, in processes of its own, on real files."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
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


@pytest.fixture
def cli(tmp_path: Path) -> Cli:
    """``cli("stats", "--json")`` in an empty folder; ``stdin`` is no terminal."""

    def run(*arguments: object, status: int | None = 0, **environment: str) -> Ran:
        inherited = {k: v for k, v in os.environ.items() if not k.startswith("SEMCACHE_")}
        done = subprocess.run(
            [sys.executable, "-m", "semcache", *map(str, arguments)],
            cwd=tmp_path,
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

    return run


@pytest.fixture
def seeds(tmp_path: Path) -> Path:
    """A file of four seeds, in three scopes."""
    rows = [
        {"query": "How do I reset my password?", "answer": "Use the link.",
         "scope": {"model": "m"}, "tags": ["faq"]},
        {"query": "What does it cost?", "answer": {"usd": [5, 7]}, "scope": {"model": "m"}},
        {"query": "What does it cost?", "answer": "It is free.",
         "scope": {"model": "m", "tenant": "acme"}, "tags": ["faq", "price"]},
        {"query": "Hi", "answer": "Hello", "scope": {"namespace": "chat"}, "ttl": None},
    ]  # fmt: skip
    file = tmp_path / "seeds.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return file


@pytest.fixture
def filled(cli: Cli, seeds: Path) -> Path:
    """The default cache, with the seeds in it."""
    cli("import", seeds)
    return seeds.parent / ".semcache" / "cache.db"
