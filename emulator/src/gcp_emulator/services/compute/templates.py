"""Instance templates: what they are filled in with. Nothing of one ever changes.

Sources: https://cloud.google.com/compute/docs/reference/rest/v1/instanceTemplates, and the recordings that facts.yaml names.
"""

from __future__ import annotations

from gcp_emulator.engine.context import Context
from gcp_emulator.engine.errors import Json, invalid_argument
from gcp_emulator.engine.service import Call
from gcp_emulator.services.compute import catalogue
from gcp_emulator.services.compute.disks import IMAGES
from gcp_emulator.services.compute.kinds import Kind, fingerprint


def _complete_template(call: Call, path: str, template: Json, before: Json | None) -> Json:
    properties = template["properties"]
    machine_type = properties.get("machineType", "")
    if (
        catalogue.size_of(machine_type) is None
    ):  # https://github.com/GoogleCloudPlatform/magic-modules/pull/15255
        raise invalid_argument(
            f"Invalid value for field 'resource.properties.machineType': '{machine_type}'. Instance properties must provide existing machine type.",
            reason="invalid",
        )
    for number, disk in enumerate(properties.get("disks", [])):
        # Recorded (computeinstancegroupmanager--zonalcomputeinstancegroupmanager): the index is 0 of all.
        name = "boot" if disk.get("boot") else f"persistent-disk-{number}"
        filled = {"deviceName": name, "index": 0, "mode": "READ_WRITE", "type": "PERSISTENT"}
        properties["disks"][number] = {**filled, **disk, "kind": "compute#attachedDisk"}
        if image := disk.get("initializeParams", {}).get("sourceImage"):
            field = f"properties.disks[{number}].initializeParams.sourceImage"
            IMAGES.named(call.context, call.params["project"], field, image)
    for number, interface in enumerate(properties.get("networkInterfaces", [])):
        own = {"kind": "compute#networkInterface", "name": f"nic{number}"}
        properties["networkInterfaces"][number] = {**interface, **own}
    scheduling = {"automaticRestart": True, "onHostMaintenance": "MIGRATE", "preemptible": False}
    properties["scheduling"] = {**scheduling, **properties.get("scheduling", {})}
    metadata = properties.get("metadata", {})
    properties["metadata"] = {**metadata, "kind": "compute#metadata", "fingerprint": fingerprint(metadata)}
    return template


INSTANCE_TEMPLATES = Kind(
    schema="InstanceTemplate",
    collection="instanceTemplates",
    methods=("instanceTemplates", "regionInstanceTemplates"),
    noun="instance template",
    required=("name", "properties"),
    refers=frozenset({"network", "subnetwork"}),
    as_written=frozenset({"network", "subnetwork"}),
    complete=_complete_template,
    operation_types={"insert": "compute.instanceTemplates.insert"},
)


def template_named(context: Context, project: str, field: str, link: str) -> tuple[str, Json]:
    """Path and template for a link to one; ApiError INVALID_ARGUMENT."""
    return INSTANCE_TEMPLATES.refer(context, project, field, link)


KINDS = (INSTANCE_TEMPLATES,)
