"""The default verifier: a small ONNX cross-encoder on this machine's CPU, without torch.

Theory of operation
-------------------
* **One order.** The texts of a pair are sorted before they are read, so the score is symmetric to
  the bit and costs one run, not two. The model was trained on both orders.
* **The leftovers are marked.** A token's type says which text it is in, plus 2 where the longest
  common subsequence of the two leaves it over (training/verifier_model.py says why).
* **One pair a run**, without padding: the same bits alone, in any batch, in any order, on any
  number of threads. ``threads`` pairs run at once, each on one core.
* **Loaded when first needed**, once, under a lock; a forked child loads its own.
* **Any string is a text.** Only a bounded prefix is tokenised (`LocalVerifier.fits` says so); lone
  surrogates become U+FFFD; ``[SEP]`` in a text is five letters, not the end of it.
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

from semcache.embedders.encoder_files import slug
from semcache.errors import ConfigurationError
from semcache.fork import after_fork_in_child
from semcache.verifiers.base import (
    BaseVerifier,
    Pair,
    VerifierError,
    checked_pairs,
    checked_scores,
)
from semcache.verifiers.verifier_files import (
    INSTALL,
    ORDER,
    TOKEN_TYPES,
    VerifierFiles,
    find_verifier,
)

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

CHARACTERS_PER_TOKEN = 16  # see embedders/local.py
LONGEST_WORD = 100  # letters; WordPiece gives up on longer ones
SPECIAL_TOKENS = 3  # [CLS] a [SEP] b [SEP]
TEXT_VERSION = 1  # of the fingerprint: raise it when `_Model.read` prepares pairs differently
ERRORS_ONLY = 3  # onnxruntime's log level: its warnings speak to whoever exported the model


class LocalVerifier(BaseVerifier):
    """Logits of "one answer serves both" from an ONNX model on the CPU.

    ``path`` is a folder that training/export_verifier.py wrote; the default is semcache-models'.
    ``threads`` is how many pairs of one call are scored at once.

    Raises ConfigurationError for a path without a verifier, and where onnxruntime or tokenizers is
    missing when they are first needed; VerifierError for damaged files.

    >>> verifier = LocalVerifier()
    >>> same, other = verifier.score([
    ...     ("How do I enable dark mode?", "how can I turn on dark mode"),
    ...     ("How do I enable dark mode?", "How do I disable dark mode?"),
    ... ])
    >>> bool(same > other)
    True
    """

    def __init__(self, path: str | Path | None = None, *, threads: int = 2) -> None:
        if threads < 1:
            raise ConfigurationError(f"threads must be at least 1, got {threads}")
        self._files = find_verifier(path)
        self._threads = threads
        self._lock = threading.Lock()
        self._model: _Model | None = None
        after_fork_in_child(self, LocalVerifier._forget)

    def __repr__(self) -> str:
        return f"LocalVerifier({str(self._files.model.parent)!r}, threads={self._threads})"

    @cached_property
    def fingerprint(self) -> str:
        """Name and a digest of everything that decides a score."""
        identity = {
            "files": dict(self._files.digests),
            "max_tokens": self._files.max_tokens,
            "order": ORDER,
            "token_types": TOKEN_TYPES,
            "text": TEXT_VERSION,
        }
        digest = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()
        return f"{slug(self._files.name)}-{digest[:12]}"

    def score(self, pairs: Sequence[Pair]) -> NDArray[np.float32]:
        """Logits float32 ``[n]``, each by its pair alone. Raises VerifierError."""
        listed = checked_pairs(pairs)
        if not listed:
            return checked_scores([], 0)
        model = self._loaded()
        if model.pool is not None and len(listed) > 1:
            scores = list(model.pool.map(model.logit, listed))
        else:
            scores = [model.logit(pair) for pair in listed]
        return checked_scores(scores, len(listed))

    def fits(self, a: str, b: str) -> bool:
        """True when all of both texts is read, every word in word pieces that the model knows.

        An unknown character or a word of more than 100 letters becomes the one token ``[UNK]``: two
        different ones would look the same. Short ASCII texts are answered without the tokeniser: no
        token is shorter than a letter.
        """
        room = min(self._files.max_tokens - SPECIAL_TOKENS, LONGEST_WORD)
        if len(a) + len(b) <= room and a.isascii() and b.isascii():
            return True
        return self._loaded().fits((a, b))

    def _loaded(self) -> _Model:
        if (model := self._model) is not None:
            return model
        with self._lock:
            if self._model is None:
                self._model = _load(self._files, self._threads)
            return self._model

    def _forget(self) -> None:
        """In a forked child: the pool's threads do not exist there, and the lock may be held."""
        if self._model is not None:
            # Kept, not freed: its destructor belongs to the process that has its threads.
            _inherited.append(self._model)
        self._lock = threading.Lock()
        self._model = None


