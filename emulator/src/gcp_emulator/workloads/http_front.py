"""The HTTP front of what serves: a request passed on to an instance, within its time, and what came of it.

Knows nothing of APIs: whoever serves says which instance answers, and what the client is told when none does.
"""

from __future__ import annotations

import asyncio
import contextlib
import enum
import logging
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass

from gcp_emulator.front.http import forward
from gcp_emulator.front.messages import Request, Response
from gcp_emulator.front.wire import ProtocolError
from gcp_emulator.workloads.autoscaler import NoCapacityError, RevisionPool
from gcp_emulator.workloads.instances import Instance, InstanceError
from gcp_emulator.workloads.sandbox.process import SandboxError, SandboxUnavailable

log = logging.getLogger(__name__)

Upstream = tuple[Instance, asyncio.StreamReader, asyncio.StreamWriter]
"""An instance and a connection to it."""

_DYING_SECONDS = 0.5


class Outcome(enum.Enum):
    """What came of a request."""

    PASSED = enum.auto()
    NO_CAPACITY = enum.auto()
    NOT_STARTED = enum.auto()
    TOO_LATE = enum.auto()
    BROKEN = enum.auto()


@dataclass(frozen=True)
class Passed:
    """``response`` is the instance's, None unless it was `Outcome.PASSED`; it took ``seconds`` to its head."""

    outcome: Outcome
    response: Response | None
    seconds: float


async def pass_on(
    request: Request,
    connect: Callable[[contextlib.AsyncExitStack], Awaitable[Upstream]],
    limit: float,
) -> Passed:
    """Passes a request on to what ``connect`` finds; what that takes is given back with its stack, when the answer has ended.

    After ``limit`` seconds the connection is cut, also in the middle of an answer.
    """
    begun = time.monotonic()
    stack = contextlib.AsyncExitStack()
    instance: Instance | None = None
    try:
        async with asyncio.timeout(limit):
            instance, reader, writer = await connect(stack)
            response = await forward(request, reader, writer)
    except (
        NoCapacityError,
        InstanceError,
        SandboxError,
        SandboxUnavailable,
        TimeoutError,
        OSError,
        ProtocolError,
    ) as error:
        outcome = _outcome(error)
        if outcome is Outcome.BROKEN and instance is not None:
            await has_ended(instance)
        await stack.aclose()
        return Passed(outcome, None, time.monotonic() - begun)
    except BaseException:
        await stack.aclose()
        raise
    seconds = time.monotonic() - begun
    if isinstance(response.body, bytes):
        await stack.aclose()
    elif request.method == "HEAD":
        response.body = b""
        await stack.aclose()
    else:
        deadline = asyncio.get_running_loop().call_later(limit - seconds, writer.close)
        stack.callback(deadline.cancel)
        held = _held(response.body, stack)
        await anext(held)
        response.body = held
    return Passed(Outcome.PASSED, response, seconds)


async def connected(pool: RevisionPool, stack: contextlib.AsyncExitStack) -> Upstream:
    """An instance of the pool and a connection to it; the place on it and the connection end with ``stack``.

    An instance that has just died refuses before its end is known: nothing was sent yet, so another one is taken.
    """
    while True:
        place = await stack.enter_async_context(contextlib.AsyncExitStack())
        instance = await place.enter_async_context(pool.request())
        try:
            reader, writer = await instance.connect()
        except OSError:
            if not await has_ended(instance):
                raise
            await place.aclose()
            continue
        stack.callback(writer.close)
        return instance, reader, writer


async def has_ended(instance: Instance) -> bool:
    """Whether an instance that broke off a connection is dead: its end is known a moment later, and until then the next
    request would be sent to it."""
    try:
        await asyncio.wait_for(instance.wait(), _DYING_SECONDS)
    except TimeoutError:
        return False
    return True


def add_headers(request: Request) -> None:
    """What Google's front end adds. Source: "HTTPS requests" of Cloud Run's container contract and what services see."""
    headers = request.headers
    headers.set("Host", request.host)
    forwarded = headers.get("x-forwarded-for")
    headers.set("X-Forwarded-For", f"{forwarded}, 127.0.0.1" if forwarded else "127.0.0.1")
    headers.set("X-Forwarded-Proto", request.scheme)
    headers.set("Forwarded", f'for="127.0.0.1";proto={request.scheme}')
    if "x-cloud-trace-context" not in headers:
        headers.set("X-Cloud-Trace-Context", f"{secrets.token_hex(16)}/{secrets.randbits(63)}")
    if "traceparent" not in headers:
        trace = (headers.get("x-cloud-trace-context") or "").partition("/")[0]
        headers.set("traceparent", f"00-{trace}-{secrets.token_hex(8)}-00")


def _outcome(error: Exception) -> Outcome:
    if isinstance(error, NoCapacityError):
        return Outcome.NO_CAPACITY
    if isinstance(error, (InstanceError, SandboxError, SandboxUnavailable)):
        log.info("cold start: %s", error)
        return Outcome.NOT_STARTED
    return Outcome.TOO_LATE if isinstance(error, TimeoutError) else Outcome.BROKEN


async def _held(body: AsyncIterator[bytes], stack: contextlib.AsyncExitStack) -> AsyncIterator[bytes]:
    """A streamed body that keeps its place on the instance until it ends, or nobody has it any more: its beginning is empty, because a
    generator that never began has no end, and a client may be gone before the first piece."""
    try:
        yield b""
        async for part in body:
            yield part
    finally:
        await stack.aclose()
