"""The steps of a lookup and of a recording, written once for threads and event loops.

    request ─▶ id ─▶ exact tier ─▶ embed ─▶ candidates ─▶ decide ─▶ serve, alias the exact id

Every method here is a generator of ``steps``; nothing here blocks, awaits or reads a clock of its
own. A failing store or embedder makes a step fail, and the engine goes on without it (promise 4),
unless ``strict``. How several callers share one upstream call stands in ``calls.py``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from semcache.admission import refusal
from semcache.answer import PLAIN, Codec, decode_payload, encode_answer, encode_stream
from semcache.breaker import Breaker
from semcache.candidates import SearchResult
from semcache.entry import Entry, Source, Usage
from semcache.errors import AnswerError, ConfigurationError, EmbeddingError, SemcacheError
from semcache.observe.events import Event, EventKind, Listeners, log
from semcache.outcome import Decision, Hit, Outcome, Recorded, Tier
from semcache.request import Request, normalise_query
from semcache.scope import Keys
from semcache.steps import Embed, Steps, StoreCall, Verify

if TYPE_CHECKING:
    from semcache.decision.cacheability import Cacheability
    from semcache.decision.calibration import Calibration
    from semcache.decision.decide import Verdict
    from semcache.decision.scorers import Scorer
    from semcache.embedders.base import Embedder
    from semcache.online.online import Online
    from semcache.online.shadow import Sample
    from semcache.policy import CachePolicy, PolicyDecision
    from semcache.stores.base import Vector

# How many nearest entries are looked at. Only those above the threshold are aligned word by word,
# which takes some 0.3 ms each.
CANDIDATES = 8
SAMPLED = "a shadow sample: the model is asked although an answer would have been served"
# Pairs that the verifier reads before the decision is asked whether that is enough.
VERIFIED_AT_ONCE = 2

_READS = frozenset({"get", "search", "touch", "stats"})

Admit = Callable[[Any], bool]


@dataclass(frozen=True, slots=True)
class Price:
    """What a model costs, in USD per million tokens.

    >>> round(Price(1.25, 10.0).of(Usage(1000, 500)), 6)
    0.00625
    """

    input: float
    output: float

    def of(self, usage: Usage) -> float:
        return (usage.input_tokens * self.input + usage.output_tokens * self.output) / 1e6


@dataclass(frozen=True, slots=True)
class Controls:
    """What one call asks for, with the cache's defaults filled in.

    Attributes:
        ttl: seconds; ``None`` = never expires, ``0`` = do not store.
        ttl_given: the ttl is the call's own, so it wins over the policy's.
        no_cache: do not serve from the cache (the fresh answer is recorded).
        no_store: do not record.
        max_wrong: bound on the share of wrong serves, in (0, 1).
        admit: the caller's own word on whether an answer may be stored.
        usage: reads the tokens off an answer.
        codec: how answers become plain data and back.
        stream: whether chunks are wanted or a value; an answer of the other kind is not served.
            ``None``: either.
        shadow_rate, shadow: share of the hits by meaning that go to the model anyway, and how.
    """

    ttl: float | None
    max_wrong: float
    tags: tuple[str, ...] = ()
    no_cache: bool = False
    no_store: bool = False
    admit: Admit | None = None
    usage: Callable[[Any], Usage | None] | None = None
    codec: Codec = PLAIN
    stream: bool | None = None
    ttl_given: bool = False
    shadow_rate: float = 0.0
    shadow: str = "inline"


@dataclass(slots=True)
class Prepared:
    """A request turned into keys, and what has been learned about it on the way.

    Attributes:
        calibration: the one in force for it, where that is not the engine's own.
        sampled: whether its hit by meaning is held back as a sample; ``None``: not yet drawn.
        held: that hit.
        near: what came near without being served.
    """

    request: Request
    id: str
    scope: str
    query: str
    terms: tuple[str, ...] = ()
    vector: Vector | None = None
    unembedded: str | None = None
    said: Cacheability | None = None
    permission: PolicyDecision | None = None
    calibration: Calibration | None = None
    sampled: bool | None = None
    held: Sample | None = None
    near: tuple[SearchResult, Verdict] | None = None


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of an answer besides itself."""

    seconds: float | None = None
    usage: Usage | None = None
    cost: float | None = None
    finish_reason: str | None = None
    source: Source = "model"
    stream: bool = False


