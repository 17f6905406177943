"""``cached``: a function that asks a model, behind the cache.

The prompt argument is the query; the function's name and every other argument are scope. Works on
functions, coroutine functions, generator functions and async generator functions, and keeps their
kind and their signature.
"""

from __future__ import annotations

import functools
import inspect
import threading
import typing
from collections.abc import (
    AsyncGenerator,
    AsyncIterable,
    AsyncIterator,
    Callable,
    Generator,
    Iterable,
    Iterator,
)
from dataclasses import dataclass, replace
from typing import Any, Generic, Literal, ParamSpec, Protocol, TypeVar, cast

from semcache.answer import PLAIN, Codec, codec_for
from semcache.cache import UNSET, SemanticCache, _Unset
from semcache.engine import Admit
from semcache.entry import Ttl, Usage
from semcache.errors import ConfigurationError
from semcache.identity import identity_beyond_name, own_name
from semcache.outcome import Decision
from semcache.request import Request
from semcache.scope import DEFAULT_NAMESPACE, Scope

P = ParamSpec("P")
R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)

_STREAMS = (Generator, Iterator, Iterable, AsyncGenerator, AsyncIterator, AsyncIterable)


@dataclass(frozen=True, slots=True)
class CacheInfo:
    """Calls of one cached function in this process, by what answered them."""

    hits: int
    misses: int
    exact: int
    alias: int
    semantic: int
    coalesced: int


class Cached(Protocol, Generic[P, R_co]):
    """A cached function: called as before, plus three questions."""

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R_co: ...

    def cache_info(self) -> CacheInfo:
        """Hits and misses of this function in this process."""
        ...

    def cache_clear(self) -> int:
        """Remove this function's entries, for all arguments; returns how many."""
        ...

    async def acache_clear(self) -> int: ...

    def explain(self, *args: P.args, **kwargs: P.kwargs) -> Decision:
        """What the cache would do with this call, and why; calls nothing."""
        ...

    async def aexplain(self, *args: P.args, **kwargs: P.kwargs) -> Decision: ...


def cached(
    cache: SemanticCache,
    *,
    prompt: str | None = None,
    ttl: Ttl | _Unset = UNSET,
    tags: Iterable[str] = (),
    namespace: str | None = None,
    scope: Callable[..., Scope] | None = None,
    admit: Admit | None = None,
    usage: Callable[[Any], Usage | None] | None = None,
    max_wrong: float | None = None,
    name: str | None = None,
    codec: Codec | None = None,
    shadow_rate: float | None = None,
    shadow: Literal["inline", "background"] | None = None,
) -> Callable[[Callable[P, R]], Cached[P, R]]:
    """Put a function behind the cache.

    Args:
        prompt: name of the argument that is the prompt. Default: the one called ``prompt``,
            ``query``, ``question``, ``message``, ``text`` or ``input``; else the first one
            annotated as ``str``; else the first one.
        ttl, tags, namespace, admit, usage, max_wrong, shadow_rate, shadow: as for
            ``SemanticCache.call``.
        scope: called with the same arguments; its ``Scope`` takes the place of the other
            arguments. The function's name stays part of the key.
        name: two functions share answers only if they have one name. Default: module and
            qualified name, and what the function captured from an enclosing function when it was
            decorated, as far as that is plain data. Functions that differ only in captured objects
            (clients, say) are kept apart within this process, with a warning; give them names.
        codec: how answers become plain data. Default: by the return annotation.

    Raises:
        ConfigurationError: when decorating, for a function without a prompt argument or without a
            name of its own (``functools.partial``, objects with ``__call__``), and for both
            ``scope`` and ``namespace``; when
            calling, for an argument that cannot be part of a key (use ``scope``) and a prompt
            that is not text.

    >>> with SemanticCache.open("memory://", embedder=None) as cache:
    ...     @cached(cache, ttl="1d", tags=["faq"])
    ...     def ask(prompt: str, model: str = "gpt-5") -> str:
    ...         return f"{model} says hello"
    ...     answers = ask("Hi there"), ask("Hi  there"), ask("Hi there", model="gpt-6")
    ...     info = ask.cache_info()
    >>> answers
    ('gpt-5 says hello', 'gpt-5 says hello', 'gpt-6 says hello')
    >>> info.hits, info.misses
    (1, 2)
    """
    if scope is not None and namespace is not None:
        raise ConfigurationError("say the namespace in the Scope that scope= returns")
    settings = cache.checked_controls(
        ttl=ttl,
        tags=tags,
        admit=admit,
        usage=usage,
        max_wrong=max_wrong,
        shadow_rate=shadow_rate,
        shadow=shadow,
    )

    def decorate(function: Callable[P, R]) -> Cached[P, R]:
        bound = _Bound(cache, function, prompt, namespace or DEFAULT_NAMESPACE, scope, name)
        annotation = _answer_annotation(function)
        controls = {
            **settings,
            "codec": codec or codec_for(annotation),
            "tags": (*settings["tags"], bound.tag),
        }
        return cast("Cached[P, R]", _wrapped(function, bound, controls))

    return decorate


