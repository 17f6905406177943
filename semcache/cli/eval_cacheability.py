"""``semcache eval --cacheability FILE``: what the policy would store of labelled prompts."""

from __future__ import annotations

import gzip
import json as json_lib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.table import Table

from semcache.cli.console import note, out, print_json
from semcache.decision.cacheability import FLAGS, LIFETIMES, Cacheability, Facts, assess
from semcache.errors import ConfigurationError
from semcache.evaluate import average_precision
from semcache.policy import CachePolicy, Wanted, apply, flag_holds

# Nothing is known of the caller: whatever is stored is stored for everybody.
NOBODY = Facts()


@dataclass(frozen=True, slots=True)
class Labelled:
    """A prompt with its labels."""

    text: str
    lifetime: str
    flags: frozenset[str]

    @property
    def unsafe(self) -> bool:
        """Storing its answer for others is a wrong answer to come."""
        return self.lifetime == "live" or bool(self.flags)

    @property
    def safe(self) -> bool:
        """Not storing its answer is a cost without a reason."""
        return self.lifetime in ("timeless", "months") and not self.flags


def report(file: Path, json: bool, *, words_alone: bool = False) -> dict[str, Any]:
    """Measure the shipped judge and policy on ``file`` and print the report; also returns it.

    Args:
        file: ``.jsonl`` or ``.jsonl.gz`` with ``text``, ``lifetime`` and ``flags`` on each line.
        json: one JSON document on stdout instead of tables.
        words_alone: leave the head out.

    Raises:
        ConfigurationError: the file cannot be read, or a line is not a labelled prompt.
    """
    prompts = read_labelled(file)
    said = judged([prompt.text for prompt in prompts], words_alone=words_alone)
    document = measure(prompts, said)
    if json:
        print_json(document)
    else:
        _show(document, said)
    return document


def read_labelled(file: Path) -> list[Labelled]:
    """The labelled prompts of a file. Raises ConfigurationError, naming the line."""
    prompts: list[Labelled] = []
    try:
        with (
            gzip.open(file, "rt", encoding="utf-8")
            if file.suffix == ".gz"
            else file.open(encoding="utf-8") as lines
        ):
            for number, line in enumerate(lines, 1):
                if line.strip():
                    prompts.append(_labelled(line, f"{file}, line {number}"))
    except (OSError, EOFError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{file} cannot be read: {error}") from error
    if not prompts:
        raise ConfigurationError(f"{file} has no prompts")
    return prompts


def _labelled(line: str, where: str) -> Labelled:
    try:
        row = json_lib.loads(line)
        text, lifetime, flags = row["text"], row["lifetime"], frozenset(row["flags"])
    except (ValueError, KeyError, TypeError) as error:
        raise ConfigurationError(
            f"{where}: expected an object with text, lifetime and flags"
        ) from error
    if not isinstance(text, str) or lifetime not in LIFETIMES or not flags <= set(FLAGS):
        raise ConfigurationError(
            f"{where}: lifetime must be one of {list(LIFETIMES)} and flags some of {list(FLAGS)}"
        )
    return Labelled(text, lifetime, flags)


def judged(texts: Sequence[str], *, words_alone: bool = False) -> list[Cacheability]:
    """What the shipped judge says of each text: with the encoder and head where installed."""
    if words_alone:
        return [assess(text) for text in texts]
    from semcache.decision.cacheability_head import head_for
    from semcache.embedders.local import LocalEmbedder

    try:
        embedder = LocalEmbedder()
        vectors = embedder.embed(texts)
    except ConfigurationError as error:
        note(f"the words alone judge: {error}")
        return [assess(text) for text in texts]
    fingerprint = embedder.fingerprint
    head = head_for(fingerprint)
    return [
        assess(text, vector, fingerprint=fingerprint, head=head)
        for text, vector in zip(texts, vectors, strict=True)
    ]


def measure(
    prompts: Sequence[Labelled], said: Sequence[Cacheability], policy: CachePolicy | None = None
) -> dict[str, Any]:
    """The figures, as plain data; the keys are fixed, scripts read them. Pure."""
    policy = policy or CachePolicy()
    kept = []
    for prompt, one in zip(prompts, said, strict=True):
        decision = apply(policy, one, NOBODY, Wanted(query=prompt.text))
        kept.append(decision.may_store and decision.shared)
    flags: dict[str, Any] = {}
    for flag in FLAGS:
        truth = [flag in prompt.flags for prompt in prompts]
        held = [flag_holds(policy, one, flag, NOBODY) for one in said]
        right = sum(t and h for t, h in zip(truth, held, strict=True))
        flags[flag] = {
            "n": sum(truth),
            "average_precision": average_precision(truth, [one.probability(flag) for one in said]),
            "precision": right / sum(held) if any(held) else None,
            "recall": right / sum(truth) if any(truth) else None,
        }
    confusion = {true: dict.fromkeys(LIFETIMES, 0) for true in LIFETIMES}
    for prompt, one in zip(prompts, said, strict=True):
        confusion[prompt.lifetime][one.lifetime] += 1  # type: ignore[index]
    return {
        "n": len(prompts),
        "unsafe_kept": _share([k for p, k in zip(prompts, kept, strict=True) if p.unsafe]),
        "safe_lost": _share([not k for p, k in zip(prompts, kept, strict=True) if p.safe]),
        "flags": flags,
        "lifetime": {
            "accuracy": sum(confusion[name][name] for name in LIFETIMES) / len(prompts),
            "confusion": confusion,
        },
    }


def _share(values: Sequence[bool]) -> float | None:
    return sum(values) / len(values) if values else None


def _show(document: Mapping[str, Any], said: Sequence[Cacheability]) -> None:
    notes = {one.note for one in said if one.note}
    for text in sorted(notes):
        note(text)
    out.print(
        f"[bold]{document['n']}[/] prompts: "
        f"[bold]{_percent(document['unsafe_kept'])}[/] of the unsafe ones would be stored for "
        f"others, [bold]{_percent(document['safe_lost'])}[/] of the safe ones would not be stored"
    )
    table = Table(title="flags, at the shipped points")
    for column in ("flag", "n", "AP", "precision", "recall"):
        table.add_column(column, justify="left" if column == "flag" else "right")
    for flag, row in document["flags"].items():
        figures = [row["average_precision"], row["precision"], row["recall"]]
        table.add_row(flag, str(row["n"]), *("–" if f is None else f"{f:.3f}" for f in figures))
    out.print(table)
    lifetime = document["lifetime"]
    table = Table(title=f"lifetime: {lifetime['accuracy']:.1%} right (rows: label)")
    table.add_column("")
    for name in LIFETIMES:
        table.add_column(name, justify="right")
    for name, row in lifetime["confusion"].items():
        table.add_row(name, *(str(row[other]) for other in LIFETIMES))
    out.print(table)


def _percent(share: float | None) -> str:
    return "–" if share is None else f"{share:.1%}"
