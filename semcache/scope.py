"""The wall around an answer: everything about a call that is not its query text.

A scope is compared as a whole, by digest. Nothing searches across scopes, because there is no key
that spans two of them: the digest is part of the key of every entry, vector, posting and alias.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any

from semcache.canonical import canonical_json, nfc
from semcache.errors import ConfigurationError

# Changes whenever the canonical form does, so that old keys cannot be mistaken for new ones.
SCOPE_VERSION = 1
DEFAULT_NAMESPACE = "default"
DIGEST_BYTES = 16
SECRET_BYTES = 32


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

    >>> Scope(params={"temperature": 1, "top_p": 0.5}) == Scope(params={"top_p": .5, "temperature": 1.0})
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
    # The canonical form is taken once, here: later mutation of a dict that was passed in can
    # neither change a key nor make two equal scopes differ.
    _facets: str = field(init=False, repr=False, compare=False, default="")

    def __post_init__(self) -> None:
        for name in ("model", "tenant", "user", "system"):
            value = getattr(self, name)
            if value is not None and not isinstance(value, str):
                raise ConfigurationError(f"scope {name} must be a str or None, got {value!r:.60}")
        if not isinstance(self.namespace, str) or not self.namespace:
            raise ConfigurationError("scope namespace must be a non-empty str")
        if not isinstance(self.params, Mapping):
            raise ConfigurationError("scope params must be a mapping of parameter names to values")
        facets = {
            "model": self.model,
            "namespace": self.namespace,
            "system": self.system,
            "history": list(self.history) or None,
            "tools": self.tools or None,
            "tool_choice": self.tool_choice,
            "response_format": self.response_format,
            "params": {key: value for key, value in self.params.items() if value is not None},
            "attachments": list(self.attachments) or None,
        }
        # What was not given is left out: most scopes name a model and little else.
        facets = {key: value for key, value in facets.items() if value is not None and value != {}}
        object.__setattr__(self, "_facets", canonical_json(facets))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Scope):
            return NotImplemented
        return self._identity == other._identity

    def __hash__(self) -> int:
        return hash(self._identity)

    @property
    def _identity(self) -> tuple[str | None, str | None, str]:
        return (
            None if self.tenant is None else nfc(self.tenant),
            None if self.user is None else nfc(self.user),
            self._facets,
        )

    @property
    def has_history(self) -> bool:
        """Whether earlier turns or attachments are part of this scope."""
        return bool(self.history) or bool(self.attachments)

    def within(self, *, tenant: str | None = None, namespace: str | None = None) -> Scope:
        """This scope for another tenant or namespace; ``None`` keeps what is here."""
        if tenant is None and namespace is None:
            return self
        return replace(
            self,
            tenant=self.tenant if tenant is None else tenant,
            namespace=self.namespace if namespace is None else namespace,
        )


class Keys:
    """Turns scopes, queries and tenants into the keys that stores see.

    All digests are keyed with the cache's secret (HMAC, RFC 2104; keyed BLAKE2b, RFC 7693), so
    that nobody who reads a store can test a guess at a tenant id, and nobody outside can prepare
    two texts with one key.

    Args:
        secret: at least 16 bytes; ``SECRET_BYTES`` random ones are made for a new store.
    """

    def __init__(self, secret: bytes) -> None:
        if len(secret) < 16:
            raise ConfigurationError("the cache secret must be at least 16 bytes long")
        self._secret = hashlib.blake2b(secret, digest_size=32, person=b"semcache-key").digest()
        # Bound to this object, not to the class: a cache that is closed takes its keys with it.
        self.scope = lru_cache(maxsize=4096)(self._scope)

    @property
    def check(self) -> str:
        """A public value that tells whether two caches share a secret, and nothing more."""
        return self._digest(b"check", b"")

    def tenant(self, tenant: str | None) -> str | None:
        """Keyed digest of a tenant id, 32 hexadecimal digits."""
        return None if tenant is None else self._identity("tenant", tenant)

    def _identity(self, kind: str, name: str) -> str:
        data = f"{kind}:{nfc(name)}".encode("utf-8", "surrogatepass")
        return hmac.new(self._secret, data, hashlib.sha256).hexdigest()[: 2 * DIGEST_BYTES]

    def _scope(self, scope: Scope) -> str:
        """Digest of a scope, 32 hexadecimal digits."""
        tenant = self.tenant(scope.tenant)
        user = None if scope.user is None else self._identity("user", scope.user)
        data = f"{SCOPE_VERSION}\0{tenant}\0{user}\0{scope._facets}"
        return self._digest(b"scope", data.encode())

    def entry(self, scope: str, normalised_query: str) -> str:
        """Id of a query in a scope (given by digest), 32 hexadecimal digits."""
        data = normalised_query.encode("utf-8", "surrogatepass")
        return self._digest(b"entry", scope.encode() + b"\0" + data)

    def _digest(self, person: bytes, data: bytes) -> str:
        return hashlib.blake2b(
            data, digest_size=DIGEST_BYTES, key=self._secret, person=person
        ).hexdigest()
