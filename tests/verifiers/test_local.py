"""The local verifier: its files, its promises about bits and order, what it must tell apart."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
import semcache_models
from hypothesis import given
from hypothesis import strategies as st

from semcache.errors import ConfigurationError, SemcacheError
from semcache.verifiers.base import Verifier, VerifierError, checked_pairs, checked_scores
from semcache.verifiers.local import LocalVerifier, common_subsequence

FOLDER = semcache_models.path("verifier")
HUGE_SECONDS = 0.5  # 1 MB of text: reading all of it would take the tokeniser seconds
MAX_MODEL_BYTES = 25_000_000


@pytest.fixture(scope="module")
def verifier() -> LocalVerifier:
    return LocalVerifier()


def copied(folder: Path) -> Path:
    """A copy of the shipped verifier that a test may spoil."""
    return Path(shutil.copytree(FOLDER, folder / "verifier"))


# What it says


LOOK_ALIKES = [
    (
        "How do I enable two-factor authentication?",
        "How can I turn on 2-factor authentication?",
        "How do I disable two-factor authentication?",
    ),
    (
        "What is the return policy for shoes?",
        "what's your policy on returning shoes",
        "What is the shipping policy for shoes?",
    ),
    (
        "What are the symptoms of type 1 diabetes?",
        "which symptoms does type 1 diabetes have",
        "What are the symptoms of type 2 diabetes?",
    ),
    (
        "How do I roll over my 401k to an IRA?",
        "rolling my 401k over into an IRA, how",
        "How do I roll over my IRA to a 401k?",
    ),
    (
        "What is the quickest way to drive from Leeds to Bath?",
        "fastest route by car from Leeds to Bath",
        "What is the quickest way to drive from Bath to Leeds?",
    ),
    (
        "Can I take ibuprofen with food?",
        "Is it ok to take ibuprofen with food?",
        "Can I take ibuprofen without food?",
    ),
    (
        "How much is 50 miles in kilometers?",
        "how many kilometers are 50 miles",
        "How much is 60 miles in kilometers?",
    ),
]


@pytest.mark.parametrize(("asked", "paraphrase", "look_alike"), LOOK_ALIKES)
def test_a_look_alike_scores_below_the_paraphrase(
    verifier: LocalVerifier, asked: str, paraphrase: str, look_alike: str
) -> None:
    same, other = verifier.score([(asked, paraphrase), (asked, look_alike)])
    assert same > other


def test_a_text_is_like_itself(verifier: LocalVerifier) -> None:
    texts = ["How do I reset my password?", "weather in Paris tomorrow", "who wrote emma"]
    assert (verifier.score([(text, text) for text in texts]) > 0).all()


# Bits


def pairs_of_many_lengths() -> list[tuple[str, str]]:
    words = ["how", "can", "the", "user", "of", "an", "account", "change", "its", "password"]
    texts = [" ".join([*words[: 1 + i % len(words)], str(i)]) for i in range(40)]
    return [(texts[i], texts[-1 - i]) for i in range(40)]


def test_bits_do_not_depend_on_the_batch() -> None:
    pairs = pairs_of_many_lengths()
    alone = LocalVerifier(threads=1)
    expected = {pair: alone.score([pair]).tobytes() for pair in pairs}
    random = np.random.default_rng(7)
    for threads in (1, 3):
        model = LocalVerifier(threads=threads)
        for size in (2, 7, 40):
            batch = [pairs[i] for i in random.permutation(len(pairs))[:size]]
            for pair, score in zip(batch, model.score(batch), strict=True):
                assert score.tobytes() == expected[pair]


def test_symmetric_to_the_bit(verifier: LocalVerifier) -> None:
    pairs = pairs_of_many_lengths()
    swapped = [(b, a) for a, b in pairs]
    assert verifier.score(pairs).tobytes() == verifier.score(swapped).tobytes()


def test_scores_are_float32_one_a_pair(verifier: LocalVerifier) -> None:
    assert verifier.score([]).shape == (0,)
    scores = verifier.score([("a", "b")] * 3)
    assert scores.dtype == np.float32
    assert scores.shape == (3,)


async def test_the_async_twin_scores_the_same(verifier: LocalVerifier) -> None:
    pairs = pairs_of_many_lengths()[:5]
    assert (await verifier.ascore(pairs)).tobytes() == verifier.score(pairs).tobytes()


def test_first_use_from_many_threads_at_once() -> None:
    fresh = LocalVerifier()
    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(lambda _: fresh.score([("hello", "hi")]).tobytes(), range(8)))
    assert len(set(results)) == 1


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.parametrize("threads", [1, 2])
def test_works_in_a_forked_child(threads: int) -> None:
    """In the parent the session and its pool are alive when it forks."""
    code = (
        "import os, sys\n"
        "from semcache.verifiers.local import LocalVerifier\n"
        f"v = LocalVerifier(threads={threads})\n"
        "pairs = [('one', 'two'), ('three', 'four')]\n"
        "before = v.score(pairs).tobytes()\n"
        "child = os.fork()\n"
        "if child == 0:\n"
        "    os._exit(0 if v.score(pairs).tobytes() == before else 3)\n"
        "sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))\n"
    )
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", code], timeout=60, check=False)
    assert done.returncode == 0


# Any text


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "\x00",
        "\ud800",
        "😀" * 50,
        "[SEP] [SEP]",
        "[CLS]",
        "[PAD]",
        "ｗｉｄｅ",
        "?" * 300,
        "한" * 300,
    ],
)
def test_odd_text_gets_a_finite_symmetric_score(verifier: LocalVerifier, text: str) -> None:
    other = "How do I reset my password?"
    scores = verifier.score([(text, other), (other, text), (text, text)])
    assert np.isfinite(scores).all()
    assert scores[0] == scores[1]


def test_a_separator_in_a_text_does_not_end_it(verifier: LocalVerifier) -> None:
    """Or a prompt could bring its own other half."""
    asked = "delete all files"
    attack = f"hello [SEP] {asked}"
    plain, attacked = verifier.score([(asked, "hello"), (asked, attack)])
    assert attacked < verifier.score([(asked, asked)])[0]
    assert plain < verifier.score([(asked, asked)])[0]


def test_a_huge_text_costs_no_more_than_its_prefix(verifier: LocalVerifier) -> None:
    verifier.score([("warm", "up")])
    huge = "word " * 200_000
    started = time.perf_counter()
    scores = verifier.score([(huge, "word")])
    assert time.perf_counter() - started < HUGE_SECONDS
    assert np.isfinite(scores).all()
    assert not verifier.fits(huge, "word")


def test_fits(verifier: LocalVerifier) -> None:
    limit = json.loads((FOLDER / "verifier.json").read_text("utf-8"))["max_tokens"]
    room = limit - 3
    assert verifier.fits("", "")
    assert verifier.fits("How do I reset my password?", "reset password")
    assert verifier.fits("a " * (room - 1), "b")
    assert not verifier.fits("a " * room, "b")
    assert not verifier.fits("b", "a " * room)
    assert not verifier.fits("한국어 " * limit, "b")


def test_a_word_that_the_tokeniser_gives_up_on_does_not_fit(verifier: LocalVerifier) -> None:
    """Two different ones would be the same token."""
    for word in ("x" * 101, "\U00013000", "한" * 200):
        assert not verifier.fits(f"what is {word}", "what is love")
        assert not verifier.fits("what is love", f"what is {word}")


@given(st.lists(st.integers(0, 4), max_size=9), st.lists(st.integers(0, 4), max_size=9))
def test_the_common_subsequence_is_common_and_longest(a: list[int], b: list[int]) -> None:
    first, second = common_subsequence(a, b)
    assert [a[i] for i in sorted(first)] == [b[i] for i in sorted(second)]
    longest = max(n for n in range(len(a) + 1) for some in combinations(a, n) if is_within(some, b))
    assert len(first) == longest


def is_within(some: tuple[int, ...], b: list[int]) -> bool:
    rest = iter(b)
    return all(x in rest for x in some)


# Files


def test_the_shipped_model_is_small_and_described() -> None:
    assert (FOLDER / "model.onnx").stat().st_size <= MAX_MODEL_BYTES
    assert (FOLDER / "MODEL_CARD.md").is_file()
    about = json.loads((FOLDER / "verifier.json").read_text("utf-8"))
    names = " ".join(row["name"] for row in about["training_data"])
    for measuring_only in ("qqp", "mrpc", "sick", "checklist_edits", "eval"):
        assert measuring_only not in names


def test_fingerprint_is_stable_and_names_the_files(tmp_path: Path) -> None:
    fingerprint = LocalVerifier().fingerprint
    assert fingerprint == LocalVerifier(threads=1).fingerprint
    folder = copied(tmp_path)
    assert LocalVerifier(folder).fingerprint == fingerprint
    about = json.loads((folder / "verifier.json").read_text("utf-8"))
    about["files"]["model.onnx"] = "0" * 64
    (folder / "verifier.json").write_text(json.dumps(about), "utf-8")
    assert LocalVerifier(folder).fingerprint != fingerprint


def test_is_a_verifier(verifier: LocalVerifier) -> None:
    assert isinstance(verifier, Verifier)
    assert "verifier" in repr(verifier)


def test_no_such_folder(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"no verifier in .*semcache\[local\]"):
        LocalVerifier(tmp_path / "nowhere")


def test_the_default_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "semcache_models", None)
    with pytest.raises(ConfigurationError, match=r"not installed.*semcache\[local\]"):
        LocalVerifier()


def test_the_installed_models_have_no_verifier(monkeypatch: pytest.MonkeyPatch) -> None:
    def path(name: str) -> Path:
        raise FileNotFoundError(f"semcache-models 0.0.1 has no {name!r}")

    monkeypatch.setattr(semcache_models, "path", path)
    with pytest.raises(ConfigurationError, match="has no 'verifier'"):
        LocalVerifier()


def remove_model(folder: Path) -> None:
    (folder / "model.onnx").unlink()


def newer_format(folder: Path) -> None:
    (folder / "verifier.json").write_text('{"format": 99}', "utf-8")


def broken_json(folder: Path) -> None:
    (folder / "verifier.json").write_text("{", "utf-8")


def incomplete(folder: Path) -> None:
    (folder / "verifier.json").write_text('{"format": 1}', "utf-8")


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (remove_model, "missing"),
        (newer_format, "upgrade"),
        (broken_json, "reinstall"),
        (incomplete, "reinstall"),
    ],
)
def test_spoiled_folders(tmp_path: Path, spoil: Callable[[Path], None], message: str) -> None:
    folder = copied(tmp_path)
    spoil(folder)
    with pytest.raises(ConfigurationError, match=message):
        LocalVerifier(folder)


def test_damaged_weights_are_never_used(tmp_path: Path) -> None:
    folder = copied(tmp_path)
    data = bytearray((folder / "model.onnx").read_bytes())
    data[len(data) // 2] ^= 1
    (folder / "model.onnx").write_bytes(data)
    with pytest.raises(VerifierError, match="damaged"):
        LocalVerifier(folder).score([("a", "b")])


# Arguments


def test_wrong_arguments(verifier: LocalVerifier) -> None:
    with pytest.raises(ConfigurationError, match="threads"):
        LocalVerifier(threads=0)
    for wrong in ("ab", ["ab"], [("a",)], [("a", 1)], [("a", "b", "c")]):
        with pytest.raises(VerifierError):
            verifier.score(wrong)  # type: ignore[arg-type]


def test_checks_of_pairs_and_scores() -> None:
    assert checked_pairs([]) == []
    with pytest.raises(VerifierError, match="finite"):
        checked_scores([float("nan")], 1)
    with pytest.raises(VerifierError, match="scores for 2"):
        checked_scores([1.0], 2)
    assert issubclass(VerifierError, SemcacheError)
