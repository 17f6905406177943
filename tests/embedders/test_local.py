"""The local encoder: its files, its promises about bits and forks, and what goes wrong with it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import semcache_models

from semcache.embedders.base import checked_vectors
from semcache.embedders.local import LocalEmbedder
from semcache.errors import ConfigurationError, EmbeddingError, SemcacheError

ENCODER = semcache_models.path("encoder")
# 1 MB of one word or of nothing is a handful of tokens, so all that costs is reading it: the whole
# of it takes the tokeniser 0.4 s (spaces) to 1.4 s (letters), the bounded prefix 2 ms.
# Of the pair in test_known_vector, by sentence-transformers 6.2.0 on the float weights.
FLOAT_COSINE = 0.5201


@pytest.fixture(scope="module")
def embedder() -> LocalEmbedder:
    return LocalEmbedder()


def copied(folder: Path) -> Path:
    """A copy of the shipped encoder that a test may spoil."""
    return Path(shutil.copytree(ENCODER, folder / "encoder"))


# Bits


def test_bits_do_not_depend_on_the_batch(embedder: LocalEmbedder) -> None:
    words = ["how", "can", "the", "user", "of", "an", "account", "change", "its", "password"]
    texts = [" ".join([*words[: 1 + i % len(words)], str(i)]) for i in range(60)]
    alone = {text: embedder.embed([text]).tobytes() for text in texts}
    threaded = LocalEmbedder(threads=3)
    random = np.random.default_rng(7)
    for size in (2, 7, 60):
        for model in (embedder, threaded):
            batch = [texts[i] for i in random.permutation(len(texts))[:size]]
            for text, vector in zip(batch, model.embed(batch), strict=True):
                assert vector.tobytes() == alone[text]


def test_known_vector(embedder: LocalEmbedder) -> None:
    """The vectors mean what the float model's mean."""
    a, b = embedder.embed(["How do I reset my password?", "Where can I change my login secret?"])
    assert float(a @ b) == pytest.approx(FLOAT_COSINE, abs=0.01)


def test_first_use_from_many_threads_at_once() -> None:
    fresh = LocalEmbedder()
    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(lambda _: fresh.embed(["hello"]).tobytes(), range(8)))
    assert len(set(results)) == 1


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_works_in_a_forked_child(threads: int) -> None:
    """In the parent the session and its pool are alive when it forks."""
    code = (
        "import os, sys\n"
        "from semcache.embedders.local import LocalEmbedder\n"
        f"e = LocalEmbedder(threads={threads})\n"
        "texts = ['one', 'two', 'three']\n"
        "before = e.embed(texts).tobytes()\n"
        "child = os.fork()\n"
        "same = e.embed(texts).tobytes() == before\n"
        "if child == 0:\n"
        "    os._exit(0 if same else 3)\n"
        "sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) or (0 if same else 4))\n"
    )
    assert subprocess.run([sys.executable, "-c", code], timeout=60).returncode == 0


# Texts


@pytest.mark.timeout(30)  # tokenising all of it would take minutes
def test_a_megabyte_costs_no_more_than_its_beginning(embedder: LocalEmbedder) -> None:
    embedder.embed(["load the model first"])
    for text in ("x" * 1_000_000, " " * 1_000_000, "é" * 1_000_000):
        assert not embedder.fits(text)
        assert embedder.embed([text]).shape == (1, 384)
    assert not embedder.fits("word " * 200_000)
    assert embedder.embed(["word " * 200_000]).shape == (1, 384)


def test_only_the_beginning_of_a_long_text_counts(embedder: LocalEmbedder) -> None:
    start = "word " * 400
    assert (embedder.embed([start]) == embedder.embed([start + "quite another end"])).all()


@pytest.mark.parametrize("character", ["x", "한", "é", "😀", "ﷺ", "!"])
def test_fits_agrees_with_the_tokeniser(embedder: LocalEmbedder, character: str) -> None:
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(ENCODER / "tokenizer.json"))
    for n in (84, 85, 127, 128, 253, 254, 255):
        for separator in ("", " "):
            text = separator.join([character] * n)
            assert embedder.fits(text) == (len(tokenizer.encode(text).ids) <= 256)


