"""Every exception that semcache raises on purpose.

One root, so that ``except SemcacheError`` is always enough. A message says what happened, to what,
and what to do about it. Errors of the wrapped call are never wrapped: they reach the caller as they
were raised.
"""

from __future__ import annotations


class SemcacheError(Exception):
    """Root of all errors raised by semcache itself."""


class ConfigurationError(SemcacheError, ValueError):
    """The caller asked for something that cannot be: a bad argument, URL, TTL or file."""


class AnswerError(SemcacheError, TypeError):
    """An answer cannot be recorded so that it comes back as it was."""


class StoreError(SemcacheError):
    """The store failed: unwritable, corrupt, full, or written by a newer version."""


class StoreUnavailable(StoreError):
    """The store cannot be reached right now; trying again later may work."""


class EmbeddingError(SemcacheError):
    """A text could not be embedded, or an embedder returned something that is not a vector."""


class CalibrationError(SemcacheError):
    """A calibration cannot be made or used: too few labels, or the bound has no support."""


class ModelMismatch(SemcacheError):
    """Two artefacts do not belong together (vectors, calibration or weights of another model)."""


class StreamInterrupted(SemcacheError):
    """A stream that this caller followed was cut off after part of it had been delivered."""
