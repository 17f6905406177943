"""Which function is behind a cached one: two that differ must never share an answer.

A name is not enough. Functions made by one factory have one name and differ in what they captured;
lambdas have no name at all. What is plain data is made part of the identity. Objects that have no
canonical form (clients, locks) cannot be; two functions that differ only in those are told apart
within the process, and never share with anybody else.
"""

from __future__ import annotations

import functools
import hashlib
import secrets
import types
import weakref
from collections.abc import Callable
from typing import Any

from semcache.canonical import canonical_json
from semcache.errors import ConfigurationError
from semcache.observe.events import log

# Per cache: identity → the objects that the first function of that identity captured. Strong
# references, so that no id is reused; they are as many as there are cached functions.
_first: weakref.WeakKeyDictionary[object, dict[str, list[Any]]] = weakref.WeakKeyDictionary()


def own_name(function: Callable[..., Any]) -> str:
    """Module and qualified name.

    Raises:
        ConfigurationError: it has none of its own.
    """
    if isinstance(function, functools.partial) or not hasattr(function, "__qualname__"):
        raise ConfigurationError(
            f"{type(function).__name__} objects have no name of their own to cache answers under; "
            "pass name="
        )
    return f"{function.__module__}.{function.__qualname__}"


def identity_beyond_name(cache: object, name: str, function: Callable[..., Any]) -> dict[str, str]:
    """What tells this function from others of its name: text by label, empty for most."""
    plain: dict[str, str] = {}
    objects: list[Any] = []
    for label, value in _captured(function):
        try:
            plain[label] = canonical_json(value)
        except ConfigurationError:
            objects.append(value)
    code = getattr(function, "__code__", None)
    if code is not None and "<lambda>" in name:
        plain["$code"] = _code_digest(code)
    known = _first.setdefault(cache, {}).setdefault(f"{name} {plain}", objects)
    if len(known) != len(objects) or any(
        one is not other for one, other in zip(known, objects, strict=True)
    ):
        plain["$apart"] = secrets.token_hex(8)
        log.warning(
            "%s was cached before with other captured objects; to be safe its answers are kept "
            "apart and do not outlive this process (give each of them a name=)",
            name,
        )
    return plain


def _captured(function: Callable[..., Any]) -> list[tuple[str, Any]]:
    """The object of a bound method, and the values from enclosing functions, with labels."""
    captured: list[tuple[str, Any]] = []
    owner = getattr(function, "__self__", None)
    if owner is not None and not isinstance(owner, types.ModuleType | type):
        captured.append(("self", owner))
    free = getattr(getattr(function, "__code__", None), "co_freevars", ())
    cells = getattr(function, "__closure__", None) or ()
    for label, cell in zip(free, cells, strict=False):
        try:
            captured.append((label, cell.cell_contents))
        except ValueError:  # assigned only after the decoration
            continue
    return captured


def _code_digest(code: types.CodeType) -> str:
    digest = hashlib.sha256(code.co_code)
    digest.update(repr((code.co_names, code.co_varnames, code.co_freevars)).encode())
    for constant in code.co_consts:
        inner = isinstance(constant, types.CodeType)
        digest.update((_code_digest(constant) if inner else repr(constant)).encode())
    return digest.hexdigest()
