"""semcache: a semantic cache for LLM apps that would rather miss than serve a wrong answer."""

from typing import TYPE_CHECKING, Any

from semcache.answer import Codec
from semcache.cache import SemanticCache
from semcache.decorator import Cached, CacheInfo, cached
from semcache.engine import Price
from semcache.entry import Entry, Usage
from semcache.errors import (
    AnswerError,
    CalibrationError,
    ConfigurationError,
    EmbeddingError,
    ModelMismatch,
    SemcacheError,
    StoreError,
    StoreUnavailable,
    StreamInterrupted,
)
from semcache.observe.events import Event
from semcache.observe.metrics import CacheStats
from semcache.outcome import Decision, Hit, Recorded
from semcache.request import Request
from semcache.scope import Scope

if TYPE_CHECKING:
    from semcache.policy import CachePolicy

__version__ = "0.1.0"

__all__ = [
    "AnswerError",
    "CacheInfo",
    "CachePolicy",
    "CacheStats",
    "Cached",
    "CalibrationError",
    "Codec",
    "ConfigurationError",
    "Decision",
    "EmbeddingError",
    "Entry",
    "Event",
    "Hit",
    "ModelMismatch",
    "Price",
    "Recorded",
    "Request",
    "Scope",
    "SemanticCache",
    "SemcacheError",
    "StoreError",
    "StoreUnavailable",
    "StreamInterrupted",
    "Usage",
    "cached",
]


def __getattr__(name: str) -> Any:
    # The policy's word lists take as long to read as half of the rest, and it is opt-in.
    if name == "CachePolicy":
        from semcache.policy import CachePolicy

        return CachePolicy
    raise AttributeError(f"module 'semcache' has no attribute {name!r}")
