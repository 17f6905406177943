"""Files that cannot be used, disks that are full, clocks and permissions that are wrong."""

from __future__ import annotations

import os
import resource
import shutil
import sqlite3
import stat
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from store_cases import FINGERPRINT, NOW, SCOPE, digest, entry, ids, vector

from semcache.errors import ConfigurationError, StoreError, StoreUnavailable
from semcache.stores.base import Caps, Selection
from semcache.stores.opening import open_store
from semcache.stores.sqlite import SqliteStore


def opened(path: Path, **options: object) -> SqliteStore:
    return SqliteStore(str(path), **options)  # type: ignore[arg-type]


# Files that are not ours --------------------------------------------------------------------------


def test_a_file_that_is_no_database_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "cache.db"
    path.write_bytes(b"precious " * 1000)
    with pytest.raises(StoreError, match="not an SQLite database and was left as it is"):
        opened(path)
    assert path.read_bytes() == b"precious " * 1000


def test_a_database_of_another_program_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "cache.db"
    with sqlite3.connect(path) as db:
        db.execute("CREATE TABLE theirs(x)")
    db.close()
    before = path.read_bytes()
    with pytest.raises(StoreError, match="another program"):
        opened(path)
    assert path.read_bytes() == before


def test_a_newer_schema_is_left_alone_and_both_versions_are_named(tmp_path: Path) -> None:
    path = tmp_path / "cache.db"
    opened(path).close()
    with sqlite3.connect(path) as db:
        db.execute("PRAGMA user_version = 99")
    db.close()
    with pytest.raises(StoreError, match=r"version 99, .* version 1; upgrade semcache"):
        opened(path)


@pytest.mark.parametrize("damage", ["start", "middle", "half"])
def test_a_corrupt_database_is_reported_and_never_overwritten(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "cache.db"
    store = opened(path)
    for number in range(300):
        store.put(entry(f"e{number}", answer=b"x" * 500), vector(number), ["w", f"t{number}"])
    store.close()
    content = bytearray(path.read_bytes())
    if damage == "start":
        content[100:4096] = os.urandom(3996)
    elif damage == "middle":
        content[8192:-8192] = os.urandom(len(content) - 16384)
    else:
        del content[len(content) // 2 :]
    path.write_bytes(content)

    with pytest.raises(StoreError, match=r"corrupt and was left as it is; move it away"):
        use_everything(path)
    assert path.read_bytes() == content
    with sqlite3.connect(tmp_path / "intact.db") as other:
        assert other.execute("PRAGMA quick_check").fetchone() == ("ok",)


def use_everything(path: Path) -> None:
    store = opened(path)
    try:
        problems = store.check()
        assert problems
        for number in range(300):
            store.get(digest(f"e{number}"), NOW)
        list(store.iterate())
    finally:
        store.close()


def test_check_names_what_is_wrong(tmp_path: Path) -> None:
    path = tmp_path / "cache.db"
    store = opened(path)
    for number in range(5):
        store.put(entry(f"e{number}"), vector(number), ["w", f"t{number}"])
    assert store.check() == []
    with sqlite3.connect(path) as db:
        db.execute("DELETE FROM vectors WHERE seq = (SELECT MIN(seq) FROM vectors)")
        db.execute("DELETE FROM postings WHERE seq = (SELECT MAX(seq) FROM entries)")
        db.execute("UPDATE totals SET entries = 7")
        db.execute("UPDATE terms SET df = 9 WHERE term = 'w'")
        db.execute("UPDATE scopes SET length = 1")
    db.close()
    problems = "\n".join(store.check())
    for expected in (
        "entries without their vector", "postings where there should be", "entries says 7",
        "counts of terms", "entries or words", "wrong count of vectors",
    ):  # fmt: skip
        assert expected in problems
    store.close()


# Places that cannot be written --------------------------------------------------------------------


def test_a_path_through_a_file_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="choose a folder that this process may write to"):
        opened(tmp_path / "file" / "cache.db")


def test_a_folder_in_place_of_the_file(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="is a folder"):
        opened(tmp_path)


def test_a_path_with_nul(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="NUL"):
        open_store(f"sqlite:///{tmp_path}/a\0b.db")


def test_a_path_is_a_path_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in (":memory:", "file:x?mode=memory", "a b#c%20.db"):
        opened(Path(name)).close()
        assert (tmp_path / name).stat().st_size > 0


_AS_NOBODY = """
import os, sys
from semcache.entry import Entry
from semcache.errors import StoreError
from semcache.stores.sqlite import SqliteStore
os.setgid(65534); os.setuid(65534)
try:
    store = SqliteStore(sys.argv[1])
    store.put(Entry("a" * 32, "b" * 32, "q", b"answer", 1.0), None, [])
except StoreError as error:
    print(error)
"""


@pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="needs to become nobody")
@pytest.mark.parametrize("what", ["folder", "file", "both"])
def test_what_may_not_be_written_says_what_to_do(tmp_path: Path, what: str) -> None:
    # pytest's own folders are closed to others.
    folder = Path("/tmp") / f"semcache-{os.getpid()}-{what}"
    folder.mkdir()
    try:
        path = folder / "cache.db"
        if what != "folder":
            opened(path).close()
            path.chmod(0o444)
        folder.chmod(0o777 if what == "file" else 0o555)
        result = subprocess.run(
            [sys.executable, "-c", _AS_NOBODY, str(path)],
            capture_output=True, text=True, check=False, timeout=60,
        )  # fmt: skip
        assert str(path) in result.stdout, result.stderr
        assert "choose" in result.stdout
    finally:
        shutil.rmtree(folder)


