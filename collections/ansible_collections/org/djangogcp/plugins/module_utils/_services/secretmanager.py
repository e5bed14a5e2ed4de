# Copyright (c) 2026, The djangogcp contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE to the collection: this file may change in any release.

"""Secret Manager: the table of a secret, and its versions.

Source: discovery document secretmanager:v1.
"""

from __future__ import annotations

import base64
import dataclasses
import typing as t

from ansible_collections.org.djangogcp.plugins.module_utils import _rules as rules
from ansible_collections.org.djangogcp.plugins.module_utils._client import Call, Client
from ansible_collections.org.djangogcp.plugins.module_utils._errors import ConnectionLostError, DjangoGcpError
from ansible_collections.org.djangogcp.plugins.module_utils._fields import Change, Codec, Field, Kind, labels
from ansible_collections.org.djangogcp.plugins.module_utils._marks import LabelsPlace
from ansible_collections.org.djangogcp.plugins.module_utils._reconcile import ResourceSpec
from ansible_collections.org.djangogcp.plugins.module_utils._shapes import Json

API = "https://secretmanager.googleapis.com/v1"


def _encode_replication(locations: list[str]) -> Json:
    if not locations:
        return {"automatic": {}}
    return {"userManaged": {"replicas": [{"location": location} for location in locations]}}


def _decode_replication(replication: Json) -> list[str]:
    return [replica["location"] for replica in (replication.get("userManaged") or {}).get("replicas") or []]


SECRET = ResourceSpec(
    noun="secret",
    api=API,
    path="projects/{project}/secrets/{name}",
    permission="secretmanager.secrets",
    id_param="secretId",
    items="secrets",
    mark=LabelsPlace(),
    defaults={"replication": {"automatic": {}}},
    fields=(
        Field(
            "locations",
            (
                "The regions that hold the value. It cannot be changed later.",
                "Google Cloud chooses them if not set or V([]).",
            ),
            wire="replication",
            kind=Kind.SET,
            change=Change.IMMUTABLE,
            codec=Codec(_encode_replication, _decode_replication),
            rule=rules.LOCATION,
        ),
        labels(),
        Field(
            "annotations",
            "The annotations. Annotations that are not in it are removed, so V({}) removes all.",
            kind=Kind.MAP,
            rule=rules.ANNOTATIONS,
        ),
        Field("create_time", change=Change.OUTPUT),
    ),
)


@dataclasses.dataclass(frozen=True)
class SecretVersion:
    """A version of a secret, without its value.

    Attributes:
        number: its number, which never changes and is what a release is pinned to; "1" is the first.
        is_enabled: whether its value can be read.
    """

    number: str
    is_enabled: bool


def newest_version(client: Client, project: str, secret: str) -> SecretVersion | None:
    """The newest version that was not destroyed; None when the secret or any version is missing.

    A destroyed one holds nothing: it may be what a run took back that another one was ahead of (see `enabled_between`).
    """
    url = f"{API}/projects/{project}/secrets/{secret}/versions/latest"
    call = Call(f"read the newest version of secret {secret}", "secretmanager.versions.get")
    answer = client.find(url, call, ahead=True)
    if answer is not None and _is_gone(answer):
        versions = _versions(client, project, secret)
        answer = max((one for one in versions if not _is_gone(one)), key=_number, default=None)
    if answer is None:
        return None
    return SecretVersion(str(_number(answer)), answer.get("state") == "ENABLED")


def versions_of(client: Client, project: str, secret: str) -> list[Json]:
    """Number, state and time of all versions of a secret in Ansible shape, the newest first."""
    newest_first = sorted(_versions(client, project, secret), key=_number, reverse=True)
    return [
        {
            "version": str(_number(version)),
            "state": version.get("state", ""),
            "create_time": version.get("createTime", ""),
        }
        for version in newest_first
    ]


def version_state(client: Client, project: str, secret: str, number: str) -> str:
    """The state of a version: ENABLED, DISABLED or DESTROYED; GONE for one of a secret that is not there."""
    call = Call(f"look up version {number} of secret {secret}", "secretmanager.versions.get")
    found = client.find(f"{API}/projects/{project}/secrets/{secret}/versions/{number}", call)
    return "GONE" if found is None else str(found.get("state", ""))


