# Copyright (c) 2026, The djangogcp contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE to the collection: this file may change in any release.

"""Cloud Storage, as tables.

Source: discovery document storage:v1, https://cloud.google.com/storage/docs/json_api/v1/buckets.
"""

from __future__ import annotations

import concurrent.futures
import io
import urllib.parse

from ansible_collections.org.djangogcp.plugins.module_utils import _rules as rules
from ansible_collections.org.djangogcp.plugins.module_utils._client import (
    PARALLEL_REQUESTS,
    Call,
    Client,
    Json,
)
from ansible_collections.org.djangogcp.plugins.module_utils._errors import ApiError
from ansible_collections.org.djangogcp.plugins.module_utils._fields import (
    INT64,
    Change,
    Field,
    Kind,
    labels,
    number,
    switch,
)
from ansible_collections.org.djangogcp.plugins.module_utils._marks import LabelsPlace
from ansible_collections.org.djangogcp.plugins.module_utils._reconcile import (
    ResourceSpec,
    merge_patch,
    metageneration,
)

API = "https://storage.googleapis.com/storage/v1"
_UPLOAD = "https://storage.googleapis.com/upload/storage/v1"

LIFECYCLE_RULE = (
    Field(
        "action",
        "What is done with an object that fulfils the condition.",
        required=True,
        fields=(
            Field(
                "type",
                "The kind of action.",
                choices=("Delete", "SetStorageClass", "AbortIncompleteMultipartUpload"),
                required=True,
            ),
            Field("storage_class", "The storage class for V(SetStorageClass)."),
        ),
        replace=True,
    ),
    Field(
        "condition",
        "When it is done. An object must fulfil all that is given.",
        required=True,
        fields=(
            number("age", "The age in days.", zero_counts=True, rule=rules.DAYS),
            Field("created_before", "A date, C(YYYY-MM-DD); older objects fulfil it.", rule=rules.DATE),
            number(
                "days_since_noncurrent_time",
                "The days since the version became noncurrent.",
                rule=rules.DAYS,
            ),
            switch("is_live", "Whether the version is the live one.", zero_counts=True),
            Field("matches_prefix", "Beginnings of names.", kind=Kind.SET),
            Field("matches_storage_class", "Storage classes.", kind=Kind.SET),
            Field("matches_suffix", "Ends of names.", kind=Kind.SET),
            number(
                "num_newer_versions",
                "How many newer versions there are at least.",
                rule=rules.DAYS,
            ),
        ),
        replace=True,
    ),
)

CORS_RULE = (
    Field("origin", "The allowed origins.", required=True, kind=Kind.SET),
    Field("method", "The allowed methods.", required=True, kind=Kind.SET, rule=rules.HTTP_METHOD),
    Field("response_header", "The response headers that a browser lets a page see.", kind=Kind.SET),
    number(
        "max_age_seconds",
        "For how long a browser remembers the answer.",
        rule=rules.CACHE_SECONDS,
    ),
)


def _hint(error: ApiError, verb: str) -> str:
    # The names of all buckets of all customers are one namespace, and Cloud Storage tells about a bucket of somebody
    # else only that it may not be read (403) or made (409).
    if verb == "read" and error.lacks_role:
        return (
            "All buckets of Google Cloud share one namespace: either this name is taken in another project, so choose "
            "another one, or the caller lacks storage.buckets.get (roles/storage.admin has it)."
        )
    if verb == "create" and error.already_exists:
        return "All buckets of Google Cloud share one namespace and this name is taken in another project. Choose another one."
    if verb == "delete" and error.status == 409:
        return "Delete its objects first, or set a lifecycle rule that does."
    return ""


