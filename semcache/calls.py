"""One upstream call for many callers: the steps around the call itself.

``begin`` either brings an answer or makes the caller the *leader*, with a ``Ticket``. The leader
calls the model and then ``finish``es or ``fail``s the ticket. Between the two stand
three gates, each of which lets one caller through:

1. the flight of the same id in this process (threads and tasks),
2. a flight of *nearly* the same request, where the decision would have made it a hit,
3. the lease on the id in the store (other processes). A lease that is not renewed ends by itself,
   so a leader that was killed delays the others by no more than the lease.
"""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Hashable, Iterator
from contextvars import ContextVar
from dataclasses import dataclass, replace
from typing import Any

from semcache.candidates import Found, SearchResult
from semcache.engine import Controls, Encoded, Engine, Facts, Prepared, unrecordable
from semcache.entry import Entry
from semcache.flight import Asked, Flight, Flights
from semcache.observe.events import log
from semcache.outcome import Decision, Hit, Recorded
from semcache.request import Request
from semcache.steps import AwaitFlight, Pause, Steps

# Waiting for another process: first look again after this, then twice as late each time, up to a
# point where looking costs nothing (a look at SQLite takes 10–20 µs) and delays little.
POLL_FIRST_S = 0.002
POLL_LONGEST_S = 0.05

# A nearly identical request is waited for no longer than this: two callers that each make the
# other's request while answering their own would otherwise wait for ever.
NEAR_WAIT_S = 30.0

# The ids that the code now running was called to answer. A call that (through whatever functions
# and tasks, and threads that were given the context) asks for one of these must not wait.
_leading: ContextVar[frozenset[str]] = ContextVar("semcache_leading", default=frozenset())


@contextlib.contextmanager
def leading(id: str) -> Iterator[None]:
    """Mark what runs inside as the upstream call for ``id``."""
    token = _leading.set(_leading.get() | {id})
    try:
        yield
    finally:
        _leading.reset(token)


@dataclass(frozen=True, slots=True)
class Landed:
    """What a flight brings to those who followed it.

    Attributes:
        payload: the answer as it is recorded, ``None`` where it cannot be.
        answer: without a payload, a copy of the answer for those who made the same call.
        stored: whether it was worth storing; one that was not serves nobody by meaning.
        shared: false where there is neither payload nor copy (an iterator, say): everybody calls.
    """

    entry: Entry
    payload: bytes | None
    answer: Any
    is_stream: bool
    stored: bool
    shared: bool = True


@dataclass(frozen=True, slots=True)
class Follow:
    """The caller is to follow this stream live."""

    flight: Flight
    prepared: Prepared
    started: float


@dataclass(slots=True)
class Ticket:
    """The right, and the duty, to call upstream. Finish or fail it exactly once."""

    prepared: Prepared
    controls: Controls
    decision: Decision
    flight: Flight | None = None
    lease: str | None = None
    stream: bool = False


@dataclass(frozen=True, slots=True)
class Manner:
    """How a caller calls.

    Attributes:
        stream: it wants chunks. Streams are followed live, so they only meet their own kind.
        blocking: it blocks its thread while it waits.
        kind: tells flights apart that cannot follow each other (streams of different event loops).
    """

    stream: bool
    blocking: bool
    kind: Hashable = "value"


