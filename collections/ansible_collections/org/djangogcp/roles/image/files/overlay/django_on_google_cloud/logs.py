# Copyright (c) 2026, The djangogcp contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Logs as Cloud Logging reads them: one JSON object per line, on standard output.

Source: https://cloud.google.com/logging/docs/structured-logging#structured_logging_special_fields
"""

from __future__ import annotations

import json
import logging
import re
from contextvars import ContextVar
from datetime import datetime, timezone
from typing import Any, Mapping

# https://www.w3.org/TR/trace-context/#traceparent-header
_TRACEPARENT = re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})")
# https://cloud.google.com/trace/docs/trace-context#legacy-http-header: TRACE_ID/SPAN_ID;o=OPTIONS, the span decimal
_CLOUD_TRACE = re.compile(r"([0-9a-f]{32})(?:/(\d{1,20}))?(?:;o=(\d+))?")

# Cloud Logging's severities are Python's levels by name.
_SEVERITIES = {"DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"}

#: Handlers that only bring lines somewhere where nobody on Cloud Run reads them, or as text that says no severity.
_REPLACED = {
    "logging.StreamHandler",
    "logging.FileHandler",
    "logging.handlers.RotatingFileHandler",
    "logging.handlers.TimedRotatingFileHandler",
    "logging.handlers.WatchedFileHandler",
    "logging.handlers.SysLogHandler",
    "rich.logging.RichHandler",
    "colorlog.StreamHandler",
}
_FIELD = "logging.googleapis.com/"


def trace(meta: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a log entry that name the trace of a request, by the headers of a WSGI environment; empty if it has none."""
    match = _TRACEPARENT.fullmatch(meta.get("HTTP_TRACEPARENT", ""))
    if match:
        return {"trace": match[1], "spanId": match[2], "trace_sampled": bool(int(match[3], 16) & 1)}
    match = _CLOUD_TRACE.fullmatch(meta.get("HTTP_X_CLOUD_TRACE_CONTEXT", ""))
    if not match:
        return {}
    found: dict[str, Any] = {"trace": match[1], "trace_sampled": bool(match[3] and int(match[3]) & 1)}
    if match[2] and int(match[2]):
        found["spanId"] = f"{int(match[2]):016x}"
    return found


current_trace: ContextVar[dict[str, Any]] = ContextVar("current_trace", default={})  # noqa: B039 - it is never changed


class JsonFormatter(logging.Formatter):
    """Formats a record as one line of JSON.

    Args:
        project: the Google Cloud project that traces belong to; without it, lines carry no trace.
    """

    def __init__(self, project: str = "") -> None:
        super().__init__()
        self.project = project

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        entry: dict[str, Any] = {
            "severity": record.levelname if record.levelname in _SEVERITIES else "DEFAULT",
            "message": record.getMessage(),
            "logger": record.name,
            "time": datetime.fromtimestamp(record.created, timezone.utc).isoformat(timespec="microseconds"),
        }
        if record.levelno >= logging.WARNING:
            entry[f"{_FIELD}sourceLocation"] = {
                "file": record.pathname,
                "line": str(record.lineno),
                "function": record.funcName,
            }
        if record.exc_info:
            entry["stack_trace"] = self.formatException(record.exc_info)  # read by Error Reporting
        # django.request reports an error after the middleware is done: the record then still has the request.
        meta = getattr(getattr(record, "request", None), "META", None)
        if self.project:
            for name, value in (current_trace.get() if meta is None else trace(meta)).items():
                entry[_FIELD + name] = f"projects/{self.project}/traces/{value}" if name == "trace" else value
        if meta is not None:
            entry["httpRequest"] = _http_request(record, meta)
        return json.dumps(entry, ensure_ascii=False, default=str)


def _http_request(record: logging.LogRecord, meta: Mapping[str, Any]) -> dict[str, Any]:
    """The ``HttpRequest`` of a log entry. Without the query string, which may hold what should not be logged."""
    request: dict[str, Any] = {
        "requestMethod": meta.get("REQUEST_METHOD", ""),
        "requestUrl": meta.get("PATH_INFO", ""),
        "userAgent": meta.get("HTTP_USER_AGENT", ""),
        "protocol": meta.get("SERVER_PROTOCOL", ""),
    }
    status = getattr(record, "status_code", None)
    if status:
        request["status"] = status
    return request


def laid_over(project: Mapping[str, Any] | None, cloud_project: str) -> dict[str, Any]:
    """A project's ``LOGGING`` of which everything that went to a console or a file goes to standard output, as JSON.

    Its loggers keep their levels, and handlers that send lines elsewhere, such as by e-mail, stay.

    Args:
        project: what the project says; nothing, or what has not the form of logging.config.dictConfig, counts as empty.
        cloud_project: see `JsonFormatter`.
    """
    own = project if isinstance(project, Mapping) else {}
    handlers = {
        name: handler
        for name, handler in (own.get("handlers") or {}).items()
        if not (isinstance(handler, Mapping) and handler.get("class") in _REPLACED)
    }

    def kept(logger: Mapping[str, Any]) -> dict[str, Any]:
        named = list(logger.get("handlers") or [])
        result = {**logger, "handlers": [name for name in named if name in handlers]}
        if len(result["handlers"]) < len(named):
            # What it printed is printed once, at the root.
            result["propagate"] = True
        return result

    root = own.get("root") or {}
    loggers = {name: kept(logger) for name, logger in (own.get("loggers") or {}).items() if name}
    # A root may be called "", too.
    root = root or (own.get("loggers") or {}).get("", {})
    return {
        **own,
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {
            **(own.get("formatters") or {}),
            "google_cloud": {"()": "django_on_google_cloud.logs.JsonFormatter", "project": cloud_project},
        },
        "handlers": {
            **handlers,
            "google_cloud": {
                "class": "logging.StreamHandler",
                "stream": "ext://sys.stdout",
                "formatter": "google_cloud",
            },
        },
        "root": {"level": "INFO", **root, "handlers": ["google_cloud", *kept(root)["handlers"]]},
        "loggers": {
            # Django's own handlers would print a second time.
            "django": {"handlers": [], "level": "INFO", "propagate": True},
            # Scanners ask for any host, and nothing is wrong with the site. The request log has their 400.
            "django.security.DisallowedHost": {"level": "CRITICAL"},
            **loggers,
        },
    }
