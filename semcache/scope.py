"""The wall around an answer: everything about a call that is not its query text.

A scope is compared as a whole, by digest. Nothing searches across scopes, because there is no key
that spans two of them: the digest is part of the key of every entry, vector, posting and alias.
"""

from __future__ import annotations

import copy
import hashlib
import hmac
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from functools import lru_cache
from typing import Any

from semcache.canonical import canonical_json, nfc
from semcache.errors import ConfigurationError

# Changes whenever the canonical form does, so that old keys cannot be mistaken for new ones.
SCOPE_VERSION = 1
DEFAULT_NAMESPACE = "default"
DIGEST_BYTES = 16
INSTRUCTING_ROLES = ("system", "developer")

# A scope with earlier turns or images may be megabytes; nothing but its digest is kept for keys.
_DIGEST_ABOVE = 512


@dataclass(frozen=True)
class Scope:
    """Everything that must be equal before two requests may share an answer.

    Args:
        model: name of the model, as sent upstream.
        tenant, user: whose answer it is. They reach a store only as keyed digests (HMAC).
        namespace: a part of the cache of your own naming; stored in clear, for ``invalidate``.
        system: system prompt.
        history: earlier turns, oldest first, as plain data.
        tools, tool_choice, response_format: as sent upstream.
        params: sampling and all other parameters (temperature, top_p, seed, stop, …). A ``None``
            value means "not given".
        attachments: images, audio and files: content as bytes or as the part sent upstream.

    Raises:
        ConfigurationError: a value has no canonical form, or a name is not a string.

    >>> Scope(params={"temperature": 1, "n": 2}) == Scope(params={"n": 2, "temperature": 1.0})
    True
    >>> Scope(tenant="acme") == Scope(tenant="globex")
    False
    """

    model: str | None = None
    tenant: str | None = field(default=None, repr=False)
    user: str | None = field(default=None, repr=False)
    namespace: str = DEFAULT_NAMESPACE
    system: str | None = field(default=None, repr=False)
    history: Sequence[Any] = field(default=(), repr=False)
    tools: Any = field(default=None, repr=False)
    tool_choice: Any = field(default=None, repr=False)
    response_format: Any = field(default=None, repr=False)
    params: Mapping[str, Any] = field(default_factory=dict, repr=False)
    attachments: Sequence[Any] = field(default=(), repr=False)
    # The canonical form is taken once, here: later mutation of a list or dict that was passed in
    # can neither change a key nor make two equal scopes differ.
    _identity: tuple[str | None, str | None, str, str] = field(init=False, repr=False)
    _has_history: bool = field(init=False, repr=False)

    def __post_init__(self) -> None:
        for name in ("model", "tenant", "user", "system"):
            value = getattr(self, name)
            if value is not None and not isinstance(value, str):
                # The type only: an error message ends up in logs, where no tenant id belongs.
                raise ConfigurationError(
                    f"scope {name} must be a str or None, not {type(value).__name__}"
                )
        if not isinstance(self.params, Mapping):
            raise ConfigurationError("scope params must be a mapping of parameter names to values")
        facets: dict[str, Any] = {}
        # What was not given is left out: most scopes name a model and little else.
        if self.model is not None:
            facets["model"] = self.model
        if self.system is not None:
            facets["system"] = self.system
        if self.tools:
            facets["tools"] = self.tools
        if self.tool_choice is not None:
            facets["tool_choice"] = self.tool_choice
        if self.response_format is not None:
            facets["response_format"] = self.response_format
        if self.params:
            given = {key: value for key, value in self.params.items() if value is not None}
            if given:
                facets["params"] = given
        earlier = False
        if self.history != () and (turns := _items("history", self.history)):
            facets["history"] = turns
            earlier = any(map(_is_earlier_turn, turns))
        if self.attachments != () and (items := _items("attachments", self.attachments)):
            facets["attachments"] = items
            earlier = True
        text = canonical_json(facets)
        if len(text) > _DIGEST_ABOVE:
            text = hashlib.sha256(text.encode("ascii")).hexdigest()
        identity = (_name(self.tenant), _name(self.user), _namespace(self.namespace), text)
        object.__setattr__(self, "_has_history", earlier)
        object.__setattr__(self, "_identity", identity)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Scope):
            return NotImplemented
        return self._identity == other._identity

    def __hash__(self) -> int:
        return hash(self._identity)

    @property
    def has_history(self) -> bool:
        """Whether earlier turns or attachments are part of this scope.

        System and developer messages are instructions, not turns.
        """
        return self._has_history

    def within(self, *, tenant: str | None = None, namespace: str | None = None) -> Scope:
        """This scope for another tenant or namespace; ``None`` keeps what is here."""
        if tenant is None and namespace is None:
            return self
        if tenant is not None and not isinstance(tenant, str):
            raise ConfigurationError(
                f"scope tenant must be a str or None, not {type(tenant).__name__}"
            )
        # Not built anew: a list that was changed since must not enter the key by this way.
        other = copy.copy(self)
        of_tenant, of_user, of_namespace, text = self._identity
        if tenant is not None:
            of_tenant = _name(tenant)
            object.__setattr__(other, "tenant", tenant)
        if namespace is not None:
            of_namespace = _namespace(namespace)
            object.__setattr__(other, "namespace", namespace)
        object.__setattr__(other, "_identity", (of_tenant, of_user, of_namespace, text))
        return other