def _wrapped(function: Callable[..., Any], bound: _Bound, controls: dict[str, Any]) -> Any:
    """The wrapper of the function's own kind."""
    cache = bound.cache
    through = {**controls, "on_decision": bound.count}
    wrapper: Any

    if inspect.iscoroutinefunction(function):

        @functools.wraps(function)
        async def coroutine(*args: Any, **kwargs: Any) -> Any:
            request = bound.request(args, kwargs)
            return await cache.acall(request, lambda: function(*args, **kwargs), **through)

        wrapper = coroutine
    elif inspect.isasyncgenfunction(function):

        @functools.wraps(function)
        async def async_generator(*args: Any, **kwargs: Any) -> Any:
            request = bound.request(args, kwargs)
            stream = cache.astream(request, lambda: function(*args, **kwargs), **through)
            try:
                async for chunk in stream:
                    yield chunk
            finally:
                await stream.aclose()

        wrapper = async_generator
    elif inspect.isgeneratorfunction(function):

        @functools.wraps(function)
        def generator(*args: Any, **kwargs: Any) -> Any:
            request = bound.request(args, kwargs)
            yield from cache.stream(request, lambda: function(*args, **kwargs), **through)

        wrapper = generator
    else:

        @functools.wraps(function)
        def plain(*args: Any, **kwargs: Any) -> Any:
            request = bound.request(args, kwargs)
            return cache.call(request, lambda: function(*args, **kwargs), **through)

        wrapper = plain

    def explain(*args: Any, **kwargs: Any) -> Decision:
        return cache.explain(bound.request(args, kwargs), max_wrong=controls["max_wrong"])

    async def aexplain(*args: Any, **kwargs: Any) -> Decision:
        return await cache.aexplain(bound.request(args, kwargs), max_wrong=controls["max_wrong"])

    wrapper.cache_info = bound.info
    wrapper.cache_clear = lambda: cache.invalidate(tags=[bound.tag])
    wrapper.acache_clear = lambda: cache.ainvalidate(tags=[bound.tag])
    wrapper.explain = explain
    wrapper.aexplain = aexplain
    return wrapper


class _Bound:
    """What one cached function needs to turn its arguments into a request, and its counts."""

    def __init__(
        self,
        cache: SemanticCache,
        function: Callable[..., Any],
        prompt: str | None,
        namespace: str,
        scope: Callable[..., Scope] | None,
        name: str | None,
    ) -> None:
        self.cache = cache
        self._signature = inspect.signature(function)
        self._prompt = prompt or _prompt_parameter(self._signature, function)
        if self._prompt not in self._signature.parameters:
            raise ConfigurationError(f"{function!r} has no argument named {self._prompt!r}")
        self._namespace = namespace
        self._scope = scope
        self._name = name or own_name(function)
        self._captured = {} if name else identity_beyond_name(cache, self._name, function)
        self.tag = f"function:{self._name}"
        self._lock = threading.Lock()
        self._counts = dict.fromkeys(("exact", "alias", "semantic", "coalesced", "miss"), 0)

    def request(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Request:
        """The request that this call is. Raises ``TypeError`` as the function itself would."""
        bound = self._signature.bind(*args, **kwargs)
        bound.apply_defaults()
        arguments = dict(bound.arguments)
        query = arguments.pop(self._prompt)
        if not isinstance(query, str):
            raise ConfigurationError(
                f"{self._name}: the prompt argument {self._prompt!r} must be a str, "
                f"got {type(query).__name__}"
            )
        identity: dict[str, Any] = {"$function": self._name}
        if self._captured:
            identity["$captured"] = self._captured
        if self._scope is not None:
            given = self._scope(*args, **kwargs)
            if not isinstance(given, Scope):
                raise ConfigurationError(
                    f"{self._name}: scope= must return a Scope, got {given!r:.60}"
                )
            return Request(query, replace(given, params={**given.params, **identity}))
        try:
            scope = Scope(namespace=self._namespace, params={"$arguments": arguments, **identity})
        except ConfigurationError as error:
            raise ConfigurationError(
                f"{self._name}: {error} (for a cached function: pass scope=, a function of the "
                "same arguments that returns a Scope)"
            ) from error
        return Request(query, scope)

    def count(self, decision: Decision) -> None:
        with self._lock:
            self._counts[decision.tier or "miss"] += 1

    def info(self) -> CacheInfo:
        with self._lock:
            counts = dict(self._counts)
        misses = counts.pop("miss")
        return CacheInfo(hits=sum(counts.values()), misses=misses, **counts)


_PROMPT_NAMES = ("prompt", "query", "question", "message", "text", "input")


def _prompt_parameter(signature: inspect.Signature, function: Callable[..., Any]) -> str:
    positional = [
        parameter
        for parameter in signature.parameters.values()
        if parameter.kind not in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
    ]
    names = [parameter.name for parameter in positional]
    for known in _PROMPT_NAMES:
        if known in names:
            return known
    for parameter in positional:
        if parameter.annotation in (str, "str"):
            return parameter.name
    if not names:
        raise ConfigurationError(f"{function!r} has no argument that could be the prompt")
    return names[0]


def _answer_annotation(function: Callable[..., Any]) -> Any:
    """The type of one answer, or of one chunk of a stream."""
    try:
        annotation = typing.get_type_hints(function).get("return")
    except Exception:
        # Names that only a type checker sees; such a function returns plain data or brings a codec.
        return None
    streams = inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function)
    if streams and typing.get_origin(annotation) in _STREAMS:
        arguments = typing.get_args(annotation)
        return arguments[0] if arguments else None
    return annotation


__all__ = ["PLAIN", "CacheInfo", "Cached", "cached"]