def test_surrogate_pair_is_the_character_it_stands_for(embedder: LocalEmbedder) -> None:
    assert (embedder.embed(["caf\u00e9 \ud83d\ude00"]) == embedder.embed(["café 😀"])).all()


def test_unknown_kind(embedder: LocalEmbedder) -> None:
    with pytest.raises(EmbeddingError, match="'query' or 'document'"):
        embedder.embed(["a"], kind="passage")  # type: ignore[arg-type]


# Files


def test_shipped_metadata_matches_the_files() -> None:
    about = json.loads((ENCODER / "encoder.json").read_text())
    assert about["revision"] == about["files"]["model.onnx"][:12]
    assert (ENCODER / "model.onnx").stat().st_size <= 25_000_000
    assert min(row["min"] for row in about["fidelity"]["files"]) >= 0.99
    assert min(row["mean"] for row in about["fidelity"]["files"]) >= 0.995


def test_our_folder_by_path_is_the_default(embedder: LocalEmbedder, tmp_path: Path) -> None:
    folder = copied(tmp_path)
    for path in (folder, str(folder), folder / "model.onnx"):
        other = LocalEmbedder(path)
        assert other.fingerprint == embedder.fingerprint
        assert (other.embed(["hello"]) == embedder.embed(["hello"])).all()


def exported_beside(root: Path) -> Path:
    """``model.onnx`` and ``tokenizer.json``, nothing else."""
    root.mkdir()
    for name in ("model.onnx", "tokenizer.json"):
        shutil.copy(ENCODER / name, root / name)
    return root


def exported_inside(root: Path) -> Path:
    """sentence-transformers' layout: ``onnx/model.onnx`` and the configuration above it."""
    (root / "onnx").mkdir(parents=True)
    (root / "1_Pooling").mkdir()
    shutil.copy(ENCODER / "model.onnx", root / "onnx" / "model.onnx")
    shutil.copy(ENCODER / "tokenizer.json", root / "tokenizer.json")
    (root / "1_Pooling" / "config.json").write_text(
        '{"word_embedding_dimension": 384, "pooling_mode_mean_tokens": true}'
    )
    (root / "sentence_bert_config.json").write_text('{"max_seq_length": 16}')
    (root / "config_sentence_transformers.json").write_text('{"prompts": {"query": "query: "}}')
    return root


@pytest.mark.parametrize("export", [exported_beside, exported_inside])
def test_a_folder_of_someone_else(
    embedder: LocalEmbedder, tmp_path: Path, export: Callable[[Path], Path]
) -> None:
    other = LocalEmbedder(export(tmp_path / "theirs"))
    assert other.dimension == 384
    assert other.fingerprint != embedder.fingerprint
    assert (other.embed(["hello"], "document") == embedder.embed(["hello"])).all()


def test_configuration_beside_a_model_is_obeyed(embedder: LocalEmbedder, tmp_path: Path) -> None:
    root = exported_inside(tmp_path / "theirs")
    other = LocalEmbedder(root / "onnx" / "model.onnx")
    assert (other.embed(["hello"]) == embedder.embed(["query: hello"])).all()
    assert other.fits("one two three")
    assert not other.fits("one two three four five six seven eight nine ten eleven twelve 13 14")


def test_fingerprint_names_the_vector_space(tmp_path: Path) -> None:
    root = exported_inside(tmp_path / "theirs")
    before = LocalEmbedder(root).fingerprint
    assert LocalEmbedder(root, threads=2).fingerprint == before
    (root / "config_sentence_transformers.json").write_text('{"prompts": {"query": "q: "}}')
    assert LocalEmbedder(root).fingerprint != before


# What goes wrong


def test_no_such_path(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="no such file or folder"):
        LocalEmbedder(tmp_path / "nowhere")
    with pytest.raises(ConfigurationError, match=r"expected encoder\.json"):
        LocalEmbedder(tmp_path)


