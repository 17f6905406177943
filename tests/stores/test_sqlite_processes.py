"""Eight processes on one file."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from store_cases import FINGERPRINT, NOW, SCOPE, digest, entry, ids, vector

from semcache.stores.sqlite import SqliteStore

PROCESSES = 8


class Worker:
    """One of them; ``say`` has it evaluate an expression, ``hear`` waits for what came out."""

    def __init__(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("sqlite_worker.py"))],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip

    def say(self, expression: str) -> None:
        assert self.process.stdin
        self.process.stdin.write(expression.replace("\n", " ") + "\n")
        self.process.stdin.flush()

    def hear(self) -> str:
        assert self.process.stdout
        return self.process.stdout.readline().strip()


@pytest.fixture(scope="module")
def processes() -> Iterator[list[Worker]]:
    workers = [Worker() for _ in range(PROCESSES)]
    yield workers
    for worker in workers:
        worker.process.communicate()


def everywhere(workers: list[Worker], expression: str) -> list[str]:
    """All at once, ``ME`` being the number of the process."""
    for number, worker in enumerate(workers):
        worker.say(expression.replace("ME", str(number)))
    return [worker.hear() for worker in workers]


def opened(workers: list[Worker], path: Path, more: str = "") -> None:
    call = f"globals().__setitem__('store', SqliteStore({str(path)!r}, timeout=0.5{more}))"
    assert everywhere(workers, call) == ["None"] * PROCESSES


def closed(workers: list[Worker]) -> None:
    assert everywhere(workers, "store.close()") == ["None"] * PROCESSES


def test_they_make_one_store_and_see_each_others_entries(
    processes: list[Worker], tmp_path: Path
) -> None:
    opened(processes, tmp_path / "cache.db")
    secrets = everywhere(processes, "store.secret()")
    assert len(set(secrets)) == 1
    put = (
        "[store.put(entry(f'p{ME}-{n}'), vector(100 * ME + n), ['word', f'id-{ME}-{n}'])"
        " for n in range(30)] and None"
    )
    assert everywhere(processes, put) == ["None"] * PROCESSES
    see = (
        "sum(store.get(digest(f'p{p}-{n}'), NOW) is not None"
        " and ids(store.search(SCOPE, FINGERPRINT, vector(100 * p + n), ('what', f'id-{p}-{n}'),"
        " 3, NOW))[0] == digest(f'p{p}-{n}') for p in range(8) for n in range(30))"
    )
    assert everywhere(processes, see) == ["240"] * PROCESSES
    # What one removes, none finds.
    processes[0].say("store.invalidate(Selection(ids=tuple(digest(f'p3-{n}') for n in range(30))))")
    assert processes[0].hear() == "30"
    gone = (
        "any(digest(f'p3-{n}') in ids(store.search(SCOPE, FINGERPRINT, vector(300 + n),"
        " (f'id-3-{n}',), 3, NOW)) for n in range(30))"
    )
    assert everywhere(processes, gone) == ["False"] * PROCESSES
    assert everywhere(processes, "store.check()") == ["[]"] * PROCESSES
    closed(processes)
    store = SqliteStore(str(tmp_path / "cache.db"))
    assert store.stats(NOW).entries == 210
    assert store.check() == []
    store.close()


def test_one_of_them_gets_the_lease(processes: list[Worker], tmp_path: Path) -> None:
    opened(processes, tmp_path / "cache.db")
    for turn in range(20):
        tokens = everywhere(processes, f"store.lease('question {turn}', 30, NOW)")
        assert sum(token != "None" for token in tokens) == 1, tokens
    closed(processes)


def test_caps_hold_for_all_together(processes: list[Worker], tmp_path: Path) -> None:
    opened(processes, tmp_path / "cache.db", ", caps=Caps(entries=50)")
    put = (
        "[(store.put(entry(f'c{ME}-{n}'), vector(n), [f'w{n}']),"
        " store.touch(digest(f'c{ME}-{n}'), NOW)) for n in range(60)] and None"
    )
    assert everywhere(processes, put) == ["None"] * PROCESSES
    assert everywhere(processes, "store.stats(NOW).entries") == ["50"] * PROCESSES
    assert everywhere(processes, "store.check()") == ["[]"] * PROCESSES
    closed(processes)


def test_a_process_sees_what_was_put_after_it_searched(
    processes: list[Worker], tmp_path: Path
) -> None:
    opened(processes, tmp_path / "cache.db")
    store = SqliteStore(str(tmp_path / "cache.db"))
    for number in range(100):
        store.put(entry(f"e{number}"), vector(number), ())
    search = "ids(store.search(SCOPE, FINGERPRINT, vector(1000), (), 1, NOW))"
    assert set(everywhere(processes, search)) != {repr([digest("late")])}
    store.put(entry("late"), vector(1000), ())
    assert everywhere(processes, search) == [repr([digest("late")])] * PROCESSES
    # A replaced entry has another vector; the old one must not be found.
    store.put(entry("late", answer=b"new"), -vector(1000), ())
    assert digest("late") not in everywhere(processes, search)[0]
    found = store.search(SCOPE, FINGERPRINT, -vector(1000), (), 1, NOW)
    assert ids(found) == [digest("late")]
    store.close()
    closed(processes)
