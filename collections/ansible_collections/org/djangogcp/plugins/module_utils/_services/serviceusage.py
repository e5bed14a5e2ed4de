# Copyright (c) 2026, The djangogcp contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE to the collection: this file may change in any release.

"""Service Usage: which APIs a project has enabled.

Source: discovery document serviceusage:v1.
"""

from __future__ import annotations

import typing as t

from ansible_collections.org.djangogcp.plugins.module_utils._client import Call, Client
from ansible_collections.org.djangogcp.plugins.module_utils._operations import Wait, long_running
from ansible_collections.org.djangogcp.plugins.module_utils._retry import Deadline

API = "https://serviceusage.googleapis.com/v1"

# services.batchEnable takes no more.
_BATCH = 20


def enabled_services(client: Client, project: str) -> set[str]:
    """The names of the enabled APIs, for instance "run.googleapis.com"."""
    call = Call(f"list the enabled APIs of project {project}", "serviceusage.services.list")
    params = {"filter": "state:ENABLED", "pageSize": 200}
    found = client.list(
        f"{API}/projects/{project}/services", call, items="services", params=params, ahead=True
    )
    return {str(service["name"]).rsplit("/", 1)[-1] for service in found}


def enable_services(client: Client, project: str, names: t.Sequence[str], wait: Wait) -> None:
    """Enable APIs, 20 in one request. Enabling what is enabled does no harm, so it may be repeated."""
    deadline = Deadline(wait.timeout, client.clock)
    for start in range(0, len(names), _BATCH):
        some = list(names[start : start + _BATCH])
        call = Call(f"enable {', '.join(some)} in project {project}", "serviceusage.services.enable")
        url = f"{API}/projects/{project}/services:batchEnable"
        answer = client.request("POST", url, call, body={"serviceIds": some}, repeatable=True)
        if wait.enabled:
            long_running(client, API, answer, deadline, call)


def disable_service(client: Client, project: str, name: str, wait: Wait) -> None:
    """Disable an API. Refused by Google Cloud while another enabled API depends on it."""
    call = Call(f"disable {name} in project {project}", "serviceusage.services.disable")
    url = f"{API}/projects/{project}/services/{name}:disable"
    answer = client.request("POST", url, call, body={}, repeatable=True)
    if wait.enabled:
        long_running(client, API, answer, Deadline(wait.timeout, client.clock), call)
