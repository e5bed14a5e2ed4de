# Copyright (c) 2026, The djangogcp contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE to the collection: this file may change in any release.

"""Compute Engine v1 as tables. Source of every wire name: the discovery document compute:v1.

What has no labels carries the mark of who made it in its description.
"""

from __future__ import annotations

import dataclasses
import functools
import re
import typing as t

from ansible_collections.org.djangogcp.plugins.module_utils import _rules as rules
from ansible_collections.org.djangogcp.plugins.module_utils._errors import ApiError
from ansible_collections.org.djangogcp.plugins.module_utils._fields import (
    INT64,
    SHORT_NAME,
    Change,
    Codec,
    Field,
    Kind,
    labels,
    number,
    reference,
    switch,
)
from ansible_collections.org.djangogcp.plugins.module_utils._marks import DescriptionPlace, LabelsPlace
from ansible_collections.org.djangogcp.plugins.module_utils._operations import compute_operation
from ansible_collections.org.djangogcp.plugins.module_utils._reconcile import (
    Guard,
    Ids,
    Plan,
    Request,
    ResourceSpec,
    merge_patch,
    no_guard,
)
from ansible_collections.org.djangogcp.plugins.module_utils._shapes import Json

#: What all kinds have in common: the name is in the body, and a write is known by its requestId.
_SPEC = functools.partial(
    ResourceSpec,
    api="https://compute.googleapis.com/compute/v1",
    id_field="name",
    request_id=True,
    guard=no_guard,
    operations=compute_operation,
)


def _path(link: t.Any) -> str:
    """What is behind the version in a link."""
    return str(link).rpartition("/compute/v1/")[2]


#: The name of a network. It is sent as part of an address, which the API takes (Firewall.network), and told as a whole one.
_NETWORK_NAME = Codec(lambda value: value if "/" in value else f"global/networks/{value}", _path)


def _network(**attributes: t.Any) -> Field:
    return reference(
        "network",
        "The VPC network, by its name or as C(projects/PROJECT/global/networks/NETWORK). It cannot be changed later.",
        codec=_NETWORK_NAME,
        change=Change.IMMUTABLE,
        rule=rules.NETWORK,
        **attributes,
    )


def _description(**attributes: t.Any) -> Field:
    return Field("description", "What it is for.", rule=rules.text(2048), default="", **attributes)


NETWORK = _SPEC(
    noun="network",
    path="projects/{project}/global/networks/{name}",
    permission="compute.networks",
    update=merge_patch,
    mark=DescriptionPlace(is_fixed=True),
    fields=(
        _description(change=Change.IMMUTABLE),
        switch(
            "auto_create_subnetworks",
            "Whether the network has a subnetwork in each region. It cannot be changed later.",
            option_default=False,
            zero_counts=True,
            change=Change.IMMUTABLE,
        ),
        Field(
            "routing_mode",
            "Whether routers learn routes of their own region only.",
            choices=("REGIONAL", "GLOBAL"),
            wire="routingConfig.routingMode",
            default="REGIONAL",
        ),
    ),
)


def _access_by_itself(plan: Plan) -> Request:
    """Whether machines without an address reach Google's APIs has a method of its own, and nothing else of a subnetwork changes.

    Source: compute v1, Subnetwork.privateIpGoogleAccess.
    """
    path = _path(plan.current["selfLink"])
    body = {"privateIpGoogleAccess": plan.merged["privateIpGoogleAccess"]}
    return Request("POST", {}, body, f"{path}/setPrivateIpGoogleAccess")


SUBNETWORK = _SPEC(
    noun="subnetwork",
    path="projects/{project}/regions/{region}/subnetworks/{name}",
    permission="compute.subnetworks",
    update=_access_by_itself,
    mark=DescriptionPlace(is_fixed=True),
    way_out="Make another subnetwork beside it, and move what is in it.",
    fields=(
        _description(change=Change.IMMUTABLE),
        _network(),
        Field(
            "ip_cidr_range",
            "The addresses of the subnetwork, for instance V(10.10.0.0/24). They cannot be changed later.",
            change=Change.IMMUTABLE,
            rule=rules.NETWORK_RANGE,
        ),
        switch(
            "private_ip_google_access",
            "Whether machines without an external address reach Google's APIs.",
            default=False,
            option_default=True,
        ),
    ),
)


