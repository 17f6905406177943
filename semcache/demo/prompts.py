"""The requests of the demo, as ``training/make_demo_data.py`` made them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib import resources

from semcache.scope import Scope

MODEL = "simulated-1"
SYSTEM_PROMPTS = {
    "bank": "You answer questions of a bank's customers.",
    "assistant": "You are a helpful assistant.",
    "helpdesk": "You answer questions at a help desk.",
}


@dataclass(frozen=True, slots=True)
class DemoPrompt:
    """One request.

    Attributes:
        id: equal for exact repeats.
        app: which of the three simulated apps sends it; each has a system prompt, hence a scope.
        intent: prompts of one intent may share an answer …
        differs: … except with these (ids), which a reader found to ask something else.
        kind: ``"prompt"``, ``"repeat"``, ``"trap"`` or ``"policy"``.
        crowd: neighbours of the same crowd are sent at the same moment.
        look_alike, difference: of a trap: the prompt it must not be mistaken for, and why.
        rule, user: for the policy: what it should see in the prompt, and who asks.
    """

    id: str
    app: str
    text: str
    intent: str
    differs: frozenset[str]
    kind: str
    crowd: str | None = None
    look_alike: str | None = None
    difference: str | None = None
    rule: str | None = None
    user: str | None = None

    @property
    def scope(self) -> Scope:
        return Scope(model=MODEL, system=SYSTEM_PROMPTS[self.app], user=self.user)

    def may_share(self, other: DemoPrompt) -> bool:
        """Whether one answer is right for both."""
        if self.id == other.id:
            return True
        return self.intent == other.intent and other.id not in self.differs


def demo_prompts(limit: int | None = None) -> list[DemoPrompt]:
    """The first ``limit`` requests, or all of them."""
    file = resources.files("semcache.demo") / "data" / "prompts.jsonl"
    lines = file.read_text("utf-8").splitlines()
    prompts = []
    for line in lines[:limit]:
        row = json.loads(line)
        prompts.append(DemoPrompt(**{**row, "differs": frozenset(row["differs"])}))
    return prompts


def groups(prompts: Sequence[DemoPrompt]) -> Iterator[list[DemoPrompt]]:
    """The requests in order, those of one crowd together."""
    crowd: list[DemoPrompt] = []
    for prompt in prompts:
        if crowd and (prompt.crowd is None or prompt.crowd != crowd[-1].crowd):
            yield crowd
            crowd = []
        crowd.append(prompt)
    if crowd:
        yield crowd
