"""Instances of a container as Cloud Run runs them: environment, probes, connections, logs, and the words for what failed.

Knows nothing of HTTP APIs: `gcp_emulator.services.run.api` makes an `InstanceSpec` of a revision or of a job's task.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

from gcp_emulator.front.tasks import ConnectionHandler, Tasks
from gcp_emulator.workloads.images import Image, user_ids
from gcp_emulator.workloads.runtime import SandboxMaker, bubblewrap_sandbox
from gcp_emulator.workloads.sandbox.process import (
    CA_BUNDLE,
    INSTANCE_ADDRESS,
    Exit,
    LogHandler,
    Sandbox,
    SandboxError,
    SandboxSpec,
    TcpListener,
    UnixListener,
    Volume,
)

STOP_GRACE = 10.0
"""Seconds between SIGTERM and SIGKILL (Google: "Container runtime contract", instance shutdown)."""

METADATA_ADDRESS = "169.254.169.254"
_METADATA_NAMES = ("metadata.google.internal", "metadata")
_CA_VARIABLES = (
    "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "GRPC_DEFAULT_SSL_ROOTS_FILE_PATH", "HTTPLIB2_CA_CERTS",
)  # fmt: skip
_RETRY_INTERVAL = 0.05

PORT_FAILURE = (
    "The user-provided container failed to start and listen on the port defined provided by the PORT={port} "
    "environment variable within the allocated timeout. This can happen when the container port is misconfigured "
    "or if the timeout is too short. The health check timeout can be extended. Logs for this revision might contain "
    "more information."
)
"""Google's text for the default TCP startup probe, its grammar included."""

PROBE_FAILURE = (
    "The user-provided container failed the configured startup probe checks. Logs for this revision might contain "
    "more information."
)


MEMORY_FAILURE = (
    "Memory limit of {limit} MiB exceeded with {used} MiB used. Consider increasing the memory limit, see "
    "https://cloud.google.com/run/docs/configuring/memory-limits"
)
"""Google's text in the system log."""


class InstanceError(Exception):
    """An instance did not become ready. The text is Cloud Run's; ``exit`` is set when the container ended."""

    def __init__(self, message: str, exit: Exit | None = None) -> None:
        super().__init__(message)
        self.exit = exit


@dataclass(frozen=True)
class Probe:
    """A health check. Times in seconds; ``path`` None is a TCP probe, else an HTTP GET that 2xx and 3xx pass.

    The defaults are those of a probe that is configured (run.v2 ``GoogleCloudRunV2Probe``).
    """

    port: int
    path: str | None = None
    headers: tuple[tuple[str, str], ...] = ()
    initial_delay: float = 0
    timeout: float = 1
    period: float = 10
    failure_threshold: int = 3
    configured: bool = True

    @classmethod
    def default(cls, port: int) -> Probe:
        """The startup probe of a service that configures none (Google: "Configure container health checks")."""
        return cls(port, timeout=240, period=240, failure_threshold=1, configured=False)

    @property
    def kind(self) -> str:
        return "TCP" if self.path is None else "HTTP"

    @property
    def target(self) -> str:
        return f"port {self.port}" if self.path is None else f'path "{self.path}"'


@dataclass(frozen=True)
class InstanceSpec:
    """One container to run.

    ``container`` is its name in log lines; ``command`` and ``args`` replace the image's ENTRYPOINT and CMD when not empty;
    ``port`` is where it serves, None when nowhere; ``task`` is set by `run_task`: a job's task is asked nothing while it runs;
    ``env`` comes last, over the image's and the platform's.
    ``routes`` pass on what goes to other containers of the instance, and to addresses of the network that it is in. ``metadata`` serves 169.254.169.254:80, ``proxy`` every other outgoing connection (HTTPS_PROXY). ``cpus`` and ``memory``
    (bytes) are its limits, ``sandbox`` makes what it runs in.
    """

    image: Image
    container: str
    env: dict[str, str]
    metadata: ConnectionHandler
    proxy: ConnectionHandler
    command: tuple[str, ...] = ()
    args: tuple[str, ...] = ()
    working_dir: str = ""
    port: int | None = 8080
    task: bool = False
    volumes: tuple[Volume, ...] = ()
    sockets: tuple[UnixListener, ...] = ()
    routes: tuple[TcpListener, ...] = ()
    ca_bundle: Path | None = None
    startup_probe: Probe | None = None
    liveness_probe: Probe | None = None
    platform_env: dict[str, str] = field(default_factory=dict)
    cpus: float | None = None
    memory: int | None = None
    sandbox: SandboxMaker = bubblewrap_sandbox

    def argv(self) -> tuple[str, ...]:
        """As Kubernetes combines them: a command drops the image's CMD as well."""
        config = self.image.config
        command = self.command or config.entrypoint or ()
        args = self.args or (() if self.command else config.cmd or ())
        if not command and not args:
            raise InstanceError(
                "The container image has neither an ENTRYPOINT nor a CMD, and no command was given."
            )
        return (*command, *args)