ROUTER = _SPEC(
    noun="router",
    path="projects/{project}/regions/{region}/routers/{name}",
    permission="compute.routers",
    update=merge_patch,
    mark=DescriptionPlace(),
    fields=(
        _description(),
        _network(),
        Field(
            "nats",
            "The gateways of Cloud NAT: by what address machines without one of their own reach the internet.",
            type="dict",
            kind=Kind.LIST,
            key="name",
            fields=(
                Field("name", "The name of the gateway.", required=True, rule=rules.NAT),
                Field(
                    "nat_ip_allocate_option",
                    "Whether Google Cloud takes addresses as it needs them.",
                    choices=("AUTO_ONLY", "MANUAL_ONLY"),
                    option_default="AUTO_ONLY",
                ),
                Field(
                    "nat_ips",
                    "The addresses of V(MANUAL_ONLY), as C(projects/PROJECT/regions/REGION/addresses/ADDRESS).",
                    kind=Kind.SET,
                    rule=rules.ADDRESS_PATH,
                    normalize=lambda value: str(value).rpartition("projects/")[2],
                ),
                Field(
                    "source_subnetwork_ip_ranges_to_nat",
                    "Whose traffic goes through it.",
                    choices=(
                        "ALL_SUBNETWORKS_ALL_IP_RANGES",
                        "ALL_SUBNETWORKS_ALL_PRIMARY_IP_RANGES",
                    ),
                    option_default="ALL_SUBNETWORKS_ALL_IP_RANGES",
                ),
                number(
                    "min_ports_per_vm",
                    "So many ports at least has each machine.",
                    rule=rules.NAT_PORTS,
                ),
            ),
        ),
    ),
)


def _ports(name: str, description: str) -> Field:
    """The rules of a firewall that allow, or that deny."""
    return Field(
        name,
        description,
        type="dict",
        kind=Kind.LIST,
        replace=True,
        one_of=("allowed", "denied"),
        fields=(
            Field(
                "ip_protocol",
                "The protocol, for instance V(tcp), or V(all).",
                wire="IPProtocol",
                rule=rules.IP_PROTOCOL,
            ),
            Field(
                "ports",
                "The ports, for instance V(443) or V(8000-8080). All of them if there are none.",
                kind=Kind.SET,
                rule=rules.PORTS,
            ),
        ),
    )


def _of_whom(name: str, description: str, rule: rules.Rule) -> Field:
    return Field(name, description, kind=Kind.SET, rule=rule)


FIREWALL = _SPEC(
    noun="firewall rule",
    path="projects/{project}/global/firewalls/{name}",
    permission="compute.firewalls",
    update=merge_patch,
    mark=DescriptionPlace(),
    fields=(
        _description(),
        _network(),
        Field(
            "direction",
            "Whether it is for what comes in or for what goes out. It cannot be changed later.",
            choices=("INGRESS", "EGRESS"),
            option_default="INGRESS",
            change=Change.IMMUTABLE,
        ),
        number(
            "priority",
            "Of two rules the one with the lower number counts, and of equal ones that which denies.",
            default=1000,
            option_default=1000,
            zero_counts=True,
            rule=rules.FIREWALL_PRIORITY,
        ),
        _ports("allowed", "What is allowed."),
        _ports("denied", "What is denied."),
        _of_whom("source_ranges", "From where, as ranges in CIDR notation.", rules.NETWORK_RANGE),
        _of_whom("source_tags", "From machines with one of these network tags.", rules.NETWORK_TAG),
        _of_whom(
            "source_service_accounts",
            "From machines with one of these service accounts.",
            rules.SERVICE_ACCOUNT,
        ),
        _of_whom("destination_ranges", "To where, as ranges in CIDR notation.", rules.NETWORK_RANGE),
        _of_whom("target_tags", "Of which machines, by their network tags.", rules.NETWORK_TAG),
        _of_whom(
            "target_service_accounts",
            "Of which machines, by their service accounts: who may give a machine a tag may not give it another's account.",
            rules.SERVICE_ACCOUNT,
        ),
        switch("disabled", "Whether the rule does not count.", default=False, option_default=False),
        switch(
            "log",
            "Whether each connection is in Cloud Logging.",
            wire="logConfig.enable",
            default=False,
            option_default=False,
        ),
    ),
)


