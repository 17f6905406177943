"""A verifier from any sentence-transformers ``CrossEncoder`` with one output."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

from semcache.embedders.encoder_files import slug
from semcache.errors import ConfigurationError
from semcache.verifiers.base import (
    BaseVerifier,
    Pair,
    VerifierError,
    checked_pairs,
    checked_scores,
)

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

INSTALL = 'pip install "semcache[sentence-transformers]"'


class CrossEncoderVerifier(BaseVerifier):
    """Logits of a ``CrossEncoder``, the mean of both orders of a pair.

    Its logits are not those of the shipped verifier, so it needs a calibration of its own
    (``semcache tune``); until there is one, nothing is served by meaning.

    Args:
        model: name or path, as ``CrossEncoder`` takes it; or a loaded ``CrossEncoder``.
        revision: of the weights, for the fingerprint: two with one name and other weights must
            not be taken for each other. Default: a digest of the weights themselves.

    Raises:
        ConfigurationError: sentence-transformers is not installed, the model cannot be loaded, or
            it has more than one output.
    """

    def __init__(self, model: str | Any, *, revision: str | None = None) -> None:
        self._model = _loaded(model) if isinstance(model, str) else model
        self._name = model if isinstance(model, str) else "cross-encoder"
        self._revision = revision
        if (labels := self._model.config.num_labels) != 1:
            raise ConfigurationError(
                f"{self._name} has {labels} outputs; a verifier needs a CrossEncoder with one"
            )
        # A tokenizer may be used by one thread at a time only.
        self._lock = threading.Lock()

    @cached_property
    def fingerprint(self) -> str:
        """Name and revision, or a digest of the weights."""
        revision = self._revision
        if revision is None:
            digest = hashlib.sha256()
            for name, tensor in sorted(self._model.model.state_dict().items()):
                digest.update(name.encode())
                digest.update(tensor.cpu().float().numpy().tobytes())
            revision = digest.hexdigest()[:12]
        return f"{slug(self._name)}-{slug(revision)}"

    def score(self, pairs: Sequence[Pair]) -> NDArray[np.float32]:
        """Logits float32 ``[n]``. Raises VerifierError."""
        import torch

        listed = checked_pairs(pairs)
        if not listed:
            return checked_scores([], 0)
        both = listed + [(b, a) for a, b in listed]
        try:
            with self._lock:
                raw = self._model.predict(
                    both, activation_fn=torch.nn.Identity(), show_progress_bar=False
                )
        except Exception as error:  # neither torch nor transformers has a root exception
            raise VerifierError(f"{self._name} failed: {type(error).__name__}: {error}") from error
        values = raw.reshape(2, len(listed)).mean(axis=0)
        return checked_scores(values.tolist(), len(listed))

    def fits(self, a: str, b: str) -> bool:
        """True when the tokenizer would not cut the pair."""
        longest = self._model.max_length or self._model.tokenizer.model_max_length
        with self._lock:
            return len(self._model.tokenizer(a, b, truncation=False)["input_ids"]) <= int(longest)


def _loaded(name: str) -> Any:
    try:
        from sentence_transformers import CrossEncoder
    except ImportError as error:
        raise ConfigurationError(f"sentence-transformers is not installed: {INSTALL}") from error
    try:
        return CrossEncoder(name)
    except Exception as error:  # OSError, ValueError, and what the hub raises
        raise ConfigurationError(
            f"no CrossEncoder could be loaded from {name!r}: {error}"
        ) from error
