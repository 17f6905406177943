"""What a search remembers between two calls never shows: it follows every write of anybody."""

from __future__ import annotations

from pathlib import Path

from store_cases import FINGERPRINT, NOW, SCOPE, digest, entry, vector

from semcache.candidates import SearchResult
from semcache.stores.base import Selection
from semcache.stores.postings import RARE_ANYWHERE
from semcache.stores.sqlite import SqliteStore
from semcache.stores.sqlite.search import FOLLOWED


def search(store: SqliteStore, *terms: str) -> SearchResult:
    return store.search(SCOPE, FINGERPRINT, vector(0), terms, 4, NOW + 1)


def test_counts_and_rows_follow_another_store_on_the_file(tmp_path: Path) -> None:
    one = SqliteStore(str(tmp_path / "cache.db"))
    other = SqliteStore(str(tmp_path / "cache.db"))
    one.put(entry("a", created=NOW), vector(0), ["red", "red", "blue"])
    assert search(one, "red", "green").corpus.frequencies == {"red": 1, "blue": 1, "green": 0}

    other.put(entry("b", created=NOW), vector(0), ["red", "green"])
    assert search(one, "red", "green").corpus.frequencies == {"red": 2, "green": 1, "blue": 1}

    # As many entries as before, but not the same ones.
    other.put(entry("a", created=NOW), vector(0), ["green", "white"])
    assert search(one, "red", "blue").corpus.frequencies == {
        "red": 1, "green": 2, "white": 1, "blue": 0,
    }  # fmt: skip

    other.touch(digest("a"), NOW)
    other.quarantine(digest("b"))  # writes the touch, too
    (found,) = search(one).candidates
    assert (found.entry.id, found.entry.hits, found.terms) == (digest("a"), 1, ("green", "white"))

    other.invalidate(Selection(ids=(digest("a"),)))
    result = search(one, "green")
    assert (result.candidates, result.corpus.frequencies) == ((), {"green": 1})
    one.close()
    other.close()


def test_many_entries_put_elsewhere_are_counted(tmp_path: Path) -> None:
    one = SqliteStore(str(tmp_path / "cache.db"))
    other = SqliteStore(str(tmp_path / "cache.db"))
    one.put(entry("a", created=NOW), None, ["red"])
    assert search(one, "red").corpus.frequencies == {"red": 1}
    for number in range(50):
        other.put(entry(f"n{number}", created=NOW), None, ["red"])
    assert search(one, "red").corpus.frequencies["red"] == 51
    # As many more as are followed, but of others than were followed.
    for number in range(FOLLOWED + 4):
        other.put(entry(f"m{number}", created=NOW), None, ["green"])
    other.invalidate(Selection(ids=tuple(digest(f"n{number}") for number in range(4))))
    assert search(one, "red").corpus.frequencies["red"] == 47
    one.close()
    other.close()


def test_an_identifier_is_found_by_its_term_where_common_words_are_not(tmp_path: Path) -> None:
    store = SqliteStore(str(tmp_path / "cache.db"))
    for number in range(2 * RARE_ANYWHERE):
        # Without vectors, so that only terms can find them.
        store.put(entry(f"n{number}", created=NOW), None, ["error", f"e-{number}"])
    found = store.search(SCOPE, FINGERPRINT, None, ["error", "e-7"], 4, NOW + 1).candidates
    assert [one.entry.id for one in found] == [digest("n7")]
    store.close()
