# Copyright (c) 2026, The djangogcp contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE to the collection: this file may change in any release.

"""Tries rights, as whoever has them. Its text runs in the site's container, as the site's service account, with the standard library only.

A right is ``{"name", "url"}``, with ``body`` when it is a POST, and ``permission`` when the answer tells which permissions there are.
"""

from __future__ import annotations

import json
import sys
import time
import typing as t
import urllib.error
import urllib.request

METADATA = "http://metadata.google.internal/computeMetadata/v1/instance/service-accounts/default/token"
#: The exit code for rights that are still refused.
STILL_REFUSED = 75
ANSWER_SECONDS = 10


def answer_to(url: str, headers: dict[str, str], body: t.Any = None) -> t.Any:
    """The JSON answer of an address of Google's. OSError, ValueError."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data=data, headers=headers)  # noqa: S310 - the addresses are ours
    with urllib.request.build_opener().open(request, timeout=ANSWER_SECONDS) as response:
        return json.load(response)


def is_refused(right: dict[str, t.Any], headers: dict[str, str]) -> bool:
    """Whether it is certain that a right has not taken effect: any other failure is not about rights."""
    try:
        answer = answer_to(right["url"], headers, right.get("body"))
    except urllib.error.HTTPError as error:
        return bool(error.code == 403)
    except (OSError, ValueError):
        return False
    if "permission" not in right or not isinstance(answer, dict):
        return False
    return right["permission"] not in answer.get("permissions", [])


def refused(rights: list[dict[str, t.Any]]) -> list[str]:
    """The names of those rights that have not taken effect."""
    try:
        token = answer_to(METADATA, {"Metadata-Flavor": "Google"})["access_token"]
    except (OSError, ValueError, KeyError):
        return []
    headers = {"Authorization": "Bearer " + token, "Content-Type": "application/json"}
    return [right["name"] for right in rights if is_refused(right, headers)]


def wait_for(rights: list[dict[str, t.Any]], seconds: float) -> int:
    """Try until all rights have taken effect, so long at most; the exit code."""
    end = time.monotonic() + seconds
    while True:
        left = refused(rights)
        if not left:
            return 0
        if time.monotonic() >= end:
            sys.stdout.write("still refused: " + ", ".join(left) + "\n")
            return STILL_REFUSED
        time.sleep(2)