def enabled_between(client: Client, project: str, secret: str, low: int, high: int) -> list[str]:
    """The numbers of the enabled versions above `low` and below `high`, the oldest first."""
    versions = _versions(client, project, secret)
    numbers = [_number(version) for version in versions if version.get("state") == "ENABLED"]
    return [str(number) for number in sorted(numbers) if low < number < high]


def destroy_version(client: Client, project: str, secret: str, number: str) -> None:
    """Destroy a version, which cannot be undone."""
    call = Call(f"destroy version {number} of secret {secret}", "secretmanager.versions.destroy")
    url = f"{API}/projects/{project}/secrets/{secret}/versions/{number}:destroy"
    client.request("POST", url, call, body={}, repeatable=True)


def _versions(client: Client, project: str, secret: str) -> t.Iterator[Json]:
    call = Call(f"list the versions of secret {secret}", "secretmanager.versions.list")
    return client.list(f"{API}/projects/{project}/secrets/{secret}/versions", call, items="versions")


def _number(version: Json) -> int:
    return int(str(version["name"]).rsplit("/", 1)[-1])


def _is_gone(version: Json) -> bool:
    """Whether it is destroyed, or will be: a secret with versionDestroyTtl only disables it at first."""
    return version.get("state") == "DESTROYED" or bool(version.get("scheduledDestroyTime"))


def read_version(client: Client, project: str, secret: str, number: str) -> bytes:
    """The value of a version. Never to be shown."""
    url = f"{API}/projects/{project}/secrets/{secret}/versions/{number}:access"
    answer = client.get(url, Call(f"read the value of secret {secret}", "secretmanager.versions.access"))
    return base64.b64decode(answer["payload"].get("data", ""))


def read_text(client: Client, project: str, secret: str, number: str) -> str:
    """The value of a version that has to be a string, such as a password. Never to be shown.

    Raises:
        DjangoGcpError: it is empty, is not UTF-8, or holds a zero byte, which PostgreSQL and environment variables cannot.
    """
    value = read_version(client, project, secret, number)
    problem = "is empty" if not value else "holds a zero byte" if b"\0" in value else ""
    try:
        text = value.decode()
    except UnicodeDecodeError:
        problem = "is not UTF-8"
    if problem:
        # Without the cause: it would show the value.
        raise DjangoGcpError(
            f"Failed to use the value of secret {secret} in project {project}: version {number} {problem}. Add a version that is a "
            "string of at least one character in UTF-8."
        ) from None
    return text


def add_version(client: Client, project: str, secret: str, payload: bytes) -> str:
    """Add a version and return its number. When the answer is lost, the newest version tells whether it was added."""
    call = Call(f"add a version to secret {secret}", "secretmanager.versions.add")
    url = f"{API}/projects/{project}/secrets/{secret}:addVersion"
    body = {"payload": {"data": base64.b64encode(payload).decode()}}
    try:
        answer = client.request("POST", url, call, body=body)
    except ConnectionLostError:
        newest = newest_version(client, project, secret)
        if newest and newest.is_enabled and read_version(client, project, secret, newest.number) == payload:
            return newest.number
        answer = client.request("POST", url, call, body=body)
    return str(answer["name"]).rsplit("/", 1)[-1]


def retire_versions(
    client: Client, project: str, secret: str, *, keep: t.Collection[str], how: str, check_mode: bool
) -> list[str]:
    """Disable or destroy all versions but some. Returns the numbers of those that were (or would be) changed.

    Args:
        keep: the numbers of the versions to leave alone.
        how: "disable" (can be undone) or "destroy" (cannot).
    """
    url = f"{API}/projects/{project}/secrets/{secret}/versions"
    done = {"disable": ("DISABLED", "DESTROYED"), "destroy": ("DESTROYED",)}[how]
    retired = []
    for version in _versions(client, project, secret):
        number = str(_number(version))
        if number in keep or version.get("state") in done:
            continue
        retired.append(number)
        if not check_mode:
            call = Call(f"{how} version {number} of secret {secret}", f"secretmanager.versions.{how}")
            # Both verbs end in the same state however often they are sent.
            client.request(
                "POST", f"{url}/{number}:{how}", call, body={"etag": version.get("etag", "")}, repeatable=True
            )
    return retired
