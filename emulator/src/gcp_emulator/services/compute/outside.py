"""The external addresses of machines: who asks the emulator's port for one is led to the machine, if the firewall of its network lets that in.

Sources: https://cloud.google.com/compute/docs/instances/create-ptr-record (an address without a record of its own has a name below
bc.googleusercontent.com); that the parts of the address are in reverse order there is what public names look like (``4.3.2.1.bc.googleusercontent.com``).
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Awaitable

from gcp_emulator.engine.context import Context
from gcp_emulator.front.ways import Connection
from gcp_emulator.services.compute import machines
from gcp_emulator.services.compute.ports import MachinePorts

_NAME = re.compile(r"([0-9]{1,3})\.([0-9]{1,3})\.([0-9]{1,3})\.([0-9]{1,3})\.bc\.googleusercontent\.com")
#: Who asks the port is on this machine: rules that let everybody in are about it, and those for it alone.
_SOURCE = "127.0.0.1"


def address_named(host: str) -> str | None:
    """The IPv4 address that a host is, or that its name of Google's stands for; None for any other host."""
    found = _NAME.fullmatch(host)
    text = ".".join(reversed(found.groups())) if found else host
    try:
        return str(ipaddress.IPv4Address(text))
    except ValueError:
        return None


class Outside:
    """Leads to machines by their external addresses."""

    def __init__(self, context: Context, ports: MachinePorts) -> None:
        self._context = context
        self._ports = ports

    def way(self, host: str, port: int) -> Awaitable[Connection] | None:
        """See `gcp_emulator.front.ways.Way`."""
        address = address_named(host)
        path = self._with(address) if address else None
        return None if path is None else self._ports.connect(path, port, source=_SOURCE)

    def _with(self, address: str) -> str | None:
        """The path of the instance that has this external address."""
        for path, instance in machines.instances(self._context, "projects/"):
            for interface in instance["networkInterfaces"]:
                if any(one.get("natIP") == address for one in interface.get("accessConfigs", [])):
                    return path
        return None
