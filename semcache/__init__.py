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
from semcache.observe.learning import LiveRate
from semcache.observe.metrics import CacheStats
from semcache.outcome import Decision, Hit, Recorded
from semcache.request import Request
from semcache.scope import Scope

if TYPE_CHECKING:
    from semcache.judges import (
        AnswerJudge,
        Compared,
        EmbeddingJudge,
        ExactJudge,
        VerifierJudge,
    )
    from semcache.online.grey import GreyPair, GreyZone
    from semcache.policy import CachePolicy

__version__ = "0.1.0"

__all__ = [
    "AnswerError",
    "AnswerJudge",
    "CacheInfo",
    "CachePolicy",
    "CacheStats",
    "Cached",
    "CalibrationError",
    "Codec",
    "Compared",
    "ConfigurationError",
    "Decision",
    "EmbeddingError",
    "EmbeddingJudge",
    "Entry",
    "Event",
    "ExactJudge",
    "GreyPair",
    "GreyZone",
    "Hit",
    "LiveRate",
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
    "VerifierJudge",
    "cached",
]


# What is opt-in is imported when it is used: the policy's word lists alone take as long to read as
# half of the rest.
_LATER = {
    "AnswerJudge": "semcache.judges",
    "CachePolicy": "semcache.policy",
    "Compared": "semcache.judges",
    "EmbeddingJudge": "semcache.judges",
    "ExactJudge": "semcache.judges",
    "GreyPair": "semcache.online.grey",
    "GreyZone": "semcache.online.grey",
    "VerifierJudge": "semcache.judges",
}


def __getattr__(name: str) -> Any:
    if name in _LATER:
        from importlib import import_module

        return getattr(import_module(_LATER[name]), name)
    raise AttributeError(f"module 'semcache' has no attribute {name!r}")
