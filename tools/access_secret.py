"""Prints the newest version of a secret: ``access_secret.py PROJECT SECRET``."""

from __future__ import annotations

import base64
import sys

import google.auth
import google.auth.exceptions
import requests
from google.auth.transport.requests import AuthorizedSession


def main(project: str, secret: str) -> int:
    """Reads it with Application Default Credentials; returns the exit status."""
    credentials, _ = google.auth.default(scopes=["https://www.googleapis.com/auth/cloud-platform"])
    url = (
        f"https://secretmanager.googleapis.com/v1/projects/{project}/secrets/{secret}/versions/latest:access"
    )
    try:
        response = AuthorizedSession(credentials).get(url, timeout=30)
    except (google.auth.exceptions.GoogleAuthError, requests.RequestException) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    if response.status_code != 200:
        print(f"error: {response.json()['error']['message']}", file=sys.stderr)
        return 1
    print(base64.b64decode(response.json()["payload"]["data"]).decode())
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
