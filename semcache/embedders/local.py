"""The default embedder: a small ONNX encoder on this machine's CPU, without torch.

Theory of operation
-------------------
* **One text a run.** int8 activations share one scale a run, and padding changes float sums too, so
  a vector would depend on its neighbours (cosine 0.994 between a text alone and in a padded
  batch). Every text is its own run with exactly its own tokens, on one core: the same bits alone,
  in any batch, in any order, on any number of threads, and no time spent on padding. ``threads``
  texts run at once.
* **Loaded when first needed**, once, under a lock; a forked child loads its own.
* **Any string is a text.** Only a bounded prefix is tokenised (the rest cannot reach the encoder
  anyhow, and `LocalEmbedder.fits` says so); lone surrogates become U+FFFD.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from semcache.embedders.base import BaseEmbedder, Kind, checked_texts, checked_vectors
from semcache.embedders.encoder_files import INSTALL, EncoderFiles, find_encoder, slug
from semcache.errors import ConfigurationError, EmbeddingError
from semcache.fork import after_fork_in_child

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

# English prose has 4 to 5 characters a token; 16 leaves room for indented code and for languages
# of long words, and bounds the tokeniser at 4,096 characters (under 5 ms on a busy machine, where
# the whole of 1 MB takes 0.4 to 3 s).
CHARACTERS_PER_TOKEN = 16
SPECIAL_TOKENS = 2  # [CLS] and [SEP], or their like
TEXT_VERSION = (
    1  # part of the fingerprint: raise it when `_Encoder.read` prepares texts differently
)
ERRORS_ONLY = 3  # onnxruntime's log level: its warnings speak to whoever exported the model


class LocalEmbedder(BaseEmbedder):
    """Sentence vectors from an ONNX model on the CPU.

    ``path`` is a folder (ours, or a sentence-transformers/optimum ONNX export) or an ``.onnx`` file
    with ``tokenizer.json`` beside it; the default is semcache-models' int8 all-MiniLM-L6-v2 (384
    dimensions, 256 tokens). ``threads`` is how many texts of one call are embedded at once.

    Raises ConfigurationError for a path without an encoder, and where onnxruntime or tokenizers is
    missing when they are first needed; EmbeddingError for damaged files.

    >>> embedder = LocalEmbedder()
    >>> embedder.embed(["How do I reset my password?"]).shape
    (1, 384)
    """

    def __init__(self, path: str | Path | None = None, *, threads: int = 1) -> None:
        if threads < 1:
            raise ConfigurationError(f"threads must be at least 1, got {threads}")
        self._files = find_encoder(path)
        self._threads = threads
        self._lock = threading.Lock()
        self._encoder: _Encoder | None = None
        after_fork_in_child(self, LocalEmbedder._forget)

    def __repr__(self) -> str:
        return f"LocalEmbedder({str(self._files.model)!r}, threads={self._threads})"

    @cached_property
    def fingerprint(self) -> str:
        """Name, dimension and a digest of everything that decides a vector.

        Reads the files of a foreign model once to digest them; ours carries its digests.
        """
        files = self._files
        identity = {
            "files": dict(files.digests or files.contents()),
            "dimension": self.dimension,
            "max_tokens": files.max_tokens,
            "pooling": files.pooling,
            "prefixes": dict(files.prefixes),
            "normalised": True,
            "text": TEXT_VERSION,
        }
        digest = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()
        return f"{slug(files.name)}-{self.dimension}-{digest[:12]}"

    @cached_property
    def dimension(self) -> int:
        """Length of a vector; loads a foreign model whose configuration does not say it."""
        if self._files.dimension is not None:
            return self._files.dimension
        return int(self._loaded().vector("a").shape[0])

    def embed(self, texts: Sequence[str], kind: Kind = "query") -> NDArray[np.float32]:
        """Vectors of ``texts``: float32 ``[n, dimension]``, L2 norm 1. Raises EmbeddingError."""
        prefix = self._prefix(kind)
        listed = [prefix + text for text in checked_texts(texts)]
        if not listed:
            return checked_vectors([], 0, self.dimension)
        encoder = self._loaded()
        if encoder.pool is not None and len(listed) > 1:
            rows = list(encoder.pool.map(encoder.vector, listed))
        else:
            rows = [encoder.vector(text) for text in listed]
        return checked_vectors(rows, len(listed), self.dimension)

    def fits(self, text: str) -> bool:
        """True when the encoder reads all of ``text``, whichever prefix it is given.

        A short ASCII text is answered without the tokeniser: no token is shorter than a letter.
        Other scripts are counted: one Hangul syllable can be three tokens.
        """
        longest = max(self._files.prefixes.values(), key=len)
        whole = longest + text
        if len(whole) <= self._files.max_tokens - SPECIAL_TOKENS and whole.isascii():
            return True
        return self._loaded().fits(whole)

    def _prefix(self, kind: Kind) -> str:
        try:
            return self._files.prefixes[kind]
        except KeyError:
            raise EmbeddingError(f"kind must be 'query' or 'document', got {kind!r}") from None

    def _loaded(self) -> _Encoder:
        if (encoder := self._encoder) is not None:
            return encoder
        with self._lock:
            if self._encoder is None:
                self._encoder = _load(self._files, self._threads)
            return self._encoder

    def _forget(self) -> None:
        """In a forked child: the pool's threads do not exist there, and the lock may be held."""
        if self._encoder is not None:
            # Kept, not freed: its destructor belongs to the process that has its threads.
            _inherited.append(self._encoder)
        self._lock = threading.Lock()
        self._encoder = None


