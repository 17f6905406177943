"""From what a prompt says about its answer to what the cache may do with it. Pure.

    Cacheability, Facts, Wanted ──▶ apply ──▶ PolicyDecision

The defaults (``docs/policy.md`` has them as a table):

* lifetime → time to live: timeless 30 d, months 7 d, days 6 h, live: not stored;
* *personal* only inside a scope that names a user or tenant, never shared;
* *action* never served, never stored, never shared while it is under way;
* *context* only in the exact tier, and only where the earlier turns are part of the scope;
* *variety* neither served nor stored;
* *in doubt*, where no flag is certain but together they are likely: neither served nor stored.

What the caller says wins: ``no_store`` and ``ttl`` of the call, then the first own ``Rule`` that
matches, then the policy. Every rule that had a say is named in ``PolicyDecision.rules``.

``CachePolicy`` is a plain dataclass, so that importing semcache does not import pydantic; outside
data (TOML) is validated by pydantic in ``from_toml`` and ``from_mapping``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar, Literal, get_args

from semcache.decision.cacheability import (
    FLAGS,
    LIFETIMES,
    Cacheability,
    Facts,
    Flag,
    Lifetime,
)
from semcache.entry import Ttl, parse_ttl
from semcache.errors import ConfigurationError

DEFAULT_TTLS: Mapping[str, Ttl] = {"timeless": "30d", "months": "7d", "days": "6h", "live": 0}

# Between neighbouring lifetimes the shorter one is taken from these probabilities on (of it and
# all shorter ones together): keeping too long is a wrong answer, too short is only a cost.
DAYS_FROM = 0.4
MONTHS_FROM = 0.35
# Where tools are offered an effect is possible, so less certainty is enough to see one asked for.
TOOLS_FACTOR = 0.7
# A text of so few words in which none speaks for anything ("q1", "hello") is taken for more than it
# says only from this probability on: it is how everybody tries a cache out.
FEW_WORDS = 2
UNSPOKEN_POINT = 0.9

Serve = Literal["meaning", "exact", "never"]
OnPersonal = Literal["scoped", "allow", "never"]
OnContext = Literal["exact", "allow", "never"]
OnFlag = Literal["allow", "never"]


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule of the user's own. All conditions that are given must hold; one at least.

    Args:
        name: how decisions and counts call it.
        matches: regular expression, searched in the query (``(?i)`` for any case).
        tags: any of these tags is on the call.
        namespace, model: exactly this one.
        store: whether to store; ``True`` also lifts what the flags forbid.
        serve: ``"meaning"`` (both tiers), ``"exact"``, or ``"never"``.
        ttl: time to live of what is stored; ``"policy"``: the rule says nothing of it.
        shared: whether answers may go to others than the one who asked.

    Raises:
        ConfigurationError: no condition, no effect, or a value that cannot be.

    >>> Rule("price list", matches=r"(?i)price list", ttl="1h").holds("Your price list?")
    True
    """

    name: str
    matches: str | None = None
    tags: tuple[str, ...] = ()
    namespace: str | None = None
    model: str | None = None
    store: bool | None = None
    serve: Serve | None = None
    ttl: Ttl = "policy"
    shared: bool | None = None

    __pydantic_config__: ClassVar[Any] = {"extra": "forbid"}

    def __post_init__(self) -> None:
        if not self.name:
            raise ConfigurationError("a policy rule needs a name")
        where = f"policy rule {self.name!r}"
        if isinstance(self.tags, str):
            raise ConfigurationError(f"{where}: tags must be a list of names")
        object.__setattr__(self, "tags", tuple(self.tags))
        if not (self.matches or self.tags or self.namespace or self.model):
            raise ConfigurationError(f"{where} has no condition: matches, tags, namespace or model")
        if self.serve not in (None, *get_args(Serve)):
            raise ConfigurationError(f"{where}: serve must be one of {get_args(Serve)}")
        if (self.store, self.serve, self.shared) == (None, None, None) and self.ttl == "policy":
            raise ConfigurationError(f"{where} says nothing: give store, serve, ttl or shared")
        if self.ttl != "policy":
            parse_ttl(self.ttl)
        if self.matches is not None:
            try:
                _pattern(self.matches)
            except re.error as error:
                raise ConfigurationError(
                    f"{where}: matches is not a regular expression: {error}"
                ) from error

    def holds(
        self,
        query: str,
        *,
        tags: Sequence[str] = (),
        namespace: str | None = None,
        model: str | None = None,
    ) -> bool:
        """Whether the rule is about such a call."""
        return (
            (self.namespace is None or self.namespace == namespace)
            and (self.model is None or self.model == model)
            and (not self.tags or not set(self.tags).isdisjoint(tags))
            and (self.matches is None or _pattern(self.matches).search(query) is not None)
        )


