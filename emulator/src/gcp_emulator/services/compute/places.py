"""Regions and zones, and how the addresses of resources are written.

Sources: https://cloud.google.com/compute/docs/regions-zones, and facts.yaml for what is data.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from typing import Any

from gcp_emulator.engine.errors import ApiError, Json, invalid_argument, not_found
from gcp_emulator.engine.facts import read_yaml
from gcp_emulator.engine.projects import Projects

#: The collection in which instances are stored.
INSTANCES = "compute.instances"
#: What every link begins with, whatever host was asked.
BASE = "https://www.googleapis.com/compute/v1"
_TEMPLATES = "https://compute.googleapis.com/compute/v1"
_LINK = re.compile(r"(?:https?://[^/]+/)?(?:compute/[^/]+/)?(?P<path>(?:projects|global|regions|zones)/.+)")


def regions() -> Mapping[str, Any]:
    """Every region: the range of its subnets in networks of auto mode (``range``) and the letters of its zones (``zones``)."""
    found: Mapping[str, Any] = read_yaml("services/compute/facts.yaml")["regions"]
    return found


def zones(region: str) -> list[str]:
    """The zones of a region."""
    return [f"{region}-{letter}" for letter in regions()[region]["zones"]]


def region(project: str, name: str) -> Json:
    """A region as the API shows it."""
    path = f"projects/{project}/regions/{name}"
    links = [link_to(f"projects/{project}/zones/{zone}") for zone in zones(name)]
    return {"kind": "compute#region", **_place(path), "zones": links, "quotas": []}


def zone(project: str, name: str) -> Json:
    """A zone as the API shows it."""
    path, where = f"projects/{project}/zones/{name}", f"projects/{project}/regions/{name[:-2]}"
    platforms = read_yaml("services/compute/catalogue.yaml")["cpu_platforms"]
    own = {"region": link_to(where), "supportsPzs": False, "availableCpuPlatforms": platforms}
    return {"kind": "compute#zone", **_place(path), **own}


def _place(path: str) -> Json:
    name = path.rpartition("/")[2]
    number = str(10**3 + int(hashlib.sha256(name.encode()).hexdigest()[:4], 16))
    return {
        "id": number,
        "name": name,
        "description": name,
        "status": "UP",
        "creationTimestamp": "1969-12-31T16:00:00.000-08:00",
        "selfLink": link_to(path),
    }


def require(params: Json) -> None:
    """ApiError NOT_FOUND when a call is about a region or a zone that is none."""
    try:
        check(params)
    except ApiError:
        kind = "zone" if "zone" in params else "region"
        path = f"projects/{params['project']}/{kind}s/{params[kind]}"
        raise not_found(f"The resource '{path}' was not found", reason="notFound") from None


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


def is_path(link: str) -> bool:
    """Whether a text is a link or a path of Compute Engine's."""
    return _LINK.fullmatch(link) is not None


def link_to(path: str) -> str:
    """The link of a path. Global instance templates have one of another host."""
    return f"{_TEMPLATES if '/global/instanceTemplates/' in path else BASE}/{path}"
