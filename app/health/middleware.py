"""`/-/live` and `/-/ready`: what Cloud Run asks before it sends people."""

from __future__ import annotations

import logging
from collections.abc import Callable

from django.db import DatabaseError, connection
from django.db.migrations.executor import MigrationExecutor
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.utils.log import log_response

logger = logging.getLogger(__name__)


class HealthMiddleware:
    """Answers the probes itself, before anything looks at the host name, at TLS or at a session.

    `/-/live` says that the process answers; it asks nobody, because restarting the site does not fix a database.
    `/-/ready` says that a request would work: the database answers and has every migration that this code knows.
    Both answer 200 when well; `/-/ready` answers 503 and the reason when not. JSON, never cached.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response
        # Reading the migrations is slow, and once applied they stay: looked at until they are, then no more.
        self.migrated = False

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if request.path == "/-/live":
            response: HttpResponse = JsonResponse({"status": "ok"})
        elif request.path == "/-/ready":
            response = self.ready(request)
        else:
            return self.get_response(request)
        response.headers["Cache-Control"] = "no-store"
        return response

    def ready(self, request: HttpRequest) -> JsonResponse:
        try:
            with connection.cursor() as cursor:
                cursor.execute("SELECT 1")
            unapplied = self.unapplied_migrations()
        except DatabaseError as error:
            return self.not_ready(
                request, f"the database does not answer: {error}", database="does not answer"
            )
        if unapplied:
            reason = f"unapplied migrations: {', '.join(unapplied)}"
            return self.not_ready(request, reason, unapplied_migrations=unapplied)
        return JsonResponse({"status": "ok", "database": "ok", "migrations": "ok"})

    def not_ready(self, request: HttpRequest, reason: str, **details: object) -> JsonResponse:
        response = JsonResponse({"status": "unavailable"} | details, status=503)
        # Django would log an error for the 503; while a database starts, waiting is no error.
        log_response(
            "Not ready: %s", reason, response=response, request=request, logger=logger, level="warning"
        )
        return response

    def unapplied_migrations(self) -> list[str]:
        """Return the migrations of this code that the database lacks, as `app.name`, in the order to apply them."""
        if self.migrated:
            return []
        executor = MigrationExecutor(connection)
        plan = executor.migration_plan(executor.loader.graph.leaf_nodes())
        self.migrated = not plan
        return [f"{migration.app_label}.{migration.name}" for migration, _ in plan]
