"""Prints the host name of a site's machine, which is that of its static address: ``machine_host.py PROJECT REGION SITE``."""

from __future__ import annotations

import ipaddress
import sys
from pathlib import Path

# Run as a program, this finds what is beside it only.
sys.path.append(str(Path(__file__).resolve().parent.parent))
from tools import google_api


def main(project: str, region: str, site: str) -> int:
    """Reads the address; returns the exit status."""
    try:
        found = google_api.read(
            f"https://compute.googleapis.com/compute/v1/projects/{project}/regions/{region}/addresses/{site}"
        )
    except google_api.ReadError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(name_of(found["address"]))
    return 0


def name_of(address: str) -> str:
    """The name that Google gives an IPv4 address.

    Source: https://cloud.google.com/compute/docs/instances/create-ptr-record
    """
    reverse = ipaddress.IPv4Address(address).reverse_pointer
    return f"{reverse.removesuffix('.in-addr.arpa')}.bc.googleusercontent.com"


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
