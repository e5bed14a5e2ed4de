"""The emulator, wired: store, engine, services and front in one process."""

from __future__ import annotations

import ipaddress
import os
import socket
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar, cast

from gcp_emulator.console.site import Console
from gcp_emulator.control import answer_faults
from gcp_emulator.engine import clock, discovery
from gcp_emulator.engine.context import Context
from gcp_emulator.engine.dispatch import Dispatcher
from gcp_emulator.engine.iam import Iam
from gcp_emulator.engine.identity import Tokens
from gcp_emulator.engine.logs import Logs
from gcp_emulator.engine.operations import Operations, Profile
from gcp_emulator.engine.projects import Projects
from gcp_emulator.engine.propagation import Propagation
from gcp_emulator.engine.quotas import Quotas
from gcp_emulator.engine.service import Service
from gcp_emulator.engine.store import Store
from gcp_emulator.engine.timers import Timers
from gcp_emulator.front.ca import CertificateAuthority
from gcp_emulator.front.messages import Request, Response, json_response, text_response
from gcp_emulator.front.passage import Passage
from gcp_emulator.front.server import LOOPBACK_NAMES, Front, not_found
from gcp_emulator.front.ways import Ways
from gcp_emulator.services import SERVICES
from gcp_emulator.services.metadata.api import Metadata
from gcp_emulator.workloads.build.run import HostAccess, host_access
from gcp_emulator.workloads.docker.machines import ContainerMachines
from gcp_emulator.workloads.docker.runtime import DockerRuntime
from gcp_emulator.workloads.machines import Machines, NoMachines, RecordedMachines
from gcp_emulator.workloads.runtime import ProcessRuntime, Runtime

S = TypeVar("S", bound=Service)
RUNTIMES: dict[str, Callable[[Path], Runtime]] = {"process": ProcessRuntime, "docker": DockerRuntime}
"""What makes each kind of runtime, given the folder for its images."""
MACHINES: dict[str, Callable[[Path, HostAccess], Machines]] = {
    "none": lambda folder, host: NoMachines(),
    "records": lambda folder, host: RecordedMachines(),
    "containers": ContainerMachines,
}
"""What makes each kind of machines, by the name that ``--machines`` gives it, given the folder for what is known of them, and what they may use of
this machine."""


@dataclass(frozen=True)
class Settings:
    """Where the emulator keeps its state, where it listens, how slow it is, what runs containers (a key of `RUNTIMES`), by which names
    its own pages are asked for besides those of this machine and the address that it listens on, and what runs virtual machines (a key of
    `MACHINES`)."""

    state: Path
    listener: socket.socket
    profile: Profile = field(default_factory=Profile)
    runtime: str = "process"
    names: tuple[str, ...] = ()
    machines: str = "none"


class Emulator:
    """One running emulator. Everything it knows is below ``settings.state``."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        settings.state.mkdir(parents=True, exist_ok=True, mode=0o700)
        store = Store(settings.state / "store.sqlite")
        address, port = settings.listener.getsockname()[:2]
        self.authority = CertificateAuthority(settings.state / "ca")
        # Whoever reaches the port from another machine, or another container, is not given a way on.
        passage = Passage(os.environ) if ipaddress.ip_address(address).is_loopback else None
        names = dict.fromkeys((*LOOPBACK_NAMES, address, *(name.lower() for name in settings.names)))
        ways = Ways()
        host = host_access(os.environ, f"http://127.0.0.1:{port}")
        self.front = Front(self.authority, self._answer, self._control, names, passage, ways)
        self.context = Context(
            state=settings.state,
            store=store,
            projects=Projects(store),
            tokens=Tokens(store),
            iam=Iam(store, Propagation(settings.profile)),
            logs=Logs(store),
            operations=Operations(store, settings.profile),
            quotas=Quotas(settings.profile),
            timers=Timers(store),
            runtime=RUNTIMES[settings.runtime](settings.state / "images"),
            address=address,
            port=port,
            proxy=self.front.handle,
            machine_proxy=self.front.handle_machine,
            ca_bundle=self.authority.bundle_path,
            machines=MACHINES[settings.machines](settings.state / "machines", host),
            ways=ways,
        )
        self._services = {kind: kind(self.context) for kind in SERVICES}
        self._dispatcher = Dispatcher(self.context, self.services)
        self.faults = self._dispatcher.faults
        self.console = Console(self.context, self.faults, self.services)

    @property
    def services(self) -> tuple[Service, ...]:
        """All services, in the order of their start."""
        return tuple(self._services.values())

    def service(self, kind: type[S]) -> S:
        """The one service of this class."""
        return cast(S, self._services[kind])

    def open_project(self, project: str, owner: str) -> None:
        """Enables every API of the emulator in a project, which is made where it is not there, and makes ``owner`` (for example
        ``user:me@example.com``) its owner."""
        if self.context.projects.find(project) is None:
            self.context.projects.create(project, created=clock.timestamp())
        self.context.iam.add_binding(f"projects/{project}", "roles/owner", owner)
        for service in self.services:
            for version in service.versions:
                host = discovery.load(service.api, version).host
                self.context.projects.set_enabled(project, host, enabled=True)

    async def start(self) -> None:
        """Answers, and brings back what was running. `SandboxUnavailable` when the container engine that was asked for does not
        answer, for containers or for machines."""
        await self.context.runtime.start()
        self.context.operations.abandon_unfinished()
        await self.front.start(self.settings.listener)
        for service in self.services:
            await service.start()
        self.context.timers.start()

    async def stop(self) -> None:
        """Ends everything that the emulator started."""
        await self.front.stop()
        await self.context.timers.stop()
        await self.context.operations.stop()
        for service in reversed(self.services):
            await service.stop()
        await self.context.runtime.stop()
        self.context.store.close()

    async def _answer(self, request: Request) -> Response:
        response = await self._dispatcher.answer(request)
        # Nobody can take an emulator's answer for Google's, or the other way round.
        if request.host.endswith("googleapis.com"):
            response.headers.set("Server", "gcp-emulator")
        return response

    async def _control(self, request: Request) -> Response:
        if "metadata-flavor" in request.headers:
            return await self.service(Metadata).serve(request)
        if request.path == "/_emulator/health":
            projects = [project["projectId"] for project in self.context.projects.all()]
            return json_response({"status": "ok", "projects": projects, "machines": self.settings.machines})
        if not request.path.startswith("/_emulator/"):
            return await self.console.answer(request)
        if request.path == "/_emulator/unhandled":
            return json_response({"unhandled": list(self.context.unhandled)})
        if request.path == "/_emulator/faults" or request.path.startswith("/_emulator/faults/"):
            return await answer_faults(self.faults, request)
        if request.path == "/_emulator/requests":
            after = dict(request.query_pairs).get("after", "0")
            if not after.isdecimal():
                return text_response("after is the number of a request\n", status=400)
            entries = self.context.requests.after(int(after))
            return json_response({"requests": [entry.view() for entry in entries]})
        return not_found(request)
