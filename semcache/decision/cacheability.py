"""What a prompt says about its answer: how long it holds, and for whom. Pure.

The same words can be a wrong hit too: "what's my balance", "is it raining in Oslo", "and the second
one?", "tell me another joke", "send 50 € to Marta". ``assess`` reads a prompt and gives

* a probability for each lifetime (``LIFETIMES``): how long a stored answer stays good for the very
  same text, and
* a probability for each flag (``FLAGS``): *personal* depends on the asker's own data or state;
  *action* asks for an effect outside the chat; *context* means nothing without earlier turns or an
  attachment; *variety* wants a new result each time.

Two judges. The *head* is a small model on the embedding that is computed anyway, bound to the
encoder's fingerprint (``cacheability_head.py``). Without one that fits, the *words alone* decide
(``cacheability_words.py``), by fitted weights in ``cacheability_rules.json``; they see less, so
their points are stricter. ``Cacheability.by`` says who judged, ``Cacheability.note`` why.

What follows from it is the policy's business (``semcache/policy.py``).
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from importlib import resources
from typing import TYPE_CHECKING, Any, Literal

from semcache.decision.cacheability_words import FEATURES, WORDS_VERSION, Words, features, read
from semcache.errors import ModelMismatch

if TYPE_CHECKING:
    from semcache.decision.cacheability_head import Head
    from semcache.scope import Scope

Flag = Literal["personal", "action", "context", "variety"]
Lifetime = Literal["timeless", "months", "days", "live"]
FLAGS: tuple[Flag, ...] = ("personal", "action", "context", "variety")
LIFETIMES: tuple[Lifetime, ...] = ("timeless", "months", "days", "live")
# The columns of every weight matrix.
OUTPUTS = (*FLAGS, *LIFETIMES)

RULES_VERSION = 1
# Whose words are named as witnesses, in this order. Others weigh too (a "can" at the start speaks
# against a long life), but say nothing to a reader.
WITNESSES: Mapping[str, tuple[str, ...]] = {
    "personal": ("my_state", "do_i", "mine", "here", "trouble", "asker"),
    "action": ("first:order", "effect"),
    "context": (
        "points_at_text", "talked", "what_about", "points_back", "more_of_it", "first:reply",
    ),
    "variety": ("made_up", "first:chance", "more_of_it"),
    "live": ("now", "clock", "measured", "quoted_price", "under_way", "recent", "trouble", "here"),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of a call besides its words.

    Attributes:
        earlier_turns: the scope holds earlier turns of the chat.
        attachments: the scope holds images, audio or files.
        tools: the model may call tools.
        tenant, user: the scope names one.
    """

    earlier_turns: bool = False
    attachments: bool = False
    tools: bool = False
    tenant: bool = False
    user: bool = False

    @property
    def context_known(self) -> bool:
        """Whether what the prompt may point back to is part of the key."""
        return self.earlier_turns or self.attachments

    @property
    def somebody(self) -> bool:
        """Whether the scope says whose answer it is."""
        return self.tenant or self.user

    @classmethod
    def of(cls, scope: Scope) -> Facts:
        """The facts that a scope tells.

        >>> from semcache.scope import Scope
        >>> Facts.of(Scope(tenant="acme", history=[{"role": "user", "content": "Hi"}]))
        Facts(earlier_turns=True, attachments=False, tools=False, tenant=True, user=False)
        """
        named = _argument_names(scope)
        return cls(
            earlier_turns=scope.has_history or not named.isdisjoint(_TURN_NAMES),
            attachments=bool(scope.attachments),
            tools=bool(scope.tools),
            tenant=scope.tenant is not None or not named.isdisjoint(_TENANT_NAMES),
            user=scope.user is not None or not named.isdisjoint(_USER_NAMES),
        )


# How arguments and parameters are called that say whose answer it is or what was said before. They
# are part of the key as any other, so the wall stands where they say.
_USER_NAMES = frozenset(
    {"user", "user_id", "userid", "username", "customer_id", "account_id", "safety_identifier"}
    | {"session_id", "member_id", "person_id"}
)
_TENANT_NAMES = frozenset({"tenant", "tenant_id", "org_id", "organization_id", "workspace_id"})
_TURN_NAMES = frozenset({"history", "chat_history", "messages", "conversation", "turns"})


def _argument_names(scope: Scope) -> set[str]:
    """The names of what was given as parameters, or as arguments of a cached function."""
    given = dict(scope.params)
    arguments = given.pop("$arguments", None)
    if isinstance(arguments, Mapping):
        given.update(arguments)
    return {name for name, value in given.items() if value is not None and value not in ("", [])}


@dataclass(frozen=True, slots=True)
class Said:
    """How probable something is, in [0, 1], and the words for it, the most telling first."""

    probability: float
    words: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Cacheability:
    """What a prompt says about its answer.

    Attributes:
        lifetimes: probability of each lifetime; they sum to 1.
        flags: each flag with its probability and its words.
        points: from which probability on a flag, ``"live"``, or ``"doubt"`` (at least one of them)
            is taken to hold; chosen on labelled prompts by ``training/train_cacheability.py``.
        by: who judged.
        note: why the words alone had to judge; empty for the head.
        now_words: the words that spoke against a long life.
        words: how many words were read (quoted text and numbers left out).
    """

    lifetimes: Mapping[Lifetime, float]
    flags: Mapping[Flag, Said]
    points: Mapping[str, float]
    by: Literal["head", "words"]
    note: str = ""
    now_words: tuple[str, ...] = ()
    words: int = 0

    @property
    def lifetime(self) -> Lifetime:
        """The most probable lifetime."""
        return max(LIFETIMES, key=lambda name: self.lifetimes[name])

    def probability(self, name: str) -> float:
        """Of a flag or a lifetime.

        Raises:
            KeyError: there is no such flag or lifetime.
        """
        for flag in FLAGS:
            if flag == name:
                return self.flags[flag].probability
        return self.lifetimes[name]  # type: ignore[index]

    def holds(self, name: str) -> bool:
        """Whether a flag, or ``"live"``, reaches its point."""
        return self.probability(name) >= self.points[name]

    def to_json(self) -> dict[str, Any]:
        """As plain JSON data."""
        return {
            "lifetime": self.lifetime,
            "lifetimes": dict(self.lifetimes),
            "flags": {
                flag: {
                    "probability": said.probability,
                    "holds": self.holds(flag),
                    "words": list(said.words),
                }
                for flag, said in self.flags.items()
            },
            "by": self.by,
            "note": self.note,
        }


