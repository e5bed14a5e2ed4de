"""Grants a member roles on a project and waits until they are in force: ``grant_roles.py PROJECT MEMBER ROLE=PERMISSION...``.

PERMISSION is one that the caller, who is the member, has by the role alone. Nothing is changed where the member has the roles.
"""

from __future__ import annotations

import sys
import time
from typing import Any

import google.auth
import google.auth.exceptions
import requests
from google.auth.transport.requests import AuthorizedSession

#: Google's own figure for a grant is seven minutes, which a rehearsal is seldom as slow as.
_MOST_SECONDS = 420
_PAUSE = 0.5
_ENABLE = "https://serviceusage.googleapis.com/v1/projects/{project}/services/cloudresourcemanager.googleapis.com:enable"


def main(project: str, member: str, *words: str) -> int:
    """Does so with Application Default Credentials; returns the exit status."""
    wanted = dict(word.split("=", 1) for word in words)
    credentials, _ = google.auth.default(scopes=["https://www.googleapis.com/auth/cloud-platform"])
    session = AuthorizedSession(credentials)
    deadline = time.monotonic() + _MOST_SECONDS
    url = f"https://cloudresourcemanager.googleapis.com/v1/projects/{project}"
    try:
        # Whoever has a new project has to enable the API that grants, and waits until it is.
        _ask(session, _ENABLE.format(project=project), {}, deadline)
        policy = _ask(session, f"{url}:getIamPolicy", {"options": {"requestedPolicyVersion": 3}}, deadline)
        bindings = policy.setdefault("bindings", [])
        has = {binding["role"] for binding in bindings if member in binding["members"]}
        missing = [role for role in wanted if role not in has]
        if missing:
            bindings += [{"role": role, "members": [member]} for role in missing]
            _ask(session, f"{url}:setIamPolicy", {"policy": policy}, deadline)
        test = {"permissions": sorted(wanted.values())}
        while set(test["permissions"]) != set(
            _ask(session, f"{url}:testIamPermissions", test, deadline).get("permissions", [])
        ):
            if time.monotonic() > deadline:
                print(f"error: {', '.join(wanted)} are not in force yet", file=sys.stderr)
                return 1
            time.sleep(_PAUSE)
    except (google.auth.exceptions.GoogleAuthError, requests.RequestException) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def _ask(session: AuthorizedSession, url: str, body: dict[str, Any], deadline: float) -> dict[str, Any]:
    """The answer to a request that is sent again while the API that it is for is not in use yet."""
    while (answer := session.post(url, json=body, timeout=30)).status_code == 403:
        if "SERVICE_DISABLED" not in answer.text or time.monotonic() > deadline:
            break
        time.sleep(_PAUSE)
    answer.raise_for_status()
    return dict(answer.json())


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
