"""Custom roles of projects and organisations: a table, and what a deleted one does.

Source: https://cloud.google.com/iam/docs/reference/rest/v1/projects.roles and organizations.roles; the texts of errors are those that people report. A deleted role grants nothing and can be brought back;
Google removes it for good after a week, which is not emulated.
"""

from __future__ import annotations

import re
from collections.abc import Collection

from gcp_emulator.engine.context import Context
from gcp_emulator.engine.errors import Json, aborted, failed_precondition, invalid_argument
from gcp_emulator.engine.iam_roles import permission_fits
from gcp_emulator.engine.service import Call, handles
from gcp_emulator.engine.tables import Table


def _delete(call: Call, name: str, role: Json) -> Json:
    if role.get("deleted"):
        raise failed_precondition(f"You can't delete role {name}, because it is deleted already.")
    return role | {"deleted": True}


def _complete(call: Call, name: str, role: Json) -> Json:
    if role.get("deleted"):
        raise failed_precondition(f"You can't update role {name}, because it is deleted.")
    for permission in role.get("includedPermissions", []):
        # The text: https://github.com/aquasecurity/cloudsploit/issues/978.
        if not permission_fits(permission, name.partition("/roles/")[0]):
            raise invalid_argument(
                f"Permission {permission} is not valid.", field="role.included_permissions"
            )
    return role


ROLES = Table(
    message=("iam", "v1", "Role"),
    methods=("iam.projects.roles", "iam.organizations.roles"),
    id=r"[a-zA-Z0-9_.]{3,64}",
    # https://github.com/GoogleCloudPlatform/k8s-config-connector/issues/210
    bad_id=(
        'The role_id "{id}" is invalid. It doesn\'t match pattern "[a-zA-Z0-9_\\.]{{3,64}}". The role_id must be 3 to 64 characters long '
        "and can be a mix of uppercase and lowercase English letters, digits, underscores and periods."
    ),
    id_from="body:roleId",
    wrapped={"create": "role"},
    page_size=300,
    output_only=frozenset({"deleted"}),
    times=(),
    guard="etag",
    complete=_complete,
    deleted=_delete,
    missing="The role named {name} was not found.",
    taken="A role named {id} in {parent} already exists.",
)


class CustomRoles:
    """What the table does not say."""

    def __init__(self, context: Context) -> None:
        self._context = context
        context.iam.define_roles(self._permissions)

    def _permissions(self, role: str) -> Collection[str] | None:
        if not role.startswith(("projects/", "organizations/")):
            return None
        found = self._context.store.collection(ROLES.collection).peek(role)
        return None if found is None or found.get("deleted") else found.get("includedPermissions", ())

    @handles("iam.projects.roles.create", "iam.organizations.roles.create")
    async def create_role(self, call: Call) -> Json:
        """The id of a deleted role cannot be taken."""
        if "name" in call.body.get("role", {}):
            raise invalid_argument("Must not specify role.name.", field="role.name")
        role_id = call.body["roleId"]
        deleted = self._context.store.collection(ROLES.collection).peek(
            f"{call.params['parent']}/roles/{role_id}"
        )
        if deleted is not None and deleted.get("deleted"):
            raise failed_precondition(
                f"You can't create a role with role_id ({role_id}) where there is an existing role with that role_id in a deleted state."
            )
        return await ROLES.answer("create", call)

    @handles("iam.projects.roles.get", "iam.organizations.roles.get")
    async def get_role(self, call: Call) -> Json:
        """A name that no role can have is refused: https://github.com/pulumi/pulumi-gcp/issues/70."""
        if not re.fullmatch(ROLES.id, call.params["name"].rpartition("/")[2]):
            raise invalid_argument(
                'The role name must be in the form "roles/{role}", "organizations/{organization_id}/roles/{role}", or '
                '"projects/{project_id}/roles/{role}".'
            )
        return await ROLES.answer("get", call)

    @handles("iam.projects.roles.list", "iam.organizations.roles.list")
    async def list_roles(self, call: Call) -> Json:
        roles = [ROLES.view(call, *one) for one in ROLES.of(call.context, call.params["parent"])]
        shown = [one for one in roles if call.params.get("showDeleted") or not one.get("deleted")]
        if call.params.get("view") != "FULL":
            shown = [{key: one[key] for key in one if key != "includedPermissions"} for one in shown]
        return call.page(shown, "roles", default=ROLES.page_size)

    @handles("iam.projects.roles.undelete", "iam.organizations.roles.undelete")
    async def undelete_role(self, call: Call) -> Json:
        name = call.params["name"]
        role = ROLES.require(call.context, name)
        if call.body.get("etag") not in (None, "", role["etag"]):
            raise aborted(f"The etag {call.body['etag']} is not the current one of {name}; read it again.")
        if not role.pop("deleted", False):
            raise failed_precondition(f"You can't undelete role {name}, because it is not deleted.")
        ROLES.put(call.context, name, role)
        return ROLES.view(call, name, role)
