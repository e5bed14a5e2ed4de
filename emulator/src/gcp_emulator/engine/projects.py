"""Projects: ids and numbers, enabled APIs."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from typing import Any

from gcp_emulator.engine.errors import ApiError, Json, error_info
from gcp_emulator.engine.facts import read_yaml
from gcp_emulator.engine.store import Store


def project_number(project_id: str) -> str:
    """A stable twelve-digit number for a project id."""
    return str(10**11 + int(hashlib.sha256(project_id.encode()).hexdigest(), 16) % (9 * 10**11))


class Projects:
    """The projects of this emulator."""

    def __init__(self, store: Store) -> None:
        self._projects = store.collection("projects")
        self._ids = {record["projectNumber"]: name for name, record in self._projects.items()}
        self._enabled = store.collection("serviceusage.enabled")

    def create(self, project_id: str, *, display_name: str | None = None, created: str) -> Json:
        """Adds a project (seeds do; there is no organisation to create one through the API).

        The APIs that Google enables in every new project are enabled.
        """
        record = {
            "projectId": project_id,
            "projectNumber": project_number(project_id),
            "displayName": display_name or project_id,
            "createTime": created,
            "state": "ACTIVE",
        }
        self._projects.put(project_id, record)
        self._ids[record["projectNumber"]] = project_id
        for host in read_yaml("engine/projects.yaml")["enabled"]:
            self.set_enabled(project_id, host, enabled=True)
        return record

    def find(self, id_or_number: str) -> Mapping[str, Any] | None:
        """The project by id or number."""
        return self._projects.peek(self._ids.get(id_or_number, id_or_number))

    def canonical(self, name: str) -> str:
        """A resource name with the number of its project turned into the id."""
        found = re.match(r"projects/([^/]+)", name)
        record = self.find(found[1]) if found else None
        return f"projects/{record['projectId']}{name[found.end() :]}" if found and record else name

    def all(self) -> list[Json]:
        return [project for _, project in self._projects.items()]

    def number(self, project_id: str) -> str:
        """The number of a project; ApiError PERMISSION_DENIED when there is none, as Google does not tell."""
        record = self._projects.peek(project_id)
        if record is None:
            raise ApiError("PERMISSION_DENIED", f"Permission denied on resource project {project_id}.")
        return str(record["projectNumber"])

    def is_enabled(self, project_id: str, host: str) -> bool:
        """Whether the API ``host`` (``run.googleapis.com``) is enabled in the project."""
        return f"{project_id}/{host}" in self._enabled

    def enabled(self, project_id: str) -> list[str]:
        return [name.partition("/")[2] for name in self._enabled.names(project_id + "/")]

    def set_enabled(self, project_id: str, host: str, enabled: bool) -> None:
        if enabled:
            self._enabled.put(f"{project_id}/{host}", {})
        else:
            self._enabled.delete(f"{project_id}/{host}")

    def require_enabled(self, project_id: str, host: str, title: str) -> None:
        """SERVICE_DISABLED in Google's words unless the API is enabled."""
        if self.is_enabled(project_id, host):
            return
        number = self.number(project_id)
        url = f"https://console.developers.google.com/apis/api/{host}/overview?project={number}"
        raise ApiError(
            "PERMISSION_DENIED",
            f"{title} has not been used in project {number} before or it is disabled. Enable it by visiting {url} then retry. "
            "If you enabled this API recently, wait a few minutes for the action to propagate to our systems and retry.",
            reason="accessNotConfigured",
            details=[
                error_info("SERVICE_DISABLED", "googleapis.com", consumer=f"projects/{number}", service=host)
            ],
        )
