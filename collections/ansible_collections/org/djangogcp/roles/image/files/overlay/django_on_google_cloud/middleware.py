# Copyright (c) 2026, The djangogcp contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What comes before a project's own middleware."""

from __future__ import annotations

import asyncio
import html
import logging
import os
from typing import Any, Callable

from asgiref.sync import sync_to_async
from django.db import DatabaseError, connection
from django.db.migrations.executor import MigrationExecutor
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.utils.decorators import sync_and_async_middleware
from django.utils.log import log_response

from django_on_google_cloud.logs import current_trace, trace

LIVE = "/-/live"
READY = "/-/ready"

logger = logging.getLogger(__name__)


class _Readiness:
    """Whether a request would work: the database answers, and has every migration that this code knows."""

    def __init__(self) -> None:
        # Reading the migrations is slow, and once applied they stay: looked at until they are, then no more.
        self._is_migrated = False

    def answer(self, request: HttpRequest) -> HttpResponse:
        """200, or 503 and the reason."""
        try:
            with connection.cursor() as cursor:
                cursor.execute("SELECT 1")
            unapplied = self._unapplied_migrations()
        except DatabaseError as error:
            return self._not_ready(
                request, f"the database does not answer: {error}", database="does not answer"
            )
        if unapplied:
            reason = f"unapplied migrations: {', '.join(unapplied)}"
            return self._not_ready(request, reason, unapplied_migrations=unapplied)
        return _answer({"status": "ok", "database": "ok", "migrations": "ok"}, 200)

    def _not_ready(self, request: HttpRequest, reason: str, **details: Any) -> HttpResponse:
        response = _answer({"status": "unavailable", **details}, 503)
        # Django would log an error for the 503; while a database starts, waiting is none.
        log_response(
            "Not ready: %s", reason, response=response, request=request, logger=logger, level="warning"
        )
        return response

    def _unapplied_migrations(self) -> list[str]:
        """The migrations of this code that the database lacks, in the order to apply them."""
        if self._is_migrated:
            return []
        executor = MigrationExecutor(connection)
        plan = executor.migration_plan(executor.loader.graph.leaf_nodes())
        self._is_migrated = not plan
        return [f"{migration.app_label}.{migration.name}" for migration, _backwards in plan]


def _answer(content: dict[str, Any], status: int) -> HttpResponse:
    response = JsonResponse(content, status=status)
    response["Cache-Control"] = "no-store"
    return response


@sync_and_async_middleware
def health(get_response: Callable[[HttpRequest], Any]) -> Callable[[HttpRequest], Any]:
    """Answers probes itself, before anything looks at the host's name, at TLS or at a session.

    ``/-/live`` says that the process answers; it asks nobody, because restarting the site does not mend a database. ``/-/ready`` says that the
    database answers and has all migrations.
    """
    readiness = _Readiness()

    def live() -> HttpResponse:
        return _answer({"status": "ok"}, 200)

    if asyncio.iscoroutinefunction(get_response):

        async def answered(request: HttpRequest) -> HttpResponse:
            if request.path == LIVE:
                return live()
            return await (
                sync_to_async(readiness.answer)(request) if request.path == READY else get_response(request)
            )

        return answered

    def answer(request: HttpRequest) -> HttpResponse:
        if request.path == LIVE:
            return live()
        return readiness.answer(request) if request.path == READY else get_response(request)

    return answer


#: What a visitor sees while the site is in maintenance: no file of the project's is needed for it.
_PAGE = """<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>Maintenance</title></head>
<body style="font-family: sans-serif; max-width: 40em; margin: 20vh auto; padding: 0 1em"><h1>Maintenance</h1><p>{message}</p></body>
</html>
"""


class _Maintenance:
    """The answer to visitors while ``MAINTENANCE_RETRY_AFTER`` is set: in how many seconds they may come back."""

    def __init__(self) -> None:
        self._retry_after = os.environ.get("MAINTENANCE_RETRY_AFTER", "")
        message = (
            os.environ.get("MAINTENANCE_MESSAGE", "") or "This site is being worked on, and is back soon."
        )
        self._page = _PAGE.format(message=html.escape(message))
        self._hosts = os.environ.get("MAINTENANCE_EXCEPT_HOSTS", "").lower().split(",")
        self._paths = os.environ.get("MAINTENANCE_EXCEPT_PATHS", "").split(",")
        self._release = os.environ.get("MAINTENANCE_EXCEPT_RELEASE", "")

    def is_for(self, request: HttpRequest) -> bool:
        """Whether a request is a visitor's. Who tests asks another host, or names the release; probes ask their own paths."""
        host = request.META.get("HTTP_HOST", "").partition(":")[0].lower()
        is_tested = self._release != "" and request.META.get("HTTP_X_RELEASE_CANDIDATE") == self._release
        return request.path not in self._paths and host not in self._hosts and not is_tested

    def answer(self, request: HttpRequest) -> HttpResponse:
        """503, and when to come back."""
        response = HttpResponse(self._page, status=503)
        response["Retry-After"] = self._retry_after
        response["Cache-Control"] = "no-store"
        # Django would log an error for each.
        log_response(
            "In maintenance: %s",
            request.path,
            response=response,
            request=request,
            logger=logger,
            level="info",
        )
        return response


@sync_and_async_middleware
def maintenance(get_response: Callable[[HttpRequest], Any]) -> Callable[[HttpRequest], Any]:
    """Answers visitors itself while the site is in maintenance, before anything asks the database."""
    page = _Maintenance()
    if asyncio.iscoroutinefunction(get_response):

        async def answered(request: HttpRequest) -> HttpResponse:
            return page.answer(request) if page.is_for(request) else await get_response(request)

        return answered

    def answer(request: HttpRequest) -> HttpResponse:
        return page.answer(request) if page.is_for(request) else get_response(request)

    return answer


@sync_and_async_middleware
def traced(get_response: Callable[[HttpRequest], Any]) -> Callable[[HttpRequest], Any]:
    """Lets every line that is logged during a request carry the trace that Google Cloud gave to the request."""
    if asyncio.iscoroutinefunction(get_response):

        async def answered(request: HttpRequest) -> HttpResponse:
            token = current_trace.set(trace(request.META))
            try:
                return await get_response(request)
            finally:
                current_trace.reset(token)

        return answered

    def answer(request: HttpRequest) -> HttpResponse:
        token = current_trace.set(trace(request.META))
        try:
            return get_response(request)
        finally:
            current_trace.reset(token)

    return answer
