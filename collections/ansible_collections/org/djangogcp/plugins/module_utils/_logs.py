# Copyright (c) 2026, The djangogcp contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE to the collection: this file may change in any release.


"""What something in Google Cloud has printed, read from Cloud Logging.

Source: discovery document logging:v2, entries.list; https://cloud.google.com/logging/docs/view/logging-query-language.
"""

from __future__ import annotations

from ansible_collections.org.djangogcp.plugins.module_utils._client import Call, Client, Json
from ansible_collections.org.djangogcp.plugins.module_utils._errors import DjangoGcpError

_LOGGING = "https://logging.googleapis.com/v2"
_LOG_LINES = 200


def log_lines(client: Client, project: str, selector: str, *, limit: int = _LOG_LINES) -> list[str]:
    """The newest lines that a filter of Cloud Logging selects, oldest first.

    What cannot be read is told as a line, because the log is wanted most when something else has failed already.
    """
    body = {
        "resourceNames": [f"projects/{project}"],
        "filter": selector,
        "orderBy": "timestamp desc",
        "pageSize": limit,
    }
    call = Call("read the log", "logging.logEntries.list")
    try:
        page = client.request("POST", f"{_LOGGING}/entries:list", call, body=body, repeatable=True)
    except DjangoGcpError as error:
        return [f"(the log cannot be shown: {error.message})"]
    return [line for entry in reversed(page.get("entries") or []) for line in _text(entry).splitlines()]


def _text(entry: Json) -> str:
    payload = entry.get("jsonPayload")
    if not isinstance(payload, dict):
        return str(entry.get("textPayload", ""))
    text = str(payload.get("message", payload))
    return (
        f"{entry['severity']}: {text}"
        if entry.get("severity", "DEFAULT") not in ("DEFAULT", "INFO")
        else text
    )
