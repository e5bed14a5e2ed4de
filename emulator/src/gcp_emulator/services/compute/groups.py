"""Instance groups: the instances that belong together, and the names of their ports. A managed one belongs to its manager (`managers`).

Sources: https://cloud.google.com/compute/docs/reference/rest/v1/instanceGroups, and the recordings that facts.yaml names.
"""

from __future__ import annotations

from gcp_emulator.engine.context import Context
from gcp_emulator.engine.errors import Json, invalid_argument, precondition_failed
from gcp_emulator.engine.service import Call
from gcp_emulator.services.compute import places
from gcp_emulator.services.compute.kinds import Kind
from gcp_emulator.services.compute.lists import selected
from gcp_emulator.services.compute.methods import Methods, same

#: Beside a group its instances, by path, and the path of its manager where it has one.
_MEMBERS, MANAGER = "members", "manager"


def members(group: Json) -> list[str]:
    """The paths of a group's instances."""
    found: list[str] = group.get(_MEMBERS, [])
    return found


def join(context: Context, path: str, instance: str) -> None:
    """Puts an instance into a group; ApiError NOT_FOUND."""
    group = INSTANCE_GROUPS.require(context, path)
    found = context.store.collection(places.INSTANCES).get(instance)
    if found and found["networkInterfaces"] and "network" not in group:
        first = found["networkInterfaces"][0]
        group |= {name: first[name] for name in ("network", "subnetwork") if name in first}
    INSTANCE_GROUPS.put(context, path, group | {_MEMBERS: [*members(group), instance]})


def leave(context: Context, instance: str) -> None:
    """Takes an instance out of every group."""
    for path, group in list(INSTANCE_GROUPS.of(context, f"projects/{instance.split('/')[1]}/")):
        if instance in members(group):
            others = [one for one in members(group) if one != instance]
            INSTANCE_GROUPS.put(context, path, group | {_MEMBERS: others})


def _show(context: Context, path: str, group: Json) -> Json:
    shown = {name: value for name, value in group.items() if name not in (_MEMBERS, MANAGER)}
    return shown | {"size": len(members(group))}


def _unmanaged(group: Json, path: str) -> None:
    if MANAGER in group:
        raise invalid_argument(
            f"Invalid resource usage: 'The instance group {path} is managed by {group[MANAGER]}, which alone changes it.'",
            reason="invalidResourceUsage",
        )


def _named(call: Call) -> list[str]:
    """The paths of the instances that a call names; ApiError INVALID_ARGUMENT."""
    project = call.params["project"]
    found = []
    for number, one in enumerate(call.body.get("instances", [])):
        path = places.path_of(one.get("instance", ""), project, call.context.projects)
        if call.context.store.collection(places.INSTANCES).get(path) is None:
            raise invalid_argument(
                f"Invalid value for field 'instances[{number}].instance': '{one.get('instance', '')}'. The referenced instance resource cannot "
                "be found.",
                reason="invalid",
            )
        found.append(path)
    return found


def _add_instances(methods: Methods, call: Call) -> Json:
    path, group = methods.found(call)
    _unmanaged(group, path)
    named = _named(call)
    for instance in named:
        if instance in members(group):
            raise invalid_argument(
                f"Resource '{instance}' is already a member of '{path}'.", reason="memberAlreadyExists"
            )
        if instance.split("/")[3] != call.params["zone"]:
            raise invalid_argument(
                f"Invalid value for field 'instance': '{instance}'. It is not in the zone of the group.",
                reason="invalid",
            )

    def work() -> None:
        for instance in dict.fromkeys(named):
            join(call.context, path, instance)

    return methods.begin(call, path, group, work)


def _remove_instances(methods: Methods, call: Call) -> Json:
    path, group = methods.found(call)
    _unmanaged(group, path)
    named = _named(call)
    for instance in named:
        if instance not in members(group):
            raise invalid_argument(
                f"Resource '{instance}' is not a member of '{path}'.", reason="memberNotFound"
            )

    def work() -> None:
        now = INSTANCE_GROUPS.require(call.context, path)
        others = [one for one in members(now) if one not in named]
        INSTANCE_GROUPS.put(call.context, path, now | {_MEMBERS: others})

    return methods.begin(call, path, group, work)


def _list_instances(methods: Methods, call: Call) -> Json:
    path, group = methods.found(call)
    wanted = call.body.get("instanceState", "ALL")
    found = []
    for member in members(group):
        instance = call.context.store.collection(places.INSTANCES).get(member)
        if instance is not None and (wanted != "RUNNING" or instance["status"] == "RUNNING"):
            ports = {"namedPorts": group["namedPorts"]} if group.get("namedPorts") else {}
            found.append({"instance": places.link_to(member), "status": instance["status"], **ports})
    return methods.page(call, selected(call, found), f"{path}/listInstances")


def _set_named_ports(methods: Methods, call: Call) -> Json:
    path, group = methods.found(call)
    given = call.body.get("fingerprint")
    if given and not same(given, group["fingerprint"]):
        raise precondition_failed("Invalid fingerprint.")
    return methods.change(call, path, {"namedPorts": call.body.get("namedPorts", [])})


def _delete(methods: Methods, call: Call) -> Json:
    path, group = methods.found(call)
    _unmanaged(group, path)
    return methods.delete(call)


INSTANCE_GROUPS = Kind(
    schema="InstanceGroup",
    collection="instanceGroups",
    methods=("instanceGroups", "regionInstanceGroups"),
    noun="instance group",
    defaults={"description": ""},
    refers=frozenset({"network", "subnetwork"}),
    show=_show,
    actions={
        "delete": _delete,
        "addInstances": _add_instances,
        "removeInstances": _remove_instances,
        "listInstances": _list_instances,
        "setNamedPorts": _set_named_ports,
    },
)
KINDS = (INSTANCE_GROUPS,)
