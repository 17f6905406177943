"""What commands print, and where: reports to stdout, everything else to stderr."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterable, Mapping
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeRemainingColumn,
)

out = Console()
err = Console(stderr=True)


def print_json(document: Any) -> None:
    """One JSON document on stdout. What JSON has no number for (NaN, infinity) becomes null."""
    sys.stdout.write(json.dumps(_finite(document), indent=2, allow_nan=False) + "\n")


def fail(message: str) -> None:
    """One red line on stderr."""
    # Soft wrap: who pipes stderr into a log wants one line, not one of 80 columns.
    err.print(f"[bold red]error:[/] {clean(' '.join(message.split()))}", soft_wrap=True)


def note(message: str) -> None:
    """Something worth knowing that is not the report: to stderr."""
    err.print(f"[dim]{clean(message)}[/]", soft_wrap=True)


def clean(text: str) -> str:
    """Somebody's text, made safe to print.

    Control characters could move the cursor or colour the terminal, lone surrogates cannot be
    encoded, and square brackets are rich's markup.
    """
    encodable = text.encode("utf-8", "replace").decode("utf-8")
    shown = "".join(
        letter if letter.isprintable() else " " if letter.isspace() else "\N{REPLACEMENT CHARACTER}"
        for letter in encodable
    )
    return escape(shown)


def brief(text: str, length: int) -> str:
    """A prompt on one line, cut to about ``length`` letters, safe to print."""
    line = " ".join(text[: 4 * length].split())
    return clean(line if len(line) <= length else line[: length - 1] + "…")


def progress(*, quiet: bool = False) -> Progress:
    """A progress bar on stderr that leaves nothing behind; silent where nobody watches."""
    return Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=err,
        transient=True,
        disable=quiet or not err.is_terminal,
    )


def size(count: float) -> str:
    """Bytes for people: ``1.4 MB``."""
    from rich.filesize import decimal

    return decimal(int(count))


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): _finite(item) for key, item in value.items()}
    if isinstance(value, Iterable) and not isinstance(value, str | bytes):
        return [_finite(item) for item in value]
    return value
