"""Reads Google's APIs for the small programs beside this one, with Application Default Credentials."""

from __future__ import annotations

from typing import Any

import google.auth
import google.auth.exceptions
import requests
from google.auth.transport.requests import AuthorizedSession


class ReadError(Exception):
    """A message for the person at the terminal."""


def read(url: str) -> dict[str, Any]:
    """The answer to a GET. ReadError with what Google says."""
    credentials, _ = google.auth.default(scopes=["https://www.googleapis.com/auth/cloud-platform"])
    try:
        response = AuthorizedSession(credentials).get(url, timeout=30)
    except (google.auth.exceptions.GoogleAuthError, requests.RequestException) as error:
        raise ReadError(str(error)) from None
    if response.status_code != 200:
        raise ReadError(response.json()["error"]["message"])
    return dict(response.json())
