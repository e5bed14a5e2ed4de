"""Cloud Logging v2: entries listed and written, logs listed; what is only stored is in `tables`.

Source: https://cloud.google.com/logging/docs/reference/v2/rest/v2/entries.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable
from urllib.parse import unquote

from gcp_emulator.engine import clock, discovery
from gcp_emulator.engine.errors import ApiError, Json, failed_precondition, invalid_argument
from gcp_emulator.engine.faults import striking
from gcp_emulator.engine.policies import Policies
from gcp_emulator.engine.service import Call, Service, handles
from gcp_emulator.engine.tables import Table
from gcp_emulator.services.logging.changes import Changes
from gcp_emulator.services.logging.filter import parse_filter
from gcp_emulator.services.logging.tables import BUCKETS, TABLES, VIEWS

_LOG_NAME = re.compile(r"projects/(?P<project>[^/]+)/logs/(?P<log>[^/]+)")
_ORDERS = {"": False, "timestamp": False, "timestamp asc": False, "timestamp desc": True}
_DEFAULT_PAGE, _MAX_PAGE = 50, 1000
_PAYLOADS = ("textPayload", "jsonPayload")
#: What ``Logs.write`` takes by name, or sets itself.
_SET_APART = frozenset({"logName", "resource", "severity", "receiveTimestamp", *_PAYLOADS})


class CloudLogging(Service):
    api = "logging"
    versions = ("v2",)

    def canonical(self, path: dict[str, str]) -> dict[str, str]:
        """The name of a metric may hold a slash, which the router has decoded."""
        return {
            key: re.sub(r"(?<=/metrics/).+", lambda found: found[0].replace("/", "%2F"), value)
            if key == "metricName"
            else value
            for key, value in path.items()
        }

    def tables(self) -> Iterable[Table]:
        return TABLES

    def policies(self) -> Iterable[Policies]:
        return [
            Policies(methods, lambda name: VIEWS.require(self.context, name)) for methods in VIEWS.methods
        ]

    def parts(self) -> Iterable[object]:
        return self, Changes(self.context)

    @handles(*(f"{methods}.undelete" for methods in BUCKETS.methods))
    async def undelete_bucket(self, call: Call) -> Json:
        name = call.params["name"]
        bucket = BUCKETS.require(call.context, name)
        if bucket["lifecycleState"] != "DELETE_REQUESTED":
            raise failed_precondition(f"The bucket {name} is not to be deleted.")
        BUCKETS.put(call.context, name, bucket | {"lifecycleState": "ACTIVE"})
        return {}

    @handles("logging.entries.list")
    async def list_entries(self, call: Call) -> Json:
        projects = [self._project(call, name) for name in call.body.get("resourceNames", [])]
        if not projects:
            raise invalid_argument(
                "resource_names: at least one resource is required.", field="resourceNames"
            )
        for project in projects:
            call.require("logging.logEntries.list", f"projects/{project}")
        order = " ".join(call.body.get("orderBy", "").split())
        if order not in _ORDERS:
            raise invalid_argument(
                f"Invalid order_by '{order}': it must be 'timestamp asc' or 'timestamp desc'.",
                field="orderBy",
            )
        api = discovery.load("logging", "v2")
        matches = parse_filter(call.body.get("filter", ""), frozenset(api.schemas["LogEntry"]["properties"]))
        found = sorted(
            (
                (entry["timestamp"], row, entry)
                for project in dict.fromkeys(projects)
                for row, entry in self.context.logs.entries(project)
                if matches(entry)
            ),
            key=lambda item: item[:2],
            reverse=_ORDERS[order],
        )
        return _page(found, call.body, descending=_ORDERS[order])

    @handles("logging.entries.write")
    async def write_entries(self, call: Call) -> Json:
        common = {key: call.body[key] for key in ("logName", "resource") if key in call.body}
        entries = [self._checked(call, common | entry) for entry in call.body.get("entries", [])]
        if call.body.get("dryRun"):
            return {}
        labels = call.body.get("labels", {})
        for project, log_id, entry in entries:
            fields = {key: value for key, value in entry.items() if key not in _SET_APART}
            if merged := labels | entry.get("labels", {}):
                fields["labels"] = merged
            payload = next((entry[key] for key in _PAYLOADS if key in entry), "")
            self.context.logs.write(
                project,
                log_id,
                entry["resource"],
                payload,
                severity=entry.get("severity", "DEFAULT"),
                **fields,
            )
        return {}

    @handles("logging.logs.list", "logging.projects.logs.list")
    async def list_logs(self, call: Call) -> Json:
        project = call.params["parent"].removeprefix("projects/")
        names = sorted({entry["logName"] for _, entry in self.context.logs.entries(project)})
        return call.page(names, "logNames", default=_DEFAULT_PAGE)

    def _checked(self, call: Call, entry: Json) -> tuple[str, str, Json]:
        """Project, log id and entry of one entry to write."""
        name = _LOG_NAME.fullmatch(entry.get("logName", ""))
        if name is None:
            raise invalid_argument(
                f"Invalid log name '{entry.get('logName', '')}': it must be projects/PROJECT/logs/LOG_ID.",
                field="logName",
            )
        if not entry.get("resource", {}).get("type"):
            raise invalid_argument("Missing required field: resource.type", field="resource.type")
        if "protoPayload" in entry:
            raise invalid_argument(
                "The emulator writes textPayload and jsonPayload only.", field="protoPayload"
            )
        if "timestamp" in entry:
            try:
                entry["timestamp"] = clock.timestamp(clock.parse_timestamp(entry["timestamp"]))
            except ValueError:
                raise invalid_argument(
                    f"Invalid timestamp '{entry['timestamp']}'.", field="timestamp"
                ) from None
        project = self._project(call, f"projects/{name['project']}")
        call.require("logging.logEntries.create", f"projects/{project}")
        return project, unquote(name["log"]), entry

    def _project(self, call: Call, name: str) -> str:
        """The id of the project that a body names; the engine has looked at the path only."""
        kind, _, given = name.partition("/")
        if kind != "projects" or not given or "/" in given:
            raise invalid_argument(
                f"The emulator keeps logs of projects only, not of '{name}'.", field="resourceNames"
            )
        record = self.context.projects.find(given)
        if record is None:
            raise ApiError("PERMISSION_DENIED", f"Permission denied on resource project {given}.")
        project = str(record["projectId"])
        api = discovery.load("logging", "v2")
        self.context.projects.require_enabled(project, api.host, api.title)
        return project


def _page(found: list[tuple[str, int, Json]], body: Json, *, descending: bool) -> Json:
    """One page. The token is the place of the last entry, so that entries written meanwhile shift nothing."""
    size = int(body.get("pageSize") or _DEFAULT_PAGE)
    if not 0 < size <= _MAX_PAGE:
        raise invalid_argument(f"page_size must be between 1 and {_MAX_PAGE}.", field="pageSize")
    if striking("empty_page"):
        return {"nextPageToken": _token("9" if descending else "", 0)}
    if token := body.get("pageToken"):
        last = _parse_token(token)
        found = [item for item in found if (item[:2] < last if descending else item[:2] > last)]
    result: Json = {}
    if found:
        result["entries"] = [entry for _, _, entry in found[:size]]
    if len(found) > size:
        moment, row, _ = found[size - 1]
        result["nextPageToken"] = _token(moment, row)
    return result


def _token(moment: str, row: int) -> str:
    return base64.urlsafe_b64encode(f"{moment} {row}".encode()).decode()


def _parse_token(token: str) -> tuple[str, int]:
    try:
        moment, _, row = base64.urlsafe_b64decode(token).decode().partition(" ")
        return moment, int(row)
    except ValueError:
        raise invalid_argument("page_token is invalid.", field="pageToken") from None
