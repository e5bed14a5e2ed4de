"""Managers of instance groups, of a zone and of a region: what they are told, and what they tell. What they then do is in `rollouts`.

Sources: https://cloud.google.com/compute/docs/reference/rest/v1/instanceGroupManagers and regionInstanceGroupManagers,
https://cloud.google.com/compute/docs/instance-groups/rolling-out-updates-to-managed-instance-groups (surge and unavailability), the recordings that
facts.yaml names, and for texts the issues that are named beside them.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

from gcp_emulator.engine.context import Context
from gcp_emulator.engine.errors import Json, invalid_argument
from gcp_emulator.engine.service import Call
from gcp_emulator.services.compute import places, rollouts
from gcp_emulator.services.compute.balancing import BACKEND_SERVICES
from gcp_emulator.services.compute.groups import INSTANCE_GROUPS, MANAGER
from gcp_emulator.services.compute.kinds import Kind
from gcp_emulator.services.compute.lists import selected
from gcp_emulator.services.compute.methods import Methods
from gcp_emulator.services.compute.ports import Rollouts
from gcp_emulator.services.compute.templates import template_named

_POLICY = {"type": "OPPORTUNISTIC", "minimalAction": "REPLACE", "replacementMethod": "SUBSTITUTE"}
_LEAST_FOR_PERCENT = 10
#: More instances than this no group has (https://cloud.google.com/compute/docs/instance-groups/creating-groups-of-managed-instances#limitations).
_MOST = 2000


def _complete(call: Call, path: str, manager: Json, before: Json | None) -> Json:
    project, given = call.params["project"], call.body
    if "versions" in given:
        manager["instanceTemplate"] = (
            given["versions"][0].get("instanceTemplate", "") if given["versions"] else ""
        )
    elif "instanceTemplate" in given:
        manager["versions"] = [{"instanceTemplate": given["instanceTemplate"]}]
    if not manager.get("instanceTemplate"):
        # Recorded (computeinstancegroupmanager--zonalcomputeinstancegroupmanager-direct): without a template it is stable, and has no instances.
        manager.pop("instanceTemplate", None)
    for number, version in enumerate(manager.get("versions", [])):
        if version.get("instanceTemplate"):
            field = f"versions[{number}].instanceTemplate" if "versions" in given else "instanceTemplate"
            template_named(call.context, project, field, version["instanceTemplate"])
    versions = manager.get("versions", [])
    if versions and len([one for one in versions if not one.get("targetSize")]) != 1:
        raise invalid_argument(
            "Invalid value for field 'resource.versions': ''. Exactly one version must have no targetSize.",
            reason="invalid",
        )
    size = _size("resource.targetSize", manager.get("targetSize", 0))
    manager.setdefault("baseInstanceName", manager["name"])
    manager["updatePolicy"] = _policy(path, manager, size)
    manager.pop("status", None)
    return manager | {"targetSize": size, "instanceGroup": places.link_to(rollouts.group_of(path))}


def _size(field: str, value: Any) -> int:
    """How many instances are asked for; ApiError INVALID_ARGUMENT."""
    if value is None or not 0 <= int(value) <= _MOST:
        raise invalid_argument(
            f"Invalid value for field '{field}': '{value}'. Must be from 0 to {_MOST}.", reason="invalid"
        )
    return int(value)


def _policy(path: str, manager: Json, size: int) -> Json:
    """The policy with what it is filled in with; ApiError INVALID_ARGUMENT.

    Texts: https://github.com/terraform-google-modules/terraform-example-foundation/pull/427 (zones),
    https://github.com/GoogleCloudPlatform/magic-modules/pull/8210 (recreate).
    """
    regional = path.split("/")[2] == "regions"
    zones = len(rollouts.zones_of(path, manager))
    policy = {**_POLICY, **manager.get("updatePolicy", {})}
    for name in ("maxSurge", "maxUnavailable"):
        recreates = policy["replacementMethod"] == "RECREATE" and name == "maxSurge"
        value = dict(policy.get(name) or {"fixed": 0 if recreates else zones})
        value.pop("calculated", None)
        fixed, percent = value.get("fixed"), value.get("percent")
        if regional and fixed is not None and 0 < fixed < zones:
            raise invalid_argument(
                f"Invalid value for field 'resource.updatePolicy.{name}.fixed': '{fixed}'. Fixed updatePolicy.{name} for regional managed instance "
                "group has to be either 0 or at least equal to the number of zones.",
                reason="invalid",
            )
        if regional and percent and size < _LEAST_FOR_PERCENT:
            raise invalid_argument(
                f"Invalid value for field 'resource.updatePolicy.{name}.percent': '{percent}'. Percent updatePolicy.{name} for regional managed "
                f"instance group is for groups of at least {_LEAST_FOR_PERCENT} instances.",
                reason="invalid",
            )
        if recreates and (fixed or percent):
            raise invalid_argument(
                f"Invalid value for field 'resource.updatePolicy.maxSurge': '{json.dumps(value, indent=2)}'. maxSurge must be equal to 0 when "
                "replacement method is set to RECREATE",
                reason="invalid",
            )
        policy[name] = value | {"calculated": rollouts.amount(value, size)}
    if not policy["maxSurge"]["calculated"] and not policy["maxUnavailable"]["calculated"]:
        raise invalid_argument(
            "Invalid value for field 'resource.updatePolicy': ''. maxSurge and maxUnavailable cannot both be 0.",
            reason="invalid",
        )
    return policy


def _show(context: Context, path: str, manager: Json) -> Json:
    found = rollouts.members(context, path)
    actions = dict.fromkeys(
        ("none", "abandoning", "creating", "deleting", "recreating", "refreshing", "restarting", "verifying"),
        0,
    )
    for member in found:
        actions[member["action"].lower()] += 1
    going = context.ports.find(Rollouts).is_going(path)
    complete = not rollouts.has_template(manager) or len(found) == manager["targetSize"]
    reached = not any(
        member["action"] == "NONE" and one for member, one in rollouts.outdated(context, path, manager)
    )
    return manager | {
        "currentActions": actions,
        "status": {
            "isStable": complete and not going and actions["none"] == len(found),
            "versionTarget": {"isReached": reached},
        },
    }


def _made(context: Context, path: str, manager: Json) -> None:
    group = rollouts.group_of(path)
    ports = {"namedPorts": manager["namedPorts"]} if manager.get("namedPorts") else {}
    INSTANCE_GROUPS.add(context, group, {MANAGER: path, **ports})
    context.ports.find(Rollouts).begin(path)


def _changed(context: Context, path: str, manager: Json) -> None:
    context.ports.find(Rollouts).begin(path)


async def _gone(context: Context, path: str, manager: Json) -> None:
    for member in rollouts.members(context, path):
        await rollouts.remove(context, path, member["instance"])
    rollouts.forget(context, path)
    context.store.collection(INSTANCE_GROUPS.store).delete(rollouts.group_of(path))


def _used_by(context: Context, path: str, manager: Json) -> Iterator[str]:
    """The backend services that have the group."""
    project, group = path.split("/")[1], rollouts.group_of(path)
    for user, service in BACKEND_SERVICES.of(context, f"projects/{project}/"):
        if group in {
            places.path_of(link, project, context.projects) for link in BACKEND_SERVICES.references(service)
        }:
            yield user


# ---------------------------------------------------------------- actions


def _resize(methods: Methods, call: Call) -> Json:
    path, _ = methods.found(call)
    size = _size("size", call.params.get("size"))
    return _begin_with(methods, call, path, {"targetSize": size})


def _set_template(methods: Methods, call: Call) -> Json:
    path, _ = methods.found(call)
    link = call.body.get("instanceTemplate", "")
    template_named(call.context, call.params["project"], "instanceTemplate", link)
    return _begin_with(
        methods, call, path, {"instanceTemplate": link, "versions": [{"instanceTemplate": link}]}
    )


def _begin_with(methods: Methods, call: Call, path: str, fields: Json) -> Json:
    context = call.context

    def work() -> None:
        MANAGERS.put(context, path, {**MANAGERS.require(context, path), **fields})
        context.ports.find(Rollouts).begin(path)

    return methods.begin(call, path, MANAGERS.require(context, path), work)


def _with_members(
    work: Callable[[Context, str, list[str], Json], Any],
) -> Callable[[Methods, Call], Json]:
    """The action that does something with the instances that the call names, before its operation ends."""

    def act(methods: Methods, call: Call) -> Json:
        path, manager = methods.found(call)
        known = [member["instance"] for member in rollouts.members(call.context, path)]
        links = call.body.get("instances", [])
        named = [places.path_of(link, call.params["project"], call.context.projects) for link in links]
        for link, one in zip(links, named, strict=True):
            if one not in known:
                raise invalid_argument(
                    f"Invalid value for field 'instances': '{link}'. The instance is not a member of '{path}'.",
                    reason="invalid",
                )
        if call.body.get("allInstances"):
            named = known

        async def run() -> None:
            try:
                await work(call.context, path, named, call.body)
            finally:
                # The group may have been looked at while one was missing.
                call.context.ports.find(Rollouts).begin(path)

        return methods.begin(call, path, manager, run)

    return act


async def _recreate(context: Context, path: str, named: list[str], body: Json) -> None:
    for instance in named:
        await rollouts.recreate(context, path, instance)


async def _apply_updates(context: Context, path: str, named: list[str], body: Json) -> None:
    least = body.get("minimalAction", "NONE")
    most = body.get("mostDisruptiveAllowedAction", "REPLACE")
    old = {
        member["instance"]
        for member, one in rollouts.outdated(context, path, MANAGERS.require(context, path))
        if one
    }
    for instance in named:
        if most == "REPLACE" and (instance in old or least == "REPLACE"):
            await rollouts.recreate(context, path, instance)
        elif least == "RESTART" and most in ("RESTART", "REPLACE"):
            await rollouts.restart(context, path, instance)


async def _delete_instances(context: Context, path: str, named: list[str], body: Json) -> None:
    manager = MANAGERS.require(context, path)
    MANAGERS.put(context, path, manager | {"targetSize": max(0, manager["targetSize"] - len(named))})
    for instance in named:
        await rollouts.remove(context, path, instance)


async def _abandon_instances(context: Context, path: str, named: list[str], body: Json) -> None:
    manager = MANAGERS.require(context, path)
    MANAGERS.put(context, path, manager | {"targetSize": max(0, manager["targetSize"] - len(named))})
    for instance in named:
        rollouts.abandon(context, path, instance)


def _list_managed(methods: Methods, call: Call) -> Json:
    path, _ = methods.found(call)
    found = [rollouts.view(call.context, member) for member in rollouts.members(call.context, path)]
    return call.page(selected(call, found), "managedInstances", size_parameter="maxResults", default=500)


def _list_errors(methods: Methods, call: Call) -> Json:
    path, _ = methods.found(call)
    found = selected(call, rollouts.errors(call.context, path))
    return call.page(found, "items", size_parameter="maxResults", default=500)


MANAGERS = Kind(
    schema="InstanceGroupManager",
    collection="instanceGroupManagers",
    methods=("instanceGroupManagers", "regionInstanceGroupManagers"),
    noun="instance group manager",
    required=("name", "targetSize"),
    immutable=frozenset({"name", "baseInstanceName", "distributionPolicy"}),
    refers=frozenset({"healthCheck", "instanceTemplate"}),
    complete=_complete,
    used_by=_used_by,
    show=_show,
    made=_made,
    changed=_changed,
    gone=_gone,
    actions={
        "resize": _resize,
        "setInstanceTemplate": _set_template,
        "listManagedInstances": _list_managed,
        "listErrors": _list_errors,
        "applyUpdatesToInstances": _with_members(_apply_updates),
        "recreateInstances": _with_members(_recreate),
        "deleteInstances": _with_members(_delete_instances),
        "abandonInstances": _with_members(_abandon_instances),
    },
)
KINDS = (MANAGERS,)
