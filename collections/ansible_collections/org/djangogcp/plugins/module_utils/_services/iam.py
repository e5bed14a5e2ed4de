# Copyright (c) 2026, The djangogcp contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE to the collection: this file may change in any release.

"""IAM: the table of a service account, and where each kind of resource keeps its policy.

Source: discovery documents iam:v1, cloudresourcemanager:v3, secretmanager:v1, storage:v1, artifactregistry:v1, run:v2.
"""

from __future__ import annotations

import dataclasses
import typing as t

from ansible_collections.org.djangogcp.plugins.module_utils import _rules as rules
from ansible_collections.org.djangogcp.plugins.module_utils._fields import Change, Field
from ansible_collections.org.djangogcp.plugins.module_utils._marks import DescriptionPlace
from ansible_collections.org.djangogcp.plugins.module_utils._reconcile import (
    Ids,
    Plan,
    Request,
    ResourceSpec,
    patch_with_mask,
)
from ansible_collections.org.djangogcp.plugins.module_utils._shapes import Json

API = "https://iam.googleapis.com/v1"


def account_email(project: str, account: str) -> str:
    """The e-mail address of a service account, given its id or the address itself."""
    return account if "@" in account else f"{account}@{project}.iam.gserviceaccount.com"


def _update(plan: Plan) -> Request:
    """projects.serviceAccounts.patch takes mask and resource in its body."""
    request = patch_with_mask(plan)
    return Request("PATCH", {}, {"serviceAccount": request.body, "updateMask": request.params["updateMask"]})


def _create_body(ids: Ids, wire: Json) -> Json:
    return {"accountId": ids["name"], "serviceAccount": wire}


SERVICE_ACCOUNT = ResourceSpec(
    noun="service account",
    api=API,
    path="projects/{project}/serviceAccounts/{name}@{project}.iam.gserviceaccount.com",
    collection="projects/{project}/serviceAccounts",
    permission="iam.serviceAccounts",
    items="accounts",
    name_of=lambda ids, wire: str(wire["email"]).removesuffix(f"@{ids['project']}.iam.gserviceaccount.com"),
    create_body=_create_body,
    update=_update,
    mark=DescriptionPlace(),
    predicted=lambda ids, wire: {"email": account_email(ids["project"], ids["name"])},
    fields=(
        Field("display_name", "The name that people read.", rule=rules.text(100)),
        Field("description", "What it is for.", rule=rules.text(256)),
        Field("email", change=Change.OUTPUT),
        Field("unique_id", change=Change.OUTPUT),
        Field("disabled", change=Change.OUTPUT, default=False),
    ),
)


@dataclasses.dataclass(frozen=True)
class PolicyPlace:
    """Where a kind of resource keeps its IAM policy.

    Attributes:
        noun: what messages call the resource.
        url: its address, with {project}, {location} and {resource}.
        permission: the prefix of getIamPolicy and setIamPolicy.
        read_method: GET or POST.
        version_param: the query parameter that asks for policies with conditions; "" when the body does.
        is_storage: whether it is `<url>/iam` with PUT instead of `<url>:setIamPolicy` with POST.
    """

    noun: str
    url: str
    permission: str
    read_method: str = "GET"
    version_param: str = "options.requestedPolicyVersion"
    is_storage: bool = False

    def read_request(self, address: str) -> tuple[str, str, Json, Json | None]:
        """Method, URL, query and body that read the policy of the resource at `address`."""
        if self.is_storage:
            return "GET", f"{address}/iam", {"optionsRequestedPolicyVersion": 3}, None
        if not self.version_param:
            return "POST", f"{address}:getIamPolicy", {}, {"options": {"requestedPolicyVersion": 3}}
        body: Json | None = {} if self.read_method == "POST" else None
        return self.read_method, f"{address}:getIamPolicy", {self.version_param: 3}, body

    def write_request(self, address: str, policy: Json) -> tuple[str, str, Json]:
        """Method, URL and body that replace the policy of the resource at `address`."""
        if self.is_storage:
            return "PUT", f"{address}/iam", policy
        return "POST", f"{address}:setIamPolicy", {"policy": policy}


POLICY_PLACES: t.Mapping[str, PolicyPlace] = {
    "project": PolicyPlace(
        noun="project",
        url="https://cloudresourcemanager.googleapis.com/v3/projects/{resource}",
        permission="resourcemanager.projects",
        version_param="",
    ),
    "service_account": PolicyPlace(
        noun="service account",
        url=API + "/projects/{project}/serviceAccounts/{resource}",
        permission="iam.serviceAccounts",
        read_method="POST",
    ),
    "secret": PolicyPlace(
        noun="secret",
        url="https://secretmanager.googleapis.com/v1/projects/{project}/secrets/{resource}",
        permission="secretmanager.secrets",
    ),
    "bucket": PolicyPlace(
        noun="bucket",
        url="https://storage.googleapis.com/storage/v1/b/{resource}",
        permission="storage.buckets",
        is_storage=True,
    ),
    "artifact_repository": PolicyPlace(
        noun="repository",
        url="https://artifactregistry.googleapis.com/v1/projects/{project}/locations/{location}/repositories/{resource}",
        permission="artifactregistry.repositories",
    ),
    "run_service": PolicyPlace(
        noun="service",
        url="https://run.googleapis.com/v2/projects/{project}/locations/{location}/services/{resource}",
        permission="run.services",
    ),
    "run_job": PolicyPlace(
        noun="job",
        url="https://run.googleapis.com/v2/projects/{project}/locations/{location}/jobs/{resource}",
        permission="run.jobs",
    ),
}