def _labels_by_themselves(plan: Plan) -> Request:
    """Labels have a method and a fingerprint of their own, and nothing else of an address changes. Source: compute v1, Address.labels."""
    path = _path(plan.current["selfLink"])
    body = {"labels": plan.merged.get("labels") or {}, **plan.guard.body}
    return Request("POST", {}, body, f"{path}/setLabels")


def _label_fingerprint(current: Json) -> Guard:
    return Guard({}, {"labelFingerprint": current.get("labelFingerprint")})


_ADDRESS_FIELDS = (
    _description(change=Change.IMMUTABLE),
    Field(
        "address_type",
        "Whether it is of the internet. It cannot be changed later.",
        choices=("EXTERNAL", "INTERNAL"),
        option_default="EXTERNAL",
        change=Change.IMMUTABLE,
    ),
    labels(),
    Field("address", change=Change.OUTPUT),
    Field("status", change=Change.OUTPUT),
    Field("users", change=Change.OUTPUT, kind=Kind.LIST),
)


def _address(path: str, permission: str) -> ResourceSpec:
    return _SPEC(
        noun="address",
        path=path,
        permission=permission,
        update=_labels_by_themselves,
        guard=_label_fingerprint,
        mark=LabelsPlace(),
        fields=_ADDRESS_FIELDS,
    )


ADDRESS = _address("projects/{project}/regions/{region}/addresses/{name}", "compute.addresses")
GLOBAL_ADDRESS = _address("projects/{project}/global/addresses/{name}", "compute.globalAddresses")


def address_spec(region: str | None) -> ResourceSpec:
    """The table of an address: one of a region, or one of the whole world for a load balancer."""
    return ADDRESS if region else GLOBAL_ADDRESS


def _part(name: str, description: str, wire: str, **attributes: t.Any) -> Field:
    """The row of what an instance is made with: Google tells of its disk and its network card, and not of this."""
    return Field(
        name,
        f"{description} Not compared with what is there.",
        wire=wire,
        change=Change.CREATE_ONLY,
        **attributes,
    )


_INSTANCE_FIELDS = (
    Field(
        "machine_type",
        "The machine type, for instance V(e2-small).",
        codec=SHORT_NAME,
        rule=rules.INSTANCE_MACHINE_TYPE,
    ),
    _part(
        "boot_image",
        "The image of the boot disk, as C(projects/PROJECT/global/images/IMAGE) or C(projects/PROJECT/global/images/family/FAMILY).",
        "bootDisk.sourceImage",
        rule=rules.DISK_IMAGE,
    ),
    _part(
        "boot_disk_size_gb",
        "The size of the boot disk.",
        "bootDisk.diskSizeGb",
        type="int",
        codec=INT64,
        rule=rules.DISK_GB,
    ),
    _part(
        "boot_disk_type",
        "The type of the boot disk, for instance V(pd-balanced).",
        "bootDisk.diskType",
        rule=rules.DISK_TYPE,
    ),
    _part(
        "subnetwork",
        "The subnetwork, as C(projects/PROJECT/regions/REGION/subnetworks/SUBNETWORK).",
        "networkCard.subnetwork",
        rule=rules.SUBNETWORK_PATH,
    ),
    _part(
        "external_address",
        "The external address: an IP address that was reserved in the region, or V(ephemeral). Without it the instance has none, and reaches the"
        " internet by Cloud NAT.",
        "networkCard.natIP",
        rule=rules.EXTERNAL_ADDRESS,
    ),
    Field(
        "service_accounts",
        "The service account that programs on the instance are, at most one. Without one they have no rights.",
        type="dict",
        kind=Kind.LIST,
        replace=True,
        fields=(
            Field("email", "Its e-mail address.", required=True, rule=rules.SERVICE_ACCOUNT),
            Field(
                "scopes",
                "The OAuth scopes. What the account may do is for its roles to say.",
                kind=Kind.SET,
                option_default=["https://www.googleapis.com/auth/cloud-platform"],
                rule=rules.INSTANCE_SCOPE,
            ),
        ),
    ),
    Field(
        "metadata",
        "The metadata. Keys that are not in it are removed. Whoever may look at the instance reads them: no secrets.",
        wire="metadata.items",
        kind=Kind.MAP,
        codec=Codec(
            lambda metadata: [{"key": key, "value": str(value)} for key, value in sorted(metadata.items())],
            lambda items: {one["key"]: one.get("value", "") for one in items},
        ),
        default={},
        rule=rules.METADATA,
    ),
    Field(
        "tags",
        "The network tags, by which firewall rules know the instance.",
        wire="tags.items",
        kind=Kind.SET,
        rule=rules.NETWORK_TAG,
    ),
    labels(),
    switch(
        "secure_boot",
        "Whether only signed software boots.",
        wire="shieldedInstanceConfig.enableSecureBoot",
        default=False,
        option_default=True,
    ),
    switch(
        "vtpm",
        "Whether it has a virtual Trusted Platform Module.",
        wire="shieldedInstanceConfig.enableVtpm",
        default=False,
        option_default=True,
    ),
    switch(
        "integrity_monitoring",
        "Whether Google Cloud compares how it boots with how it booted first.",
        wire="shieldedInstanceConfig.enableIntegrityMonitoring",
        default=False,
        option_default=True,
    ),
    switch("deletion_protection", "Whether it cannot be deleted.", default=False, option_default=False),
    Field("status", change=Change.OUTPUT),
    Field("network_interfaces", change=Change.OUTPUT, kind=Kind.LIST),
)