_inherited: list[_Model] = []


@dataclass(frozen=True)
class _Model:
    """A loaded model. Every method may be called from many threads at once."""

    files: VerifierFiles
    session: Any
    tokenizer: Any
    unknown: int | None
    pool: ThreadPoolExecutor | None

    def logit(self, pair: Pair) -> float:
        import numpy as np

        read = self.read(pair)
        feed = {
            "input_ids": np.array([read.ids], dtype=np.int64),
            "token_types": np.array([token_types(read)], dtype=np.int64),
        }
        try:
            return float(self.session.run(None, feed)[0][0])
        except Exception as error:  # onnxruntime's exceptions have no common root but this
            raise VerifierError(f"{self.files.model} failed on a pair: {error}") from error

    def fits(self, pair: Pair) -> bool:
        if max(map(len, pair)) > self._longest:
            return False
        read = self.read(pair)
        return not read.overflowing and self.unknown not in read.ids

    def read(self, pair: Pair) -> Any:
        """The tokenised pair in its one order, cut to what the model reads."""
        first, second = sorted(self._cleaned(text) for text in pair)
        return self.tokenizer.encode(first, second)

    def _cleaned(self, text: str) -> str:
        text = text[: self._longest]
        if text.isascii():
            return text
        # A pair of surrogates becomes the character it stands for, a lone one U+FFFD.
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")

    @property
    def _longest(self) -> int:
        return self.files.max_tokens * CHARACTERS_PER_TOKEN


def token_types(read: Any) -> list[int]:
    """For every token of a tokenised pair its text (0, 1), plus 2 where the longest common
    subsequence of the two texts leaves it over; the tokenizer's own tokens never are."""
    places: tuple[list[int], list[int]] = ([], [])
    types = list(read.type_ids)
    for place, (text, special) in enumerate(zip(types, read.special_tokens_mask, strict=True)):
        if not special:
            places[text].append(place)
    first, second = ([read.ids[place] for place in side] for side in places)
    kept = common_subsequence(first, second)
    for side, common in zip(places, kept, strict=True):
        for i, place in enumerate(side):
            if i not in common:
                types[place] += 2
    return types


def common_subsequence(a: Sequence[int], b: Sequence[int]) -> tuple[set[int], set[int]]:
    """Positions in ``a`` and in ``b`` of one longest common subsequence, always the same one.

    >>> common_subsequence([7, 8, 9], [9, 8, 7])
    ({2}, {0})
    """
    rows = [[0] * (len(b) + 1) for _ in range(len(a) + 1)]
    for i in range(len(a) - 1, -1, -1):
        row, below, x = rows[i], rows[i + 1], a[i]
        for j in range(len(b) - 1, -1, -1):
            row[j] = below[j + 1] + 1 if x == b[j] else max(below[j], row[j + 1])
    i = j = 0
    first: set[int] = set()
    second: set[int] = set()
    while i < len(a) and j < len(b):
        if a[i] == b[j]:
            first.add(i)
            second.add(j)
            i, j = i + 1, j + 1
        elif rows[i + 1][j] >= rows[i][j + 1]:
            i += 1
        else:
            j += 1
    return first, second


def _load(files: VerifierFiles, threads: int) -> _Model:
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
        tokenizer.enable_truncation(files.max_tokens)  # of the longer text first
        tokenizer.encode_special_tokens = True  # "[SEP]" in a text is text
        session = ort.InferenceSession(
            str(files.model), options, providers=["CPUExecutionProvider"]
        )
    except Exception as error:  # neither library has a root exception of its own
        raise VerifierError(
            f"the verifier {files.model} (tokenizer {files.tokenizer}) cannot be loaded: {error}. "
            f"Reinstall or export it again. {INSTALL}"
        ) from error
    pool = ThreadPoolExecutor(threads, "semcache-verify") if threads > 1 else None
    return _Model(files, session, tokenizer, tokenizer.token_to_id("[UNK]"), pool)
