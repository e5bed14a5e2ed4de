# Copyright (c) 2026, The djangogcp contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What comes before a project's own middleware."""

from __future__ import annotations

import asyncio
import logging
from typing import Any, Callable

from asgiref.sync import sync_to_async
from django.db import DatabaseError, connection
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.utils.decorators import sync_and_async_middleware

from django_on_google_cloud.logs import current_trace, trace

LIVE = "/-/live"
READY = "/-/ready"

logger = logging.getLogger(__name__)


def _ready() -> HttpResponse:
    """Whether the database answers."""
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except DatabaseError as error:
        logger.warning("Not ready: the database does not answer: %s", error)
        return _answer({"status": "unavailable", "database": "does not answer"}, 503)
    return _answer({"status": "ok", "database": "ok"}, 200)


def _answer(content: dict[str, str], status: int) -> HttpResponse:
    response = JsonResponse(content, status=status)
    response["Cache-Control"] = "no-store"
    return response


@sync_and_async_middleware
def health(get_response: Callable[[HttpRequest], Any]) -> Callable[[HttpRequest], Any]:
    """Answers probes itself, before anything looks at the host's name, at TLS or at a session.

    ``/-/live`` says that the process answers; it asks nobody, because restarting the site does not mend a database. ``/-/ready`` says that the
    database answers.
    """

    def live() -> HttpResponse:
        return _answer({"status": "ok"}, 200)

    if asyncio.iscoroutinefunction(get_response):

        async def answered(request: HttpRequest) -> HttpResponse:
            if request.path == LIVE:
                return live()
            return await (sync_to_async(_ready)() if request.path == READY else get_response(request))

        return answered

    def answer(request: HttpRequest) -> HttpResponse:
        if request.path == LIVE:
            return live()
        return _ready() if request.path == READY else get_response(request)

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
