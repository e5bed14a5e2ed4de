"""Prints the host name of a site's machine, which is that of its static address: ``machine_host.py PROJECT REGION SITE``."""

from __future__ import annotations

import ipaddress
import sys

import google.auth
import google.auth.exceptions
import requests
from google.auth.transport.requests import AuthorizedSession


def main(project: str, region: str, site: str) -> int:
    """Reads the address with Application Default Credentials; returns the exit status."""
    credentials, _ = google.auth.default(scopes=["https://www.googleapis.com/auth/cloud-platform"])
    url = f"https://compute.googleapis.com/compute/v1/projects/{project}/regions/{region}/addresses/{site}"
    try:
        response = AuthorizedSession(credentials).get(url, timeout=30)
    except (google.auth.exceptions.GoogleAuthError, requests.RequestException) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    if response.status_code != 200:
        print(f"error: {response.json()['error']['message']}", file=sys.stderr)
        return 1
    print(name_of(response.json()["address"]))
    return 0


def name_of(address: str) -> str:
    """The name that Google gives an IPv4 address.

    Source: https://cloud.google.com/compute/docs/instances/create-ptr-record
    """
    reverse = ipaddress.IPv4Address(address).reverse_pointer
    return f"{reverse.removesuffix('.in-addr.arpa')}.bc.googleusercontent.com"


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
