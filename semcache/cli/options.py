"""Options that several commands share, so that each means the same everywhere."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer

from semcache.cache import DEFAULT_URL
from semcache.errors import ConfigurationError
from semcache.scope import SCOPE_FIELDS, Scope

Url = Annotated[
    str,
    typer.Option(
        "--url",
        envvar="SEMCACHE_URL",
        metavar="URL",
        help="Where the cache is: sqlite:///path, or a path.",
    ),
]
URL = DEFAULT_URL

Json = Annotated[
    bool,
    typer.Option("--json", help="Print one JSON document on stdout and nothing else there."),
]

Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]

MaxWrong = Annotated[
    float | None,
    typer.Option(
        metavar="SHARE",
        help="Bound on the share of wrong answers among those served; 0.01 is 1 %.",
        show_default="0.01",
    ),
]

Model = Annotated[str | None, typer.Option(help="Scope: the model.")]
Tenant = Annotated[str | None, typer.Option(help="Scope: the tenant.")]
User = Annotated[str | None, typer.Option(help="Scope: the user.")]
Namespace = Annotated[str | None, typer.Option(help="Scope: the namespace.")]
System = Annotated[str | None, typer.Option(help="Scope: the system prompt.")]
ScopeJson = Annotated[
    str | None,
    typer.Option(
        "--scope",
        metavar="JSON",
        help="The rest of the scope as a JSON object: history, tools, tool_choice, "
        "response_format, params, attachments.",
    ),
]


def scope_of(
    *,
    model: str | None = None,
    tenant: str | None = None,
    user: str | None = None,
    namespace: str | None = None,
    system: str | None = None,
    scope: str | None = None,
) -> Scope:
    """The scope that the options describe.

    Raises:
        ConfigurationError: ``--scope`` is not a JSON object of a scope's fields, or says again
            what an option says.
    """
    given: dict[str, Any] = {
        name: value
        for name, value in (
            ("model", model), ("tenant", tenant), ("user", user), ("namespace", namespace),
            ("system", system),
        )
        if value is not None
    }  # fmt: skip
    if scope is None:
        return Scope(**given)
    try:
        rest = json.loads(scope)
    except ValueError as error:
        raise ConfigurationError(f"--scope is not JSON: {error}") from error
    if not isinstance(rest, dict) or not set(rest) <= SCOPE_FIELDS:
        raise ConfigurationError(
            f"--scope must be a JSON object with keys among {sorted(SCOPE_FIELDS)}"
        )
    if twice := sorted(set(rest) & set(given)):
        raise ConfigurationError(f"--scope and --{twice[0]} both give the {twice[0]}; use one")
    return Scope(**rest, **given)


def examples(*lines: str) -> str:
    """The epilog of a command's ``--help``."""
    # Empty lines between, or typer would run them together.
    return "\n\n".join(["[bold]Examples[/]", *(f"  [cyan]$ {line}[/]" for line in lines)])