def test_missing_tokenizer(tmp_path: Path) -> None:
    root = exported_beside(tmp_path / "theirs")
    (root / "tokenizer.json").unlink()
    with pytest.raises(ConfigurationError, match=r"no tokenizer\.json"):
        LocalEmbedder(root / "model.onnx")


def test_missing_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "semcache_models", None)
    with pytest.raises(ConfigurationError, match=r"pip install .semcache\[local\]"):
        LocalEmbedder()


def test_missing_onnxruntime(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(ConfigurationError, match=r"pip install .semcache\[local\]"):
        LocalEmbedder().embed(["hello"])


def test_one_flipped_bit_is_noticed(tmp_path: Path) -> None:
    model = copied(tmp_path) / "model.onnx"
    data = bytearray(model.read_bytes())
    data[len(data) // 2] ^= 1
    model.write_bytes(data)
    with pytest.raises(EmbeddingError, match="is damaged"):
        LocalEmbedder(model.parent).embed(["hello"])


def test_truncated_foreign_model(tmp_path: Path) -> None:
    root = exported_beside(tmp_path / "theirs")
    os.truncate(root / "model.onnx", 1000)
    with pytest.raises(EmbeddingError, match="cannot be loaded"):
        LocalEmbedder(root).embed(["hello"])


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"format": 99}', '{"format": 1, "name": "x"}'])
def test_bad_metadata(tmp_path: Path, text: str) -> None:
    folder = copied(tmp_path)
    (folder / "encoder.json").write_text(text)
    with pytest.raises(ConfigurationError, match=r"encoder\.json"):
        LocalEmbedder(folder)


@pytest.mark.parametrize("threads", [0, -1])
def test_bad_threads(threads: int) -> None:
    with pytest.raises(ConfigurationError, match="threads"):
        LocalEmbedder(threads=threads)


def test_unknown_model_name() -> None:
    for name in ("nothing", "..", ""):
        with pytest.raises(FileNotFoundError, match="encoder"):
            semcache_models.path(name)


def test_import_is_light() -> None:
    """Making the embedder, asking its name and a short ``fits`` load neither runtime nor numpy."""
    code = (
        "import sys; from semcache.embedders.local import LocalEmbedder; e = LocalEmbedder()\n"
        "e.fingerprint, e.dimension, e.fits('How do I reset my password?')\n"
        "print([m for m in ('onnxruntime', 'tokenizers', 'numpy') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


# checked_vectors


def test_checked_vectors_normalises_each_row_by_itself() -> None:
    rows = np.random.default_rng(3).normal(size=(50, 384)).astype(np.float32)
    together = checked_vectors(rows, 50, 384)
    assert together.flags.c_contiguous
    assert together.dtype == np.float32
    alone = np.concatenate([checked_vectors(row[None], 1, 384) for row in rows])
    assert together.tobytes() == alone.tobytes()
    assert (checked_vectors(np.asfortranarray(rows), 50, 384) == together).all()


def test_checked_vectors_survives_extreme_lengths() -> None:
    vectors = checked_vectors([[3e38, 3e38], [1e-40, 0.0]], 2, 2)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)


@pytest.mark.parametrize(
    ("array", "says"),
    [
        ([[1.0, float("nan")]], "not finite"),
        ([[float("inf"), 1.0]], "not finite"),
        ([[0.0, 0.0]], "all zero"),
        ([[1.0, 2.0, 3.0]], "shape"),
        ([1.0, 2.0], "shape"),
        ([], "shape"),
        ([[1.0], [2.0, 3.0]], "not an array of numbers"),
        ([["a", "b"]], "not an array of numbers"),
        (None, "shape"),
    ],
)
def test_checked_vectors_refuses(array: object, says: str) -> None:
    with pytest.raises(EmbeddingError, match=says) as caught:
        checked_vectors(array, 1, 2)  # type: ignore[arg-type]
    assert isinstance(caught.value, SemcacheError)
