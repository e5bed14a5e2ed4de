"""How instances change: metadata and tags by their fingerprints, what only a stopped machine can change, and `update`, which takes the least
disruptive action.

Sources: https://cloud.google.com/compute/docs/reference/rest/v1/instances, https://cloud.google.com/compute/docs/instances/update-instance-properties
(which action a change needs), the recordings that facts.yaml names, and for texts the issues that are named beside them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from gcp_emulator.engine.context import Context
from gcp_emulator.engine.errors import ApiError, Json, invalid_argument, precondition_failed
from gcp_emulator.engine.service import Call
from gcp_emulator.services.compute import catalogue, machines
from gcp_emulator.services.compute.kinds import GOOGLES, Kind
from gcp_emulator.services.compute.methods import Methods, same
from gcp_emulator.services.iam.ports import Accounts

_KEY_BYTES, _VALUE_BYTES, _ALL_BYTES = 128, 256 * 1024, 512 * 1024


def usable_account(call: Call, email: str) -> str:
    """The account that an instance acts as; "" and ``default`` are Compute Engine's own. ApiError when the caller may not act as it, or there is none.

    Text: https://github.com/googleapis/google-cloud-java/issues/10061; there an operation ended in it.
    """
    project, accounts = call.params["project"], call.context.ports.find(Accounts)
    if email in ("", "default"):
        accounts.ensure_default(project)
        email = f"{call.context.projects.number(project)}-compute@developer.gserviceaccount.com"
    found = accounts.find(email)
    try:
        if found is not None:
            call.require("iam.serviceAccounts.actAs", found["name"])
            return email
    except ApiError:
        pass
    raise ApiError(
        "SERVICE_ACCOUNT_ACCESS_DENIED",
        f"The user does not have access to service account '{email}'. User: '{call.caller.email}'. Ask a project owner to grant you the "
        "iam.serviceAccountUser role on the service account",
        code=400,
        reason="SERVICE_ACCOUNT_ACCESS_DENIED",
    )


def usable_accounts(call: Call, accounts: list[Json]) -> list[Json]:
    """The accounts of an instance, as `usable_account` tells each."""
    return [{**account, "email": usable_account(call, account.get("email", ""))} for account in accounts]


def check_metadata(metadata: Json) -> None:
    """ApiError INVALID_ARGUMENT for what Google does not take (https://cloud.google.com/compute/docs/metadata/setting-custom-metadata#limitations)."""
    items = metadata.get("items", [])
    keys = [str(one.get("key", "")) for one in items]
    for key, one in zip(keys, items, strict=True):
        if (
            not key
            or len(key) > _KEY_BYTES
            or not key.replace("-", "").replace("_", "").isalnum()
            or not key.isascii()
        ):
            raise _bad_metadata(f"Metadata key '{key}' must be a match of regex '[a-zA-Z0-9-_]{{1,128}}'.")
        if len(one.get("value", "").encode()) > _VALUE_BYTES:
            raise _bad_metadata(f"Metadata value of '{key}' is longer than 262144 bytes.")
    if len(set(keys)) != len(keys):
        raise _bad_metadata("Duplicate metadata keys.")
    if sum(len(one.get("value", "").encode()) + len(str(one.get("key", ""))) for one in items) > _ALL_BYTES:
        raise _bad_metadata("All metadata together is longer than 524288 bytes.")


def _bad_metadata(text: str) -> ApiError:
    return invalid_argument(f"Invalid value for field 'metadata': ''. {text}", reason="invalid")


def guarded(field: str) -> Callable[[Methods, Call], Json]:
    """The action that replaces metadata or tags, with the fingerprint of what is there."""

    def act(methods: Methods, call: Call) -> Json:
        path, instance = methods.found(call)
        if not same(call.body.get("fingerprint", ""), instance[field]["fingerprint"]):
            raise precondition_failed(f"Supplied fingerprint does not match current {field} fingerprint.")
        if field == "metadata":
            check_metadata(call.body)
        return _write(methods, call, path, {field: call.body})

    return act


def stopped_only(fields: Callable[[Call], Json]) -> Callable[[Methods, Call], Json]:
    """The action that changes what a running machine cannot change. Recorded: the call is answered with an operation also while it runs.

    Text: https://github.com/hashicorp/terraform-provider-google/issues/7101; that the operation ends in it is assumed.
    """

    def act(methods: Methods, call: Call) -> Json:
        path, instance = methods.found(call)
        changed = fields(call)

        def work() -> None:
            if methods.kind.require(call.context, path)["status"] != "TERMINATED":
                raise ApiError(
                    "INVALID_USAGE",
                    "Invalid resource usage: 'Instance should be in the STOPPED state.'",
                    code=400,
                )
            _apply(methods.kind, call.context, path, changed)

        return methods.begin(call, path, instance, work)

    return act


def machine_type(call: Call) -> Json:
    value = call.body.get("machineType", "")
    catalogue.require_machine_type("machineType", value, call.params["zone"])
    return {"machineType": value}


def service_account(call: Call) -> Json:
    email = call.body.get("email", "")
    if not email:
        return {"serviceAccounts": []}
    return {
        "serviceAccounts": [{"email": usable_account(call, email), "scopes": call.body.get("scopes", [])}]
    }


def shielded(call: Call) -> Json:
    return {"shieldedInstanceConfig": dict(call.body)}


def scheduling(methods: Methods, call: Call) -> Json:
    path, _ = methods.found(call)
    return _write(methods, call, path, {"scheduling": dict(call.body)})


def deletion_protection(methods: Methods, call: Call) -> Json:
    path, _ = methods.found(call)
    return _write(
        methods, call, path, {"deletionProtection": bool(call.params.get("deletionProtection", True))}
    )


def _write(methods: Methods, call: Call, path: str, changed: Json) -> Json:
    return methods.begin(
        call,
        path,
        methods.kind.require(call.context, path),
        partial(_change, methods.kind, call.context, path, changed),
    )


async def _change(kind: Kind, context: Context, path: str, changed: Json) -> None:
    _apply(kind, context, path, changed)
    if "metadata" in changed:
        metadata = machines.metadata_of(kind.require(context, path))
        await context.machines.change_metadata(path, metadata)


def _apply(kind: Kind, context: Context, path: str, changed: Json) -> None:
    instance = kind.require(context, path)
    for name, value in changed.items():
        if name in ("scheduling", "shieldedInstanceConfig"):
            instance[name] = {**instance[name], **value}
        elif name == "metadata":
            instance[name] = machines.with_fingerprint(value, kind="compute#metadata")
        elif name == "tags":
            instance[name] = machines.with_fingerprint(value)
        else:
            instance[name] = value
    kind.put(context, path, instance)


#: What `update` can change, and the action that each needs. The document has the names of the actions, the least disruptive first.
_ACTIONS = ("NO_EFFECT", "REFRESH", "RESTART")
_NEEDED: Mapping[str, str] = {
    "deletionProtection": "NO_EFFECT",
    "description": "NO_EFFECT",
    "labels": "NO_EFFECT",
    "metadata": "NO_EFFECT",
    "tags": "NO_EFFECT",
    "scheduling": "REFRESH",
    "canIpForward": "REFRESH",
    "machineType": "RESTART",
    "minCpuPlatform": "RESTART",
    "serviceAccounts": "RESTART",
    "shieldedInstanceConfig": "RESTART",
}


def update(methods: Methods, call: Call) -> Json:
    """Changes what differs, by the least disruptive action that does; refused where that is more than is allowed. Texts are assumed."""
    path, instance = methods.found(call)
    given = call.body.get("fingerprint")
    if given and not same(given, instance["fingerprint"]):
        raise precondition_failed("Invalid fingerprint.")
    asked, allowed = call.params.get("minimalAction"), call.params.get("mostDisruptiveAllowedAction")
    for name, value in (("minimalAction", asked), ("mostDisruptiveAllowedAction", allowed)):
        if value not in (None, "", *_ACTIONS):
            raise invalid_argument(f"Invalid value for field '{name}': '{value}'.", reason="invalid")
    changed = _changes(call, methods.kind.view(call.context, path, instance))
    needed = max([_NEEDED[name] for name in changed] + [asked or "NO_EFFECT"], key=_ACTIONS.index)
    runs = instance["status"] == "RUNNING"
    if runs and allowed and _ACTIONS.index(needed) > _ACTIONS.index(allowed):
        raise invalid_argument(
            f"Invalid resource usage: 'The update needs {needed}, which is more disruptive than the allowed {allowed}.'",
            reason="invalidResourceUsage",
        )

    async def work() -> None:
        await _change(methods.kind, call.context, path, changed)
        if runs and needed == "RESTART":
            await machines.stop(call.context, path)
            await machines.start(call.context, path)

    return methods.begin(call, path, instance, work)


def _changes(call: Call, shown: Json) -> Json:
    """What the body of an update says otherwise than the instance as it is shown; ApiError INVALID_ARGUMENT for what never changes so."""
    changed: Json = {}
    for name, value in call.body.items():
        if name in GOOGLES:
            continue
        if (value == shown.get(name)) if name == "labels" else _agrees(value, shown.get(name)):
            continue
        if name in _NEEDED:
            changed[name] = value
        elif name in shown or value not in ("", [], {}, False):
            raise invalid_argument(
                f"Invalid value for field 'resource.{name}': it cannot be changed by update.",
                reason="invalid",
            )
    if "machineType" in changed:
        catalogue.require_machine_type("machineType", changed["machineType"], call.params["zone"])
    if "metadata" in changed:
        check_metadata(changed["metadata"])
    if "serviceAccounts" in changed:
        changed["serviceAccounts"] = usable_accounts(call, changed["serviceAccounts"])
    return changed


def _agrees(given: Any, shown: Any) -> bool:
    """Whether a value says nothing else than what is there; an empty message says that there is to be nothing."""
    if isinstance(given, dict) and isinstance(shown, dict):
        own = ("fingerprint", "kind")
        said = {name: one for name, one in given.items() if name not in own}
        return bool(said) == bool(set(shown) - set(own)) and all(
            _agrees(one, shown.get(name)) for name, one in said.items()
        )
    if isinstance(given, list) and isinstance(shown, list):
        return len(given) == len(shown) and all(map(_agrees, given, shown))
    return bool(given == shown)
