"""From an HTTP request to a handler: route, authenticate, authorise, validate, answer.

The order is Google's: an unknown path is 404, a missing credential 401, an unknown project 403, a quota that is used up 429, a missing
permission 403, and only a permitted call has its body looked at.
"""

from __future__ import annotations

import errno
import logging
import re
import sqlite3
import traceback
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from functools import lru_cache, partial
from typing import Any

from gcp_emulator.engine import discovery
from gcp_emulator.engine.answers import Answers, wants_numbers
from gcp_emulator.engine.context import Context
from gcp_emulator.engine.discovery import Api, Method
from gcp_emulator.engine.disturb import disturbed
from gcp_emulator.engine.errors import (
    ApiError,
    ErrorStyle,
    Json,
    error_info,
    failed_precondition,
    invalid_argument,
)
from gcp_emulator.engine.facts import Facts, load_facts
from gcp_emulator.engine.faults import Faults
from gcp_emulator.engine.masks import select_fields
from gcp_emulator.engine.quotas import Caller
from gcp_emulator.engine.requests import Entry
from gcp_emulator.engine.routes import Route, Routes, Serve
from gcp_emulator.engine.service import Call, Handler, Service
from gcp_emulator.engine.validate import BodyValidator, parse_json, query_parameters
from gcp_emulator.front.messages import (
    BodyTooLargeError,
    BrokenConnectionError,
    PeerGoneError,
    Request,
    Response,
    json_response,
    text_response,
)

log = logging.getLogger(__name__)
_REGION = re.compile(r"(?:^|/)locations/([^/:]+)")
_PROJECT = re.compile(r"(?<![^/])projects/([^/:]+(?::[^/:]+)?)")


class MountedApi:
    """One version of one API with the service that answers it."""

    def __init__(self, service: Service, version: str) -> None:
        self.service = service
        self.document: Api = discovery.load(service.api, version)
        self.facts: Facts = load_facts(service.api)
        self.validator = BodyValidator(
            self.document.schemas,
            self.facts.output_only,
            tolerated=self.facts.tolerated_body,
            lenient=self.facts.lenient_body,
            empty_enums=self.facts.empty_enums,
        )
        self.wire = Answers(self.document.schemas, self.facts.told)
        self.handlers: dict[str, Handler] = {
            method_id: handler
            for method_id, handler in service.handlers().items()
            if method_id in self.document.methods
        }
        missing = sorted(set(self.handlers) - set(self.facts.methods))
        if missing:
            raise ValueError(
                f"services/{service.api}/facts.yaml names no permission for {', '.join(missing)}"
            )

    def answers(self, host: str) -> bool:
        """Whether ``host`` is this API's: its own, a regional or mTLS form, or one of the service's further names."""
        own = self.document.host
        short = own.removesuffix(".googleapis.com")
        return (
            host == own
            or host in self.service.hosts
            or host == f"{short}.mtls.googleapis.com"
            or re.fullmatch(rf"[a-z]+-[a-z]+\d+-{re.escape(own)}", host) is not None
            or re.fullmatch(rf"{re.escape(short)}\.[a-z]+-[a-z]+\d+\.rep\.googleapis\.com", host) is not None
        )