class Calls:
    """The steps of a call through the cache, on top of an engine."""

    def __init__(self, engine: Engine, *, coalesce: bool, lease_s: float, wait_s: float) -> None:
        self.engine = engine
        self.flights = Flights()
        self.coalesce = coalesce
        self.lease_s = lease_s
        self.wait_s = wait_s

    def begin(
        self, request: Request, controls: Controls, manner: Manner
    ) -> Steps[Hit | Follow | Ticket]:
        """Find an answer, a stream to follow, or the right to call.

        Raises:
            Exception: the error of the same call by somebody else, while this one waited for it.
        """
        engine = self.engine
        started = engine.timer()
        controls = replace(controls, stream=manner.stream)
        prepared = engine.prepare(request)
        if not prepared.query or controls.no_cache:
            reason = "no_cache was asked for" if prepared.query else "the prompt is empty"
            decision = engine.decision(prepared, "bypass", None, reason)
            engine.emit_lookup(decision, started)
            return Ticket(prepared, controls, decision, stream=manner.stream)
        while True:
            hit = yield from engine.exact(prepared, controls, started)
            if hit is not None:
                return hit
            key = (prepared.id, manner.kind)
            if not self.coalesce or self._would_deadlock(prepared.id, key, manner):
                return (yield from self._alone(prepared, controls, manner, started))
            flight, leads = self.flights.join(prepared.id, key)
            if leads:
                return (yield from self._lead(flight, prepared, controls, manner, started))
            if manner.stream:
                return Follow(flight, prepared, started)
            ended = yield AwaitFlight(flight, self._remaining(started))
            if flight.state == "failed" and flight.error is not None:
                raise own_copy(flight.error)
            if flight.state == "landed":
                hit = self.landed(flight.result, prepared, controls, started)
                if hit is not None:
                    return hit
            if not ended or flight.state == "landed":
                return (yield from self._alone(prepared, controls, manner, started))
            # Abandoned: whoever comes first leads the next one.

    def _remaining(self, started: float) -> float:
        """Seconds that this call may still wait for others."""
        return max(0.0, started + self.wait_s - self.engine.timer())

    def _would_deadlock(self, id: str, key: Hashable, manner: Manner) -> bool:
        if id in _leading.get() or self.flights.led_from_here(id, key):
            return True
        return manner.blocking and self.flights.led_by_this_loop(id)

    def _alone(
        self, prepared: Prepared, controls: Controls, manner: Manner, started: float
    ) -> Steps[Hit | Ticket]:
        """Ask by meaning, then call without sharing the call."""
        permission = yield from self.engine.permit(prepared, controls)
        if not permission.may_serve_exact:
            return self._refused(prepared, controls, manner, started)
        decision, hit, _ = yield from self.engine.by_meaning(prepared, controls, started)
        if hit is not None:
            return hit
        self.engine.emit_lookup(decision, started)
        return Ticket(prepared, controls, decision, stream=manner.stream)

    def _refused(
        self, prepared: Prepared, controls: Controls, manner: Manner, started: float
    ) -> Ticket:
        """The policy lets nobody share this: call, without a flight and without a lease."""
        assert prepared.permission is not None
        reason = f"the policy: {prepared.permission.reason}"
        decision = self.engine.decision(prepared, "bypass", None, reason)
        self.engine.emit_lookup(decision, started)
        return Ticket(prepared, controls, decision, stream=manner.stream)

    def _lead(
        self,
        flight: Flight,
        prepared: Prepared,
        controls: Controls,
        manner: Manner,
        started: float,
    ) -> Steps[Hit | Ticket]:
        """The first of its id in this process: go on to the other two gates."""
        engine = self.engine
        unknown = engine.decision(prepared, "miss", None, "")
        ticket = Ticket(prepared, controls, unknown, flight, stream=manner.stream)
        try:
            permission = yield from engine.permit(prepared, controls)
            if not permission.may_serve_exact:
                # Nobody may get somebody else's answer to this: whoever waits calls, too.
                self._down(flight)
                flight.abandon()
                return self._refused(prepared, controls, manner, started)
            decision, hit, result = yield from engine.by_meaning(prepared, controls, started)
            if hit is None and result is not None:
                hit = yield from self._near(flight, prepared, controls, manner, result, started)
            # What is not going to be stored is not worth waiting for in another process.
            if hit is None and permission.may_store:
                hit = yield from self._take_lease(ticket, manner, started)
            if hit is None:
                ticket.decision = decision
                engine.emit_lookup(decision, started)
                return ticket
        except BaseException:
            self._down(flight)
            flight.abandon()
            yield from self._give_back(ticket)
            raise
        flight.land(Landed(hit.entry, hit.entry.answer, None, hit.is_stream, stored=True))
        self._down(flight)
        yield from self._give_back(ticket)
        return hit

    def _near(
        self,
        flight: Flight,
        prepared: Prepared,
        controls: Controls,
        manner: Manner,
        result: SearchResult,
        started: float,
    ) -> Steps[Hit | None]:
        """Wait for a nearly identical request that is under way, if its answer would be a hit.

        Not for a stream: its consumer may have parked it, and it may be this very caller.
        """
        engine = self.engine
        if prepared.vector is None or engine.embedder is None or manner.stream:
            return None
        fingerprint = engine.embedder.fingerprint
        flight.asked = mine = Asked(
            prepared.scope, prepared.request.query, prepared.terms, prepared.vector, fingerprint
        )
        for other in self.flights.earlier(flight):
            if other.asked is None or other.id in _leading.get():
                continue
            if manner.blocking and other.led_by_this_loop:
                continue
            found = _as_found(other, other.asked, mine)
            alone = replace(result, candidates=(found,))
            _, verdict = yield from engine.judge(prepared, alone, controls)
            if verdict.served is not None and engine.online is not None:
                _, verdict = yield from engine.online.unreported(prepared, alone, verdict, controls)
            if verdict.served is None:
                continue
            yield AwaitFlight(other, min(NEAR_WAIT_S, self._remaining(started)))
            if other.state != "landed":
                continue  # its failure is its own: this is another call
            landed: Landed = other.result
            # Only its own answer: one that it was served by meaning itself was never compared with
            # this request, and likeness is no chain.
            if not landed.stored or landed.entry.id != other.id:
                continue
            hit = self.landed(landed, prepared, controls, started, verdict.reason)
            if hit is not None:
                yield from engine.store(None, "alias", prepared.id, other.id, prepared.scope)
                return hit
        return None

    def _take_lease(self, ticket: Ticket, manner: Manner, started: float) -> Steps[Hit | None]:
        """Become the leader among all processes, or get the answer of the one that is.

        Returns ``None`` when this caller is to call (with or, where the store fails, without a
        lease). After getting the lease the exact tier is asked once more: its last holder may have
        recorded an answer between our first look and now.
        """
        engine, prepared = self.engine, ticket.prepared
        pause = POLL_FIRST_S
        while True:
            unavailable = object()
            token = yield from engine.store(
                unavailable, "lease", prepared.id, self.lease_s, engine.clock()
            )
            if token is unavailable:
                return None
            ticket.lease = token
            hit: Hit | None = yield from engine.exact(prepared, ticket.controls, started)
            if hit is not None or token is not None or not self._remaining(started):
                return hit
            yield Pause(pause)
            pause = min(POLL_LONGEST_S, pause * 2)

    def landed(
        self,
        landed: Landed,
        prepared: Prepared,
        controls: Controls,
        started: float,
        reason: str = "the same request was already under way",
    ) -> Hit | None:
        """The hit of one who followed, with an answer of its own, not the leader's object.

        ``None`` where it cannot be had: this codec cannot read it, or nobody could share it.
        """
        decision = self.engine.decision(prepared, "hit", "coalesced", reason)
        if not landed.shared or landed.is_stream != controls.stream:
            return None
        if landed.payload is None:
            # It could not be recorded, so it cannot be read back either; but it is the answer.
            hit = Hit(own_answer(landed.answer), landed.entry, decision, landed.is_stream)
        else:
            try:
                hit = self.engine.read(landed.entry, landed.payload, decision, controls.codec)
            except Exception as error:
                if self.engine.strict:
                    raise
                log.warning("a shared answer could not be read: %s", type(error).__name__)
                return None
        self.engine.emit_hit("coalesced", decision, landed.entry, started)
        return hit

    def following(self, follow: Follow) -> Decision:
        reason = "the same stream was already under way"
        return self.engine.decision(follow.prepared, "hit", "coalesced", reason)

    def followed(self, follow: Follow) -> None:
        """Count a stream that was followed to its end."""
        landed: Landed = follow.flight.result
        self.engine.emit_hit("coalesced", self.following(follow), landed.entry, follow.started)

    # -- the end of a call --------------------------------------------------------------------

    def finish(self, ticket: Ticket, answer: Any, facts: Facts) -> Steps[Recorded]:
        """The model answered: store it if it is worthy, give it to all who wait.

        Raises:
            AnswerError: with ``strict``, where the answer cannot be recorded.
        """
        engine = self.engine
        landed: Landed | None = None
        try:
            prepared, controls = ticket.prepared, ticket.controls
            encoded = engine.encode(answer, controls.codec, stream=facts.stream)
            if encoded.payload is None and engine.strict:
                raise unrecordable(encoded)
            if not prepared.query:
                recorded = Recorded(False, "the prompt is empty", prepared.id)
                engine.emit("not-admitted", prepared, recorded.reason)
                return recorded
            recorded, entry = yield from engine.keep(prepared, answer, encoded, controls, facts)
            if engine.online is not None:
                engine.online.answered(prepared, controls, encoded, recorded.stored)
            landed = _landed(entry, answer, encoded, facts.stream, recorded.stored)
            return recorded
        finally:
            if ticket.flight is not None:
                self._down(ticket.flight)
                if landed is None:
                    ticket.flight.abandon()
                else:
                    ticket.flight.land(landed)
            yield from self._give_back(ticket)

    def fail(self, ticket: Ticket, error: BaseException) -> Steps[None]:
        """The call failed. An interruption is the leader's own; an error is everybody's."""
        if self.engine.online is not None:
            self.engine.online.consider(ticket.prepared, ticket.controls)
        if ticket.flight is not None:
            self._down(ticket.flight)
            if isinstance(error, Exception):
                ticket.flight.fail(error)
            else:
                ticket.flight.abandon()
        yield from self._give_back(ticket)

    def spare(self, ticket: Ticket, error: BaseException) -> Hit | None:
        """The stored answer, where it was held back as a sample and the model then failed."""
        sample = ticket.prepared.held
        if sample is None or self.engine.online is None or not isinstance(error, Exception):
            return None
        ticket.prepared.held = None
        self.engine.online.shadow.spared(sample, error)
        return sample.hit

    def _down(self, flight: Flight) -> None:
        self.flights.leave(flight)

    def _give_back(self, ticket: Ticket) -> Steps[None]:
        if ticket.lease is not None:
            token, ticket.lease = ticket.lease, None
            yield from self.engine.store(None, "release", ticket.prepared.id, token)


