"""Prints what a project holds of a deploy, read from Google's APIs: ``made.py PROJECT REGION``."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import google.auth
from google.auth.transport.requests import AuthorizedSession

#: Which most projects have none of.
_MACHINES = "machines"
#: What to call it, where it is listed, under which key (of a zone, where zones are listed), and how an item is named.
_LISTS: tuple[tuple[str, str, str, Callable[[Any], str]], ...] = (
    (
        "service",
        "run.googleapis.com/v2/projects/{p}/locations/{r}/services",
        "services",
        lambda i: _last(i["name"]),
    ),
    ("jobs", "run.googleapis.com/v2/projects/{p}/locations/{r}/jobs", "jobs", lambda i: _last(i["name"])),
    (
        "database",
        "sqladmin.googleapis.com/v1/projects/{p}/instances",
        "items",
        lambda i: f"{i['name']} ({i.get('databaseInstalledVersion', i['databaseVersion'])})",
    ),
    ("buckets", "storage.googleapis.com/storage/v1/b?project={p}", "items", lambda i: str(i["name"])),
    (
        "secrets",
        "secretmanager.googleapis.com/v1/projects/{p}/secrets",
        "secrets",
        lambda i: _last(i["name"]),
    ),
    (
        "accounts",
        "iam.googleapis.com/v1/projects/{p}/serviceAccounts",
        "accounts",
        lambda i: str(i["email"]).partition("@")[0],
    ),
    (
        _MACHINES,
        "compute.googleapis.com/compute/v1/projects/{p}/aggregated/instances",
        "instances",
        lambda i: f"{i['name']} ({i['status']})",
    ),
)


def _last(name: str) -> str:
    return name.rpartition("/")[2]


def main(project: str, region: str) -> int:
    """Prints one line per kind; returns the exit status."""
    credentials, _ = google.auth.default(scopes=["https://www.googleapis.com/auth/cloud-platform"])
    session = AuthorizedSession(credentials)
    for label, address, key, name in _LISTS:
        answer = session.get(f"https://{address.format(p=project, r=region)}", timeout=30)
        # Who deploys needs no right to see machines where there are none of a site.
        if answer.status_code == 403 and (label == _MACHINES or _is_disabled(answer.json())):
            continue
        answer.raise_for_status()
        names = sorted(name(item) for item in _items(answer.json(), key))
        if names or label != _MACHINES:
            print(f"    {label:<10}{', '.join(names)}")
    return 0


def _is_disabled(error: Any) -> bool:
    """Whether an API says that the project does not use it."""
    return any(detail.get("reason") == "SERVICE_DISABLED" for detail in error["error"].get("details", []))


def _items(answer: Any, key: str) -> list[Any]:
    """What is listed, of all zones where they are listed."""
    places = answer.get("items")
    if isinstance(places, dict):
        return [item for place in places.values() for item in place.get(key, [])]
    return list(answer.get(key, []))


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
