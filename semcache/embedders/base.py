"""What an embedder is, and the checks that every embedder's texts and vectors go through.

Vectors are compared by inner product, so they must have unit length; they are compared for years,
so they must come from the same model: that is what the fingerprint names.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal, Protocol, runtime_checkable

from semcache.errors import EmbeddingError
from semcache.threads import in_thread

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import ArrayLike, NDArray

Kind = Literal["query", "document"]
"""Some models want another prefix for what is asked than for what is searched."""


@runtime_checkable
class Embedder(Protocol):
    """Anything that turns texts into comparable unit vectors; safe to call from many threads."""

    @property
    def fingerprint(self) -> str:
        """Short stable name of the vector space, safe in keys: ``[A-Za-z0-9._-]``.

        Two embedders share it only if the same text gets the same vector from both: it covers
        model, revision, dimension, prefixes, normalisation and pooling.
        """
        ...

    @property
    def dimension(self) -> int:
        """Length of a vector."""
        ...

    def embed(self, texts: Sequence[str], kind: Kind = "query") -> NDArray[np.float32]:
        """Vectors of ``texts``: float32 ``[n, dimension]``, C-contiguous, L2 norm 1.

        An empty list gives ``[0, dimension]``. Raises EmbeddingError.
        """
        ...

    async def aembed(self, texts: Sequence[str], kind: Kind = "query") -> NDArray[np.float32]:
        """`embed` without blocking the event loop."""
        ...

    def fits(self, text: str) -> bool:
        """False when the encoder would read only part of ``text``. Cheap for short texts."""
        ...


class BaseEmbedder(ABC):
    """An `Embedder` that runs on this machine: `aembed` is `embed` in a thread."""

    @property
    @abstractmethod
    def fingerprint(self) -> str: ...

    @property
    @abstractmethod
    def dimension(self) -> int: ...

    @abstractmethod
    def embed(self, texts: Sequence[str], kind: Kind = "query") -> NDArray[np.float32]: ...

    @abstractmethod
    def fits(self, text: str) -> bool: ...

    async def aembed(self, texts: Sequence[str], kind: Kind = "query") -> NDArray[np.float32]:
        """`embed` in a thread of semcache's own."""
        return await in_thread(self.embed, texts, kind)


def checked_texts(texts: Sequence[str]) -> list[str]:
    """``texts`` as a list of strings.

    Raises EmbeddingError for a bare string (it would be read letter by letter) and for any element
    that is not a string.

    >>> checked_texts(("a", "b"))
    ['a', 'b']
    """
    if isinstance(texts, str):
        raise EmbeddingError("embed() takes a list of texts, got one string: write embed([text])")
    listed = list(texts)
    for i, text in enumerate(listed):
        if not isinstance(text, str):
            raise EmbeddingError(
                f"text {i} is a {type(text).__name__}, not a str: pass the text itself"
            )
    return listed


def checked_vectors(array: ArrayLike, n: int, dimension: int) -> NDArray[np.float32]:
    """What an embedder returned, as float32 ``[n, dimension]``, C-contiguous, L2 norm 1.

    A row's result depends on that row alone, bit for bit, whatever else is in the array.

    Raises EmbeddingError where the array has another shape, is not numeric, or has a row that is
    not finite or has length 0.

    >>> checked_vectors([[3.0, 4.0]], 1, 2).tolist()
    [[0.6000000238418579, 0.800000011920929]]
    """
    import numpy as np

    try:
        vectors = np.asarray(array, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise EmbeddingError(
            f"the embedder returned something that is not an array of numbers ({error}): "
            "it must return one vector of floats a text"
        ) from error
    if n == 0 and vectors.size == 0:
        return np.empty((0, dimension), np.float32)
    if vectors.shape != (n, dimension):
        raise EmbeddingError(
            f"the embedder returned shape {list(vectors.shape)} instead of {[n, dimension]} "
            "(texts, dimension): check that the model is the one this cache was made with"
        )
    # float64: a float32 sum of squares overflows for components above 2e19. The sum is along the
    # contiguous axis and so row by row; einsum and BLAS choose their order by the array's shape.
    norms = np.sqrt((vectors * vectors).sum(axis=1))
    bad = np.flatnonzero(~(np.isfinite(norms) & (norms > 0)))
    if bad.size:
        what = "all zero" if norms[bad[0]] == 0 else "not finite (NaN or infinity)"
        raise EmbeddingError(
            f"the vector of text {bad[0]} is {what}, {bad.size} of {n} vectors are unusable: "
            "check the model file or the embedding service; such a vector is never stored"
        )
    return np.ascontiguousarray(vectors / norms[:, None], dtype=np.float32)
