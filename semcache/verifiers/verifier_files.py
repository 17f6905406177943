"""Which files make a verifier, and what ``verifier.json`` says about them. Runs nothing."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from semcache.errors import ConfigurationError
from semcache.verifiers.base import VerifierError

FORMAT = 1  # of verifier.json; a newer one may mean something this code cannot know
ORDER, TOKEN_TYPES = (
    "sorted",
    "text+2*leftover(lcs)",
)  # what `local` does with a pair before the model
INSTALL = 'pip install "semcache[local]", or give the folder of one: LocalVerifier("…")'


@dataclass(frozen=True)
class VerifierFiles:
    """A verifier on disk. Digests are sha256 in hex, ``max_tokens`` counts both texts."""

    model: Path
    tokenizer: Path
    name: str
    max_tokens: int
    digests: Mapping[str, str]

    def check_contents(self) -> None:
        """Raise VerifierError unless the files are those that ``verifier.json`` was written for.

        A damaged file often still loads, and then gives other scores.
        """
        for path in (self.model, self.tokenizer):
            try:
                with path.open("rb") as file:
                    found = hashlib.file_digest(file, "sha256").hexdigest()
            except OSError as error:
                raise VerifierError(f"{path} cannot be read ({error}). {INSTALL}") from error
            if found != self.digests[path.name]:
                raise VerifierError(
                    f"{path} is damaged (its sha256 is not the one in verifier.json): "
                    "reinstall it: pip install --force-reinstall semcache-models"
                )


def find_verifier(path: str | Path | None) -> VerifierFiles:
    """The verifier in the folder ``path``, or semcache-models' where it is None.

    Raises ConfigurationError where there is none, saying what was looked for.
    """
    folder = _installed() if path is None else Path(path).expanduser()
    about = folder / "verifier.json"
    if not about.is_file():
        raise ConfigurationError(f"no verifier in {folder}: there is no verifier.json. {INSTALL}")
    try:
        said = json.loads(about.read_text("utf-8"))
        if said["format"] != FORMAT:
            raise ConfigurationError(
                f"{about} has format {said['format']!r}, this semcache reads {FORMAT}: upgrade "
                "semcache, or export the verifier again"
            )
        if (said["order"], said["token_types"]) != (ORDER, TOKEN_TYPES):
            raise ConfigurationError(f"{about} was made for another way to prepare pairs: upgrade")
        files = VerifierFiles(
            model=folder / "model.onnx",
            tokenizer=folder / "tokenizer.json",
            name=str(said["name"]),
            max_tokens=int(said["max_tokens"]),
            digests={name: str(said["files"][name]) for name in ("model.onnx", "tokenizer.json")},
        )
    except ConfigurationError:
        raise
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise ConfigurationError(
            f"{about} cannot be used ({error!r}): reinstall semcache-models, or export the "
            "verifier again with training/export_verifier.py"
        ) from error
    for file in (files.model, files.tokenizer):
        if not file.is_file():
            raise ConfigurationError(f"{file} is missing: reinstall semcache-models. {INSTALL}")
    return files


def _installed() -> Path:
    try:
        from semcache_models import path
    except ImportError as error:
        raise ConfigurationError(f"the default verifier is not installed: {INSTALL}") from error
    try:
        folder: Path = path("verifier")
    except FileNotFoundError as error:
        raise ConfigurationError(f"{error}: {INSTALL}") from error
    return folder
