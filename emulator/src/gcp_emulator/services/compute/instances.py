"""Instances: the methods that callers have for them. What happens to an instance is in `machines`.

How they change is in `changes`. Sources: https://cloud.google.com/compute/docs/reference/rest/v1/instances, the recordings that facts.yaml names, and for
texts the issues that are named beside them.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import partial
from typing import Any

from gcp_emulator.engine.context import Context
from gcp_emulator.engine.errors import ApiError, Json, invalid_argument, not_found
from gcp_emulator.engine.service import Call
from gcp_emulator.services.compute import changes, groups, machines, places
from gcp_emulator.services.compute.kinds import Kind
from gcp_emulator.services.compute.methods import Methods
from gcp_emulator.services.compute.ports import Rollouts
from gcp_emulator.services.compute.templates import template_named


def _complete_instance(call: Call, path: str, instance: Json, before: Json | None) -> Json:
    context, project = call.context, call.params["project"]
    if template := call.params.get("sourceInstanceTemplate"):
        _, found = template_named(context, project, "sourceInstanceTemplate", template)
        given = machines.from_template(found["properties"], path.split("/")[3], project)
        # What is said, but empty, leaves what the template says.
        said = {name: one for name, one in instance.items() if one not in ("", {}, []) or name not in given}
        instance = {**given, **said}
    changes.check_metadata(instance.get("metadata", {}))
    instance["serviceAccounts"] = changes.usable_accounts(call, instance.get("serviceAccounts", []))
    return machines.prepared(context, path, instance)


# ---------------------------------------------------------------- life


def _on_machine(work: Callable[[Context, str], Any]) -> Callable[[Methods, Call], Json]:
    """The action that does something with the machine of an instance."""

    def act(methods: Methods, call: Call) -> Json:
        path, instance = methods.found(call)
        return methods.begin(call, path, instance, partial(work, call.context, path))

    return act


async def _start(context: Context, path: str) -> None:
    if INSTANCES.require(context, path)["status"] != "RUNNING":
        await machines.start(context, path)


async def _stop(context: Context, path: str) -> None:
    if INSTANCES.require(context, path)["status"] != "TERMINATED":
        await machines.stop(context, path)


async def _reset(context: Context, path: str) -> None:
    if INSTANCES.require(context, path)["status"] != "RUNNING":
        raise _resource_not_ready(path)
    await machines.reset(context, path)


def _resource_not_ready(path: str) -> ApiError:
    return ApiError(
        "RESOURCE_NOT_READY", f"The resource '{path}' is not ready", code=400, reason="resourceNotReady"
    )


def _delete(methods: Methods, call: Call) -> Json:
    _, instance = methods.found(call)
    if instance["deletionProtection"]:
        raise invalid_argument(
            "Invalid resource usage: 'Resource cannot be deleted if it's protected against deletion.'",
            reason="invalidResourceUsage",
        )
    return methods.delete(call)


# ---------------------------------------------------------------- disks


def _attach_disk(methods: Methods, call: Call) -> Json:
    path, instance = methods.found(call)
    if not call.body.get("source"):
        raise invalid_argument("Required field 'resource.source' not specified", reason="required")
    numbers = {one["index"] for one in instance["disks"]}
    number = next(one for one in range(len(numbers) + 1) if one not in numbers)
    attached = machines.attached_disk(call.context, path, number, dict(call.body))
    if attached["deviceName"] in {one["deviceName"] for one in instance["disks"]}:
        raise invalid_argument(
            f"Invalid value for field 'resource.deviceName': '{attached['deviceName']}'. The device name is in use.",
            reason="invalid",
        )
    return methods.change(call, path, {"disks": [*instance["disks"], attached]})


def _detach_disk(methods: Methods, call: Call) -> Json:
    path, instance = methods.found(call)
    others = [one for one in instance["disks"] if one["deviceName"] != call.params.get("deviceName")]
    if len(others) == len(instance["disks"]):
        raise _no_such_device(call)
    return methods.change(call, path, {"disks": others})


def _auto_delete(methods: Methods, call: Call) -> Json:
    path, instance = methods.found(call)
    disks = copy.deepcopy(instance["disks"])
    for one in disks:
        if one["deviceName"] == call.params.get("deviceName"):
            one["autoDelete"] = bool(call.params.get("autoDelete"))
            return methods.change(call, path, {"disks": disks})
    raise _no_such_device(call)


def _no_such_device(call: Call) -> ApiError:
    name = call.params.get("deviceName")
    return invalid_argument(
        f"Invalid value for field 'deviceName': '{name}'. No attached disk found with device name '{name}'",
        reason="invalid",
    )


# ---------------------------------------------------------------- what machines tell


def _serial_output(methods: Methods, call: Call) -> Json:
    path, _ = methods.found(call)
    port = int(call.params.get("port") or 1)
    if not 1 <= port <= 4:
        raise invalid_argument(
            f"Invalid value for field 'port': '{port}'. Must be from 1 to 4.", reason="invalid"
        )
    output = call.context.machines.serial_output(path, port)
    begin = max(0, int(call.params.get("start") or 0))
    return {
        "kind": "compute#serialPortOutput",
        "selfLink": f"{places.link_to(path)}/serialPort",
        "contents": output[begin:].decode("utf-8", "replace"),
        "start": str(begin),
        "next": str(max(begin, len(output))),
    }


def _guest_attributes(methods: Methods, call: Call) -> Json:
    """What a machine publishes of itself. Text: as the command line of Google expects it of an instance that published nothing."""
    path, instance = methods.found(call)
    query = str(call.params.get("queryPath") or call.params.get("variableKey") or "")
    namespace, _, key = query.partition("/")
    told = call.context.machines.guest_attributes(path)
    enabled = machines.metadata_of(instance).get("enable-guest-attributes", "").upper() == "TRUE"
    items = [
        {"namespace": space, "key": name, "value": value}
        for space, values in (told.items() if enabled else ())
        for name, value in values.items()
        if namespace in ("", space) and key in ("", name)
    ]
    if not items:
        raise not_found(f"The resource '{query}' of type 'Guest Attribute' was not found.", reason="notFound")
    link = f"{places.link_to(path)}/getGuestAttributes"
    return {
        "kind": "compute#guestAttributes",
        "selfLink": link,
        "queryPath": query,
        "queryValue": {"items": items},
    }


async def _gone(context: Context, path: str, instance: Json) -> None:
    await machines.forget(context, path, instance)
    groups.leave(context, path)
    context.ports.find(Rollouts).lost(path)


INSTANCES = Kind(
    schema="Instance",
    collection="instances",
    methods=("instances",),
    noun="instance",
    refers=frozenset({"network", "source", "subnetwork"}),
    as_written=frozenset({"network", "source", "subnetwork"}),
    complete=_complete_instance,
    made=machines.make,
    gone=_gone,
    actions={
        "delete": _delete,
        "start": _on_machine(_start),
        "stop": _on_machine(_stop),
        "reset": _on_machine(_reset),
        "update": changes.update,
        "setMetadata": changes.guarded("metadata"),
        "setTags": changes.guarded("tags"),
        "setMachineType": changes.stopped_only(changes.machine_type),
        "setServiceAccount": changes.stopped_only(changes.service_account),
        "updateShieldedInstanceConfig": changes.stopped_only(changes.shielded),
        "setScheduling": changes.scheduling,
        "setDeletionProtection": changes.deletion_protection,
        "setDiskAutoDelete": _auto_delete,
        "attachDisk": _attach_disk,
        "detachDisk": _detach_disk,
        "getSerialPortOutput": _serial_output,
        "getGuestAttributes": _guest_attributes,
    },
    at_once=frozenset(),
)
KINDS = (INSTANCES,)
