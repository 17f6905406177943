"""``SemanticCache``: the engine's two shells, one for threads and one for event loops."""

from __future__ import annotations

import os
import time
from collections.abc import (
    AsyncGenerator,
    AsyncIterable,
    Awaitable,
    Callable,
    Generator,
    Iterable,
    Mapping,
)
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from semcache.answer import PLAIN, Codec
from semcache.calls import Calls
from semcache.engine import Admit, Controls, Engine, Facts, Price, check_usage
from semcache.entry import Source, Ttl, Usage, parse_ttl
from semcache.errors import ConfigurationError, StoreError
from semcache.observe.events import Event, EventKind, Listener, Listeners, log
from semcache.observe.metrics import CacheStats, Metrics
from semcache.outcome import Decision, Hit, Recorded
from semcache.request import Request
from semcache.scope import DEFAULT_NAMESPACE, Keys, Scope
from semcache.shell import Shell
from semcache.steps import Steps
from semcache.stores.base import Caps, Selection, Store, StoreStats
from semcache.stores.opening import open_store
from semcache.stores.unavailable import UnavailableStore
from semcache.threads import in_thread
from semcache.transfer import Transferred, export_entries, import_entries

if TYPE_CHECKING:
    from semcache.decision.calibration import Calibration
    from semcache.decision.scorers import Scorer
    from semcache.embedders.base import Embedder
    from semcache.judges import AnswerJudge
    from semcache.online.grey import GreyZone
    from semcache.policy import CachePolicy
    from semcache.verifiers.base import Verifier

T = TypeVar("T")

DEFAULT_URL = "sqlite:///.semcache/cache.db"
DEFAULT_MAX_WRONG = 0.01
DEFAULT_TTL = "30d"
# A follower in another process waits at most this long after its leader was killed. Renewing every
# third of it costs one small write, so it can be short.
DEFAULT_LEASE_S = 5.0
# Longer than any model takes; a caller that has waited so long calls itself.
DEFAULT_WAIT_S = 300.0
# How long a failing store may hold a caller up (promise 4).
DEFAULT_TIMEOUT_S = 0.05
NO_SCOPE = Scope()


class _Unset:
    """Stands for "not given" where ``None`` means something."""


UNSET = _Unset()
Query = str | Request


