"""Which parts decide together: embedder, verifier, scorer, and the calibration about them."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from semcache.errors import ConfigurationError, SemcacheError
from semcache.observe.events import log

if TYPE_CHECKING:
    from semcache.decision.calibration import Calibration
    from semcache.decision.scorers import Scorer
    from semcache.embedders.base import Embedder
    from semcache.verifiers.base import Verifier

DEFAULT_SCORER = "learned"


@dataclass(frozen=True, slots=True)
class Judging:
    """The parts, checked against each other.

    Attributes:
        embedder: ``None`` where only exact repeats are served; ``no_embedder`` says why.
        verifier: ``None`` where the scorer asks none.
    """

    embedder: Embedder | None
    no_embedder: str
    verifier: Verifier | None
    scorer: Scorer
    calibration: Calibration


def choose(
    *,
    embedder: Embedder | Literal["local"] | None,
    verifier: Verifier | Literal["local"] | str | None,
    scorer: str | Scorer | None,
    calibration: Calibration | str | Path | None,
    strict: bool,
) -> Judging:
    """The parts for these arguments of ``SemanticCache.open``.

    Without a scorer: that of the calibration, else `DEFAULT_SCORER`; ``hybrid`` stands in for
    ``learned`` where there is no verifier.

    Raises:
        ConfigurationError: an argument that cannot be.
        CalibrationError, ModelMismatch: the calibration cannot be used, or not with these parts.
    """
    from semcache.decision.builtin import scorer_named
    from semcache.decision.calibration import Calibration, shipped
    from semcache.decision.learned import LearnedScorer

    if isinstance(calibration, str | Path):
        calibration = Calibration.from_file(calibration)
    encoder, no_embedder = _embedder(embedder, strict)
    if scorer is None:
        scorer = calibration.scorer.partition("-")[0] if calibration else DEFAULT_SCORER
    reader = _verifier(verifier, strict) if scorer == "learned" else _given(verifier)
    if scorer == "learned" and reader is None and calibration is None:
        scorer = "hybrid"
    judge = scorer_named(scorer) if isinstance(scorer, str) else scorer
    if scorer == "learned" and reader is not None:
        judge = LearnedScorer(read_by=reader.fingerprint)
    # Of a scorer with another verifier nothing is known: the shipped evidence will say so below.
    evidence = calibration or shipped("learned" if scorer == "learned" else judge.name)
    if judge.verifier is None:
        reader = None
    if encoder is None:
        return Judging(None, no_embedder, None, judge, evidence)
    try:
        read_by = None if reader is None else reader.fingerprint
        if judge.verifier is not None and read_by is None:
            raise ConfigurationError(f"the scorer {judge.name!r} needs a verifier; pass verifier=")
        evidence.require(scorer=judge.name, encoder=encoder.fingerprint, verifier=read_by)
    except SemcacheError as error:
        if calibration is not None or strict:
            raise
        # The shipped evidence is about the shipped models. With others nothing may be served by
        # meaning until there is evidence of its own (promise 1).
        log.warning("only exact repeats are served: %s", error)
        return Judging(None, str(error), None, judge, evidence)
    return Judging(encoder, no_embedder, reader, judge, evidence)


def _embedder(
    embedder: Embedder | Literal["local"] | None, strict: bool
) -> tuple[Embedder | None, str]:
    if embedder == "local":
        return _local_embedder(strict)
    if isinstance(embedder, str):
        raise ConfigurationError(f'embedder must be "local", an Embedder or None: {embedder!r}')
    return embedder, "no embedder was given"


def _local_embedder(strict: bool) -> tuple[Embedder | None, str]:
    """The shipped encoder, or why there is none."""
    missing = missing_for_local()
    if missing:
        message = (
            f"{', '.join(missing)} not installed, so only exact repeats are served; "
            'pip install "semcache[local]", or pass embedder=None to say that this is meant'
        )
    else:
        from semcache.embedders.local import LocalEmbedder

        try:
            return LocalEmbedder(), ""
        except (SemcacheError, ImportError, OSError) as error:
            if strict:
                raise
            message = f"only exact repeats are served: {error}"
    if strict:
        raise ConfigurationError(message)
    log.warning("%s", message)
    return None, message


def _given(verifier: Verifier | str | None) -> Verifier | None:
    """The verifier for a scorer of the caller's own."""
    return None if verifier == "local" else _verifier(verifier, strict=True)


def _verifier(verifier: Verifier | str | None, strict: bool) -> Verifier | None:
    """The verifier that was asked for; ``None`` where the shipped one cannot be had."""
    if not isinstance(verifier, str):
        return verifier
    if verifier != "local":
        return verifier_named(verifier)
    if missing_for_local():
        return None  # the embedder said so
    from semcache.verifiers.local import LocalVerifier

    try:
        return LocalVerifier()
    except (SemcacheError, ImportError, OSError) as error:
        if strict:
            raise
        log.warning("no verifier, so the hybrid scorer judges: %s", error)
        return None


def verifier_named(name: str) -> Verifier:
    """A verifier by its folder (``training/export_verifier.py``), or a ``CrossEncoder`` by name.

    Raises:
        ConfigurationError: there is none of that name, or sentence-transformers is not installed.
    """
    if (Path(name) / "verifier.json").is_file():
        from semcache.verifiers.local import LocalVerifier

        return LocalVerifier(name)
    from semcache.verifiers.sentence_transformers import CrossEncoderVerifier

    return CrossEncoderVerifier(name)


def missing_for_local() -> list[str]:
    """What of ``semcache[local]`` is not installed."""
    needed = ("numpy", "onnxruntime", "tokenizers", "semcache_models")
    return [name for name in needed if find_spec(name) is None]