def _as_found(other: Flight, theirs: Asked, mine: Asked) -> Found:
    """A request under way as a candidate, as if its answer were stored already."""
    entry = Entry(
        id=other.id,
        scope=theirs.scope,
        query=theirs.query,
        answer=None,
        created=0.0,
        fingerprint=theirs.fingerprint,
    )
    # Both vectors have unit norm, so their dot product is the cosine.
    return Found(entry, float(theirs.vector @ mine.vector), theirs.terms, "vector")


def _landed(entry: Entry, answer: Any, encoded: Encoded, stream: bool, stored: bool) -> Landed:
    if encoded.payload is not None:
        return Landed(entry, encoded.payload, None, stream, stored)
    try:
        # Now, before the leader goes on and does with its answer what it likes.
        return Landed(entry, None, copy.deepcopy(answer), stream, stored)
    except Exception:
        return Landed(entry, None, None, stream, stored, shared=False)


def own_answer(answer: Any) -> Any:
    """A copy, where there can be one."""
    try:
        return copy.deepcopy(answer)
    except Exception:
        return answer


def own_copy(error: BaseException) -> BaseException:
    """The error for one more caller: tracebacks of several threads must not grow into one."""
    try:
        twin = copy.copy(error)
    except Exception:
        return error
    if type(twin) is not type(error):
        return error
    twin.__cause__, twin.__context__ = error.__cause__, error.__context__
    return twin.with_traceback(error.__traceback__)
