"""The two drivers of the engine, and the upstream call between its steps.

``run`` and ``arun`` perform the steps that the engine yields; nothing else does I/O for it. Around
them stand the four ways to call: a function, a coroutine, an iterator, an async iterator.
"""

from __future__ import annotations

import time
from collections.abc import (
    AsyncGenerator,
    AsyncIterable,
    Awaitable,
    Callable,
    Generator,
    Iterable,
    Sequence,
)
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from semcache.calls import Calls, Follow, Manner, Ticket, leading
from semcache.engine import Controls, Facts
from semcache.errors import EmbeddingError
from semcache.flight import Flight
from semcache.lease import LeaseKeeper
from semcache.memo import VectorMemo
from semcache.observe.events import log
from semcache.outcome import Decision, Hit, Recorded
from semcache.request import Request
from semcache.steps import AwaitFlight, Embed, Pause, Step, Steps, StoreCall, Verify
from semcache.streams import PulledStream, settle
from semcache.threads import in_thread

if TYPE_CHECKING:
    import asyncio

    from semcache.embedders.base import Embedder
    from semcache.pump import PumpedStream
    from semcache.stores.base import Store, Vector
    from semcache.verifiers.base import Verifier

T = TypeVar("T")
Told = Callable[[Decision], None] | None

# No encoder reads less than this many characters: every token stands for at least one of them, and
# the smallest window in use is 128 tokens.
SHORT = 100

# A parked stream stops holding other processes up after this long without a chunk.
STALLED_STREAM_S = 30.0


VALUE = Manner(stream=False, blocking=True)
VALUE_ASYNC = Manner(stream=False, blocking=False)


