"""The addresses of Cloud Run's services: who may call, which revision answers, what the caller gets when none can.

Sources: "Traffic migration", "Authentication overview" (invokers), "Request timeout", "Troubleshoot Cloud Run issues" (log texts).
"""

from __future__ import annotations

import contextlib
import html
import itertools
import random
import re
from collections.abc import Iterable, Iterator
from functools import partial
from urllib.parse import unquote

from gcp_emulator.engine import clock
from gcp_emulator.engine.context import Context
from gcp_emulator.engine.errors import Json
from gcp_emulator.engine.identity import Identity
from gcp_emulator.engine.routes import Route
from gcp_emulator.front.messages import MAX_BODY, Headers, Request, Response, text_response
from gcp_emulator.services.run.names import Name, hosts, tagged
from gcp_emulator.services.run.neighbours import Neighbours
from gcp_emulator.services.run.services import ServicesApi
from gcp_emulator.workloads.http_front import Outcome, Upstream, add_headers, connected, pass_on

_PAGE = (
    '\n<html><head>\n<meta http-equiv="content-type" content="text/html;charset=utf-8">\n<title>{code} {title}</title>\n'
    "</head>\n<body text=#000000 bgcolor=#ffffff>\n<h1>Error: {title}</h1>\n<h2>{text}</h2>\n<h2></h2>\n</body></html>\n"
)
#: What Google's front end keeps for itself: no service gets it, and no request log. Source: "Known issues in Cloud Run", reserved URL
#: paths (https://cloud.google.com/run/docs/known-issues). Of "some paths ending with z" /healthz is known, and neither /healthz/ nor
#: /readyz or /livez (https://github.com/kkdai/linebot-file/pull/5, which saw /_ah/health reach its service, too: the page stands).
_RESERVED = re.compile(r"/(?:eventlog|healthz|_ah|_ah/.*)", re.DOTALL)
#: The page in the form that https://github.com/vivekchand/clawmetry/issues/3213 quotes.
_RESERVED_PAGE = (
    "<!DOCTYPE html>\n<html lang=en>\n  <meta charset=utf-8>\n"
    "  <title>Error 404 (Not Found)!!1</title>\n  <p><b>404.</b> <ins>That\u2019s an error.</ins>\n"
    "  <p>The requested URL <code>{path}</code> was not found on this server.  <ins>That\u2019s all we know.</ins>\n"
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
_TOO_LATE = (
    "The request has been terminated because it has reached the maximum request timeout. To change this limit, see "
    "https://cloud.google.com/run/docs/configuring/request-timeout"
)
#: A visitor stays with a revision that says so, until its share goes to another one or the cookie is 30 days old; when 90 % and 10 % become 80 % and
#: 20 %, 10 % of the visitors move: https://docs.cloud.google.com/run/docs/configuring/session-affinity. To one instance nobody is kept here. The
#: name is assumed: that of App Engine.
_AFFINITY_COOKIE = "GAESA"
_AFFINITY_SECONDS = 30 * 24 * 3600
#: Status and body of the answer, and what the log says of it.
_FAILURES = {
    Outcome.NO_CAPACITY: (429, "Rate exceeded.", _NO_INSTANCE),
    Outcome.NOT_STARTED: (503, "Service Unavailable", _NOT_STARTED),
    Outcome.TOO_LATE: (504, "upstream request timeout", _TOO_LATE),
    Outcome.BROKEN: (503, "Service Unavailable", _BROKEN),
}


class Serving:
    """Answers ``https://*.run.app``."""

    def __init__(self, context: Context, neighbours: Neighbours, services: ServicesApi) -> None:
        self._context = context
        self._neighbours = neighbours
        self._services = services
        #: The services by their host names, as of so many changes.
        self._hosts: dict[str, tuple[Name, str | None]] = {}
        self._indexed = -1

    def routes(self) -> Iterable[Route]:
        return [Route("*.run.app", serve=self.serve)]

    async def invoke(
        self, request: Request, identity: Identity | None = None, audience: str = ""
    ) -> Response:
        """See `Invoker`."""
        if identity is not None:
            token = await self._neighbours.id_token(identity, audience or f"https://{request.host}")
            request.headers.set("Authorization", f"Bearer {token}")
        return await self.serve(request)

    async def serve(self, request: Request) -> Response:
        """What the service at this address answers, or why it does not."""
        if _RESERVED.fullmatch(unquote(request.path)):
            page = _RESERVED_PAGE.format(path=html.escape(request.path))
            return Response(404, Headers([("Content-Type", "text/html; charset=UTF-8")]), page.encode())
        found = self._find(request.host)
        if found is None:
            return _page(404, "Page not found", "The requested URL was not found on this server.")
        name, record, tag = found
        if record["spec"]["ingress"] != "INGRESS_TRAFFIC_ALL":
            return _page(404, "Page not found", "The requested URL was not found on this server.")
        if refused := self._refuse(request, name, record):
            return refused
        kept = _place(request) if tag is None else None
        place = random.random() if kept is None else kept  # noqa: S311 - not a secret
        revision = self._choose(str(name), record, tag, place)
        if kept is not None and revision and not self._keeps(revision):
            revision = self._choose(str(name), record, tag, random.random())  # noqa: S311 - not a secret
        if revision is None:
            return _page(404, "Page not found", "The requested URL was not found on this server.")
        response = await self._pass_on(request, name, revision)
        if tag is None and kept is None and self._keeps(revision):
            cookie = f"{_AFFINITY_COOKIE}={place.hex()}; Max-Age={_AFFINITY_SECONDS}; Path=/; HttpOnly"
            response.headers.items.append(("Set-Cookie", cookie))
        return response

    def _find(self, host: str) -> tuple[Name, Json, str | None] | None:
        """The service and tag that a host name stands for."""
        if self._indexed != self._services.declared.changes:
            self._indexed = self._services.declared.changes
            self._hosts = dict(self._addresses())
        if host not in self._hosts:
            return None
        name, tag = self._hosts[host]
        record = self._services.declared.get(str(name))
        return None if record is None else (name, record, tag)

    def _addresses(self) -> Iterator[tuple[str, tuple[Name, str | None]]]:
        """Every host name of a service, with the tag that it is for."""
        for full, record in self._services.declared.items():
            if record["spec"].get("defaultUriDisabled"):
                continue
            name = Name.of(full)
            tags = [one["tag"] for one in record["status"].get("trafficStatuses", ()) if one.get("tag")]
            for own in hosts(name, self._context.projects.number(name.project)):
                yield own, (name, None)
                for tag in tags:
                    yield tagged(tag, own), (name, tag)

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

    def _keeps(self, revision: str) -> bool:
        record = self._services.revisions.get(revision)
        return bool(record and record["spec"].get("sessionAffinity"))

    def _choose(self, name: str, record: Json, tag: str | None, place: float) -> str | None:
        """The full name of the revision that answers: the tag's, else that which has the share in which a place from 0 to 1 lies.

        The newest one's share is the first, so that one that grows takes visitors from the others, and none from itself.
        """
        targets = record["status"].get("trafficStatuses", ())
        latest = record["status"].get("latestReadyRevision")
        if tag is not None:
            drawn = next(target for target in targets if target.get("tag") == tag)
        elif shares := [target for target in targets if target.get("percent")]:
            shares.sort(key=lambda target: target.get("revision") or latest or "", reverse=True)
            ends = itertools.accumulate(target["percent"] for target in shares)
            drawn = next(target for target, end in zip(shares, ends, strict=True) if place * 100 < end)
        else:
            return None
        return f"{name}/revisions/{drawn['revision']}" if drawn.get("revision") else latest

    async def _pass_on(self, request: Request, name: Name, revision: str) -> Response:
        if int(request.headers.get("content-length") or 0) > MAX_BODY:
            return _page(413, "Request Entity Too Large", "Your client issued a request that was too large.")
        record = self._services.revisions.get(revision)
        if record is None:
            return _page(404, "Page not found", "The requested URL was not found on this server.")
        add_headers(request)
        limit = clock.seconds(record["spec"]["timeout"])
        passed = await pass_on(request, partial(self._connect, revision), limit)
        response, text = passed.response, ""
        if response is None:
            status, body, text = _FAILURES[passed.outcome]
            response = text_response(body, status=status)
        resource = self._services.log_resource(revision)
        self._log_request(request, resource, response.status, passed.seconds, text)
        if "set-cookie" in response.headers:  # "Container runtime contract", response caching and cookies
            response.headers.set("Cache-Control", "private")
        response.headers.set("Server", "Google Frontend")
        return response

    async def _connect(self, revision: str, stack: contextlib.AsyncExitStack) -> Upstream:
        upstream = await connected(self._services.pool(revision), stack)
        if self._crashes(revision):
            await upstream[0].kill()
        return upstream

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


def _page(status: int, title: str, text: str, request: Request | None = None) -> Response:
    text = text.format(path=html.escape(request.path)) if request else text
    body = _PAGE.format(code=status, title=title, text=text)
    headers = Headers([("Content-Type", "text/html; charset=UTF-8"), ("Server", "Google Frontend")])
    return Response(status, headers, body.encode())


def _place(request: Request) -> float | None:
    """Where among the shares of the traffic a visitor has come before, from 0 to 1; None for one who has not."""
    pairs = (pair.strip().partition("=") for pair in (request.headers.get("cookie") or "").split(";"))
    value = next((value for key, _equals, value in pairs if key == _AFFINITY_COOKIE), "")
    try:
        place = float.fromhex(value)
    except (ValueError, OverflowError):
        return None
    return place if 0 <= place < 1 else None
