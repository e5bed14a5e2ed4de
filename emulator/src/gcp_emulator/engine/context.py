"""What a service is given: the parts of the emulator that are the same for every API, and nothing of the APIs."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from pathlib import Path

from gcp_emulator.engine.iam import Iam
from gcp_emulator.engine.identity import Tokens
from gcp_emulator.engine.logs import Logs
from gcp_emulator.engine.operations import Operations
from gcp_emulator.engine.ports import Ports
from gcp_emulator.engine.projects import Projects
from gcp_emulator.engine.quotas import Quotas
from gcp_emulator.engine.requests import RequestLog
from gcp_emulator.engine.store import Store
from gcp_emulator.engine.timers import Timers
from gcp_emulator.front.tasks import ConnectionHandler
from gcp_emulator.front.ways import Ways
from gcp_emulator.workloads.machines import Machines, NoMachines
from gcp_emulator.workloads.runtime import Runtime


@dataclass(frozen=True)
class Context:
    """Time is in `engine.clock`; what is to go wrong in the current call, in `engine.faults`."""

    #: A service keeps its files in a folder of its own below this one.
    state: Path
    store: Store
    projects: Projects
    tokens: Tokens
    iam: Iam
    logs: Logs
    operations: Operations
    quotas: Quotas
    timers: Timers
    runtime: Runtime
    #: The IP address and the port at which the emulator listens, and what serves a connection to it.
    address: str
    port: int
    proxy: ConnectionHandler
    #: What serves a connection to it of a virtual machine, which reaches other hosts, too.
    machine_proxy: ConnectionHandler
    #: The certificates that clients of the emulator trust.
    ca_bundle: Path
    machines: Machines = field(default_factory=NoMachines)
    #: The addresses at which what runs here is reached through the port.
    ways: Ways = field(default_factory=Ways)
    ports: Ports = field(default_factory=Ports)
    requests: RequestLog = field(default_factory=RequestLog)
    #: Calls that nothing answered, the newest; a test run fails on any.
    unhandled: deque[str] = field(default_factory=lambda: deque(maxlen=1000))
