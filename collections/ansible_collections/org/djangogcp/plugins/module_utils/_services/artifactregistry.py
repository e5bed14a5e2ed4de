# Copyright (c) 2026, The djangogcp contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE to the collection: this file may change in any release.

"""Artifact Registry v1 as tables. Source of every wire name: the discovery document artifactregistry:v1."""

from __future__ import annotations

from ansible_collections.org.djangogcp.plugins.module_utils import _rules as rules
from ansible_collections.org.djangogcp.plugins.module_utils._client import Call, Client
from ansible_collections.org.djangogcp.plugins.module_utils._differences import canonical
from ansible_collections.org.djangogcp.plugins.module_utils._fields import (
    Change,
    Field,
    Kind,
    labels,
    number,
    switch,
)
from ansible_collections.org.djangogcp.plugins.module_utils._marks import LabelsPlace
from ansible_collections.org.djangogcp.plugins.module_utils._operations import long_running
from ansible_collections.org.djangogcp.plugins.module_utils._reconcile import ResourceSpec, no_guard
from ansible_collections.org.djangogcp.plugins.module_utils._retry import Deadline
from ansible_collections.org.djangogcp.plugins.module_utils._shapes import Json


def _operations(client: Client, api: str, answer: Json, deadline: Deadline, call: Call) -> Json:
    """repositories.create and delete answer an operation, repositories.patch the repository itself."""
    is_operation = "/operations/" in answer["name"]
    return long_running(client, api, answer, deadline, call) if is_operation else answer


#: A cleanup policy as the API has it. Source: artifactregistry:v1, CleanupPolicy.
CLEANUP_POLICY = (
    Field("id"),
    Field("action"),
    Field(
        "condition",
        fields=(
            Field("newerThan", normalize=rules.duration),
            Field("olderThan", normalize=rules.duration),
            Field("packageNamePrefixes", kind=Kind.SET),
            Field("tagPrefixes", kind=Kind.SET),
            Field("tagState"),
            Field("versionNamePrefixes", kind=Kind.SET),
        ),
    ),
    Field("mostRecentVersions", fields=(number("keepCount"), Field("packageNamePrefixes", kind=Kind.SET))),
)


def _cleanup_policies(policies: Json) -> Json:
    """Cleanup policies in the one form that equal ones share. Google Cloud tells the name of each once more, as its id.

    Source: https://github.com/GoogleCloudPlatform/k8s-config-connector, the recorded conversation artifactregistryrepositorycleanuppolicies.
    """
    return {
        name: canonical({"id": name, **policy}, Field(name, fields=CLEANUP_POLICY))
        if isinstance(policy, dict)
        else policy
        for name, policy in policies.items()
    }


REPOSITORY = ResourceSpec(
    noun="repository",
    api="https://artifactregistry.googleapis.com/v1",
    path="projects/{project}/locations/{location}/repositories/{name}",
    permission="artifactregistry.repositories",
    id_param="repositoryId",
    items="repositories",
    guard=no_guard,
    operations=_operations,
    mark=LabelsPlace(),
    fields=(
        Field(
            "format",
            "What the repository holds. It cannot be changed later.",
            choices=("DOCKER", "PYTHON", "NPM", "MAVEN", "APT", "YUM", "GENERIC"),
            option_default="DOCKER",
            change=Change.IMMUTABLE,
        ),
        Field("description", "What the repository is for.", rule=rules.text(1000)),
        labels(),
        Field(
            "cleanup_policies",
            "Cleanup policies by name, as the API has them (C(action), C(condition), C(mostRecentVersions)). What the API does not know"
            " is refused.",
            kind=Kind.MAP,
            normalize=_cleanup_policies,
        ),
        switch(
            "cleanup_policy_dry_run",
            "Whether cleanup policies only log what they would delete.",
            default=False,
        ),
        switch(
            "immutable_tags",
            "Whether a tag can never be moved to another image.",
            wire="dockerConfig.immutableTags",
            default=False,
        ),
        Field("create_time", change=Change.OUTPUT),
    ),
)
