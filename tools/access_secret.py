"""Prints the newest version of a secret: ``access_secret.py PROJECT SECRET``."""

from __future__ import annotations

import base64
import sys
from pathlib import Path

# Run as a program, this finds what is beside it only.
sys.path.append(str(Path(__file__).resolve().parent.parent))
from tools import google_api


def main(project: str, secret: str) -> int:
    """Reads it; returns the exit status."""
    url = (
        f"https://secretmanager.googleapis.com/v1/projects/{project}/secrets/{secret}/versions/latest:access"
    )
    try:
        found = google_api.read(url)
    except google_api.ReadError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(base64.b64decode(found["payload"]["data"]).decode())
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
