"""Who reaches a machine: what the firewall rules of its network let in.

Sources: https://cloud.google.com/firewall/docs/firewalls (the lower priority counts, of equal ones that which denies, and what no rule is about is not
let in), https://cloud.google.com/firewall/docs/firewalls#rule_assignment (targets and sources).
"""

from __future__ import annotations

import contextlib
import ipaddress
import re

from gcp_emulator.engine.context import Context
from gcp_emulator.engine.errors import Json
from gcp_emulator.front.ways import Connection
from gcp_emulator.services.compute import places
from gcp_emulator.services.compute.balancing import FIREWALLS

_TCP = ("tcp", "6", "all")


class Reach:
    """Leads to the ports of running machines what firewalls let through; is a `MachinePorts`."""

    def __init__(self, context: Context) -> None:
        self._context = context

    async def connect(self, instance: str, port: int, *, source: str) -> Connection:
        """As `MachinePorts` says."""
        found = self._context.store.collection(places.INSTANCES).get(instance)
        if found is None or found["status"] != "RUNNING":
            raise ConnectionRefusedError(f"{instance} does not run")
        if not lets_in(self._context, instance, found, port, source):
            raise ConnectionRefusedError(
                f"no firewall rule of its network lets tcp:{port} from {source} in to {instance}"
            )
        return await self._context.machines.connect(instance, port)


def lets_in(context: Context, path: str, instance: Json, port: int, source: str) -> bool:
    """Whether the firewall rules of the network of an instance's first interface let a TCP connection from an address in to a port."""
    project = path.split("/")[1]

    def network_of(resource: Json) -> str:
        return places.path_of(resource.get("network", ""), project, context.projects)

    network = network_of(instance["networkInterfaces"][0])
    rules = [
        rule
        for _, rule in FIREWALLS.of(context, f"projects/{network.split('/')[1]}/global/firewalls/")
        if rule["direction"] == "INGRESS" and not rule["disabled"] and network_of(rule) == network
        if _is_about(rule, instance) and _is_from(rule, source) and _is_of_port(rule, port)
    ]
    first = min(rules, key=lambda rule: (rule["priority"], not rule.get("denied")), default=None)
    return first is not None and not first.get("denied")


def _is_about(rule: Json, instance: Json) -> bool:
    """Whether an instance is a target of a rule; every one is, where the rule names none."""
    tags = set(instance.get("tags", {}).get("items", []))
    accounts = {one["email"] for one in instance.get("serviceAccounts", [])}
    of_tags, of_accounts = rule.get("targetTags", []), rule.get("targetServiceAccounts", [])
    return not (of_tags or of_accounts) or not (tags.isdisjoint(of_tags) and accounts.isdisjoint(of_accounts))


def _is_from(rule: Json, source: str) -> bool:
    """Whether an address is in a range of a rule. Tags and service accounts as sources are those of machines, which are not looked at."""
    address = ipaddress.ip_address(source)
    for one in rule.get("sourceRanges", []):
        # Rules are stored as they were given.
        with contextlib.suppress(ValueError):
            if address in ipaddress.ip_network(one, strict=False):
                return True
    return False


def _is_of_port(rule: Json, port: int) -> bool:
    for one in rule.get("denied") or rule.get("allowed") or []:
        if str(one.get("IPProtocol", "")).lower() in _TCP and (
            not one.get("ports") or any(_holds(ports, port) for ports in one["ports"])
        ):
            return True
    return False


def _holds(ports: str, port: int) -> bool:
    """Whether ``22`` or ``20-30`` has a port in it."""
    found = re.fullmatch(r"([0-9]{1,5})(?:-([0-9]{1,5}))?", str(ports))
    return found is not None and int(found[1]) <= port <= int(found[2] or found[1])