@dataclass(frozen=True, slots=True)
class Encoded:
    """An answer made ready for storing, or the reason why it cannot be."""

    payload: bytes | None
    plain: Any
    refused: str | None = None


class Engine:
    """The steps. Holds no connection and no thread; what it needs of the world it asks for."""

    def __init__(
        self,
        *,
        keys: Keys,
        clock: Callable[[], float],
        timer: Callable[[], float],
        listeners: Listeners,
        embedder: Embedder | None,
        scorer: Scorer,
        calibration: Calibration,
        vetoes: frozenset[str],
        strict: bool,
        prices: Mapping[str, Price],
        no_embedder: str = "no embedder was given",
        policy: CachePolicy | None = None,
    ) -> None:
        self.keys = keys
        self.clock = clock
        self.timer = timer
        self.listeners = listeners
        self.embedder = embedder
        self.scorer = scorer
        self.calibration = calibration
        self.vetoes = vetoes
        self.strict = strict
        self.prices = prices
        self.no_embedder = no_embedder
        if policy is None:
            from semcache.policy import CachePolicy

            policy = CachePolicy.off()
        self.policy = policy
        # Apart, so that a full disk does not keep stored answers from being served.
        self.read_breaker = Breaker()
        self.write_breaker = Breaker()
        self.embedder_breaker = Breaker()
        self.verifier_breaker = Breaker()
        self.online: Online | None = None  # what is learned in operation; the cache attaches it

    # -- keys ---------------------------------------------------------------------------------

    def prepare(self, request: Request) -> Prepared:
        """The keys of a request. Pure."""
        query = normalise_query(request.query)
        scope = self.keys.scope(request.scope)
        return Prepared(request, self.keys.entry(scope, query), scope, query)

    def semantic_state(self, max_wrong: float) -> str:
        """``"on"``, or why nothing is served by meaning at that bound."""
        if self.embedder is None:
            return self.no_embedder
        if self.calibration.threshold(max_wrong) is None:
            return (
                f"the {self.scorer.name} scorer's calibration has no support for "
                f"max_wrong={max_wrong:g}"
            )
        for breaker in (self.embedder_breaker, self.verifier_breaker):
            if breaker.is_open:
                return f"paused: {breaker.reason}"
        return "on"

    # -- lookup -------------------------------------------------------------------------------

    def lookup(
        self, request: Request, controls: Controls, *, dry: bool = False
    ) -> Steps[tuple[Decision, Hit | None]]:
        """Look a request up in both tiers. ``dry`` leaves no trace: no count, alias or event."""
        started = self.timer()
        prepared = self.prepare(request)
        if not prepared.query:
            decision = self.decision(prepared, "bypass", None, "the prompt is empty")
            self.emit_lookup(decision, started, dry)
            return decision, None
        if controls.no_cache:
            decision = self.decision(prepared, "bypass", None, "no_cache was asked for")
            self.emit_lookup(decision, started, dry)
            return decision, None
        hit = yield from self.exact(prepared, controls, started, dry=dry)
        if hit is not None:
            return hit.decision, hit
        decision, hit, _ = yield from self.by_meaning(prepared, controls, started, dry=dry)
        if hit is None:
            self.emit_lookup(decision, started, dry)
            if self.online is not None and not dry:
                self.online.missed(prepared, controls)
        return decision, hit

    def exact(
        self, prepared: Prepared, controls: Controls, started: float, *, dry: bool = False
    ) -> Steps[Hit | None]:
        """The stored answer to exactly this request, if there is one."""
        now = self.clock()
        entry: Entry | None = yield from self.store(None, "get", prepared.id, now)
        if entry is None:
            return None
        if entry.id == prepared.id:
            decision = self.decision(prepared, "hit", "exact", "the same request was answered")
        else:
            decision = self.decision(
                prepared, "hit", "alias", "this wording was served by meaning before"
            )
            if self.online is not None:
                if (yield from self.online.holds_alias(entry)):
                    return None
                if not dry and self.online.shadow.held_back(prepared, controls):
                    held = yield from self.serve(
                        prepared, entry, decision, controls, started, dry=True
                    )
                    if held is not None:
                        self.online.shadow.hold(prepared, held, controls)
                    return None
        return (yield from self.serve(prepared, entry, decision, controls, started, dry=dry))

    def by_meaning(
        self, prepared: Prepared, controls: Controls, started: float, *, dry: bool = False
    ) -> Steps[tuple[Decision, Hit | None, SearchResult | None]]:
        """The stored answer to a request that means the same, if the decision allows one."""
        permission = yield from self.permit(prepared, controls)
        if not permission.may_serve_by_meaning:
            reason = f"no exact match; by meaning: the policy ({permission.reason})"
            return self.decision(prepared, "miss", None, reason), None, None
        state = self.semantic_state(controls.max_wrong)
        paused = self.embedder_breaker.is_open or self.verifier_breaker.is_open
        if prepared.unembedded is None and (state == "on" or paused):
            yield from self.embed(prepared)
        if prepared.vector is None or self.embedder is None:
            reason = f"no exact match; by meaning: {prepared.unembedded or state}"
            return self.decision(prepared, "miss", None, reason), None, None
        if prepared.held is not None:
            return self.decision(prepared, "miss", None, SAMPLED), None, None
        if self.online is not None:
            none = yield from self.online.begins(prepared, controls, dry=dry)
            if none is not None:
                reason = f"no exact match; by meaning: {none}"
                return self.decision(prepared, "miss", None, reason), None, None
        result: SearchResult | None = yield from self.store(
            None, "search", prepared.scope, self.embedder.fingerprint, prepared.vector,
            prepared.terms, CANDIDATES, self.clock(),
        )  # fmt: skip
        if result is None:
            reason = f"the store cannot be searched: {self.read_breaker.reason}"
            return self.decision(prepared, "miss", None, reason), None, None
        result, verdict = yield from self.judge(prepared, result, controls, thorough=dry)
        if verdict.served is not None and self.online is not None:
            result, verdict = yield from self.online.unreported(
                prepared, result, verdict, controls, thorough=dry
            )
        if verdict.served is not None:
            target = verdict.served.found.entry.id
            entry: Entry | None = yield from self.store(None, "get", target, self.clock())
            if entry is not None:
                decision = self.decided(prepared, "hit", "semantic", verdict)
                online = None if dry else self.online
                sampled = online is not None and online.shadow.held_back(prepared, controls)
                hit = yield from self.serve(
                    prepared, entry, decision, controls, started, dry=dry or sampled
                )
                if hit is not None and sampled and online is not None:
                    online.shadow.hold(prepared, hit, controls)
                    return self.decision(prepared, "miss", None, SAMPLED), None, None
                if hit is not None:
                    # While the threshold is above the calibration's, aliases are not asked anyway.
                    if not dry and prepared.calibration is None:
                        yield from self.store(None, "alias", prepared.id, entry.id, prepared.scope)
                    return decision, hit, result
            reason = "the stored answer is gone, cannot be read, or is of another kind"
            return self.decision(prepared, "miss", None, reason), None, result
        prepared.near = result, verdict
        outcome: Outcome = "refused" if verdict.refused else "miss"
        return self.decided(prepared, outcome, None, verdict), None, result

    def permit(self, prepared: Prepared, controls: Controls) -> Steps[PolicyDecision]:
        """What the policy lets the cache do with this request; worked out once a request."""
        if prepared.permission is not None:
            return prepared.permission
        from semcache.decision.cacheability import Facts as CallFacts
        from semcache.decision.cacheability import assess
        from semcache.decision.cacheability_head import head_for
        from semcache.policy import Wanted, apply, unrestricted

        scope = prepared.request.scope
        wanted = Wanted(
            controls.ttl,
            controls.ttl_given,
            controls.no_store,
            prepared.request.query,
            controls.tags,
            scope.namespace,
            scope.model,
        )
        if not self.policy.enabled:
            prepared.permission = unrestricted(wanted)
            return prepared.permission
        yield from self.embed(prepared)
        encoder = None if self.embedder is None else self.embedder.fingerprint
        prepared.said = assess(
            prepared.request.query, prepared.vector, fingerprint=encoder, head=head_for(encoder)
        )
        facts = CallFacts.of(scope)
        prepared.permission = apply(self.policy, prepared.said, facts, wanted)
        return prepared.permission

    def judge(
        self,
        prepared: Prepared,
        result: SearchResult,
        controls: Controls,
        *,
        thorough: bool = False,
    ) -> Steps[tuple[SearchResult, Verdict]]:
        """The decision core's word on these candidates, after the verifier read those it must.

        The verifier reads a few at a time, the nearest first, and stops at one that is served.
        """
        from semcache.decision.decide import decide, to_verify  # its word lists take longest

        query = prepared.request.query

        def decided(result: SearchResult) -> Verdict:
            return decide(
                query,
                result,
                scorer=self.scorer,
                calibration=prepared.calibration or self.calibration,
                max_wrong=controls.max_wrong,
                enabled_vetoes=self.vetoes,
                thorough=thorough,
            )

        waiting = to_verify(
            query,
            result,
            scorer=self.scorer,
            calibration=prepared.calibration or self.calibration,
            max_wrong=controls.max_wrong,
            enabled_vetoes=self.vetoes,
            thorough=thorough,
        )
        while waiting:
            now, waiting = waiting[:VERIFIED_AT_ONCE], waiting[VERIFIED_AT_ONCE:]
            read = yield from self.verify(query, result, now)
            if read is None:
                break
            result = read
            if not thorough and waiting:
                verdict = decided(result)
                if verdict.served is not None:
                    return result, verdict
        return result, decided(result)

    def verify(
        self, query: str, result: SearchResult, positions: Sequence[int]
    ) -> Steps[SearchResult | None]:
        """The candidates with the verifier's logits at these positions; ``None`` if it failed."""
        if not self.verifier_breaker.allows(self.timer()):
            return None
        candidates = list(result.candidates)
        pairs = tuple((query, candidates[i].entry.query) for i in positions)
        try:
            logits = yield Verify(pairs)
        except Exception as error:
            if self.strict:
                raise
            self.verifier_breaker.failed(self.timer(), _why(error))
            self.listeners.emit(Event("verifier-error", reason=_why(error)))
            log.warning("the verifier failed, nothing is served by meaning: %s", _why(error))
            return None
        self.verifier_breaker.succeeded()
        for i, logit in zip(positions, logits, strict=True):
            if logit is not None:
                candidates[i] = replace(candidates[i], logit=float(logit))
        return replace(result, candidates=tuple(candidates))

    def serve(
        self,
        prepared: Prepared,
        entry: Entry,
        decision: Decision,
        controls: Controls,
        started: float,
        *,
        dry: bool = False,
    ) -> Steps[Hit | None]:
        """Read a stored answer back and count the hit; ``None`` where it cannot be read."""
        assert entry.answer is not None
        try:
            hit = self.read(entry, entry.answer, decision, controls.codec)
        except Exception as error:
            # Anything: the codec may be the caller's own, and the stored data of another version
            # of it. An answer that cannot be read is a miss, never the app's problem.
            if self.strict:
                raise
            log.warning("a stored answer could not be read: %s", type(error).__name__)
            self.emit("store-error", prepared, "a stored answer could not be read")
            return None
        if controls.stream is not None and controls.stream != hit.is_stream:
            return None
        if not dry:
            yield from self.store(None, "touch", entry.id, self.clock())
            self.emit_hit("hit", decision, entry, started)
            if entry.id != prepared.id and self.online is not None:
                self.online.served(entry)
        return hit

    def read(self, entry: Entry, payload: bytes, decision: Decision, codec: Codec) -> Hit:
        """A hit with its answer as it was recorded. Raises whatever the codec raises."""
        content = decode_payload(payload)
        if content.kind == "stream":
            chunks = [codec.from_plain(chunk) for chunk in content.data]
            return Hit(chunks, entry, decision, is_stream=True)
        return Hit(codec.from_plain(content.data), entry, decision)

    # -- recording ----------------------------------------------------------------------------

    def record(
        self, request: Request, answer: Any, controls: Controls, facts: Facts
    ) -> Steps[Recorded]:
        """Store an answer that the caller brings.

        Raises:
            ConfigurationError: the prompt is empty.
            AnswerError: the answer cannot come back as it is.
        """
        prepared = self.prepare(request)
        if not prepared.query:
            raise ConfigurationError("the prompt is empty; there is nothing to record it under")
        encoded = self.encode(answer, controls.codec, stream=facts.stream)
        if encoded.payload is None:
            raise unrecordable(encoded)
        if self.online is not None:
            self.online.shadow.recall(prepared)
        recorded, _ = yield from self.keep(prepared, answer, encoded, controls, facts)
        if self.online is not None:
            self.online.answered(prepared, controls, encoded, recorded.stored)
        return recorded

    def encode(self, answer: Any, codec: Codec, *, stream: bool) -> Encoded:
        """An answer as a payload, or why that cannot be. Pure but for the caller's codec."""
        try:
            if stream:
                plain = [codec.to_plain(chunk) for chunk in answer]
                return Encoded(encode_stream(plain), plain)
            plain = codec.to_plain(answer)
            return Encoded(encode_answer(plain), plain)
        except AnswerError as error:
            return Encoded(None, None, str(error))
        except Exception as error:
            # The codec may be the caller's own, and its message may quote the answer.
            return Encoded(None, None, f"the codec raised {type(error).__name__}")

    def keep(
        self,
        prepared: Prepared,
        answer: Any,
        encoded: Encoded,
        controls: Controls,
        facts: Facts,
    ) -> Steps[tuple[Recorded, Entry]]:
        """Store an answer if it is worthy; the entry is made either way, for those who wait."""
        entry = self.entry(prepared, answer, encoded, controls, facts)
        reason = self.not_stored(answer, encoded, controls, facts)
        # A seed is somebody's deliberate word; a policy is about what comes by in traffic.
        if reason is None and self.policy.enabled and facts.source == "model":
            permission = yield from self.permit(prepared, controls)
            ttl, reason = self.span(permission, answer, encoded, controls, facts)
            entry = replace(entry, expires=None if ttl is None else entry.created + ttl)
        if reason is not None:
            self.emit("not-admitted", prepared, reason)
            return Recorded(False, reason, prepared.id), entry
        yield from self.embed(prepared)
        if prepared.vector is not None and self.embedder is not None:
            entry = replace(entry, fingerprint=self.embedder.fingerprint)
        failed = object()
        outcome = yield from self.store(failed, "put", entry, prepared.vector, prepared.terms)
        if outcome is failed:
            reason = f"the store failed: {self.write_breaker.reason}"
            return Recorded(False, reason, prepared.id), entry
        self.emit("stored", prepared, "", seconds=facts.seconds)
        return Recorded(True, "stored", prepared.id), entry

    def span(
        self,
        permission: PolicyDecision,
        answer: Any,
        encoded: Encoded,
        controls: Controls,
        facts: Facts,
    ) -> tuple[float | None, str | None]:
        """How long the answer is kept, in seconds, and why it is not stored."""
        ttl = permission.ttl
        if not permission.may_store:
            return ttl, f"policy: {permission.reason}"
        from semcache.decision.momentary import hinted, momentary

        # What the answer's words say, and what the response it came in says.
        for say in (
            momentary(encoded.plain, stream=facts.stream),
            hinted(answer, controls.codec.headers),
        ):
            if say is None:
                continue
            if say.max_ttl == 0:
                return ttl, say.reason
            if not controls.ttl_given and (ttl is None or say.max_ttl < ttl):
                ttl = say.max_ttl
        return ttl, None

    def not_stored(
        self, answer: Any, encoded: Encoded, controls: Controls, facts: Facts
    ) -> str | None:
        """Why this answer is not to be stored; ``None`` if it is."""
        if controls.no_store:
            return "no_store was asked for"
        if controls.ttl == 0:
            return "its ttl is 0"
        if encoded.payload is None:
            return encoded.refused
        reason = refusal(encoded.plain, stream=facts.stream, finish_reason=facts.finish_reason)
        if reason is not None or controls.admit is None:
            return reason
        try:
            return None if controls.admit(answer) else "admit() refused the answer"
        except Exception as error:
            if self.strict:
                raise
            log.warning("admit() raised %s; the answer is not stored", type(error).__name__)
            return f"admit() raised {type(error).__name__}"

    def entry(
        self,
        prepared: Prepared,
        answer: Any,
        encoded: Encoded,
        controls: Controls,
        facts: Facts,
    ) -> Entry:
        now = self.clock()
        scope = prepared.request.scope
        usage, cost = self.account(answer, controls, facts, scope.model)
        return Entry(
            id=prepared.id,
            scope=prepared.scope,
            query=prepared.request.query,
            answer=encoded.payload,
            created=now,
            expires=None if controls.ttl is None else now + controls.ttl,
            namespace=scope.namespace,
            tenant=self.keys.tenant(scope.tenant),
            tags=controls.tags,
            model=scope.model,
            usage=usage,
            cost=cost,
            seconds=facts.seconds,
            source=facts.source,
        )

    def account(
        self, answer: Any, controls: Controls, facts: Facts, model: str | None
    ) -> tuple[Usage | None, float | None]:
        """Tokens and USD of the upstream call, as far as they are known."""
        usage = facts.usage
        if usage is None and controls.usage is not None:
            try:
                usage = controls.usage(answer)
                if usage is not None:
                    check_usage(usage)
            except Exception as error:
                if self.strict:
                    raise
                usage = None
                log.warning("usage() raised %s; the tokens stay unknown", type(error).__name__)
        cost = facts.cost
        if cost is None and usage is not None and model is not None and model in self.prices:
            cost = self.prices[model].of(usage)
        if cost is not None and not math.isfinite(cost):
            cost = None
        return usage, cost

    # -- the world, one step at a time --------------------------------------------------------

    def embed(self, prepared: Prepared) -> Steps[None]:
        """Fill in terms and vector, or the reason why there is no vector."""
        if prepared.vector is not None or prepared.unembedded or self.embedder is None:
            return
        text = prepared.request.query
        if not self.embedder_breaker.allows(self.timer()):
            prepared.unembedded = f"the embedder is paused ({self.embedder_breaker.reason})"
            return
        try:
            vector = yield Embed(text)
            if vector is None:
                prepared.unembedded = (
                    "the prompt is longer than the encoder reads, so only exact repeats are served"
                )
                self.emit("truncated", prepared, prepared.unembedded)
                log.warning("a prompt of %d characters: %s", len(text), prepared.unembedded)
                return
        except Exception as error:
            if self.strict:
                raise
            self.embedder_breaker.failed(self.timer(), _why(error))
            prepared.unembedded = f"the embedder failed ({_why(error)})"
            self.emit("embedding-error", prepared, prepared.unembedded)
            log.warning("embedding failed, going on without: %s", _why(error))
        else:
            from semcache.decision.terms import terms

            self.embedder_breaker.succeeded()
            # A text without a vector is never searched for, so it needs no terms either.
            prepared.vector, prepared.terms = vector, terms(text)

    def store(self, fallback: Any, method: str, *args: Any) -> Steps[Any]:
        """One call of the store; ``fallback`` where it fails or is known to be failing."""
        breaker = self.read_breaker if method in _READS else self.write_breaker
        if breaker.is_open and not breaker.allows(self.timer()):
            return fallback
        try:
            result = yield StoreCall(method, args)
        except Exception as error:
            if self.strict:
                raise
            if not isinstance(error, ConfigurationError | EmbeddingError):  # about this entry only
                breaker.failed(self.timer(), _why(error))
            self.listeners.emit(Event("store-error", reason=f"{method}: {_why(error)}"))
            log.warning("the store failed at %s, going on without: %s", method, _why(error))
            return fallback
        if breaker.is_open:
            breaker.succeeded()
        return result

    # -- saying what happened -----------------------------------------------------------------

    def decision(
        self, prepared: Prepared, outcome: Outcome, tier: Tier | None, reason: str
    ) -> Decision:
        return Decision(
            outcome,
            tier,
            reason,
            prepared.id,
            prepared.scope,
            policy=_rules(prepared),
            query=prepared.request.query,
        )

    def decided(
        self, prepared: Prepared, outcome: Outcome, tier: Tier | None, verdict: Verdict
    ) -> Decision:
        return Decision(
            outcome,
            tier,
            verdict.reason,
            prepared.id,
            prepared.scope,
            candidates=verdict.judged,
            threshold=verdict.threshold,
            scorer=verdict.scorer,
            policy=_rules(prepared),
            served=verdict.served if outcome == "hit" else None,
            query=prepared.request.query,
        )

    def emit(
        self, kind: EventKind, prepared: Prepared, reason: str, seconds: float | None = None
    ) -> None:
        self.listeners.emit(
            Event(kind, prepared.id, prepared.scope, reason=reason, seconds=seconds)
        )

    def emit_lookup(self, decision: Decision, started: float, dry: bool = False) -> None:
        """The event of a lookup that came to nothing."""
        if dry or decision.outcome == "hit":
            return
        # The reason of a refusal quotes what differs, which is prompt text: it stays out.
        names = {veto.name for judged in decision.candidates for veto in judged.vetoes}
        reason = decision.reason if decision.outcome == "bypass" else ""
        if decision.outcome == "refused":
            reason = "vetoed: " + ", ".join(sorted(names)) if names else "reported wrong"
        self.listeners.emit(
            Event(
                decision.outcome,
                decision.id,
                decision.scope,
                reason=reason,
                seconds=self.timer() - started,
            )
        )

    def emit_hit(self, kind: EventKind, decision: Decision, entry: Entry, started: float) -> None:
        self.listeners.emit(
            Event(
                kind,
                decision.id,
                decision.scope,
                tier=decision.tier,
                seconds=self.timer() - started,
                usage=entry.usage,
                cost=entry.cost,
                saved_seconds=entry.seconds,
            )
        )


def unrecordable(encoded: Encoded) -> AnswerError:
    return AnswerError(encoded.refused or "the answer cannot be recorded")


def check_usage(usage: object) -> None:
    """Raises ``ConfigurationError`` for what is not a ``Usage`` of whole numbers."""
    counts = (usage.input_tokens, usage.output_tokens) if isinstance(usage, Usage) else (None,)
    if not all(isinstance(count, int) and count >= 0 for count in counts):
        raise ConfigurationError(f"usage must be a Usage of two counts, got {usage!r:.80}")


def _rules(prepared: Prepared) -> tuple[str, ...]:
    return () if prepared.permission is None else prepared.permission.rules


def _why(error: Exception) -> str:
    """An error in a log line: our own messages hold no prompt text, others might."""
    return str(error) if isinstance(error, SemcacheError) else type(error).__name__