class Shell:
    """Performs steps against one store and one embedder."""

    def __init__(
        self,
        store: Store,
        embedder: Embedder | None,
        verifier: Verifier | None,
        calls: Calls,
        clock: Callable[[], float],
    ) -> None:
        self._store = store
        self._embedder = embedder
        self._verifier = verifier
        self._calls = calls
        self._memo = VectorMemo()
        self.keeper = LeaseKeeper(
            lambda id, token: store.renew(id, token, calls.lease_s, clock()),
            calls.lease_s,
            STALLED_STREAM_S,
        )

    # -- drivers ------------------------------------------------------------------------------

    def run(self, steps: Steps[T]) -> T:
        """Perform the steps in this thread."""
        try:
            step = next(steps)
            while True:
                try:
                    result = self._perform(step)
                except BaseException as error:
                    step = steps.throw(error)
                else:
                    step = steps.send(result)
        except StopIteration as end:
            return end.value  # type: ignore[no-any-return]

    def _perform(self, step: Step) -> Any:
        if isinstance(step, StoreCall):
            return getattr(self._store, step.method)(*step.args)
        if isinstance(step, Embed):
            vector = self._memo.get(step.text)
            if vector is None and self._embedder is not None:
                if not self._embedder.fits(step.text):
                    return None
                vector = self._checked(self._embedder.embed([step.text]))
                self._memo.put(step.text, vector)
            return vector
        if isinstance(step, Verify):
            return self._verified(step.pairs)
        if isinstance(step, Pause):
            return time.sleep(step.seconds)
        return self._wait(step)

    def _wait(self, step: AwaitFlight) -> bool:
        deadline = time.monotonic() + step.timeout
        flight = step.flight
        while flight.state == "flying":
            version = flight.version
            if flight.state != "flying":
                break
            if not flight.wait(version, max(0.0, deadline - time.monotonic())):
                return False
        return True

    async def arun(self, steps: Steps[T]) -> T:
        """Perform the steps in this task."""
        try:
            step = next(steps)
            while True:
                try:
                    result = await self._aperform(step)
                except BaseException as error:
                    step = steps.throw(error)
                else:
                    step = steps.send(result)
        except StopIteration as end:
            return end.value  # type: ignore[no-any-return]

    async def _aperform(self, step: Step) -> Any:
        if isinstance(step, StoreCall):
            if step.method == "lease":
                return await self._alease(*step.args)
            return await getattr(self._store, "a" + step.method)(*step.args)
        if isinstance(step, Embed):
            vector = self._memo.get(step.text)
            if vector is None and self._embedder is not None:
                # To say whether a long text fits it is tokenised, and the encoder loaded for that.
                if len(step.text) > SHORT and not await in_thread(self._embedder.fits, step.text):
                    return None
                vector = self._checked(await self._embedder.aembed([step.text]))
                self._memo.put(step.text, vector)
            return vector
        if isinstance(step, Verify):
            # A thread of the cache's own: asyncio's are few, and may all wait for a model.
            return await in_thread(self._verified, step.pairs)
        if isinstance(step, Pause):
            import asyncio

            return await asyncio.sleep(step.seconds)
        return await self._await(step)

    async def _await(self, step: AwaitFlight) -> bool:
        deadline = time.monotonic() + step.timeout
        flight = step.flight
        while flight.state == "flying":
            version = flight.version
            if flight.state != "flying":
                break
            if not await flight.await_change(version, max(0.0, deadline - time.monotonic())):
                return False
        return True

    async def _alease(self, id: str, ttl: float, now: float) -> str | None:
        """Take a lease; if this task is cancelled meanwhile, nobody shall wait for it."""
        import asyncio

        taking = asyncio.ensure_future(self._store.alease(id, ttl, now))
        try:
            return await asyncio.shield(taking)
        except asyncio.CancelledError:
            taking.add_done_callback(lambda taken: self._let_go(id, taken))
            raise

    def _let_go(self, id: str, taken: asyncio.Future[str | None]) -> None:
        if not taken.cancelled() and taken.exception() is None and (token := taken.result()):
            try:
                self._store.release(id, token)
            except Exception as error:
                log.warning("a lease was not given back: %s", type(error).__name__)

    def _verified(self, pairs: Sequence[tuple[str, str]]) -> list[float | None]:
        """A logit for each pair; ``None`` where the verifier would read only a part of it.

        Raises:
            VerifierError: there is no verifier, or it failed.
        """
        from semcache.verifiers.base import VerifierError, checked_scores

        verifier = self._verifier
        if verifier is None:
            raise VerifierError("there is no verifier")
        whole = [pair for pair in pairs if verifier.fits(*pair)]
        if not whole:
            return [None] * len(pairs)
        scores = checked_scores(verifier.score(whole).tolist(), len(whole))
        logits = dict(zip(whole, scores.tolist(), strict=True))
        return [logits.get(pair) for pair in pairs]

    def _checked(self, vectors: Any) -> Vector:
        """The one vector that was asked for. An embedder may be anybody's, so it is checked here.

        Raises:
            EmbeddingError: wrong shape, not finite, or zero.
        """
        from semcache.embedders.base import checked_vectors

        if self._embedder is None:
            raise EmbeddingError("there is no embedder")
        vector: Vector = checked_vectors(vectors, 1, self._embedder.dimension)[0]
        return vector

    # -- a lease is kept while its call runs --------------------------------------------------

    def _hold(self, begun: Hit | Follow | Ticket) -> None:
        if isinstance(begun, Ticket) and begun.lease is not None:
            flight = begun.flight
            progress = (lambda: len(flight.chunks)) if flight and begun.stream else None
            self.keeper.hold(begun.prepared.id, begun.lease, progress)

    def _begin(self, request: Request, controls: Controls, manner: Manner) -> Hit | Follow | Ticket:
        begun = self.run(self._calls.begin(request, controls, manner))
        self._hold(begun)
        return begun

    async def _abegin(
        self, request: Request, controls: Controls, manner: Manner
    ) -> Hit | Follow | Ticket:
        begun = await self.arun(self._calls.begin(request, controls, manner))
        self._hold(begun)
        return begun

    def _finish(self, ticket: Ticket, answer: Any, seconds: float) -> Recorded:
        self.keeper.drop(ticket.lease)
        facts = Facts(seconds=seconds, stream=ticket.stream)
        return self.run(self._calls.finish(ticket, answer, facts))

    async def _afinish(self, ticket: Ticket, answer: Any, seconds: float) -> Recorded:
        self.keeper.drop(ticket.lease)
        facts = Facts(seconds=seconds, stream=ticket.stream)
        return await self.arun(self._calls.finish(ticket, answer, facts))

    def _fail(self, ticket: Ticket, error: BaseException) -> None:
        self.keeper.drop(ticket.lease)
        self.run(self._calls.fail(ticket, error))

    async def _afail(self, ticket: Ticket, error: BaseException) -> None:
        self.keeper.drop(ticket.lease)
        await self.arun(self._calls.fail(ticket, error))

    # -- hits that are sampled ----------------------------------------------------------------

    def _later(
        self,
        hit: Hit,
        request: Request,
        controls: Controls,
        call: Callable[[], Any],
        stream: bool = False,
    ) -> None:
        """Perhaps call the model for a hit, in the background (``semcache.online.shadow``)."""
        online = self._calls.engine.online
        if online is not None:
            online.shadow.later(request, hit, controls, call, stream)

    def _later_here(
        self,
        hit: Hit,
        request: Request,
        controls: Controls,
        call: Callable[[], Awaitable[Any]],
        stream: bool = False,
    ) -> None:
        """``_later`` for what has to run on this event loop."""
        from semcache.online.backroom import on_loop, running_loop

        loop = running_loop()
        assert loop is not None
        self._later(hit, request, controls, lambda: on_loop(loop, call), stream)

    # -- four ways to call --------------------------------------------------------------------

    def call(
        self, request: Request, controls: Controls, told: Told, function: Callable[[], T]
    ) -> T:
        begun = self._begin(request, controls, VALUE)
        _tell(told, begun)
        if isinstance(begun, Hit):
            if controls.shadow_rate:
                self._later(begun, request, controls, function)
            return begun.answer  # type: ignore[no-any-return]
        assert isinstance(begun, Ticket)
        started = time.perf_counter()
        try:
            with leading(begun.prepared.id):
                answer = function()
        except BaseException as error:
            spare = self._calls.spare(begun, error)
            self._fail(begun, error if spare is None else GeneratorExit())
            if spare is None:
                raise
            return spare.answer  # type: ignore[no-any-return]
        self._finish(begun, answer, time.perf_counter() - started)
        return answer

    async def acall(
        self,
        request: Request,
        controls: Controls,
        told: Told,
        function: Callable[[], Awaitable[T]],
    ) -> T:
        begun = await self._abegin(request, controls, VALUE_ASYNC)
        _tell(told, begun)
        if isinstance(begun, Hit):
            if controls.shadow_rate:
                self._later_here(begun, request, controls, function)
            return begun.answer  # type: ignore[no-any-return]
        assert isinstance(begun, Ticket)
        started = time.perf_counter()
        try:
            with leading(begun.prepared.id):
                answer = await function()
        except BaseException as error:
            spare = self._calls.spare(begun, error)
            await self._afail(begun, error if spare is None else GeneratorExit())
            if spare is None:
                raise
            return spare.answer  # type: ignore[no-any-return]
        await self._afinish(begun, answer, time.perf_counter() - started)
        return answer

    def stream(
        self,
        request: Request,
        controls: Controls,
        told: Told,
        source: Callable[[], Iterable[T]],
    ) -> Generator[T, None, None]:
        manner = Manner(stream=True, blocking=True, kind="stream")
        while True:
            begun = self._begin(request, controls, manner)
            if isinstance(begun, Follow):
                if (yield from self._follow(begun, told)):
                    return
                continue
            _tell(told, begun)
            if isinstance(begun, Hit):
                if controls.shadow_rate:
                    self._later(begun, request, controls, lambda: list(source()), stream=True)
                yield from begun.answer
            elif begun.prepared.held is None:
                yield from self._lead(begun, source)
            else:
                from semcache.online.shadow import or_stored

                fresh = self._lead(begun, source)
                yield from or_stored(fresh, partial(self._calls.spare, begun))
            return

    def _lead(self, ticket: Ticket, source: Callable[[], Iterable[T]]) -> Generator[T, None, None]:
        started = time.perf_counter()
        flight = ticket.flight = ticket.flight or Flight(ticket.prepared.id, None, 0)
        try:
            with leading(ticket.prepared.id):
                iterator = iter(source())
        except BaseException as error:
            self._fail(ticket, error)
            raise
        flight.stream = PulledStream(
            flight,
            iterator,
            finish=lambda chunks: self._finish(ticket, chunks, time.perf_counter() - started),
            fail=lambda error: self._fail(ticket, error),
            depart=lambda: self._calls.flights.leave(flight),
        )
        flight.stream.enter()
        flight.nudge()
        yield from flight.stream.consume()

    def _follow(self, follow: Follow, told: Told) -> Generator[Any, None, bool]:
        """Deliver a stream that another caller leads; false where it must be asked for anew."""
        flight = follow.flight
        while flight.stream is None and flight.state == "flying":
            version = flight.version
            if flight.stream is None and flight.state == "flying":
                flight.wait(version)
        if flight.stream is None or not flight.stream.enter():
            if flight.state == "failed":
                settle(flight, 0)
            # Abandoned, or landed meanwhile: then the answer is stored, or is to be asked for.
            return False
        _tell_decision(told, self._calls.following(follow))
        yield from flight.stream.consume()
        self._calls.followed(follow)
        return True

    async def astream(
        self,
        request: Request,
        controls: Controls,
        told: Told,
        source: Callable[[], AsyncIterable[T]],
    ) -> AsyncGenerator[T, None]:
        import asyncio

        kind = ("astream", id(asyncio.get_running_loop()))
        manner = Manner(stream=True, blocking=False, kind=kind)
        while True:
            begun = await self._abegin(request, controls, manner)
            if isinstance(begun, Follow):
                flight = begun.flight
                await self._until_streaming(flight)
                if flight.stream is None or not flight.stream.enter():
                    if flight.state == "failed":
                        settle(flight, 0)
                    continue
                _tell_decision(told, self._calls.following(begun))
                follower = flight.stream.consume()
                try:
                    async for chunk in follower:
                        yield chunk
                finally:
                    await follower.aclose()
                self._calls.followed(begun)
                return
            _tell(told, begun)
            if isinstance(begun, Hit):
                if controls.shadow_rate:
                    self._later_here(begun, request, controls, lambda: _all(source()), stream=True)
                for chunk in begun.answer:
                    yield chunk
                return
            consumer = self._aled(begun, source)
            if begun.prepared.held is not None:
                from semcache.online.shadow import aor_stored

                consumer = aor_stored(consumer, partial(self._calls.spare, begun))
            try:
                async for chunk in consumer:
                    yield chunk
            finally:
                await consumer.aclose()
            return

    async def _aled(
        self, ticket: Ticket, source: Callable[[], AsyncIterable[T]]
    ) -> AsyncGenerator[T, None]:
        consumer = (await self._alead(ticket, source)).consume()
        try:
            async for chunk in consumer:
                yield chunk
        finally:
            await consumer.aclose()

    async def _until_streaming(self, flight: Flight) -> None:
        while flight.stream is None and flight.state == "flying":
            version = flight.version
            if flight.stream is None and flight.state == "flying":
                await flight.await_change(version)

    async def _alead(self, ticket: Ticket, source: Callable[[], AsyncIterable[T]]) -> PumpedStream:
        started = time.perf_counter()
        flight = ticket.flight = ticket.flight or Flight(ticket.prepared.id, None, 0)

        async def finish(chunks: list[Any]) -> None:
            await self._afinish(ticket, chunks, time.perf_counter() - started)

        async def fail(error: BaseException) -> None:
            await self._afail(ticket, error)

        try:
            with leading(ticket.prepared.id):
                iterator = aiter(source())
        except BaseException as error:
            await fail(error)
            raise
        from semcache.pump import PumpedStream

        stream = PumpedStream(
            flight,
            iterator,
            finish=finish,
            fail=fail,
            depart=lambda: self._calls.flights.leave(flight),
        )
        stream.enter()
        flight.stream = stream
        flight.nudge()
        return stream


async def _all(chunks: AsyncIterable[T]) -> list[T]:
    return [chunk async for chunk in chunks]


def _tell(told: Told, begun: Hit | Follow | Ticket) -> None:
    if not isinstance(begun, Follow):
        _tell_decision(told, begun.decision)


def _tell_decision(told: Told, decision: Decision) -> None:
    if told is None:
        return
    try:
        told(decision)
    except Exception:
        log.exception("on_decision raised; the call goes on without it")
