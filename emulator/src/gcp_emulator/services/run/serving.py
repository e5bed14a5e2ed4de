"""The addresses of Cloud Run's services: who may call, which revision answers, what the caller gets when none can.

Sources: "Traffic migration", "Authentication overview" (invokers), "Request timeout", "Troubleshoot Cloud Run issues" (log texts).
"""

from __future__ import annotations

import asyncio
import contextlib
import html
import logging
import random
import secrets
import time
from collections.abc import AsyncIterator, Iterable

from gcp_emulator.engine import clock
from gcp_emulator.engine.context import Context
from gcp_emulator.engine.errors import Json
from gcp_emulator.engine.routes import Route
from gcp_emulator.front.http import forward
from gcp_emulator.front.messages import MAX_BODY, Headers, Request, Response, text_response
from gcp_emulator.front.wire import ProtocolError
from gcp_emulator.services.run.names import Name, hosts, tagged
from gcp_emulator.services.run.neighbours import Neighbours
from gcp_emulator.services.run.services import ServicesApi
from gcp_emulator.workloads.autoscaler import NoCapacityError
from gcp_emulator.workloads.instances import Instance, InstanceError
from gcp_emulator.workloads.sandbox.process import SandboxError, SandboxUnavailable

log = logging.getLogger(__name__)

_PAGE = (
    '\n<html><head>\n<meta http-equiv="content-type" content="text/html;charset=utf-8">\n<title>{code} {title}</title>\n'
    "</head>\n<body text=#000000 bgcolor=#ffffff>\n<h1>Error: {title}</h1>\n<h2>{text}</h2>\n<h2></h2>\n</body></html>\n"
)
_UNAUTHENTICATED = (
    "The request was not authenticated. Either allow unauthenticated invocations or set the proper Authorization header. "
    "Read more at https://cloud.google.com/run/docs/securing/authenticating Additional troubleshooting documentation can "
    "be found at: https://cloud.google.com/run/docs/troubleshooting#unauthorized-client"
)
_NO_INSTANCE = (
    "The request was aborted because there was no available instance. Additional troubleshooting documentation can be found "
    "at: https://cloud.google.com/run/docs/troubleshooting#abort-request"
)
_NOT_STARTED = "The request failed because the instance could not start successfully."
_BROKEN = (
    "The request failed because either the HTTP response was malformed or connection to the instance had an error. "
    "Additional troubleshooting documentation can be found at: "
    "https://cloud.google.com/run/docs/troubleshooting#malformed-response-or-connection-error"
)
_DYING_SECONDS = 0.5
_TOO_LATE = (
    "The request has been terminated because it has reached the maximum request timeout. To change this limit, see "
    "https://cloud.google.com/run/docs/configuring/request-timeout"
)