def _machine_type(zone: str, name: str) -> str:
    return name if "/" in name else f"zones/{zone}/machineTypes/{name}"


def _instance_body(ids: Ids, wire: Json) -> Json:
    """What `instances.insert` takes: one boot disk, which goes with the instance, and one network card."""
    body = {name: value for name, value in wire.items() if name not in ("bootDisk", "networkCard")}
    disk, card = dict(wire.get("bootDisk") or {}), wire.get("networkCard") or {}
    if disk.get("diskType"):
        disk["diskType"] = f"zones/{ids['zone']}/diskTypes/{disk['diskType']}"
    address = card.get("natIP")
    access = {
        "type": "ONE_TO_ONE_NAT",
        "name": "External NAT",
        **({} if address == "ephemeral" else {"natIP": address}),
    }
    return {
        **body,
        "machineType": _machine_type(ids["zone"], str(wire.get("machineType", ""))),
        "disks": [{"boot": True, "autoDelete": True, "initializeParams": disk}],
        "networkInterfaces": [
            {"subnetwork": card.get("subnetwork"), **({"accessConfigs": [access]} if address else {})}
        ],
    }


def _put_instance(plan: Plan, *, allowed: str) -> Request:
    """The whole instance as it was read, with what is asked: Google Cloud finds out what that takes. Source: compute v1, instances.update."""
    zone = str(plan.current["zone"]).rpartition("/")[2]
    body = {**plan.merged, "machineType": _machine_type(zone, str(plan.merged["machineType"]))}
    return Request("PUT", {"minimalAction": "NO_EFFECT", "mostDisruptiveAllowedAction": allowed}, body)


#: The project of an image that is told to be missing.
_IMAGE = re.compile(r"projects/([a-z0-9.:-]+)/global/images/\S+ (?:was not found|The referenced image)")


def _instance_hint(error: ApiError, verb: str) -> str:
    """Which words Google Cloud has for a change that is too disruptive is assumed.

    Source: https://github.com/googlecodelabs/feedback/issues/573 (a family that there is none of). The other words for an image are those of a disk type.
    """
    if verb == "update" and error.status == 400 and "disruptive" in error.explanation:
        return "Run again with allow_restart: true when the instance may restart."
    image = _IMAGE.search(error.explanation)
    if verb == "create" and error.status in (400, 404) and image:
        return (
            f"Set boot_image, which of a site is compute_engine_image, to one of those that there are: gcloud compute images list --project={image[1]} "
            "--no-standard-images"
        )
    return ""


INSTANCE = _SPEC(
    noun="instance",
    path="projects/{project}/zones/{zone}/instances/{name}",
    permission="compute.instances",
    create_body=_instance_body,
    pending=lambda instance: instance.get("status") in ("PROVISIONING", "STAGING", "STOPPING", "REPAIRING"),
    usual="half a minute to two minutes",
    hint=_instance_hint,
    mark=LabelsPlace(),
    fields=_INSTANCE_FIELDS,
)


def instance_spec(*, allow_restart: bool) -> ResourceSpec:
    """The table of an instance that may restart for a change, or may not."""
    allowed = "RESTART" if allow_restart else "REFRESH"
    return dataclasses.replace(INSTANCE, update=functools.partial(_put_instance, allowed=allowed))
