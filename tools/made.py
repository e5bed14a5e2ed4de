"""Prints what a project holds of a deploy, read from Google's APIs: ``made.py PROJECT REGION``."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import google.auth
from google.auth.transport.requests import AuthorizedSession

#: What to call it, where it is listed, under which key, and how an item is named.
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
)


def _last(name: str) -> str:
    return name.rpartition("/")[2]


def main(project: str, region: str) -> int:
    """Prints one line per kind; returns the exit status."""
    credentials, _ = google.auth.default(scopes=["https://www.googleapis.com/auth/cloud-platform"])
    session = AuthorizedSession(credentials)
    for label, address, key, name in _LISTS:
        answer = session.get(f"https://{address.format(p=project, r=region)}", timeout=30)
        answer.raise_for_status()
        print(f"    {label:<10}{', '.join(sorted(name(item) for item in answer.json().get(key, [])))}")
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