class Dispatcher:
    """All mounted APIs."""

    def __init__(self, context: Context, services: Sequence[Service]) -> None:
        self._context = context
        self._services = services
        self._mounted = [MountedApi(service, version) for service in services for version in service.versions]
        self._answering = lru_cache(maxsize=256)(self._find)
        self._routes = Routes(
            replace(route, style=service.error_style) for service in services for route in service.routes()
        )
        #: Every method id that something answers, our own names for what has none included.
        self.method_ids = self._routes.methods.union(*(api.handlers for api in self._mounted))
        #: What is to go wrong at which calls.
        self.faults = Faults(self.method_ids)

    async def answer(self, request: Request) -> Response:
        """The response to any request for a Google host. BrokenConnectionError when a fault wants none."""
        if found := self._routes.find(request):
            return await self._serve(*found, request)
        entry = self._context.requests.open(request)
        response = await self._answer(request, entry)
        entry.end(response.status)
        return response

    async def _serve(self, route: Route, serve: Serve, request: Request) -> Response:
        """What a service answers itself."""
        method = route.method_of(request)
        # What people deployed has Cloud Logging to tell of its requests.
        if not method:
            return await self._guard(serve(request), route.style)
        entry = self._context.requests.open(request)
        entry.method = method
        identity = self._context.tokens.find(request.headers.get("authorization"))
        entry.caller = identity.member if identity else ""
        response = await self._guard(
            self._disturbed(request, entry, partial(serve, request), method), route.style
        )
        entry.end(response.status)
        return response

    async def _answer(self, request: Request, entry: Entry) -> Response:
        mounted = self._answering(request.host)
        if not mounted:
            self._context.unhandled.append(f"{request.method} https://{request.host}{request.path}")
            return text_response(f"gcp-emulator: no API is emulated at {request.host}\n", status=404)
        for api in mounted:
            if found := api.document.route(request.method, request.path):
                entry.method, entry.params = found[0].id, dict(found[1])
                facts = api.facts.methods.get(entry.method)
                permission = facts.permissions[0] if facts and facts.permissions else entry.method
                work = self._disturbed(
                    request, entry, partial(self._call, api, request, entry, *found), permission
                )
                return await self._guard(work, api.service.error_style)
        known = any(api.document.has_path(request.path) for api in mounted)
        self._context.unhandled.append(f"{request.method} https://{request.host}{request.path}")
        return text_response(
            f"The requested URL {request.path} was not found on this server.\n", status=405 if known else 404
        )

    def _find(self, host: str) -> list[MountedApi]:
        return [api for api in self._mounted if api.answers(host)]

    async def _disturbed(
        self,
        request: Request,
        entry: Entry,
        work: Callable[[], Awaitable[Response]],
        permission: str,
    ) -> Response:
        """What ``work`` answers, as the faults of the plan leave it. ``permission`` is the one that a 403 names."""
        plan = self.faults
        if not plan:
            return await work()
        identity = self._context.tokens.find(request.headers.get("authorization"))
        entry.caller = identity.member if identity else ""
        striking = plan.strike(entry.method, entry.caller, request.target)
        for fault in striking:
            for service in self._services:
                await service.disturb(fault)
        return await disturbed(striking, permission, request.path, work)

    async def _guard(self, work: Any, style: ErrorStyle) -> Response:
        try:
            response: Response = await work
            return response
        except ApiError as error:
            return json_response(error.body(style), status=error.code, headers=error.headers.items())
        except BodyTooLargeError as error:
            return json_response(ApiError("INVALID_ARGUMENT", str(error), code=413).body(style), status=413)
        except (PeerGoneError, BrokenConnectionError):  # nobody is left to answer
            raise
        except (OSError, sqlite3.OperationalError) as error:
            if getattr(error, "errno", None) != errno.ENOSPC and "disk is full" not in str(error):
                return self._defect(error, style)
            full = "gcp-emulator: the disk that holds its state is full; make room and call again."
            return json_response(ApiError("INTERNAL", full).body(style), status=500)
        except Exception as error:
            return self._defect(error, style)

    @staticmethod
    def _defect(error: Exception, style: ErrorStyle) -> Response:
        log.error("%s", traceback.format_exc())
        failure = ApiError(
            "INTERNAL", f"gcp-emulator: {type(error).__name__}: {error} (this is a defect of the emulator)"
        )
        return json_response(failure.body(style), status=500)

    async def _call(
        self,
        api: MountedApi,
        request: Request,
        entry: Entry,
        method: Method,
        path: dict[str, str],
        upload: bool,
    ) -> Response:
        context = self._context
        handler = api.handlers.get(method.id)
        if handler is None:
            context.unhandled.append(method.id)
            raise failed_precondition(f"gcp-emulator does not emulate {method.id}; nothing was done.")
        facts = api.facts.methods[method.id]
        authorization = request.headers.get("authorization")
        anonymous = authorization is None and api.service.answers_anonymous
        identity = None if anonymous else context.tokens.authenticate(authorization)
        entry.caller = identity.member if identity else ""
        params, project = self._canonical(api.service.canonical(path), api, method)
        if project is not None and not api.facts.always_enabled:
            context.projects.require_enabled(project, api.document.host, api.document.title)
        if project is not None and context.quotas:
            self._charge(api, request, method, params, project, entry.caller)
        resource = _resource(facts.resource, params)
        for permission in facts.permissions:
            context.iam.require(identity, permission, resource)
        params |= query_parameters(method, request.query_pairs, api.facts.tolerated_query)
        body, raw_body = ({}, {}) if upload else await self._body(api, method, request)
        for name in facts.required:
            _require_field(body, name)
        call = Call(method, params, body, identity, request, context, upload, raw_body)
        result = await handler(call)
        if isinstance(result, Response):
            return result
        result = api.wire.message(method.response, result, numbered=wants_numbers(request.query_pairs))
        wanted = dict(request.query_pairs).get("fields") or dict(request.query_pairs).get("$fields")
        return json_response(select_fields(result, wanted) if wanted else result)

    def _charge(
        self,
        api: MountedApi,
        request: Request,
        method: Method,
        params: Json,
        project: str,
        member: str,
    ) -> None:
        """QuotaExceededError when the project that the call counts against has none left for it."""
        projects = self._context.projects
        named = projects.find(request.headers.get("x-goog-user-project") or project)
        number = named["projectNumber"] if named else projects.number(project)
        found = (_REGION.search(value) for value in params.values() if isinstance(value, str))
        region = next((one[1] for one in found if one), "")
        caller = Caller(number, member, region)
        self._context.quotas.charge(api.document.host, api.facts.quotas, method.id, caller)

    def _canonical(self, path: dict[str, str], api: MountedApi, method: Method) -> tuple[Json, str | None]:
        """Path parameters with project numbers turned into ids, and the project they speak of (which must exist)."""
        params: Json = dict(path)
        project: str | None = None
        for name, value in path.items():
            # cloudresourcemanager v1 calls a bare project id `resource`; its path tells what it is.
            bare = name in ("project", "projectId") or f"projects/{{{name}}}" in method.path
            given = value if bare else None
            if found := _PROJECT.search(value):
                given = found[1]
            if given is None or given in ("_", "-") or given in api.service.public_projects:
                continue
            record = self._context.projects.find(given)
            if record is None:
                raise ApiError(
                    "PERMISSION_DENIED",
                    f"Permission denied on resource project {given}.",
                    details=[
                        error_info(
                            "CONSUMER_INVALID",
                            "googleapis.com",
                            consumer=f"projects/{given}",
                            service=api.document.host,
                        )
                    ],
                )
            project = record["projectId"]
            params[name] = (
                project if given == value else value.replace(f"projects/{given}", f"projects/{project}", 1)
            )
        return params, project

    async def _body(self, api: MountedApi, method: Method, request: Request) -> tuple[Json, Json]:
        data = await request.read()
        if method.request is None:
            return {}, {}
        raw = parse_json(data)
        return api.validator.validate(method.request, _without_path(api.document, method, raw)), raw


def _resource(template: str | None, params: Json) -> str:
    if template is None:
        names = ("resource", "name", "parent", "project", "projectId")
        value = next((str(params[key]) for key in names if key in params), "")
        return value if "/" in value else f"projects/{value}"
    return template.format(**{key: value for key, value in params.items() if isinstance(value, str)})


def _without_path(document: Api, method: Method, body: Any) -> Any:
    """The body of a request message, in which a client may repeat what the path says; most documents leave it out there.

    Where the body is a resource instead, such a field is unknown (recorded: pubsubsnapshot-full).
    """
    if not isinstance(body, dict) or not (method.request or "").endswith("Request"):
        return body
    fields = document.schemas[method.request or ""].get("properties", {})
    path = {name for name, parameter in method.parameters.items() if parameter.location == "path"}
    return {name: value for name, value in body.items() if name in fields or name not in path}


def _require_field(body: Json, dotted: str) -> None:
    value: Any = body
    for part in dotted.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    if value in (None, "", [], {}) and value is not False:
        raise invalid_argument(f"Required field '{dotted}' is missing or empty.", field=dotted)