class SemanticCache:
    """A semantic cache. Make one with ``SemanticCache.open``; share it between threads and tasks.

    Every method that does I/O has an ``a``-twin for event loops. Except for misuse
    (``ConfigurationError``) and with ``strict=True``, no failure of the cache reaches the caller:
    it steps aside, logs a warning and counts the failure in ``stats()``.

    >>> with SemanticCache.open("memory://", embedder=None) as cache:
    ...     scope = Scope(model="gpt-5", tenant="acme")
    ...     recorded = cache.record("How do I reset my password?", "Use the link.", scope=scope)
    ...     hit = cache.lookup("How do  I reset my password?", scope=scope)
    ...     other = cache.lookup("How do I reset my password?", scope=Scope(model="gpt-5"))
    >>> hit.answer, hit.tier, other
    ('Use the link.', 'exact', None)
    """

    def __init__(
        self,
        store: Store,
        *,
        embedder: Embedder | None,
        scorer: Scorer,
        calibration: Calibration,
        verifier: Verifier | None = None,
        max_wrong: float = DEFAULT_MAX_WRONG,
        ttl: Ttl = DEFAULT_TTL,
        strict: bool = False,
        secret: bytes | None = None,
        vetoes: Iterable[str] | None = None,
        prices: Mapping[str, Price] | None = None,
        coalesce: bool = True,
        lease: float = DEFAULT_LEASE_S,
        max_wait: float = DEFAULT_WAIT_S,
        clock: Callable[[], float] = time.time,
        no_embedder: str = "no embedder was given",
        policy: CachePolicy | None = None,
        shadow_rate: float = 0.0,
        shadow: Literal["inline", "background"] = "inline",
        judge: AnswerJudge | None = None,
        grey_zone: GreyZone | None = None,
        random: Callable[[], float] | None = None,
    ) -> None:
        self.max_wrong = _checked_share(max_wrong)
        self.shadow_rate, self.shadow = _checked_rate(shadow_rate), _checked_way(shadow)
        self.ttl = parse_ttl(ttl)
        # Here and in ``open``, because reading the decision's word lists takes longer than
        # importing all the rest, and who imports semcache may never open a cache.
        from semcache.decision.vetoes import ALL
        from semcache.online.online import Online

        enabled = ALL if vetoes is None else frozenset(vetoes)
        if unknown := enabled - ALL:
            raise ConfigurationError(f"no veto named {sorted(unknown)}; there are {sorted(ALL)}")
        if not lease > 0 or not max_wait > 0:
            raise ConfigurationError("lease and max_wait are seconds and must be positive")
        self.store = store
        self._clock = clock
        self._listeners = Listeners()
        self._metrics = Metrics()
        self._listeners.add(self._metrics)
        self._engine = Engine(
            keys=Keys(secret if secret is not None else store.secret()),
            clock=clock,
            timer=time.perf_counter,
            listeners=self._listeners,
            embedder=embedder,
            scorer=scorer,
            calibration=calibration,
            vetoes=enabled,
            strict=strict,
            prices=prices or {},
            no_embedder=no_embedder,
            policy=policy,
        )
        calls = Calls(self._engine, coalesce=coalesce, lease_s=lease, wait_s=max_wait)
        self._shell = Shell(store, embedder, verifier, calls, clock)
        self._online = self._engine.online = Online(
            self._engine,
            self._shell.run,
            max_wrong=self.max_wrong,
            shadow_rate=self.shadow_rate,
            judge=judge,
            grey=grey_zone,
            random=random,
        )
        self._usual = self._controls()

    @classmethod
    def open(
        cls,
        url: str | Path | None = None,
        *,
        embedder: Embedder | Literal["local"] | None = "local",
        verifier: Verifier | str | None = "local",
        scorer: str | Scorer | None = None,
        calibration: Calibration | str | Path | None = None,
        max_entries: int | None = None,
        max_bytes: int | None = None,
        timeout: float = DEFAULT_TIMEOUT_S,
        strict: bool = False,
        secret: str | bytes | None = None,
        on_event: Listener | None = None,
        **options: Any,
    ) -> SemanticCache:
        """Open the cache at ``url``, making it where there is none.

        Args:
            url: ``sqlite:///path`` (or a path), ``memory://``; default: the environment variable
                ``SEMCACHE_URL``, else ``./.semcache/cache.db``.
            embedder: ``"local"`` is the encoder of ``semcache[local]``; ``None`` leaves only the
                exact tier.
            verifier: reads candidates together with the prompt. ``"local"`` is that of
                ``semcache[local]``, another text the name of a sentence-transformers
                ``CrossEncoder``; ``None``: none, and the ``hybrid`` scorer judges.
            scorer, calibration: how candidates are judged, and what their scores are worth (or
                the file that ``semcache tune`` wrote); default: what ships with semcache, see
                ``docs/decision.md``.
            max_entries, max_bytes: caps; beyond them the least recently used entries go.
            timeout: how long, in seconds, a failing store may hold a caller up.
            strict: raise errors of the store and the embedder instead of going on without them.
            secret: keys all digests. Default: ``SEMCACHE_SECRET``, else one kept in the store.
            on_event: called with every ``Event``.
            options: ``max_wrong`` (bound on the share of wrong serves, 0.01), ``ttl`` of entries
                (``"30d"``; ``None`` = never expire, ``0`` = store nothing), ``vetoes`` (names),
                ``prices`` (model → ``Price``), ``coalesce`` (one call for many callers),
                ``lease`` and ``max_wait`` (seconds), ``clock``, ``policy`` (a ``CachePolicy``:
                what is stored, for whom and how long, by what a prompt asks; default:
                ``CachePolicy()``, see ``docs/policy.md``; ``CachePolicy.off()`` or ``None``: none).
                To watch the bound in operation (``docs/online.md``): ``shadow_rate`` (share of the
                hits by meaning that go to the model anyway, 0), ``shadow`` (``"inline"``: the
                caller gets the fresh answer, or ``"background"``), ``judge`` (compares the two, an
                ``AnswerJudge``; default: ``EmbeddingJudge``), ``random`` (uniform in [0, 1));
                ``grey_zone`` (a ``GreyZone``: doubtful pairs are verified after the answer).

        Raises:
            ConfigurationError: an argument that cannot be.
            CalibrationError, ModelMismatch: ``calibration`` cannot be used, or not with this
                scorer or embedder.
            StoreError: with ``strict``, the store cannot be opened. Otherwise the cache steps
                aside: every call goes to the model, and ``stats()`` says why.
        """
        address = str(url) if url is not None else os.environ.get("SEMCACHE_URL", DEFAULT_URL)
        caps = Caps(max_entries, max_bytes)
        if "policy" not in options:
            from semcache.policy import CachePolicy

            options["policy"] = CachePolicy()
        from semcache.judging import choose

        judging = choose(
            embedder=embedder,
            verifier=verifier,
            scorer=scorer,
            calibration=calibration,
            strict=strict,
        )
        key = _secret_bytes(secret if secret is not None else os.environ.get("SEMCACHE_SECRET"))
        try:
            store = open_store(address, caps, timeout=timeout)
        except StoreError as error:
            if strict:
                raise
            log.warning("the cache steps aside: %s", error)
            store = UnavailableStore(address, error)
        try:
            cache = cls(
                store,
                embedder=judging.embedder,
                verifier=judging.verifier,
                scorer=judging.scorer,
                calibration=judging.calibration,
                strict=strict,
                secret=key,
                no_embedder=judging.no_embedder,
                **options,
            )
        except BaseException:
            store.close()
            raise
        if on_event is not None:
            cache.subscribe(on_event)
        return cache

    def __enter__(self) -> SemanticCache:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    async def __aenter__(self) -> SemanticCache:
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.aclose()

    def close(self) -> None:
        """Write what is pending and let go of the store. Closing twice is fine.

        Samples and doubtful pairs that are under way get a few seconds; the rest is dropped.
        """
        self._online.close()
        self._shell.keeper.close()
        self.store.close()

    def drain(self, timeout: float | None = None) -> bool:
        """Wait for what runs in the background; whether it ended within ``timeout`` seconds."""
        return self._online.backroom.drain(timeout)

    async def adrain(self, timeout: float | None = None) -> bool:
        return await in_thread(self._online.backroom.drain, timeout)

    async def aclose(self) -> None:
        await in_thread(self._online.close)
        self._shell.keeper.close()
        await self.store.aclose()

    @property
    def strict(self) -> bool:
        """Whether failures of the cache are raised."""
        return self._engine.strict

    @property
    def embedder(self) -> Embedder | None:
        """What embeds the prompts; ``None`` where there is only the exact tier."""
        return self._engine.embedder

    @property
    def keys(self) -> Keys:
        """What turns scopes and queries into the keys of this cache's entries."""
        return self._engine.keys

    def subscribe(self, listener: Listener) -> Callable[[], None]:
        """Call ``listener`` with every ``Event`` from now on; returns a function that undoes it."""
        return self._listeners.add(listener)

    # -- lookup and record --------------------------------------------------------------------

    def lookup(
        self,
        query: Query,
        *,
        scope: Scope | None = None,
        tenant: str | None = None,
        namespace: str | None = None,
        max_wrong: float | None = None,
        no_cache: bool = False,
        codec: Codec = PLAIN,
        shadow_rate: float | None = None,
    ) -> Hit | None:
        """The stored answer to this prompt in this scope, or ``None``; ``explain`` says why not.

        A hit that is drawn as a sample (``shadow_rate``, with ``shadow="inline"``) is ``None``,
        too: the answer that is then recorded is compared with it.

        Raises:
            ConfigurationError: ``query`` is not text, or ``max_wrong`` not a share.
        """
        request = _request(query, scope, tenant, namespace)
        controls = self._looking(max_wrong, no_cache, codec, shadow_rate)
        return self._shell.run(self._engine.lookup(request, controls))[1]

    async def alookup(
        self,
        query: Query,
        *,
        scope: Scope | None = None,
        tenant: str | None = None,
        namespace: str | None = None,
        max_wrong: float | None = None,
        no_cache: bool = False,
        codec: Codec = PLAIN,
        shadow_rate: float | None = None,
    ) -> Hit | None:
        request = _request(query, scope, tenant, namespace)
        controls = self._looking(max_wrong, no_cache, codec, shadow_rate)
        return (await self._shell.arun(self._engine.lookup(request, controls)))[1]

    def explain(
        self,
        query: Query,
        *,
        scope: Scope | None = None,
        tenant: str | None = None,
        namespace: str | None = None,
        max_wrong: float | None = None,
        no_cache: bool = False,
    ) -> Decision:
        """What ``lookup`` would decide and why; leaves no trace in the cache."""
        request = _request(query, scope, tenant, namespace)
        controls = self._looking(max_wrong, no_cache, PLAIN)
        return self._shell.run(self._engine.lookup(request, controls, dry=True))[0]

    async def aexplain(
        self,
        query: Query,
        *,
        scope: Scope | None = None,
        tenant: str | None = None,
        namespace: str | None = None,
        max_wrong: float | None = None,
        no_cache: bool = False,
    ) -> Decision:
        request = _request(query, scope, tenant, namespace)
        controls = self._looking(max_wrong, no_cache, PLAIN)
        return (await self._shell.arun(self._engine.lookup(request, controls, dry=True)))[0]

    def record(
        self,
        query: Query,
        answer: Any,
        *,
        scope: Scope | None = None,
        tenant: str | None = None,
        namespace: str | None = None,
        ttl: Ttl | _Unset = UNSET,
        tags: Iterable[str] = (),
        admit: Admit | None = None,
        no_store: bool = False,
        codec: Codec = PLAIN,
        usage: Usage | None = None,
        cost: float | None = None,
        seconds: float | None = None,
        finish_reason: str | None = None,
        stream: bool = False,
        source: Source = "model",
    ) -> Recorded:
        """Store an answer. Once this returns true, it survives the death of the process.

        Args:
            answer: plain data (text, bytes, numbers, lists, tuples, dicts), or what ``codec``
                takes; with ``stream=True`` the list of chunks.
            ttl: time to live; not given: the cache's own; ``None``: never expires; ``0``: no.
            usage, cost (USD), seconds: of the upstream call, for ``stats``.
            finish_reason: how the model ended; anything but a natural end is not stored.

        Raises:
            ConfigurationError: the prompt is empty, or an argument cannot be.
            AnswerError: the answer would not come back as it is.
        """
        return self._shell.run(
            self._engine.record(
                _request(query, scope, tenant, namespace),
                answer,
                self._controls(ttl=ttl, tags=tags, admit=admit, no_store=no_store, codec=codec),
                _facts(seconds, usage, cost, finish_reason, source, stream),
            )
        )

    async def arecord(
        self,
        query: Query,
        answer: Any,
        *,
        scope: Scope | None = None,
        tenant: str | None = None,
        namespace: str | None = None,
        ttl: Ttl | _Unset = UNSET,
        tags: Iterable[str] = (),
        admit: Admit | None = None,
        no_store: bool = False,
        codec: Codec = PLAIN,
        usage: Usage | None = None,
        cost: float | None = None,
        seconds: float | None = None,
        finish_reason: str | None = None,
        stream: bool = False,
        source: Source = "model",
    ) -> Recorded:
        return await self._shell.arun(
            self._engine.record(
                _request(query, scope, tenant, namespace),
                answer,
                self._controls(ttl=ttl, tags=tags, admit=admit, no_store=no_store, codec=codec),
                _facts(seconds, usage, cost, finish_reason, source, stream),
            )
        )

    # -- through the cache --------------------------------------------------------------------

    def call(
        self,
        query: Query,
        function: Callable[[], T],
        *,
        scope: Scope | None = None,
        tenant: str | None = None,
        namespace: str | None = None,
        on_decision: Callable[[Decision], None] | None = None,
        **controls: Any,
    ) -> T:
        """The stored answer, or that of ``function()``, called once for all who ask meanwhile.

        Args:
            function: calls the model.
            on_decision: told why the answer came from where it came.
            controls: ``ttl``, ``tags``, ``no_cache``, ``no_store``, ``max_wrong``, ``admit``,
                ``usage`` (answer → ``Usage``), ``codec``, ``shadow_rate``, ``shadow``.

        Raises:
            AnswerError: with ``strict``, the answer cannot be recorded.
            Exception: whatever ``function`` raised, here or for another caller of the same.
        """
        request = _request(query, scope, tenant, namespace)
        return self._shell.call(request, self._controls(**controls), on_decision, function)

    async def acall(
        self,
        query: Query,
        function: Callable[[], Awaitable[T]],
        *,
        scope: Scope | None = None,
        tenant: str | None = None,
        namespace: str | None = None,
        on_decision: Callable[[Decision], None] | None = None,
        **controls: Any,
    ) -> T:
        """``call`` for coroutines."""
        request = _request(query, scope, tenant, namespace)
        return await self._shell.acall(request, self._controls(**controls), on_decision, function)

    def stream(
        self,
        query: Query,
        source: Callable[[], Iterable[T]],
        *,
        scope: Scope | None = None,
        tenant: str | None = None,
        namespace: str | None = None,
        on_decision: Callable[[Decision], None] | None = None,
        **controls: Any,
    ) -> Generator[T, None, None]:
        """``call`` for streams: replays the stored chunks, or follows ``source()`` live.

        The stream is recorded when it was exhausted without an error. A consumer that stops early
        records nothing, and the source is closed once nobody follows it any more. Controls as for
        ``call``; ``admit`` and ``usage`` see the list of all chunks.
        """
        request = _request(query, scope, tenant, namespace)
        return self._shell.stream(request, self._controls(**controls), on_decision, source)

    def astream(
        self,
        query: Query,
        source: Callable[[], AsyncIterable[T]],
        *,
        scope: Scope | None = None,
        tenant: str | None = None,
        namespace: str | None = None,
        on_decision: Callable[[Decision], None] | None = None,
        **controls: Any,
    ) -> AsyncGenerator[T, None]:
        """``stream`` for async iterables."""
        request = _request(query, scope, tenant, namespace)
        return self._shell.astream(request, self._controls(**controls), on_decision, source)

    # -- corrections --------------------------------------------------------------------------

    def report_wrong(self, hit: Hit) -> None:
        """Take back a wrong hit.

        An answer that was served for the very prompt it was recorded under is removed. One that was
        served by meaning is never served for that prompt again, nor for prompts that are nearer to
        it than to the entry's own (``docs/online.md``): at once, in every process, and also when it
        is recorded anew. An entry that was wrong for three prompts answers only its own. The report
        counts in ``stats().live``.

        Raises:
            StoreError: the store failed. Always raised: who reports must know whether it helped.
        """
        if hit.entry.id == hit.id:
            self.store.invalidate(Selection(ids=(hit.id,)))
        else:
            self._shell.run(self._online.report(hit, right=False))
        self._reported("reported-wrong", hit)

    async def areport_wrong(self, hit: Hit) -> None:
        if hit.entry.id == hit.id:
            await self.store.ainvalidate(Selection(ids=(hit.id,)))
        else:
            await self._shell.arun(self._online.report(hit, right=False))
        self._reported("reported-wrong", hit)

    def report_right(self, hit: Hit) -> None:
        """Say that a hit was right. It counts in ``stats().live`` and in ``reported_pairs``.

        It undoes no ``report_wrong``, and it relaxes nothing: who reports is no random sample.

        Raises:
            StoreError: the store failed.
        """
        if hit.entry.id != hit.id:
            self._shell.run(self._online.report(hit, right=True))
        self._reported("reported-right", hit)

    async def areport_right(self, hit: Hit) -> None:
        if hit.entry.id != hit.id:
            await self._shell.arun(self._online.report(hit, right=True))
        self._reported("reported-right", hit)

    def _reported(self, kind: EventKind, hit: Hit) -> None:
        self._listeners.emit(Event(kind, hit.id, hit.decision.scope, tier=hit.decision.tier))

    def reported_pairs(self) -> list[dict[str, Any]]:
        """What was reported of hits by meaning, as labelled pairs for ``semcache tune``.

        Each is ``{"a", "b", "label"}``: the prompt that was asked, the one whose answer was served,
        and 1 (right) or 0 (wrong). Wrong samples are among them. ``StoreError``.
        """
        from semcache.online.notes import labelled_pairs

        return labelled_pairs(self.store.iterate())

    def reset_live_rate(self, namespace: str = DEFAULT_NAMESPACE) -> None:
        """Forget samples and reports of a namespace, and what the threshold did because of them.

        For an operator who has found the reason. What was reported wrong stays forbidden.

        Raises:
            StoreError: the store failed.
        """
        self._shell.run(self._online.rates.forget(namespace))

    async def areset_live_rate(self, namespace: str = DEFAULT_NAMESPACE) -> None:
        await self._shell.arun(self._online.rates.forget(namespace))

    def invalidate(
        self,
        query: Query | None = None,
        *,
        scope: Scope | None = None,
        tags: Iterable[str] | None = None,
        tenant: str | None = None,
        namespace: str | None = None,
        ids: Iterable[str] | None = None,
        everything: bool = False,
    ) -> int:
        """Remove entries; returns how many. All conditions that are given must hold.

        Args:
            query: this prompt in ``scope`` (and ``tenant``, ``namespace``).
            scope: without ``query``: everything in exactly this scope.
            ids: entries by id (``hit.entry.id``).
            tags: entries that carry any of them.
            tenant, namespace: everything of theirs.
            everything: really everything.

        Raises:
            ConfigurationError: no condition was given.
            StoreError: the store failed. This one is always raised: whoever invalidates must know
                whether it happened.
        """
        selection = self._selection(query, scope, tags, tenant, namespace, ids, everything)
        return self.store.invalidate(selection)

    async def ainvalidate(
        self,
        query: Query | None = None,
        *,
        scope: Scope | None = None,
        tags: Iterable[str] | None = None,
        tenant: str | None = None,
        namespace: str | None = None,
        ids: Iterable[str] | None = None,
        everything: bool = False,
    ) -> int:
        selection = self._selection(query, scope, tags, tenant, namespace, ids, everything)
        return await self.store.ainvalidate(selection)

    def _selection(
        self,
        query: Query | None,
        scope: Scope | None,
        tags: Iterable[str] | None,
        tenant: str | None,
        namespace: str | None,
        ids: Iterable[str] | None,
        everything: bool,
    ) -> Selection:
        chosen = None if ids is None else _checked_names("ids", ids)
        wanted = None if tags is None else _checked_names("tags", tags)
        if query is not None:
            prepared = self._engine.prepare(_request(query, scope, tenant, namespace))
            chosen = (prepared.id,) if chosen is None or prepared.id in chosen else ()
            return Selection(ids=chosen, tags=wanted)
        if scope is not None:
            digest = self.keys.scope(scope.within(tenant=tenant, namespace=namespace))
            return Selection(ids=chosen, scope=digest, tags=wanted)
        if not everything and (chosen, wanted, tenant, namespace) == (None, None, None, None):
            raise ConfigurationError(
                "say what to invalidate: a query, scope, tags, tenant, namespace or ids, or "
                "everything=True"
            )
        return Selection(
            ids=chosen,
            tags=wanted,
            tenant=self.keys.tenant(tenant),
            namespace=namespace,
            everything=everything,
        )

    def stats(self) -> CacheStats:
        """What this cache did since it was opened, and what its store holds."""
        return self._shell.run(self._snapshot())

    async def astats(self) -> CacheStats:
        return await self._shell.arun(self._snapshot())

    def _snapshot(self) -> Steps[CacheStats]:
        store: StoreStats | None = yield from self._engine.store(None, "stats", self._clock())
        live = yield from self._online.shown(DEFAULT_NAMESPACE)
        return self._metrics.snapshot(
            semantic=self._engine.semantic_state(self.max_wrong),
            store=store,
            live=live,
            grey=self._online.grey_counts(),
        )

    def vacuum(self) -> int:
        """Remove expired entries and give their space back; returns how many. ``StoreError``."""
        return self.store.vacuum(self._clock())

    async def avacuum(self) -> int:
        return await self.store.avacuum(self._clock())

    def export(self, path: str | Path) -> Transferred:
        """Write every entry to a file of JSON lines (``.gz`` compresses), see ``transfer``."""
        return export_entries(self, path)

    def import_(self, path: str | Path) -> Transferred:
        """Read what ``export`` wrote, or seed lines ``{"query", "answer", …}``."""
        return import_entries(self, path)

    async def aexport(self, path: str | Path) -> Transferred:
        return await in_thread(export_entries, self, path)

    async def aimport_(self, path: str | Path) -> Transferred:
        return await in_thread(import_entries, self, path)

    def checked_controls(self, **controls: Any) -> dict[str, Any]:
        """The same controls, checked once and for all (for those who pass them with every call).

        Raises:
            ConfigurationError: one of them cannot be.
        """
        checked = self._controls(**controls)
        # A ttl that was not given stays so: a given one wins over the policy.
        return {
            name: getattr(checked, name)
            for name, value in controls.items()
            if not isinstance(value, _Unset)
        }

    def _looking(
        self,
        max_wrong: float | None,
        no_cache: bool,
        codec: Codec,
        shadow_rate: float | None = None,
    ) -> Controls:
        """The controls of a lookup; the usual ones are made once."""
        if max_wrong is None and not no_cache and codec is PLAIN and shadow_rate is None:
            return self._usual
        return self._controls(
            max_wrong=max_wrong, no_cache=no_cache, codec=codec, shadow_rate=shadow_rate
        )

    # -- defaults -----------------------------------------------------------------------------

    def _controls(
        self,
        *,
        ttl: Ttl | _Unset = UNSET,
        tags: Iterable[str] = (),
        no_cache: bool = False,
        no_store: bool = False,
        max_wrong: float | None = None,
        admit: Admit | None = None,
        usage: Callable[[Any], Usage | None] | None = None,
        codec: Codec = PLAIN,
        shadow_rate: float | None = None,
        shadow: str | None = None,
    ) -> Controls:
        return Controls(
            ttl=self.ttl if isinstance(ttl, _Unset) else parse_ttl(ttl),
            max_wrong=self.max_wrong if max_wrong is None else _checked_share(max_wrong),
            tags=_checked_names("tags", tags),
            no_cache=no_cache,
            no_store=no_store,
            admit=admit,
            usage=usage,
            codec=codec,
            ttl_given=not isinstance(ttl, _Unset),
            shadow_rate=self.shadow_rate if shadow_rate is None else _checked_rate(shadow_rate),
            shadow=self.shadow if shadow is None else _checked_way(shadow),
        )