@lru_cache(maxsize=256)
def _pattern(expression: str) -> re.Pattern[str]:
    return re.compile(expression)


@dataclass(frozen=True, slots=True)
class CachePolicy:
    """What is stored for whom, how long, and what is served.

    Args:
        ttl: lifetime → time to live; what is left out keeps its default. ``0`` = not stored.
        personal: ``"scoped"`` (only where the scope names a user or tenant), ``"allow"``,
            ``"never"``.
        action, variety: ``"never"`` or ``"allow"``.
        context: ``"exact"`` (exact tier, where earlier turns are in scope), ``"allow"``,
            ``"never"``.
        points: flag, ``"live"`` or ``"doubt"`` (at least one of them) → probability from which on
            it is taken to hold, in (0, 1]; default: those of the judge. Lower is more careful.
        rules: rules of your own; the first that matches wins over all of the above.
        enabled: ``False`` switches everything off (``CachePolicy.off()``).

    Raises:
        ConfigurationError: a name or value that cannot be.

    >>> policy = CachePolicy(ttl={"days": "1h"}, variety="allow")
    >>> policy.seconds("days"), policy.seconds("live")
    (3600.0, 0.0)
    """

    ttl: Mapping[str, Ttl] = field(default_factory=dict)
    personal: OnPersonal = "scoped"
    action: OnFlag = "never"
    context: OnContext = "exact"
    variety: OnFlag = "never"
    points: Mapping[str, float] = field(default_factory=dict)
    rules: tuple[Rule, ...] = ()
    enabled: bool = True

    __pydantic_config__: ClassVar[Any] = {"extra": "forbid"}

    def __post_init__(self) -> None:
        if unknown := set(self.ttl) - set(LIFETIMES):
            raise ConfigurationError(
                f"policy ttl: no lifetime named {sorted(unknown)}; there are {list(LIFETIMES)}"
            )
        # Parsed once, here: ``apply`` runs with every call.
        merged = {name: parse_ttl(ttl) for name, ttl in {**DEFAULT_TTLS, **self.ttl}.items()}
        object.__setattr__(self, "ttl", merged)
        object.__setattr__(self, "rules", tuple(self.rules))
        choices: Mapping[str, Any] = {
            "personal": OnPersonal, "action": OnFlag, "context": OnContext, "variety": OnFlag,
        }  # fmt: skip
        for name, kind in choices.items():
            if getattr(self, name) not in get_args(kind):
                raise ConfigurationError(
                    f"policy {name} must be one of {get_args(kind)}, not {getattr(self, name)!r}"
                )
        for name, point in self.points.items():
            if name not in (*FLAGS, "live", "doubt"):
                raise ConfigurationError(f"policy points: no flag named {name!r}")
            if isinstance(point, bool) or not isinstance(point, int | float) or not 0 < point <= 1:
                raise ConfigurationError(
                    f"policy points: {name} must be a probability in (0, 1], not {point!r}"
                )

    @classmethod
    def off(cls) -> CachePolicy:
        """The policy that has no say: everything is stored and served as if there were none."""
        return cls(enabled=False)

    @classmethod
    def from_mapping(cls, values: Mapping[str, Any]) -> CachePolicy:
        """The policy that plain data describe, validated by pydantic.

        Raises:
            ConfigurationError: unknown keys, or values of the wrong kind; says which.
        """
        from pydantic import TypeAdapter, ValidationError

        try:
            made: CachePolicy = TypeAdapter(cls).validate_python(dict(values))
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(map(str, first["loc"])) or "policy"
            raise ConfigurationError(f"policy: {where}: {first['msg']}") from error
        return made

    @classmethod
    def from_toml(cls, source: str | Path) -> CachePolicy:
        """The policy in a TOML file (a ``Path``, or text that names one), or in TOML text.

        The table may be the whole document, ``[policy]``, or ``[tool.semcache.policy]``.

        Raises:
            ConfigurationError: unreadable, not TOML, or not a policy.

        >>> CachePolicy.from_toml('[policy]\\nvariety = "allow"').variety
        'allow'
        """
        import tomllib

        text = source
        if isinstance(source, Path) or ("\n" not in source and source.endswith(".toml")):
            try:
                text = Path(source).read_text("utf-8")
            except (OSError, UnicodeDecodeError) as error:
                raise ConfigurationError(
                    f"the policy file {source} cannot be read: {error}"
                ) from error
        try:
            document = tomllib.loads(str(text))
        except tomllib.TOMLDecodeError as error:
            raise ConfigurationError(f"the policy is not TOML: {error}") from error
        table = document.get("tool", {}).get("semcache", {}).get("policy")
        if table is None:
            table = document.get("policy", document)
        if not isinstance(table, dict):
            raise ConfigurationError("the policy must be a TOML table")
        return cls.from_mapping(table)

    def seconds(self, lifetime: Lifetime) -> float | None:
        """Time to live of that lifetime; ``None``: never expires, ``0``: not stored."""
        return parse_ttl(self.ttl[lifetime])


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the call itself asks for, as far as the policy is concerned.

    Attributes:
        ttl: seconds; the call's own, or the cache's.
        ttl_given: it is the call's own, so it wins over the lifetime.
        no_store: do not record.
        query, tags, namespace, model: what own rules are matched against.
    """

    ttl: float | None = None
    ttl_given: bool = False
    no_store: bool = False
    query: str = ""
    tags: tuple[str, ...] = ()
    namespace: str | None = None
    model: str | None = None


@dataclass(frozen=True, slots=True)
class PolicyDecision:
    """What the cache may do with one request.

    Attributes:
        ttl: seconds of what is stored; ``None``: never expires, ``0``: not stored.
        may_store: whether an answer may be recorded.
        may_serve_exact: whether an exact repeat may be answered, from the store or by following
            the same call under way.
        may_serve_by_meaning: whether a search, and a nearly identical call under way, may answer.
        shared: whether the answer may go to others than the one who asked.
        rules: the rules that had a say, as ``"name: what it did"``. They hold no prompt text.
    """

    ttl: float | None
    may_store: bool
    may_serve_exact: bool
    may_serve_by_meaning: bool
    shared: bool
    rules: tuple[str, ...] = ()

    @property
    def reason(self) -> str:
        """All rules in one line."""
        return "; ".join(self.rules)


@dataclass(slots=True)
class _Draft:
    """A decision in the making."""

    ttl: float | None
    store: bool = True
    exact: bool = True
    meaning: bool = True
    shared: bool = True
    rules: list[str] = field(default_factory=list)

    def refuse(self, rule: str) -> None:
        self.store = self.exact = self.meaning = False
        # How long it would have been kept is no longer of interest.
        self.rules = [one for one in self.rules if ": kept" not in one] + [rule]


def apply(policy: CachePolicy, said: Cacheability, facts: Facts, wanted: Wanted) -> PolicyDecision:
    """What the policy lets the cache do. Pure; every rule that had a say is named.

    >>> from semcache.decision.cacheability import assess
    >>> apply(CachePolicy(), assess("Send 50 € to Marta"), Facts(), Wanted()).rules
    ('live: not stored', 'action: not served, not stored')
    >>> kept = apply(CachePolicy(), assess("What is the capital of France?"), Facts(), Wanted())
    >>> kept.may_store, kept.ttl, kept.rules
    (True, 2592000.0, ('timeless: kept 30 d',))
    """
    if not policy.enabled:
        return unrestricted(wanted)
    draft = _Draft(wanted.ttl)
    _lifetime(draft, policy, said, wanted)
    _flags(draft, policy, said, facts, wanted.ttl_given)
    _own_rules(draft, policy, wanted)
    if wanted.no_store:
        draft.store = False
        draft.rules.append("no_store: not stored")
    return PolicyDecision(
        draft.ttl,
        draft.store and draft.ttl != 0,
        draft.exact,
        draft.meaning,
        draft.shared,
        tuple(draft.rules),
    )


def unrestricted(wanted: Wanted) -> PolicyDecision:
    """What the call asks for and nothing else: the policy is off, or has no say (seeds)."""
    stored = not wanted.no_store and wanted.ttl != 0
    return PolicyDecision(wanted.ttl, stored, True, True, True, ("policy: off",))


def lifetime_of(policy: CachePolicy, said: Cacheability) -> Lifetime:
    """The lifetime that the policy goes by: the shorter one wherever it is not improbable."""
    chances = said.lifetimes
    point = _point(policy, said, "live")
    if chances["live"] >= (max(point, UNSPOKEN_POINT) if is_unspoken(said) else point):
        return "live"
    short = 0.0 if is_unspoken(said) else chances["live"] + chances["days"]
    if short >= DAYS_FROM:
        return "days"
    return "months" if short + chances["months"] >= MONTHS_FROM else "timeless"


def flag_holds(policy: CachePolicy, said: Cacheability, flag: Flag, facts: Facts) -> bool:
    """Whether the policy takes a flag to hold."""
    point = _point(policy, said, flag)
    if flag == "action" and facts.tools:
        point *= TOOLS_FACTOR
    if is_unspoken(said):
        point = max(point, UNSPOKEN_POINT)
    return said.flags[flag].probability >= point


def in_doubt(policy: CachePolicy, said: Cacheability, facts: Facts, *, live: bool = True) -> bool:
    """Whether the chance that at least one thing forbids storing reaches the point ``doubt``.

    What the scope takes care of, or the policy allows, is no reason for doubt; nor is ``live``
    where the call brings its own ttl.
    """
    no_reason: set[str] = {flag for flag in FLAGS if getattr(policy, flag) == "allow"}
    if facts.somebody:
        no_reason.add("personal")
    if facts.context_known:
        no_reason.add("context")
    if not live or policy.seconds("live") != 0:
        no_reason.add("live")
    fine = 1.0
    for name in (*FLAGS, "live"):
        if name not in no_reason:
            fine *= 1.0 - said.probability(name)
    point = _point(policy, said, "doubt")
    return 1.0 - fine >= (max(point, UNSPOKEN_POINT) if is_unspoken(said) else point)


def is_unspoken(said: Cacheability) -> bool:
    """Whether the text is so short and plain that no word of it speaks for anything."""
    return (
        said.words <= FEW_WORDS
        and not said.now_words
        and not any(one.words for one in said.flags.values())
    )


def _point(policy: CachePolicy, said: Cacheability, name: str) -> float:
    return policy.points.get(name, said.points[name])


def _lifetime(draft: _Draft, policy: CachePolicy, said: Cacheability, wanted: Wanted) -> None:
    if wanted.ttl_given:
        draft.rules.append(f"ttl of the call: {_kept(wanted.ttl)}")
        return
    lifetime = lifetime_of(policy, said)
    ttl = policy.seconds(lifetime)
    # The cache's own ttl is a cap: nobody who asked for a day means thirty.
    if wanted.ttl is not None and (ttl is None or wanted.ttl < ttl):
        ttl = wanted.ttl
    draft.ttl = ttl
    draft.rules.append(f"{lifetime}: {_kept(ttl)}")
    if ttl == 0:
        # It is not stored, so what a search would find was stored for another lifetime. Callers
        # who ask the very same at the same time still share one call.
        draft.meaning = False


def _flags(
    draft: _Draft, policy: CachePolicy, said: Cacheability, facts: Facts, ttl_given: bool
) -> None:
    held = [flag for flag in FLAGS if flag_holds(policy, said, flag, facts)]
    if not held and draft.ttl != 0 and in_doubt(policy, said, facts, live=not ttl_given):
        draft.refuse("in doubt: no flag is certain, too many are possible; not served, not stored")
    for flag in held:
        way = getattr(policy, flag)
        if way == "allow":
            draft.rules.append(f"{flag}: allowed")
        elif way == "never":
            draft.refuse(f"{flag}: not served, not stored")
        elif flag == "context" and facts.context_known:
            draft.meaning = False
            draft.rules.append("context: exact repeats after the same earlier turns only")
        elif flag == "context":
            draft.refuse("context: the scope holds no earlier turns; not served, not stored")
        elif facts.somebody:
            draft.shared = False
            draft.rules.append("personal: only inside this user's or tenant's scope")
        else:
            draft.refuse("personal: the scope names no user or tenant; not served, not stored")


def _own_rules(draft: _Draft, policy: CachePolicy, wanted: Wanted) -> None:
    for rule in policy.rules:
        if not rule.holds(
            wanted.query, tags=wanted.tags, namespace=wanted.namespace, model=wanted.model
        ):
            continue
        did = []
        if rule.ttl != "policy" and not wanted.ttl_given:
            draft.ttl = parse_ttl(rule.ttl)
            did.append(_kept(draft.ttl))
        if rule.store is not None:
            draft.store = rule.store
            if rule.store and rule.serve is None:
                draft.exact = draft.meaning = True
            if rule.store and draft.ttl == 0 and rule.ttl == "policy":
                draft.ttl = wanted.ttl
            did.append("stored" if rule.store else "not stored")
        if rule.serve is not None:
            draft.exact = rule.serve != "never"
            draft.meaning = rule.serve == "meaning"
            did.append(
                {"meaning": "served", "exact": "exact repeats only", "never": "not served"}[
                    rule.serve
                ]
            )
        if rule.shared is not None:
            draft.shared = rule.shared
            did.append("shared" if rule.shared else "not shared")
        draft.rules.append(f"rule {rule.name}: {', '.join(did)}")
        return


def _kept(ttl: float | None) -> str:
    """A time to live for people: ``kept 6 h``."""
    if ttl is None:
        return "kept for good"
    if ttl == 0:
        return "not stored"
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60)):
        if ttl >= size:
            return f"kept {ttl / size:g} {unit}"
    return f"kept {ttl:g} s"