def _name(name: str | None) -> str | None:
    # A str subclass, such as an enum, is compared by its value.
    return None if name is None else nfc(str.__str__(name))


def _namespace(namespace: Any) -> str:
    if not isinstance(namespace, str) or not namespace:
        raise ConfigurationError("scope namespace must be a non-empty str")
    return nfc(str.__str__(namespace))


def _items(name: str, items: Any) -> list[Any]:
    if isinstance(items, str | bytes | bytearray | Mapping) or not isinstance(items, Iterable):
        raise ConfigurationError(
            f"scope {name} must be a list, not {type(items).__name__}; wrap a single item in [ ]"
        )
    return list(items)


def query_turn(parts: Sequence[Any], others: Mapping[str, Any]) -> list[Any]:
    """What stands in ``history`` where the query was: its other parts and its other fields.

    A list, so that no message of the caller's (a mapping) can look like it. A part that is not
    text, such as an image, is a mapping with a key ``part``.
    """
    return ["query", list(parts), dict(others)]


def _is_earlier_turn(turn: Any) -> bool:
    if isinstance(turn, Mapping):
        return turn.get("role") not in INSTRUCTING_ROLES
    if isinstance(turn, list) and len(turn) == 3 and turn[0] == "query":
        return any("part" in part for part in turn[1])
    return True


SCOPE_FIELDS = frozenset(spec.name for spec in fields(Scope) if spec.init)


class Keys:
    """Turns scopes, queries and tenants into the keys that stores see.

    All digests are keyed with the cache's secret (HMAC, RFC 2104; keyed BLAKE2b, RFC 7693), so
    that nobody who reads a store can test a guess at a tenant id, and nobody outside can prepare
    two texts with one key.

    Args:
        secret: at least 16 bytes; a new store makes 32 random ones.
    """

    def __init__(self, secret: bytes) -> None:
        if len(secret) < 16:
            raise ConfigurationError("the cache secret must be at least 16 bytes long")
        self._secret = hashlib.blake2b(secret, digest_size=32, person=b"semcache-key").digest()
        # Bound to this object, not to the class: a cache that is closed takes its keys with it.
        # By identity, not by scope: the earlier turns of 4096 conversations must not be kept alive.
        self._scope = lru_cache(maxsize=4096)(self._scope_digest)

    @property
    def check(self) -> str:
        """A public value that tells whether two caches share a secret, and nothing more."""
        return self._digest(b"check", b"")

    def tenant(self, tenant: str | None) -> str | None:
        """Keyed digest of a tenant id, 32 hexadecimal digits."""
        return None if tenant is None else self._identity("tenant", tenant)

    def _identity(self, kind: str, name: str) -> str:
        data = (kind + ":" + nfc(str.__str__(name))).encode("utf-8", "surrogatepass")
        return hmac.new(self._secret, data, hashlib.sha256).hexdigest()[: 2 * DIGEST_BYTES]

    def scope(self, scope: Scope) -> str:
        """Digest of a scope, 32 hexadecimal digits."""
        return self._scope(scope._identity)

    def _scope_digest(self, identity: tuple[str | None, str | None, str, str]) -> str:
        tenant, user, namespace, facets = identity
        who = self.tenant(tenant), None if user is None else self._identity("user", user)
        return self._digest(
            b"scope", canonical_json([SCOPE_VERSION, *who, namespace, facets]).encode("ascii")
        )

    def entry(self, scope: str, normalised_query: str) -> str:
        """Id of a query in a scope (given by digest), 32 hexadecimal digits."""
        data = normalised_query.encode("utf-8", "surrogatepass")
        return self._digest(b"entry", scope.encode() + b"\0" + data)

    def _digest(self, person: bytes, data: bytes) -> str:
        return hashlib.blake2b(
            data, digest_size=DIGEST_BYTES, key=self._secret, person=person
        ).hexdigest()
