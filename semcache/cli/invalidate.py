"""``semcache invalidate``: remove entries."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from semcache.cli.options import (
    URL,
    Json,
    Model,
    Namespace,
    ScopeJson,
    System,
    Tenant,
    Url,
    User,
    Yes,
    scope_of,
)


def invalidate(
    query: Annotated[
        str | None, typer.Argument(help="A prompt, whose entry in this scope is meant.")
    ] = None,
    url: Url = URL,
    tag: Annotated[
        list[str] | None, typer.Option(help="Entries with this tag; may be given several times.")
    ] = None,
    namespace: Namespace = None,
    tenant: Tenant = None,
    model: Model = None,
    user: User = None,
    system: System = None,
    scope: ScopeJson = None,
    everything: Annotated[bool, typer.Option("--all", help="Every entry; asks first.")] = False,
    yes: Yes = False,
    json: Json = False,
) -> None:
    """Remove entries: those that meet [bold]all[/] conditions given.

    With a prompt, or with --model, --user, --system or --scope, exactly one scope is meant;
    --namespace, --tenant and --tag alone mean every scope of theirs.
    """
    from semcache.cli.console import out, print_json
    from semcache.cli.opening import open_cache

    conditions = (query, tag, namespace, tenant, model, user, system, scope)
    if everything and any(condition is not None for condition in conditions):
        raise typer.BadParameter("--all means everything; leave the other conditions out")
    if not everything and all(condition is None for condition in conditions):
        raise typer.BadParameter(
            "say which entries: a prompt, --tag, --namespace, --tenant, a scope, or --all"
        )
    one_scope = any(condition is not None for condition in (query, model, user, system, scope))
    with open_cache(url) as cache:
        if everything:
            if not yes:
                _ask(url, cache.store.stats(0.0).entries)
            removed = cache.invalidate(everything=True)
        elif one_scope:
            exactly = scope_of(
                model=model, tenant=tenant, user=user, namespace=namespace, system=system,
                scope=scope,
            )  # fmt: skip
            removed = cache.invalidate(query, scope=exactly, tags=tag)
        else:
            removed = cache.invalidate(tags=tag, tenant=tenant, namespace=namespace)
    if json:
        print_json({"removed": removed})
    else:
        out.print(f"Removed {removed:,} {'entry' if removed == 1 else 'entries'}.")


def _ask(url: str, entries: int) -> None:
    if not sys.stdin.isatty():
        raise typer.BadParameter("--all removes everything; without a terminal, say --yes, too")
    typer.confirm(f"Remove all {entries:,} entries of {url}?", abort=True, err=True)