class Serving:
    """Answers ``https://*.run.app``."""

    def __init__(self, context: Context, neighbours: Neighbours, services: ServicesApi) -> None:
        self._context = context
        self._neighbours = neighbours
        self._services = services

    def routes(self) -> Iterable[Route]:
        return [Route("*.run.app", serve=self.serve)]

    async def serve(self, request: Request) -> Response:
        """What the service at this address answers, or why it does not."""
        found = self._find(request.host)
        if found is None:
            return _page(404, "Page not found", "The requested URL was not found on this server.")
        name, record, tag = found
        if record["spec"]["ingress"] != "INGRESS_TRAFFIC_ALL":
            return _page(404, "Page not found", "The requested URL was not found on this server.")
        if refused := self._refuse(request, name, record):
            return refused
        revision = self._choose(str(name), record, tag)
        if revision is None:
            return _page(404, "Page not found", "The requested URL was not found on this server.")
        return await self._pass_on(request, name, revision)

    def _find(self, host: str) -> tuple[Name, Json, str | None] | None:
        """The service and tag that a host name stands for."""
        for full, record in self._services.services.items():
            name = Name.of(full)
            for own in hosts(name, self._context.projects.number(name.project)):
                if record["spec"].get("defaultUriDisabled"):
                    continue
                if host == own:
                    return name, record, None
                for target in record["status"].get("trafficStatuses", ()):
                    if target.get("tag") and host == tagged(target["tag"], own):
                        return name, record, target["tag"]
        return None

    def _refuse(self, request: Request, name: Name, record: Json) -> Response | None:
        """401 or 403 unless the caller may invoke the service."""
        if record["spec"].get("invokerIamDisabled"):
            return None
        audiences = [*record["status"].get("urls", ()), *record["spec"].get("customAudiences", ())]
        credential = request.headers.get("x-serverless-authorization") or request.headers.get("authorization")
        identity = self._neighbours.caller(credential, audiences)
        if self._context.iam.allows(identity, "run.routes.invoke", str(name)):
            return None
        resource = self._services.log_resource(
            record["status"].get("latestReadyRevision", f"{name}/revisions/-")
        )
        self._log_request(request, resource, 403, 0.0, _UNAUTHENTICATED, severity="WARNING")
        if credential and identity is None:
            return _page(
                401,
                "Unauthorized",
                "Your client does not have permission to the requested URL <code>{path}</code>.",
                request,
            )
        text = "Your client does not have permission to get URL <code>{path}</code> from this server."
        return _page(403, "Forbidden", text, request)

    def _choose(self, name: str, record: Json, tag: str | None) -> str | None:
        """The full name of the revision that answers: the tag's, else drawn by percent."""
        targets = record["status"].get("trafficStatuses", ())
        latest = record["status"].get("latestReadyRevision")
        if tag is not None:
            drawn = next(target for target in targets if target.get("tag") == tag)
        elif shares := [target for target in targets if target.get("percent")]:
            drawn = random.choices(shares, [target["percent"] for target in shares])[0]  # noqa: S311 - not a secret
        else:
            return None
        return f"{name}/revisions/{drawn['revision']}" if drawn.get("revision") else latest

    async def _pass_on(self, request: Request, name: Name, revision: str) -> Response:
        if int(request.headers.get("content-length") or 0) > MAX_BODY:
            return _page(413, "Request Entity Too Large", "Your client issued a request that was too large.")
        record = self._services.revisions.get(revision)
        if record is None:
            return _page(404, "Page not found", "The requested URL was not found on this server.")
        limit = clock.seconds(record["spec"]["timeout"])
        resource = self._services.log_resource(revision)
        begun = time.monotonic()
        stack = contextlib.AsyncExitStack()
        text = ""
        _add_headers(request)
        instance: Instance | None = None
        try:
            async with asyncio.timeout(limit):
                instance, reader, writer = await self._connect(revision, stack)
                response = await forward(request, reader, writer)
        except NoCapacityError:
            response, text = text_response("Rate exceeded.", status=429), _NO_INSTANCE
        except (InstanceError, SandboxError, SandboxUnavailable) as error:
            log.info("cold start of %s: %s", revision, error)
            response, text = text_response("Service Unavailable", status=503), _NOT_STARTED
        except TimeoutError:
            response, text = text_response("upstream request timeout", status=504), _TOO_LATE
        except (OSError, ProtocolError):
            if instance is not None:
                await _has_ended(instance)
            response, text = text_response("Service Unavailable", status=503), _BROKEN
        except BaseException:
            await stack.aclose()
            raise
        passed = time.monotonic() - begun
        self._log_request(request, resource, response.status, passed, text)
        if "set-cookie" in response.headers:  # "Container runtime contract", response caching and cookies
            response.headers.set("Cache-Control", "private")
        response.headers.set("Server", "Google Frontend")
        if isinstance(response.body, bytes):
            await stack.aclose()
        elif request.method == "HEAD":
            response.body = b""
            await stack.aclose()
        else:
            deadline = asyncio.get_running_loop().call_later(limit - passed, writer.close)
            stack.callback(deadline.cancel)
            response.body = _held(response.body, stack)
        return response

    def _crashes(self, revision: str) -> bool:
        """Whether the container is to end at this request: after the number that the fault lets it serve, while it is in the plan."""
        fault, left = self._services.crashes.get(revision, (None, 0))
        if fault is None:
            return False
        if fault.removed:
            del self._services.crashes[revision]
            return False
        self._services.crashes[revision] = (fault, max(0, left - 1))
        return left == 0

    async def _connect(
        self, revision: str, stack: contextlib.AsyncExitStack
    ) -> tuple[Instance, asyncio.StreamReader, asyncio.StreamWriter]:
        """An instance and a connection to it; the place on it and the connection end with ``stack``.

        An instance that has just died refuses before its end is known: nothing was sent yet, so another one is taken.
        """
        while True:
            place = await stack.enter_async_context(contextlib.AsyncExitStack())
            instance = await place.enter_async_context(self._services.pool(revision).request())
            try:
                reader, writer = await instance.connect()
            except OSError:
                if not await _has_ended(instance):
                    raise
                await place.aclose()
                continue
            stack.callback(writer.close)
            if self._crashes(revision):
                await instance.kill()
            return instance, reader, writer

    def _log_request(
        self, request: Request, resource: Json, status: int, seconds: float, text: str, severity: str = ""
    ) -> None:
        """The request log (``run.googleapis.com/requests``), with Cloud Run's explanation when it answered itself."""
        severity = severity or ("ERROR" if status >= 500 else "WARNING" if status >= 400 else "INFO")
        http_request = {
            "requestMethod": request.method,
            "requestUrl": f"https://{request.host}{request.target}",
            "status": status,
            "userAgent": request.headers.get("user-agent") or "",
            "remoteIp": "127.0.0.1",
            "latency": f"{seconds:.6f}s",
            "protocol": "HTTP/1.1",
        }
        project = resource["labels"]["project_id"]
        trace = (request.headers.get("x-cloud-trace-context") or "").partition("/")[0]
        fields = {"trace": f"projects/{project}/traces/{trace}"} if trace else {}
        self._context.logs.write(
            project,
            "run.googleapis.com/requests",
            resource,
            text,
            severity=severity,
            httpRequest=http_request,
            **fields,
        )


async def _has_ended(instance: Instance) -> bool:
    """Whether an instance that broke off a connection is dead: its end is known a moment later, and until then the next
    request would be sent to it."""
    try:
        await asyncio.wait_for(instance.wait(), _DYING_SECONDS)
    except TimeoutError:
        return False
    return True


async def _held(body: AsyncIterator[bytes], stack: contextlib.AsyncExitStack) -> AsyncIterator[bytes]:
    """A streamed body that keeps its place on the instance until it ends."""
    try:
        async for part in body:
            yield part
    finally:
        await stack.aclose()


def _add_headers(request: Request) -> None:
    """What Google's front end adds. Source: "HTTPS requests" of the container contract and what services see."""
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


def _page(status: int, title: str, text: str, request: Request | None = None) -> Response:
    text = text.format(path=html.escape(request.path)) if request else text
    body = _PAGE.format(code=status, title=title, text=text)
    headers = Headers([("Content-Type", "text/html; charset=UTF-8"), ("Server", "Google Frontend")])
    return Response(status, headers, body.encode())