BUCKET = ResourceSpec(
    noun="bucket",
    api=API,
    path="b/{name}",
    permission="storage.buckets",
    id_field="name",
    collection_params={"project": "{project}"},
    update=merge_patch,
    guard=metageneration,
    mark=LabelsPlace(),
    hint=_hint,
    way_out="Choose another bucket name, or move the objects away, delete the bucket and run again.",
    fields=(
        # Told in upper case whatever was sent.
        Field(
            "location",
            (
                "The region, dual-region or multi-region. It cannot be changed later. The case does not matter.",
                "Google Cloud makes a bucket in the multi-region V(US) if not set.",
            ),
            change=Change.IMMUTABLE,
            normalize=str.upper,
            rule=rules.BUCKET_LOCATION,
        ),
        Field(
            "storage_class",
            "The storage class of new objects.",
            choices=("STANDARD", "NEARLINE", "COLDLINE", "ARCHIVE"),
            normalize=str.upper,
        ),
        labels(),
        switch(
            "uniform_bucket_level_access",
            "Whether access is given by IAM alone, without access control lists on objects.",
            wire="iamConfiguration.uniformBucketLevelAccess.enabled",
        ),
        Field(
            "public_access_prevention",
            "V(enforced) refuses to make anything public, whatever the IAM policy says.",
            choices=("enforced", "inherited"),
            wire="iamConfiguration.publicAccessPrevention",
        ),
        switch(
            "versioning",
            "Whether replaced and deleted objects are kept as noncurrent versions.",
            wire="versioning.enabled",
            default=False,
        ),
        number(
            "soft_delete_seconds",
            "For how long deleted objects can be restored. V(0) turns soft delete off.",
            wire="softDeletePolicy.retentionDurationSeconds",
            codec=INT64,
            rule=rules.SOFT_DELETE_SECONDS,
        ),
        Field(
            "lifecycle_rules",
            "All lifecycle rules, in any order. V([]) removes them.",
            wire="lifecycle.rule",
            kind=Kind.SET,
            fields=LIFECYCLE_RULE,
            replace=True,
        ),
        Field(
            "cors",
            "All rules for cross-origin requests, in their order. V([]) removes them.",
            kind=Kind.LIST,
            fields=CORS_RULE,
            replace=True,
        ),
        Field(
            "website_main_page_suffix",
            "The object that answers for a directory. An empty text removes it.",
            wire="website.mainPageSuffix",
            rule=rules.text(1024),
        ),
        Field(
            "website_not_found_page",
            "The object that answers for what does not exist. An empty text removes it.",
            wire="website.notFoundPage",
            rule=rules.text(1024),
        ),
        Field("project_number", codec=INT64, change=Change.OUTPUT),
        Field("metageneration", codec=INT64, change=Change.OUTPUT),
        Field("time_created", change=Change.OUTPUT),
        Field("self_link", change=Change.OUTPUT),
    ),
)


def taken_buckets(client: Client, project: str, names: list[str]) -> list[str]:
    """Those of some names that buckets of other projects have; all buckets of Google Cloud share one namespace.

    Nothing is taken where the API is not enabled yet: it cannot be asked then.
    """
    listing = Call(f"list the buckets of project {project}", "storage.buckets.list")
    try:
        pages = client.list(
            f"{API}/b",
            listing,
            items="items",
            params={"project": project, "fields": "items(name),nextPageToken"},
        )
        own = {bucket["name"] for bucket in pages}
    except ApiError as error:
        if error.is_disabled:
            return []
        raise
    return [name for name in names if name not in own and _exists(client, name)]


def _exists(client: Client, bucket: str) -> bool:
    call = Call(f"see whether the name {bucket} is taken", "storage.buckets.get")
    try:
        return client.find(f"{API}/b/{bucket}", call, params={"fields": "name"}) is not None
    except ApiError as error:
        # Somebody else's: Cloud Storage tells only that it may not be read.
        if error.status == 403:
            return True
        raise


def object_address(bucket: str, name: str) -> str:
    """The address of an object."""
    return f"{API}/b/{bucket}/o/{urllib.parse.quote(name, safe='')}"


def create_object(
    client: Client, call: Call, bucket: str, name: str, content: bytes, content_type: str = "application/json"
) -> str:
    """Create an object where there is none. Returns its generation, "" when there is one already.

    Source: https://cloud.google.com/storage/docs/request-preconditions.
    """
    params = {"uploadType": "media", "name": name, "ifGenerationMatch": "0"}
    try:
        made = client.upload(
            f"{_UPLOAD}/b/{bucket}/o",
            call,
            params=params,
            data=io.BytesIO(content),
            content_type=content_type,
        )
    except ApiError as error:
        if error.is_stale:
            return ""
        raise
    return str(made["generation"])


def delete_object(client: Client, call: Call, bucket: str, name: str, *, generation: str = "") -> bool:
    """Delete an object, with *generation* only as it was then. Whether it was there.

    Source: https://cloud.google.com/storage/docs/request-preconditions.
    """
    params = {"ifGenerationMatch": generation} if generation else {}
    try:
        client.request("DELETE", object_address(bucket, name), call, params=params)
    except ApiError as error:
        if error.status == 404 or (generation and error.is_stale):
            return False
        raise
    return True


def empty_bucket(client: Client, bucket: str) -> None:
    """Delete all objects of a bucket, with all their versions. A bucket that is not there is empty."""
    url = f"{API}/b/{bucket}/o"
    listing = Call(f"list the objects of bucket {bucket}", "storage.objects.list")
    if client.find(url, listing, params={"maxResults": 1, "fields": "items(name)"}) is None:
        return

    def delete(found: Json) -> None:
        call = Call(f"delete gs://{bucket}/{found['name']}", "storage.objects.delete")
        address = object_address(bucket, found["name"])
        try:
            client.request("DELETE", address, call, params={"generation": found["generation"]})
        except ApiError as error:
            if error.status != 404:
                raise

    fields = {"versions": "true", "fields": "items(name,generation),nextPageToken"}
    with concurrent.futures.ThreadPoolExecutor(max_workers=PARALLEL_REQUESTS) as pool:
        list(pool.map(delete, client.list(url, listing, items="items", params=fields)))