def test_only_the_owner_may_read(tmp_path: Path) -> None:
    path = tmp_path / "new" / "cache.db"
    store = opened(path)
    store.put(entry("a"), None, ())
    for file in path.parent.iterdir():
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    store.close()


# Disks that are full ------------------------------------------------------------------------------


def test_a_full_disk_loses_nothing_that_was_acknowledged(tmp_path: Path) -> None:
    """Every write beyond a file size fails with EFBIG, as it would with ENOSPC."""
    path = tmp_path / "cache.db"
    store = opened(path)
    store.put(entry("before"), vector(0), ["before"])
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    acknowledged = 0
    resource.setrlimit(resource.RLIMIT_FSIZE, (2_000_000, hard))
    try:
        with pytest.raises(StoreError, match=r"free space"):  # noqa: PT012
            for number in range(1000):
                store.put(entry(f"e{number}", answer=b"x" * 20_000), vector(number), ["w"])
                acknowledged = number + 1
        assert 10 < acknowledged < 1000
        # Reading goes on as if nothing had happened, also with connections made now.
        check_all_there(store, acknowledged)
        with pytest.raises(StoreError, match="free space"):
            store.put(entry("no", answer=b"x" * 2_000_000), None, ())
        check_all_there(store, acknowledged)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    store.put(entry("after", answer=b"x" * 2_000_000), vector(1), ["after"])
    check_all_there(store, acknowledged)
    assert store.check() == []
    store.close()
    again = opened(path)
    assert again.get(digest("after"), NOW) is not None
    check_all_there(again, acknowledged)
    again.close()


def check_all_there(store: SqliteStore, acknowledged: int) -> None:
    assert store.get(digest("before"), NOW) is not None
    for number in range(acknowledged):
        assert store.get(digest(f"e{number}"), NOW) is not None, number
    found = store.search(SCOPE, FINGERPRINT, vector(0), ("before",), 3, NOW)
    assert digest("before") in ids(found)


def test_a_disk_that_is_full_from_the_start(tmp_path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
    try:
        with pytest.raises(StoreError, match="free space"):
            opened(tmp_path / "cache.db")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    store = opened(tmp_path / "cache.db")
    store.put(entry("a"), None, ())
    store.close()


def test_a_small_disk_with_a_cap_never_fills(tmp_path: Path) -> None:
    store = opened(tmp_path / "cache.db", caps=Caps(bytes=1_000_000))
    for number in range(400):
        store.put(entry(f"e{number}", answer=b"x" * 20_000), None, ())
    store.vacuum(NOW)
    assert (tmp_path / "cache.db").stat().st_size < 2_000_000
    store.close()


def test_vacuum_gives_space_back(tmp_path: Path) -> None:
    path = tmp_path / "cache.db"
    store = opened(path)
    for number in range(200):
        expires = NOW + 1 if number else None
        store.put(entry(f"e{number}", answer=b"x" * 50_000, expires=expires), None, ["w"])
    store.vacuum(NOW)
    assert path.stat().st_size > 9_000_000
    assert store.vacuum(NOW + 1) == 199
    assert path.stat().st_size < 500_000
    assert store.get(digest("e0"), NOW) is not None
    assert store.check() == []
    store.close()


# Others in the way --------------------------------------------------------------------------------


def test_a_locked_file_delays_a_write_no_longer_than_said(tmp_path: Path) -> None:
    path = tmp_path / "cache.db"
    store = opened(path, timeout=0.005)
    store.put(entry("a"), vector(1), ["a"])
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreUnavailable, match="try again later"):
        store.put(entry("b"), vector(2), ["b"])
    with pytest.raises(StoreUnavailable):
        store.lease("x", 1, NOW)
    # Readers do not wait for writers.
    assert store.get(digest("a"), NOW) == entry("a")
    assert ids(store.search(SCOPE, FINGERPRINT, vector(1), ("a",), 3, NOW)) == [digest("a")]
    other.execute("ROLLBACK")
    other.close()
    store.put(entry("b"), vector(2), ["b"])
    store.close()


