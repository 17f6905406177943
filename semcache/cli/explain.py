"""``semcache explain``: what the cache would do with a prompt, and why."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from semcache.cli.options import (
    URL,
    Json,
    MaxWrong,
    Model,
    Namespace,
    ScopeJson,
    System,
    Tenant,
    Url,
    User,
    scope_of,
)

if TYPE_CHECKING:
    from rich.tree import Tree

    from semcache.decision.decide import Judged
    from semcache.outcome import Decision

PROMPT_LETTERS = 80
COLOURS = {"hit": "green", "miss": "yellow", "refused": "magenta", "bypass": "cyan"}


def explain(
    query: Annotated[str, typer.Argument(help="The prompt.")],
    url: Url = URL,
    model: Model = None,
    tenant: Tenant = None,
    user: User = None,
    namespace: Namespace = None,
    system: System = None,
    scope: ScopeJson = None,
    max_wrong: MaxWrong = None,
    json: Json = False,
) -> None:
    """What a lookup of this prompt would come to, and why. Changes nothing.

    An answer is only ever found in exactly the scope it was recorded in: give the same model,
    tenant, system prompt and so on as the app does.
    """
    from semcache.cli.console import note, out, print_json
    from semcache.cli.opening import open_cache

    asked = scope_of(
        model=model, tenant=tenant, user=user, namespace=namespace, system=system, scope=scope
    )
    with open_cache(url, embeds=True) as cache:
        decision = cache.explain(query, scope=asked, max_wrong=max_wrong)
    if json:
        print_json({"query": query, **decision.to_json()})
        return
    out.print(tree_of(query, decision))
    if decision.scorer is not None and not decision.candidates:
        note(
            "Nothing in this scope comes near. If an answer is expected here, check that model, "
            "tenant, namespace, system prompt and all other parts of the scope are those it was "
            "recorded under."
        )


def tree_of(query: str, decision: Decision) -> Tree:
    """The decision as a tree: outcome, reason, then every candidate with what speaks against it."""
    from rich.tree import Tree

    from semcache.cli.console import brief, clean

    colour = COLOURS[decision.outcome]
    tier = f" ({decision.tier})" if decision.tier else ""
    tree = Tree(f"[bold]{brief(query, PROMPT_LETTERS)}[/]")
    tree.add(f"[bold {colour}]{decision.outcome}{tier}[/]: {clean(decision.reason)}")
    if decision.threshold is not None:
        tree.add(f"threshold: {decision.threshold:.3f} by the scorer {decision.scorer}")
    elif decision.scorer is not None:
        tree.add(f"threshold: none that the scorer {decision.scorer} can support")
    served = decision.served
    if decision.candidates:
        branch = tree.add(f"candidates ({len(decision.candidates)}), best first")
        for judged in decision.candidates:
            _add_candidate(branch, judged, is_served=judged is served)
    tree.add(f"[dim]id {decision.id}  scope {decision.scope}[/]")
    return tree


def _add_candidate(branch: Tree, judged: Judged, *, is_served: bool) -> None:
    from semcache.cli.console import brief, clean

    mark = "[green]✓[/] " if is_served else ""
    node = branch.add(mark + brief(judged.found.entry.query, PROMPT_LETTERS))
    node.add(
        f"score {_number(judged.score)}, cosine {_number(judged.found.cosine)}, "
        f"P(same answer) {judged.probability:.3f}, found by {judged.found.by}"
    )
    for veto in judged.vetoes:
        node.add(f"[magenta]veto {clean(veto.name)}[/]: {clean(veto.detail)}")
    if rest := {name: value for name, value in judged.features.items() if name != "cosine"}:
        node.add("[dim]" + ", ".join(f"{k} {_number(v)}" for k, v in rest.items()) + "[/]")


def _number(value: Any) -> str:
    """Three decimals; a dash for what was not measured (a candidate without a vector)."""
    return f"{value:.3f}" if isinstance(value, float) and abs(value) != float("inf") else "-"
