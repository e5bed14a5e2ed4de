"""A sandbox that is a container.

The container has no network but its own loopback, and process 1 is the emulator's (shim.py, run by the image's Python), which
connects to the emulator through a socket in a folder that only this container sees. When that connection ends, so does the container:
it cannot outlive the emulator.

The image's files can be written, as in Cloud Run, but do not count as memory there; those in the temporary folders and volumes do.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import socket
from pathlib import Path

from gcp_emulator.front.tasks import Tasks
from gcp_emulator.workloads.build.cache import in_thread
from gcp_emulator.workloads.docker.command import DockerError, docker
from gcp_emulator.workloads.docker.sockets import listen
from gcp_emulator.workloads.images import remove_tree
from gcp_emulator.workloads.sandbox.process import (
    CA_BUNDLE,
    DATAGRAM,
    LINE_LIMIT,
    SHIM,
    SHIM_CAPABILITIES,
    TEMPORARY_FOLDERS,
    LogHandler,
    Sandbox,
    SandboxError,
    SandboxSpec,
    SandboxUnavailable,
    said,
)

_END_SECONDS = 5.0


class DockerSandbox(Sandbox):
    """A container of the image ``reference`` with the label ``label``; ``sockets`` is a folder for its control socket."""

    _limits_memory = True

    def __init__(
        self, reference: str, label: str, sockets: Path, spec: SandboxSpec, on_log: LogHandler
    ) -> None:
        super().__init__(spec, on_log)
        self._reference = reference
        self._label = label
        self._name = f"gcp-emulator-{secrets.token_hex(8)}"
        self._folder = sockets / self._name
        self._process: asyncio.subprocess.Process | None = None

    async def _launch(self) -> tuple[socket.socket, asyncio.StreamReader, asyncio.StreamReader]:
        # The container's root may be nobody in particular outside: the state's folder is what keeps others away.
        self._folder.mkdir(mode=0o755)
        with listen(self._folder, "control", socket.SOCK_SEQPACKET, 1) as listener:
            self._process = await asyncio.create_subprocess_exec(
                "docker", *self._arguments(), self._reference, "-I", "-S", "/run/shim.py", "/run/emulator/control",
                stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
                start_new_session=True, limit=LINE_LIMIT,
            )  # fmt: skip
            assert self._process.stdout
            assert self._process.stderr
            async with Tasks() as tasks:
                accepting = tasks.start(_accept(listener))
                ended = tasks.start(self._process.wait())
                await asyncio.wait({accepting, ended}, return_when=asyncio.FIRST_COMPLETED)
                if not accepting.done():
                    complaints = (await self._process.stderr.read()).decode(errors="replace").splitlines()
                    raise self._explain(complaints)
                control = accepting.result()
        control.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, DATAGRAM)
        return control, self._process.stdout, self._process.stderr

    async def _end(self) -> None:
        if self._process is not None:
            try:
                async with asyncio.timeout(_END_SECONDS):
                    await self._process.wait()
            except TimeoutError:
                with contextlib.suppress(DockerError):
                    await in_thread(docker, "rm", "--force", self._name)
                await self._process.wait()
        await in_thread(remove_tree, self._folder)

    def _arguments(self) -> list[str]:
        spec = self.spec
        plan = ["run", "--rm", "--name", self._name, "--label", self._label, "--pull", "never"]
        plan += ["--network", "none", "--hostname", "localhost", "--log-driver", "none", "--no-healthcheck"]
        plan += ["--security-opt", "no-new-privileges", "--cap-drop", "ALL"]
        for capability in SHIM_CAPABILITIES:
            plan += ["--cap-add", capability]
        plan += ["--user", "0:0", "--workdir", "/", "--entrypoint", "python3"]
        if spec.cpus is not None:
            # The engine refuses more than there are.
            plan += ["--cpus", f"{min(spec.cpus, float(os.cpu_count() or 1)):g}"]
        if spec.memory is not None:
            plan += ["--memory", str(spec.memory), "--memory-swap", str(spec.memory)]
        for name, address in spec.hosts.items():
            plan += ["--add-host", f"{name}:{address}"]
        for path in TEMPORARY_FOLDERS:
            plan += ["--tmpfs", f"{path}:exec,mode=1777"]
        for volume in spec.volumes:
            plan += ["--tmpfs", f"{volume.path}:exec,mode=0755"]
        shown = {self._folder: "/run/emulator", SHIM: "/run/shim.py"}
        if spec.ca_bundle:
            shown[spec.ca_bundle] = CA_BUNDLE
        for source, target in shown.items():
            plan += ["--mount", f"type=bind,source={source},target={target},readonly"]
        return plan

    def _explain(self, complaints: list[str]) -> RuntimeError:
        text = said(complaints)
        if "Cannot connect to the Docker daemon" in text:
            return SandboxUnavailable(f"Containers cannot be run: no container engine answers ({text}).")
        if '"python3"' in text and "not found" in text:
            return SandboxError("the image has no python3 in its PATH, which this runtime needs")
        return super()._explain(complaints)


async def _accept(listener: socket.socket) -> socket.socket:
    return (await asyncio.get_running_loop().sock_accept(listener))[0]
