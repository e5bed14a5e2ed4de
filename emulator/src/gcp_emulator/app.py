"""The emulator, wired: store, engine, services and front in one process."""

from __future__ import annotations

import importlib
import pkgutil
import re
import socket
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from gcp_emulator import services as services_package
from gcp_emulator.console.site import Console
from gcp_emulator.control import answer_faults
from gcp_emulator.engine.dispatch import Dispatcher
from gcp_emulator.engine.faults import Faults
from gcp_emulator.engine.iam import Iam
from gcp_emulator.engine.identity import Tokens
from gcp_emulator.engine.logs import Logs
from gcp_emulator.engine.operations import Operations, Profile
from gcp_emulator.engine.projects import Projects
from gcp_emulator.engine.requests import RequestLog
from gcp_emulator.engine.service import Service
from gcp_emulator.engine.store import Store
from gcp_emulator.front.ca import CertificateAuthority
from gcp_emulator.front.messages import Request, Response, json_response, text_response
from gcp_emulator.front.server import Front, not_found
from gcp_emulator.services.iam.api import IamApi
from gcp_emulator.services.metadata.api import Metadata
from gcp_emulator.workloads.docker.runtime import DockerRuntime
from gcp_emulator.workloads.runtime import ProcessRuntime, Runtime

S = TypeVar("S", bound=Service)
_OWN_HOST = re.compile(r"(127\.0\.0\.1|localhost)(:\d+)?")
RUNTIMES: dict[str, Callable[[Path], Runtime]] = {"process": ProcessRuntime, "docker": DockerRuntime}
"""What makes each kind of runtime, given the folder for its images."""


@dataclass(frozen=True)
class Settings:
    """Where the emulator keeps its state, where it listens, how slow it is, and what runs containers (a key of `RUNTIMES`)."""

    state: Path
    listener: socket.socket
    profile: Profile = field(default_factory=Profile)
    runtime: str = "process"

    @property
    def address(self) -> str:
        """The IP address that it listens on."""
        return str(self.listener.getsockname()[0])


class Emulator:
    """One running emulator. Everything it knows is below ``settings.state``."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        settings.state.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.store = Store(settings.state / "store.sqlite")
        self.projects = Projects(self.store)
        self.tokens = Tokens(self.store)
        self.iam = Iam(self.store, self._member_exists)
        self.logs = Logs(self.store)
        self.operations = Operations(self.store, settings.profile)
        self.authority = CertificateAuthority(settings.state / "ca")
        self.runtime = RUNTIMES[settings.runtime](settings.state / "images")
        self.requests = RequestLog()
        #: Calls that nothing answered, the newest; a test run fails on any.
        self.unhandled: deque[str] = deque(maxlen=1000)
        self.services = [kind(self) for kind in _service_classes()]
        self._console = Console(self)
        self._dispatcher = Dispatcher(self, self.services)
        self.faults = Faults(self._dispatcher.method_ids)
        self.front = Front(self.authority, self._dispatcher.answer, self._control)

    def service(self, kind: type[S]) -> S:
        """The one service of this class."""
        return next(service for service in self.services if isinstance(service, kind))

    async def start(self) -> None:
        """Answers, and brings back what was running. `SandboxUnavailable` when the container engine that was asked for does not
        answer."""
        await self.runtime.start()
        self.operations.abandon_unfinished()
        await self.front.start(self.settings.listener)
        for service in self.services:
            await service.start()

    async def stop(self) -> None:
        """Ends everything that the emulator started."""
        await self.front.stop()
        await self.operations.stop()
        for service in reversed(self.services):
            await service.stop()
        await self.runtime.stop()
        self.store.close()

    def _member_exists(self, member: str) -> bool:
        """Service accounts of the emulator's own projects must exist; Google's agents always do."""
        email = member.partition(":")[2]
        project = email.partition("@")[2].removesuffix(".iam.gserviceaccount.com")
        if self.projects.find(project) is None:
            return True
        return self.service(IamApi).accounts.knows(email)

    async def _control(self, request: Request) -> Response:
        if "metadata-flavor" in request.headers:
            return await self.service(Metadata).serve(request)
        if request.path == "/_emulator/health":
            return json_response({"status": "ok", "projects": [p["projectId"] for p in self.projects.all()]})
        # Whoever makes a browser resolve a name of theirs to this address (DNS rebinding) sends that name.
        if not _OWN_HOST.fullmatch(request.host.lower()):
            return text_response("This is for 127.0.0.1 and localhost only.\n", status=403)
        if not request.path.startswith("/_emulator/"):
            return await self._console.answer(request)
        if request.path == "/_emulator/unhandled":
            return json_response({"unhandled": list(self.unhandled)})
        if request.path == "/_emulator/faults" or request.path.startswith("/_emulator/faults/"):
            return await answer_faults(self.faults, request)
        if request.path == "/_emulator/requests":
            after = dict(request.query_pairs).get("after", "0")
            if not after.isdecimal():
                return text_response("after is the number of a request\n", status=400)
            return json_response({"requests": [entry.view() for entry in self.requests.after(int(after))]})
        return not_found(request)


def _service_classes() -> list[type[Service]]:
    """Every Service with an ``api`` that the modules of ``gcp_emulator.services`` define, in the order of their start."""
    found: dict[str, type[Service]] = {}
    for module in pkgutil.walk_packages(services_package.__path__, f"{services_package.__name__}."):
        loaded = importlib.import_module(module.name)
        for value in vars(loaded).values():
            if (
                isinstance(value, type)
                and issubclass(value, Service)
                and hasattr(value, "api")
                and value.__module__ == loaded.__name__
            ):
                found[value.__name__] = value
    return _in_order([found[name] for name in sorted(found)])


def _in_order(kinds: list[type[Service]]) -> list[type[Service]]:
    """The same classes, each behind those that it starts after."""
    ordered: list[type[Service]] = []

    def add(kind: type[Service]) -> None:
        for other in kinds:
            if other.api in kind.starts_after:
                add(other)
        if kind not in ordered:
            ordered.append(kind)

    for kind in kinds:
        add(kind)
    return ordered
