"""What deployed things print: log entries, as Cloud Logging keeps them."""

from __future__ import annotations

import json
import secrets
import sqlite3
from collections.abc import Iterator
from typing import Any

from gcp_emulator.engine import clock
from gcp_emulator.engine.errors import Json
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
    """Appends and reads log entries, oldest first within a project."""

    def __init__(self, store: Store) -> None:
        self._database: sqlite3.Connection = store.database
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
        moment = clock.timestamp()
        entry: Json = {
            "logName": f"projects/{project}/logs/{log_id.replace('/', '%2F')}",
            "resource": resource,
            "timestamp": moment,
            "receiveTimestamp": moment,
            "severity": severity,
            "insertId": secrets.token_hex(8),
            **fields,
        }
        entry["textPayload" if isinstance(payload, str) else "jsonPayload"] = payload
        self._database.execute(
            "INSERT INTO logs (project, entry) VALUES (?, ?)", (project, json.dumps(entry))
        )

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
        """Row number and entry, oldest first."""
        for row, text in self._database.execute(
            "SELECT id, entry FROM logs WHERE project = ? ORDER BY id", (project,)
        ):
            yield row, json.loads(text)
