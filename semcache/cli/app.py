"""The app: which commands there are, and in which order ``semcache --help`` shows them."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Annotated, Any

import typer

from semcache.cli.demo import demo
from semcache.cli.doctor import doctor
from semcache.cli.eval import eval_pairs
from semcache.cli.explain import explain
from semcache.cli.invalidate import invalidate
from semcache.cli.label import label
from semcache.cli.options import examples
from semcache.cli.replay import replay
from semcache.cli.stats import stats
from semcache.cli.transfer import export, import_
from semcache.cli.tune import tune
from semcache.cli.vacuum import vacuum

MEASURE = "See and measure"
LOOK = "Look into a cache"
CHANGE = "Change a cache"

app = typer.Typer(
    name="semcache",
    help="A semantic cache for LLM apps that would rather miss than serve a wrong answer.",
    epilog=examples("semcache demo", "semcache doctor", "semcache explain 'How do I pay?'"),
    rich_markup_mode="rich",
    no_args_is_help=True,
    # Errors of ours are one line (``main``); anything else is a bug, and its plain traceback is
    # what a bug report needs. Rich's would print local variables: prompts and answers.
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        from semcache import __version__

        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_version, is_eager=True, help="Print the version."),
    ] = False,
) -> None:
    pass


def _add(panel: str, name: str, command: Callable[..., Any], *lines: str) -> None:
    app.command(name, rich_help_panel=panel, help=_prose(command), epilog=examples(*lines))(command)


def _prose(command: Callable[..., Any]) -> str:
    """The docstring without the line breaks of its source, which typer would keep."""
    paragraphs = inspect.getdoc(command) or ""
    return "\n\n".join(" ".join(text.split()) for text in paragraphs.split("\n\n"))


_add(
    MEASURE, "demo", demo,
    "semcache demo", "semcache demo --limit 100 --speed 10", "semcache demo --json",
)  # fmt: skip
_add(
    MEASURE, "eval", eval_pairs,
    "semcache eval pairs.jsonl.gz", "semcache eval *.eval.jsonl.gz --scorer cosine --json",
    "semcache eval --cacheability cacheability.eval.jsonl.gz",
)  # fmt: skip
_add(
    MEASURE, "replay", replay,
    "semcache replay prompts.jsonl.gz --group intent",
    "semcache replay prompts.jsonl --limit 1000 --scorer cosine --json",
)  # fmt: skip
_add(
    MEASURE, "tune", tune,
    "semcache tune pairs.csv --out calibration.json --html report.html",
    "semcache tune pairs.jsonl labels.jsonl --max-wrong 0.02 --prior 0.2 --png report.png",
    "semcache tune pairs.jsonl.gz --scorer cosine --without-veto tense --json",
)  # fmt: skip
_add(
    MEASURE, "label", label,
    "semcache label pairs.csv --out labels.jsonl",
    "semcache label --from-cache --url sqlite:///cache.db --from 0.75",
    "semcache label pairs.jsonl --pick near --calibration calibration.json --limit 50",
)  # fmt: skip
_add(
    LOOK, "explain", explain,
    "semcache explain 'How do I reset my password?' --model gpt-5",
    "semcache explain 'Hi' --tenant acme --scope '{\"params\": {\"temperature\": 0}}' --json",
)  # fmt: skip
_add(
    LOOK, "stats", stats,
    "semcache stats", "semcache stats --url sqlite:////var/cache/app.db --json",
)  # fmt: skip
_add(
    LOOK, "doctor", doctor,
    "semcache doctor", "semcache doctor --url sqlite:///cache.db --json",
)  # fmt: skip
_add(
    LOOK, "export", export,
    "semcache export backup.jsonl.gz", "semcache export backup.jsonl.gz --key-file backup.key",
)  # fmt: skip
_add(
    CHANGE, "import", import_,
    "semcache import seeds.jsonl",
    "semcache import backup.jsonl.gz --key-file backup.key --url sqlite:///new.db",
)  # fmt: skip
_add(
    CHANGE, "invalidate", invalidate,
    "semcache invalidate --tag faq",
    "semcache invalidate 'What does it cost?' --model gpt-5 --tenant acme",
    "semcache invalidate --all --yes",
)  # fmt: skip
_add(CHANGE, "vacuum", vacuum, "semcache vacuum")
