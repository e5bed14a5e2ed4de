"""Names, addresses and conditions of Cloud Run, as data in Google's formats."""

from __future__ import annotations

import base64
import hashlib
import re
import secrets
from dataclasses import dataclass

from gcp_emulator.engine import clock
from gcp_emulator.engine.errors import ApiError, Json, invalid_argument
from gcp_emulator.engine.facts import read_yaml

TYPE = "type.googleapis.com/google.cloud.run.v2."
_LETTERS = "bcdfghjklmnpqrstvwxz"
_NAME = re.compile(
    r"projects/(?P<project>[^/]+)/locations/(?P<region>[^/]+)/(?P<kind>services|jobs|workerPools)/(?P<id>[^/]+)"
)


@dataclass(frozen=True)
class Name:
    """The parts of ``projects/PROJECT/locations/REGION/{services|jobs|workerPools}/ID`` (anything below is cut off)."""

    project: str
    region: str
    kind: str
    id: str

    @classmethod
    def of(cls, name: str) -> Name:
        found = _NAME.match(name)
        if found is None:  # a slash may have come percent-encoded
            raise invalid_argument(f"Invalid resource name '{name}'.", field="name")
        return cls(**found.groupdict())

    def __str__(self) -> str:
        return f"projects/{self.project}/locations/{self.region}/{self.kind}/{self.id}"

    @property
    def location(self) -> str:
        return f"projects/{self.project}/locations/{self.region}"


def check_region(region: str) -> None:
    """403 in Google's words for a region that Cloud Run does not have."""
    if region not in read_yaml("services/run/facts.yaml")["regions"]:
        raise ApiError(
            "PERMISSION_DENIED", f"Permission denied on 'locations/{region}' (or it may not exist)."
        )


def short(name: str) -> str:
    """The last part of a resource name."""
    return name.rpartition("/")[2]


def suffix(length: int = 3) -> str:
    """Random letters, as in ``web-00001-xkz``."""
    return "".join(secrets.choice(_LETTERS) for _ in range(length))


def hosts(name: Name, number: str) -> tuple[str, str]:
    """The two host names of a service: the deterministic one and the one with a hash.

    Source: "Cloud Run URLs" (``SERVICE-PROJECTNUMBER.REGION.run.app``); the hash is the emulator's own, stable.
    """
    letters = read_yaml("services/run/facts.yaml")["regions"][name.region]
    digest = base64.b32encode(hashlib.sha256(str(name.project).encode()).digest()).decode().lower()[:10]
    return f"{name.id}-{number}.{name.region}.run.app", f"{name.id}-{digest}-{letters}.a.run.app"


def tagged(tag: str, host: str) -> str:
    """The host name of a traffic tag."""
    return f"{tag}---{host}"


def condition(kind: str, state: str, message: str = "", **reason: str) -> Json:
    """A ``GoogleCloudRunV2Condition``; ``state`` without its prefix, ``reason`` one of its reason fields."""
    result: Json = {
        "type": kind,
        "state": f"CONDITION_{state}",
        "lastTransitionTime": clock.timestamp(),
        **reason,
    }
    if message:
        result["message"] = message
    if state == "FAILED":
        result["severity"] = "ERROR"
    return result


def log_uri(project: str, resource: str, **labels: str) -> str:
    """The link to the logs that Google puts in ``logUri`` (its shape is Google's, the page is not emulated)."""
    terms = [
        f'resource.type="{resource}"',
        *(f'resource.labels.{key}="{value}"' for key, value in labels.items()),
    ]
    query = "%0A".join(term.replace('"', "%22").replace("=", "%3D") for term in terms)
    path = "/".join(f"{key}/{value}" for key, value in labels.items())
    return f"https://console.cloud.google.com/logs/viewer?project={project}&resource={resource}/{path}&advancedFilter={query}"