class Instance:
    """A running container. ``on_log`` gets the streams ``stdout``, ``stderr`` and ``system`` (Cloud Run's own lines)."""

    def __init__(self, spec: InstanceSpec, on_log: LogHandler) -> None:
        self.spec = spec
        self.active = 0
        self.started_at = time.time()
        self._on_log = on_log
        self._sandbox: Sandbox | None = None
        self._watchers = Tasks()

    async def start(self) -> None:
        """Returns when the startup probe, if there is one, has passed. Raises `InstanceError`, or `SandboxUnavailable`."""
        await self._execute()
        if self.spec.task:
            return
        probe = self.spec.startup_probe or (Probe.default(self.spec.port) if self.spec.port else None)
        try:
            if probe is not None:
                await self._until_ready(probe)
        except BaseException:
            await self.kill()
            raise
        reporter = self._watchers.start(self._report_end())
        if self.spec.liveness_probe:
            self._watchers.start(self._watch(self.spec.liveness_probe, reporter))

    async def connect(self, port: int | None = None) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A connection to a port of the container, its own by default. Raises OSError when it does not accept."""
        port = port or self.spec.port
        if self._sandbox is None or port is None:
            raise ConnectionRefusedError(f"nothing listens on {port}")
        return await self._sandbox.connect(port)

    async def wait(self) -> Exit:
        assert self._sandbox
        return await self._sandbox.wait()

    @property
    def running(self) -> bool:
        return self._sandbox is not None and self._sandbox.running

    async def stop(self, grace: float = STOP_GRACE) -> Exit:
        """SIGTERM, SIGKILL after ``grace`` seconds or when cancelled."""
        assert self._sandbox
        try:
            await self._watchers.stop()
        except asyncio.CancelledError:
            await self._sandbox.close()
            raise
        return await self._sandbox.stop(grace)

    async def kill(self) -> None:
        """End it at once. May be called again."""
        try:
            await self._watchers.stop()
        finally:
            if self._sandbox:
                await self._sandbox.close()

    def log_end(self, ended: Exit) -> None:
        """Say in the system log how the container ended."""
        if ended.memory is not None and self.spec.memory is not None:
            limit, used = self.spec.memory >> 20, ended.memory >> 20
            self._on_log("system", MEMORY_FAILURE.format(limit=limit, used=used))
        self._on_log("system", str(ended))

    # ---------------------------------------------------------------- starting

    async def _execute(self) -> None:
        try:
            spec, proxy = _sandbox_spec(self.spec)
            self._sandbox = self.spec.sandbox(self.spec.image, spec, self._on_log)
            await self._sandbox.start(lambda made: _proxy_env(made.ports[proxy]))
        except (SandboxError, LookupError, ValueError) as error:
            message = f"terminated: Application failed to start: {error}"
            self._on_log("system", message)
            raise InstanceError(f"Application exec likely failed. {message}") from None

    async def _until_ready(self, probe: Probe) -> None:
        async with Tasks() as tasks:
            ended = tasks.start(self.wait())
            probing = tasks.start(self._probe_until(probe, 1, probe.failure_threshold))
            await asyncio.wait({ended, probing}, return_when=asyncio.FIRST_COMPLETED)
            name = ("" if probe.configured else "Default ") + f"STARTUP {probe.kind} probe"
            container = f'for container "{self.spec.container}" on {probe.target}.'
            if probing.done() and probing.result().passed:
                attempts = probing.result().attempts
                self._on_log("system", f"{name} succeeded after {_times(attempts, 'attempt')} {container}")
                return
            if ended.done():
                self.log_end(ended.result())
            failures = probing.result().attempts if probing.done() else 1
            self._on_log(
                "system",
                f"{name} failed {_times(failures, 'time')} consecutively {container} The instance was not started.",
            )
            text = PROBE_FAILURE if probe.configured else PORT_FAILURE.format(port=probe.port)
            raise InstanceError(text, ended.result() if ended.done() else None)

    async def _report_end(self) -> None:
        """Nobody asked for this end: it goes to the log."""
        self.log_end(await self.wait())

    async def _watch(self, probe: Probe, reporter: asyncio.Task[None]) -> None:
        """Liveness: an instance that fails is killed (and replaced by whoever waits for its end)."""
        failed = await self._probe_until(probe, None, probe.failure_threshold)
        self._on_log(
            "system",
            f"LIVENESS {probe.kind} probe failed {_times(failed.attempts, 'time')} consecutively for container "
            f'"{self.spec.container}" on {probe.target}. The instance has been shut down.',
        )
        assert self._sandbox
        reporter.cancel()
        self._sandbox.signal(signal.SIGKILL)

    async def _probe_until(self, probe: Probe, successes: int | None, failures: int) -> _ProbeResult:
        """Probe until so many successes in a row (None: never enough) or so many failures in a row."""
        await asyncio.sleep(probe.initial_delay)
        loop = asyncio.get_running_loop()
        attempts = passed = failed = 0
        while True:
            begun = loop.time()
            attempts += 1
            if await self._probe_once(probe):
                passed, failed = passed + 1, 0
            else:
                passed, failed = 0, failed + 1
            if passed == successes:
                return _ProbeResult(True, attempts)
            if failed == failures:
                return _ProbeResult(False, failed)
            await asyncio.sleep(max(0.0, begun + probe.period - loop.time()))

    async def _probe_once(self, probe: Probe) -> bool:
        """One attempt. A refused connection is tried again within the attempt's timeout, as the default probe (one
        attempt of 240 seconds) must be for any container to start at all."""
        assert self._sandbox
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(probe.timeout):
                while True:
                    try:
                        reader, writer = await self._sandbox.connect(probe.port)
                    except OSError:
                        await asyncio.sleep(_RETRY_INTERVAL)
                        continue
                    try:
                        return probe.path is None or await _http_get(probe, reader, writer)
                    except (OSError, ValueError):
                        return False
                    finally:
                        writer.close()
        return False


@dataclass(frozen=True)
class _ProbeResult:
    passed: bool
    attempts: int


async def _http_get(probe: Probe, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
    headers = {
        "Host": f"{INSTANCE_ADDRESS}:{probe.port}",
        "User-Agent": "GoogleHC/1.0",
        "Connection": "close",
    }
    headers.update(probe.headers)
    lines = [f"GET {probe.path} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items()), "", ""]
    writer.write("\r\n".join(lines).encode())
    status = (await reader.readline()).split()
    return len(status) > 1 and 200 <= int(status[1]) < 400


def _times(count: int, word: str) -> str:
    return f"{count} {word}" if count == 1 else f"{count} {word}s"


def _sandbox_spec(spec: InstanceSpec) -> tuple[SandboxSpec, TcpListener]:
    config = spec.image.config
    uid, gid = user_ids(spec.image.root, config.user)
    env = {
        "PATH": "/usr/local/bin:/usr/local/sbin:/usr/bin:/usr/sbin:/bin:/sbin",
        "HOME": _home(spec.image.root, uid),
    }
    for entry in config.env:
        name, _, value = entry.partition("=")
        env[name] = value
    if spec.port is not None:
        env["PORT"] = str(spec.port)
    if spec.ca_bundle:
        env.update(dict.fromkeys(_CA_VARIABLES, CA_BUNDLE))
    proxy = TcpListener("127.0.0.1", 0, spec.proxy)
    return SandboxSpec(
        argv=spec.argv(),
        env={**env, **spec.platform_env, **spec.env},
        cwd=spec.working_dir or config.working_dir or "/",
        uid=uid,
        gid=gid,
        volumes=spec.volumes,
        listeners=(TcpListener(METADATA_ADDRESS, 80, spec.metadata), proxy, *spec.routes, *spec.sockets),
        hosts=dict.fromkeys(_METADATA_NAMES, METADATA_ADDRESS),
        ca_bundle=spec.ca_bundle,
        cpus=spec.cpus,
        memory=spec.memory,
    ), proxy


def _proxy_env(port: int) -> dict[str, str]:
    proxy = f"http://127.0.0.1:{port}"
    direct = ",".join((METADATA_ADDRESS, *_METADATA_NAMES, "localhost", "127.0.0.1"))
    return {"HTTPS_PROXY": proxy, "https_proxy": proxy, "NO_PROXY": direct, "no_proxy": direct}


def _home(tree: Path, uid: int) -> str:
    with contextlib.suppress(OSError):
        for line in (tree / "etc" / "passwd").read_text(errors="replace").splitlines():
            fields = line.split(":")
            if len(fields) > 5 and fields[2] == str(uid):
                return fields[5] or "/"
    return "/"


@dataclass(frozen=True)
class TaskResult:
    """How one attempt of a job's task ended; times in Unix seconds. ``exit`` is None when it never ran."""

    started: float
    ended: float
    exit: Exit | None
    timed_out: bool = False
    failure: str = ""

    @property
    def succeeded(self) -> bool:
        return not self.timed_out and self.exit is not None and self.exit.code == 0


async def run_task(
    spec: InstanceSpec,
    limit: float,
    on_log: LogHandler,
    on_start: Callable[[Instance], None] = lambda _: None,
) -> TaskResult:
    """Run a container to its end, at most ``limit`` seconds. Cancelling stops it with the usual grace."""
    started = time.time()
    instance = Instance(replace(spec, task=True), on_log)
    try:
        await instance.start()
    except InstanceError as error:
        return TaskResult(started, time.time(), error.exit, failure=str(error))
    on_start(instance)
    try:
        async with asyncio.timeout(limit):
            ended = await instance.wait()
    except TimeoutError:
        on_log(
            "system",
            f"Terminating task because it has reached the maximum timeout of {limit:g} seconds.",
        )
        return TaskResult(started, time.time(), await instance.stop(), timed_out=True)
    except asyncio.CancelledError:
        await instance.stop()
        raise
    await instance.kill()
    instance.log_end(ended)
    return TaskResult(started, time.time(), ended)
