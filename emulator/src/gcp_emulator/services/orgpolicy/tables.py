"""Policies and custom constraints, as they are stored. What policies keep away is in `constraints`.

Source: https://cloud.google.com/resource-manager/docs/reference/orgpolicy/rest/v2/projects.policies (etags, what a call without a mask
replaces, `reset`), .../v2/organizations.customConstraints and the recordings that facts.yaml names.
"""

from __future__ import annotations

from gcp_emulator.engine import clock
from gcp_emulator.engine.errors import Json, aborted, invalid_argument
from gcp_emulator.engine.service import Call
from gcp_emulator.engine.tables import Table


def _complete(call: Call, name: str, policy: Json) -> Json:
    before = POLICIES.find(call.context, name)
    for kind in ("spec", "dryRunSpec"):
        if kind not in policy:
            continue
        spec = policy[kind]
        if spec.get("reset") and (spec.get("rules") or spec.get("inheritFromParent")):
            raise invalid_argument(
                f"A {kind} that resets has neither rules nor inheritFromParent.", field=kind
            )
        current = (before or {}).get(kind, {}).get("etag")
        if before is not None and spec.get("etag") not in (None, "", current):
            raise aborted(
                f"The etag {spec['etag']} is not the current one of {kind} of {name}; read it again."
            )
        policy[kind] = spec | {"etag": clock.new_etag().strip('"'), "updateTime": clock.timestamp()}
    return policy


POLICIES = Table(
    message=("orgpolicy", "v2", "GoogleCloudOrgpolicyV2Policy"),
    methods=("orgpolicy.projects.policies", "orgpolicy.folders.policies", "orgpolicy.organizations.policies"),
    id=r"[A-Za-z][A-Za-z0-9]*(\.[A-Za-z0-9]+)+",
    bad_id="Invalid constraint name '{id}'.",
    id_from="full:name",
    mask_root="policy",
    replaces=frozenset({"patch"}),
    times=(),
    guard="etag",
    complete=_complete,
)
CUSTOM_CONSTRAINTS = Table(
    message=("orgpolicy", "v2", "GoogleCloudOrgpolicyV2CustomConstraint"),
    methods=("orgpolicy.organizations.customConstraints",),
    id=r"custom\.[A-Za-z0-9]{1,62}",
    bad_id="Invalid custom constraint name '{id}'.",
    id_from="full:name",
    required=("resourceTypes", "methodTypes", "condition", "actionType"),
    immutable=frozenset({"resourceTypes"}),
    replaces=frozenset({"patch"}),
    times=("updateTime",),
)
