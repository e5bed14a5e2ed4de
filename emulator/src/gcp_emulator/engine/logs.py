"""What deployed things print: log entries, as Cloud Logging keeps them."""

from __future__ import annotations

import datetime
import json
import secrets
import sqlite3
import time
from collections.abc import Iterator
from typing import Any

from gcp_emulator.engine import clock
from gcp_emulator.engine.errors import Json
from gcp_emulator.engine.faults import striking
from gcp_emulator.engine.store import Store

#: The fields of a JSON line that Cloud Logging lifts out of the payload
#: (https://cloud.google.com/logging/docs/structured-logging#special-payload-fields).
_SPECIAL = {
    "severity": "severity",
    "httpRequest": "httpRequest",
    "logging.googleapis.com/labels": "labels",
    "logging.googleapis.com/trace": "trace",
    "logging.googleapis.com/spanId": "spanId",
    "logging.googleapis.com/trace_sampled": "traceSampled",
    "logging.googleapis.com/insertId": "insertId",
    "logging.googleapis.com/sourceLocation": "sourceLocation",
}


class Logs:
    """Appends and reads log entries, oldest first within a project.

    Those that the fault ``logs_late`` holds up are read later; a restart lets them arrive.
    """

    def __init__(self, store: Store) -> None:
        self._database: sqlite3.Connection = store.database
        #: When the entries in these rows can be read.
        self._arrivals: dict[int, float] = {}
        self._database.execute(
            "CREATE TABLE IF NOT EXISTS logs (id INTEGER PRIMARY KEY, project TEXT, entry TEXT)"
        )

    def write(
        self,
        project: str,
        log_id: str,
        resource: Json,
        payload: str | Json,
        *,
        severity: str = "DEFAULT",
        **fields: Any,
    ) -> None:
        """One entry. ``log_id`` is plain (``run.googleapis.com/stdout``); ``fields`` are further LogEntry fields."""
        fault = striking("logs_late")
        late = fault.drawn_seconds() if fault else 0.0
        now = clock.now()
        entry: Json = {
            "logName": f"projects/{project}/logs/{log_id.replace('/', '%2F')}",
            "resource": resource,
            "timestamp": clock.timestamp(now),
            "receiveTimestamp": clock.timestamp(now + datetime.timedelta(seconds=late)),
            "severity": severity,
            "insertId": secrets.token_hex(8),
            **fields,
        }
        entry["textPayload" if isinstance(payload, str) else "jsonPayload"] = payload
        row = self._database.execute(
            "INSERT INTO logs (project, entry) VALUES (?, ?)", (project, json.dumps(entry))
        ).lastrowid
        if late and row is not None:
            self._arrivals[row] = time.monotonic() + late

    def write_line(self, project: str, log_id: str, resource: Json, line: str, **fields: Any) -> None:
        """One printed line; a JSON object becomes a structured entry with its special fields lifted out."""
        try:
            payload = json.loads(line)
        except ValueError:
            payload = None
        if not isinstance(payload, dict):
            self.write(project, log_id, resource, line, **fields)
            return
        lifted = {target: payload.pop(key) for key, target in _SPECIAL.items() if key in payload}
        text: str | Json = payload["message"] if set(payload) == {"message"} else payload
        self.write(project, log_id, resource, text, **{**fields, **lifted})

    def newest(self, project: str, count: int, *, after: int = 0) -> list[tuple[int, Json]]:
        """At most ``count`` of the newest entries whose row number is greater than ``after``, oldest first."""
        rows = self._database.execute(
            "SELECT id, entry FROM logs WHERE project = ? AND id > ? ORDER BY id DESC LIMIT ?",
            (project, after, count),
        ).fetchall()
        return [(row, json.loads(text)) for row, text in reversed(rows)]

    def entries(self, project: str) -> Iterator[tuple[int, Json]]:
        """Row number and entry, oldest first, of what has arrived."""
        for row, text in self._database.execute(
            "SELECT id, entry FROM logs WHERE project = ? ORDER BY id", (project,)
        ):
            if self._arrivals.get(row, 0.0) <= time.monotonic():
                yield row, json.loads(text)