_inherited: list[_Encoder] = []


@dataclass(frozen=True)
class _Encoder:
    """A loaded model. Every method may be called from many threads at once."""

    files: EncoderFiles
    session: Any
    tokenizer: Any
    inputs: tuple[str, ...]
    pool: ThreadPoolExecutor | None

    def vector(self, text: str) -> NDArray[np.float32]:
        """The vector of one text, float32 ``[dimension]``, not yet of unit length."""
        import numpy as np

        ids = np.array([self.read(text).ids], dtype=np.int64)
        if not ids.size:
            raise EmbeddingError(f"{self.files.tokenizer} made no tokens of {text[:40]!r}: skip it")
        feed = {"input_ids": ids}
        if "attention_mask" in self.inputs:
            feed["attention_mask"] = np.ones_like(ids)
        if "token_type_ids" in self.inputs:
            feed["token_type_ids"] = np.zeros_like(ids)
        try:
            output = self.session.run(None, feed)
        except Exception as error:  # onnxruntime's exceptions have no common root but this
            raise EmbeddingError(f"{self.files.model} failed on a text: {error}") from error
        return self._pooled(output)

    def fits(self, text: str) -> bool:
        return len(text) <= self._longest and not self.read(text).overflowing

    def read(self, text: str) -> Any:
        """The tokenised text, cut to what the encoder reads."""
        text = text[: self._longest]
        if not text.isascii():
            # A pair of surrogates becomes the character it stands for, a lone one U+FFFD.
            text = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
        return self.tokenizer.encode(text)

    @property
    def _longest(self) -> int:
        return self.files.max_tokens * CHARACTERS_PER_TOKEN

    def _pooled(self, outputs: list[NDArray[np.float32]]) -> NDArray[np.float32]:
        """One vector from a run's outputs: some graphs pool themselves (an output ``[1, d]``)."""
        for output in outputs:
            if output.ndim == 2:
                pooled: NDArray[np.float32] = output[0]
                return pooled
        tokens = outputs[0][0]
        match self.files.pooling:
            case "cls":
                pooled = tokens[0]
            case "lasttoken":
                pooled = tokens[-1]
            case "max":
                pooled = tokens.max(axis=0)
            case _:
                pooled = tokens.mean(axis=0)
        return pooled


def _load(files: EncoderFiles, threads: int) -> _Encoder:
    try:
        import onnxruntime as ort
        from tokenizers import Tokenizer
    except ImportError as error:
        raise ConfigurationError(f"{error.name} is not installed: {INSTALL}") from error
    files.check_contents()
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = ERRORS_ONLY
    try:
        tokenizer = Tokenizer.from_file(str(files.tokenizer))
        tokenizer.no_padding()
        tokenizer.enable_truncation(files.max_tokens)
        session = ort.InferenceSession(
            str(files.model), options, providers=["CPUExecutionProvider"]
        )
    except Exception as error:  # neither library has a root exception of its own
        raise EmbeddingError(
            f"the encoder {files.model} (tokenizer {files.tokenizer}) cannot be loaded: {error}. "
            f"Reinstall or export it again. {INSTALL}"
        ) from error
    inputs = tuple(argument.name for argument in session.get_inputs())
    if unknown := set(inputs) - {"input_ids", "attention_mask", "token_type_ids"}:
        raise EmbeddingError(f"{files.model} wants inputs that a text does not have: {unknown}")
    pool = ThreadPoolExecutor(threads, "semcache-embed") if threads > 1 else None
    return _Encoder(files, session, tokenizer, inputs, pool)