def _request(
    query: Query, scope: Scope | None, tenant: str | None, namespace: str | None
) -> Request:
    if isinstance(query, Request):
        if scope is not None:
            raise ConfigurationError("a Request has a scope already; leave scope= out")
        if tenant is None and namespace is None:
            return query
        return Request(query.query, query.scope.within(tenant=tenant, namespace=namespace))
    scope = NO_SCOPE if scope is None else scope
    return Request(query, scope.within(tenant=tenant, namespace=namespace))


def _facts(
    seconds: float | None,
    usage: Usage | None,
    cost: float | None,
    finish_reason: str | None,
    source: Source,
    stream: bool,
) -> Facts:
    if usage is not None:
        check_usage(usage)
    return Facts(seconds, usage, cost, finish_reason, source, stream)


def _checked_share(max_wrong: float) -> float:
    if isinstance(max_wrong, bool) or not isinstance(max_wrong, int | float):
        raise ConfigurationError(f"max_wrong must be a number, not {max_wrong!r:.40}")
    if not 0 < max_wrong < 1:
        raise ConfigurationError(
            f"max_wrong is a share of the served answers and must lie between 0 and 1 "
            f"(0.01 = 1 %), not {max_wrong!r}"
        )
    return float(max_wrong)


def _checked_rate(rate: float) -> float:
    if isinstance(rate, bool) or not isinstance(rate, int | float) or not 0.0 <= rate <= 1.0:
        raise ConfigurationError(
            f"shadow_rate is the share of hits that go to the model anyway, between 0 and 1 "
            f"(0.01 = 1 %), not {rate!r:.40}"
        )
    return float(rate)


def _checked_way(way: str) -> str:
    if way not in ("inline", "background"):
        raise ConfigurationError(f'shadow must be "inline" or "background", not {way!r:.40}')
    return way


def _checked_names(what: str, names: Iterable[str]) -> tuple[str, ...]:
    if isinstance(names, str):
        raise ConfigurationError(f"{what} must be a list of names; write [{names!r}]")
    listed = tuple(names)
    if not all(isinstance(name, str) and name for name in listed):
        raise ConfigurationError(f"{what} must be non-empty text, got {listed!r:.80}")
    return listed


def _secret_bytes(secret: str | bytes | None) -> bytes | None:
    if secret is None or isinstance(secret, bytes):
        return secret
    return secret.encode("utf-8", "surrogatepass")