@dataclass(frozen=True, slots=True)
class Rules:
    """The weights of the words alone, and how their sums become probabilities.

    Attributes:
        weights: feature → one weight for each of ``OUTPUTS``.
        scale, shift: of each flag's sum before the logistic function (Platt).
        temperature: of the lifetimes' sums before the softmax.
    """

    bias: tuple[float, ...]
    weights: Mapping[str, tuple[float, ...]]
    scale: tuple[float, ...]
    shift: tuple[float, ...]
    temperature: float
    points: Mapping[str, float] = field(default_factory=dict)

    def sums(self, present: Sequence[int]) -> list[float]:
        """One sum for each of ``OUTPUTS``."""
        rows = [self.weights[FEATURES[position]] for position in present]
        return [bias + sum(row[output] for row in rows) for output, bias in enumerate(self.bias)]


@lru_cache(maxsize=1)
def shipped_rules() -> Rules:
    """The weights that come with semcache.

    Raises:
        ModelMismatch: they are of other features than this version's.
    """
    file = resources.files("semcache.decision") / "cacheability_rules.json"
    values = json.loads(file.read_text("utf-8"))
    if (values["version"], values["words"]) != (RULES_VERSION, WORDS_VERSION) or set(
        values["weights"]
    ) != set(FEATURES):
        raise ModelMismatch(
            "cacheability_rules.json was made for other features; run "
            "training/train_cacheability.py again"
        )
    return Rules(
        bias=tuple(values["bias"]),
        weights={name: tuple(row) for name, row in values["weights"].items()},
        scale=tuple(values["scale"]),
        shift=tuple(values["shift"]),
        temperature=float(values["temperature"]),
        points=values["points"],
    )


def assess(
    text: str, vector: Any = None, *, fingerprint: str | None = None, head: Head | None = None
) -> Cacheability:
    """What ``text`` says about its answer. Never raises, whatever the text.

    Args:
        vector: the embedding of ``text``, float32 ``[d]`` of unit norm, if there is one.
        fingerprint: of the embedder that made it.
        head: the model for such vectors; one of another encoder is not used.

    >>> said = assess("what's the balance of my account right now?")
    >>> said.by, said.lifetime, said.holds("personal"), said.flags["personal"].words[:1]
    ('words', 'live', True, ('my account',))
    >>> assess("What is the capital of France?").lifetime
    'timeless'
    """
    words = read(text)
    present = features(words)
    rules = shipped_rules()
    if head is not None and vector is not None and head.fingerprint == fingerprint:
        flags, lifetimes = head.probabilities(vector, words, present)
        return _result(words, rules, flags, lifetimes, head.points, "head", "")
    if head is None:
        note = "no cacheability head is installed, so the words alone judged"
    elif vector is None:
        note = "the prompt has no embedding, so the words alone judged"
    else:
        note = (
            f"the cacheability head is of the encoder {head.fingerprint}, not of {fingerprint}, "
            "so the words alone judged"
        )
    sums = rules.sums(present)
    flags = [logistic(rules.scale[i] * sums[i] + rules.shift[i]) for i in range(len(FLAGS))]
    lifetimes = softmax([value / rules.temperature for value in sums[len(FLAGS) :]])
    return _result(words, rules, flags, lifetimes, rules.points, "words", note)


def _result(
    words: Words,
    rules: Rules,
    flags: Sequence[float],
    lifetimes: Sequence[float],
    points: Mapping[str, float],
    by: Literal["head", "words"],
    note: str,
) -> Cacheability:
    return Cacheability(
        lifetimes=dict(zip(LIFETIMES, lifetimes, strict=True)),
        flags={
            flag: Said(probability, _witnesses(words, rules, flag))
            for flag, probability in zip(FLAGS, flags, strict=True)
        },
        points=points,
        by=by,
        note=note,
        now_words=_witnesses(words, rules, "live"),
        words=sum(token[0].isalpha() for token in words.tokens),
    )


def _witnesses(words: Words, rules: Rules, output: Flag | Lifetime) -> tuple[str, ...]:
    """The words that speak for it, those that say most to a reader first, each once."""
    column = OUTPUTS.index(output)
    spoke = [cue for cue in WITNESSES[output] if words.cues.get(cue)]
    return tuple(
        dict.fromkeys(
            word for cue in spoke if rules.weights[cue][column] > 0 for word in words.cues[cue]
        )
    )


def logistic(value: float) -> float:
    """1 / (1 + e^-value), without overflow."""
    if value >= 0:
        return 1.0 / (1.0 + math.exp(-value))
    grown = math.exp(value)
    return grown / (1.0 + grown)


def softmax(values: Sequence[float]) -> list[float]:
    """Shares that sum to 1."""
    top = max(values)
    grown = [math.exp(value - top) for value in values]
    total = sum(grown)
    return [value / total for value in grown]
