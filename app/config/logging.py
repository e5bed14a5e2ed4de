"""Logs as Cloud Logging reads them: one JSON object per line.

Source: https://cloud.google.com/logging/docs/structured-logging#structured_logging_special_fields
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

# https://www.w3.org/TR/trace-context/#traceparent-header
_TRACEPARENT = re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})")
# https://cloud.google.com/trace/docs/trace-context#legacy-http-header: TRACE_ID/SPAN_ID;o=OPTIONS, the span decimal
_CLOUD_TRACE = re.compile(r"([0-9a-f]{32})(?:/(\d{1,20}))?(?:;o=(\d+))?")

# Cloud Logging's severities are Python's levels by name.
_SEVERITIES = {"DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"}


@dataclass(frozen=True)
class Trace:
    """The trace that a request belongs to: 32 hexadecimal digits, a span of 16 (or none), and whether it is recorded."""

    trace_id: str
    span_id: str | None
    sampled: bool

    @classmethod
    def from_meta(cls, meta: Mapping[str, Any]) -> Trace | None:
        """Return the trace named by the headers in a WSGI environment, or None when there is none to be read."""
        if match := _TRACEPARENT.fullmatch(meta.get("HTTP_TRACEPARENT", "")):
            return cls(match[1], match[2], bool(int(match[3], 16) & 1))
        if match := _CLOUD_TRACE.fullmatch(meta.get("HTTP_X_CLOUD_TRACE_CONTEXT", "")):
            span = f"{int(match[2]):016x}" if match[2] and int(match[2]) else None
            return cls(match[1], span, bool(match[3] and int(match[3]) & 1))
        return None


current_trace: ContextVar[Trace | None] = ContextVar("current_trace", default=None)


class JsonFormatter(logging.Formatter):
    """Formats a record as one line of JSON.

    Args:
        project: the Google Cloud project that traces belong to; without it, lines carry no trace.
    """

    def __init__(self, project: str = "") -> None:
        super().__init__()
        self.project = project

    def format(self, record: logging.LogRecord) -> str:
        entry: dict[str, Any] = {
            "severity": record.levelname if record.levelname in _SEVERITIES else "DEFAULT",
            "message": record.getMessage(),
            "logger": record.name,
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="microseconds"),
        }
        if record.levelno >= logging.WARNING:
            entry["logging.googleapis.com/sourceLocation"] = {
                "file": record.pathname,
                "line": str(record.lineno),
                "function": record.funcName,
            }
        if record.exc_info:
            entry["stack_trace"] = self.formatException(record.exc_info)  # read by Error Reporting

        # django.request reports an error after the middleware is done: the record then still has the request.
        meta = getattr(getattr(record, "request", None), "META", None)
        trace = Trace.from_meta(meta) if meta is not None else current_trace.get()
        if trace and self.project:
            entry["logging.googleapis.com/trace"] = f"projects/{self.project}/traces/{trace.trace_id}"
            entry["logging.googleapis.com/trace_sampled"] = trace.sampled
            if trace.span_id:
                entry["logging.googleapis.com/spanId"] = trace.span_id
        if meta is not None:
            entry["httpRequest"] = _http_request(record, meta)
        return json.dumps(entry, ensure_ascii=False, default=str)


def _http_request(record: logging.LogRecord, meta: Mapping[str, Any]) -> dict[str, Any]:
    """The `HttpRequest` of a log entry. Without the query string, which may hold what should not be logged."""
    request: dict[str, Any] = {
        "requestMethod": meta.get("REQUEST_METHOD", ""),
        "requestUrl": meta.get("PATH_INFO", ""),
        "userAgent": meta.get("HTTP_USER_AGENT", ""),
        "protocol": meta.get("SERVER_PROTOCOL", ""),
    }
    if status := getattr(record, "status_code", None):
        request["status"] = status
    return request
