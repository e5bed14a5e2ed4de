"""Regions and zones, and how the addresses of resources are written.

Sources: https://cloud.google.com/compute/docs/regions-zones, and facts.yaml for what is data.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from gcp_emulator.engine.errors import ApiError, Json, invalid_argument
from gcp_emulator.engine.facts import read_yaml
from gcp_emulator.engine.projects import Projects

#: What every link begins with, whatever host was asked.
BASE = "https://www.googleapis.com/compute/v1"
_LINK = re.compile(r"(?:https?://[^/]+/)?(?:compute/[^/]+/)?(?P<path>(?:projects|global|regions|zones)/.+)")


def regions() -> Mapping[str, Any]:
    """Every region: the range of its subnets in networks of auto mode (``range``) and the letters of its zones (``zones``)."""
    found: Mapping[str, Any] = read_yaml("services/compute/facts.yaml")["regions"]
    return found


def check(params: Json) -> None:
    """ApiError INVALID_ARGUMENT when a call names a region or a zone that is none."""
    region, zone = params.get("region"), params.get("zone")
    if region is not None and region not in regions():
        raise _unknown("region", region)
    if zone is not None and zone[-1:] not in regions().get(zone[:-2], {}).get("zones", ""):
        raise _unknown("zone", zone)


def _unknown(field: str, value: str) -> ApiError:
    return invalid_argument(
        f"Invalid value for field '{field}': '{value}'. Unknown {field}.", reason="invalid"
    )


def path_of(link: str, project: str, projects: Projects) -> str:
    """``projects/P/global/networks/N`` for any spelling of it: a link of any version, a path, or one that leaves the project out."""
    found = _LINK.fullmatch(link)
    path = found["path"] if found else link
    return projects.canonical(path if path.startswith("projects/") else f"projects/{project}/{path}")


def link_to(path: str) -> str:
    """The link of a path."""
    return f"{BASE}/{path}"