def test_a_thousand_threads_are_not_a_thousand_connections(tmp_path: Path) -> None:
    store = opened(tmp_path / "cache.db", timeout=60.0)
    store.put(entry("a"), vector(1), ["a"])
    failures: list[BaseException] = []
    go = threading.Event()

    def read() -> None:
        go.wait()
        try:
            assert store.get(digest("a"), NOW) == entry("a")
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=read) for _ in range(1000)]
    for thread in threads:
        thread.start()
    go.set()
    for thread in threads:
        thread.join()
    assert failures == []
    descriptors = Path("/proc/self/fd").iterdir()
    files = [os.readlink(link) for link in descriptors if link.is_symlink()]  # noqa: PTH115
    assert sum(name == str(tmp_path / "cache.db") for name in files) <= 9
    store.close()


def test_an_exception_in_the_middle_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from semcache.stores.sqlite.change import Change

    store = opened(tmp_path / "cache.db")
    store.put(entry("a"), vector(1), ["a"])

    def interrupted(self: Change) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Change, "finish", interrupted)
        with pytest.raises(KeyboardInterrupt):
            store.put(entry("a", answer=b"half"), vector(2), ["b"])
    assert store.get(digest("a"), NOW) == entry("a")
    assert store.check() == []
    store.put(entry("b"), None, ())
    store.close()


# Without the optional libraries -------------------------------------------------------------------

_WITHOUT = """
import sys
for name in sys.argv[2].split(","):
    sys.modules[name] = None
sys.path.insert(0, sys.argv[3])
from semcache.entry import Entry
from semcache.stores.base import Selection
from semcache.stores.opening import open_store
for url in ("memory://", "sqlite:///" + sys.argv[1]):
    store = open_store(url)
    store.put(Entry("a" * 32, "b" * 32, "q", b"answer", 1.0, tags=("t",)), None, ["rare"])
    store.alias("c" * 32, "a" * 32, "b" * 32)
    assert store.get("c" * 32, 2.0).answer == b"answer"
    found = store.search("b" * 32, "", None, ["rare"], 3, 2.0)
    assert [c.entry.id for c in found.candidates] == ["a" * 32]
    assert len(list(store.iterate())) == 1
    assert store.check() == []
    token = store.lease("x", 1.0, 2.0)
    store.release("x", token)
    if sys.argv[2] == "usearch":
        import numpy as np
        rows = np.random.default_rng(0).standard_normal((3000, 8)).astype(np.float32)
        for n, row in enumerate(rows):
            store.put(Entry(f"{n:032x}", "d" * 32, "q", b"x", 1.0, fingerprint="f"), row, [])
        for n in range(0, 3000, 100):
            found = store.search("d" * 32, "f", rows[n], [], 1, 2.0)
            assert found.candidates[0].entry.id == f"{n:032x}"
    assert store.invalidate(Selection(tags=("t",))) == 1
    store.close()
print("fine")
"""


@pytest.mark.parametrize("missing", ["numpy,usearch", "usearch"])
def test_it_works_without(tmp_path: Path, missing: str) -> None:
    root = str(Path(__file__).parents[2])
    result = subprocess.run(
        [sys.executable, "-c", _WITHOUT, str(tmp_path / "cache.db"), missing, root],
        capture_output=True, text=True, check=False, timeout=100,
    )  # fmt: skip
    assert result.stdout == "fine\n", result.stderr


def test_opening_imports_no_numpy(tmp_path: Path) -> None:
    code = (
        "import sys; sys.path.insert(0, sys.argv[2]);"
        "from semcache.stores.sqlite import SqliteStore; SqliteStore(sys.argv[1]).close();"
        "print('numpy' in sys.modules, 'usearch' in sys.modules)"
    )
    root = str(Path(__file__).parents[2])
    result = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "cache.db"), root],
        capture_output=True, text=True, check=True, timeout=60,
    )  # fmt: skip
    assert result.stdout == "False False\n"


# Terms that stop being rare -----------------------------------------------------------------------


def test_a_term_that_is_rare_again_finds_again_after_vacuum(tmp_path: Path) -> None:
    store = opened(tmp_path / "cache.db")
    for number in range(300):
        store.put(entry(f"e{number}", tags=("many",) if number else ()), None, ["word"])
    assert ids(store.search(SCOPE, "", None, ["word"], 3, NOW)) == []
    assert store.check() == []
    assert store.invalidate(Selection(tags=("many",))) == 299
    store.vacuum(NOW)
    assert ids(store.search(SCOPE, "", None, ["word"], 3, NOW)) == [digest("e0")]
    assert store.check() == []
    store.close()


def test_many_scopes_of_one_entry_cost_no_memory(tmp_path: Path) -> None:
    store = opened(tmp_path / "cache.db")
    for number in range(200):
        store.put(entry(f"e{number}", scope=digest(f"s{number}")), vector(number), ["w"])
    for number in range(200):
        found = store.search(digest(f"s{number}"), FINGERPRINT, vector(number), ("w",), 3, NOW)
        assert ids(found) == [digest(f"e{number}")]
    assert store.stats(NOW).detail["index_partitions"] == 0
    assert store.stats(NOW).scopes == 200
    assert np.isclose(found.candidates[0].cosine, 1.0)
    store.close()
