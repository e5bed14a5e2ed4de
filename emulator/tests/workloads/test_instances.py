"""Instances really run: what the application sees, how it is reached, what it leaves behind."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import json
import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from gcp_emulator.workloads.build.run import HostAccess
from gcp_emulator.workloads.docker.runtime import DockerRuntime
from gcp_emulator.workloads.images import Image
from gcp_emulator.workloads.instances import Instance, InstanceError, InstanceSpec, Probe, run_task
from gcp_emulator.workloads.runtime import SandboxMaker, bubblewrap_sandbox
from gcp_emulator.workloads.sandbox.bubblewrap import check_available
from gcp_emulator.workloads.sandbox.process import Exit, SandboxUnavailable, UnixListener, Volume

from emulator.tests.workloads.apps import SERVE, SERVER, image_of, reporting
from emulator.tests.workloads.engines import BASE

try:
    check_available()
except SandboxUnavailable as why:
    pytest.skip(str(why), allow_module_level=True)

Build = Callable[..., Image]
#: What runs the images of an engine, by digest; every other image is run by bubblewrap.
MAKERS: dict[str, SandboxMaker] = {}


@pytest.fixture
def build(request: pytest.FixtureRequest, tmp_path: Path) -> Build:
    """`image_of` in this test's folder; for tests that are marked `both` also of a container engine."""
    if getattr(request, "param", "process") == "process":
        return functools.partial(image_of, tmp_path)
    found: Build = request.getfixturevalue("build_docker")
    return found


#: For what each runtime sees to by itself.
both = pytest.mark.parametrize("build", ["process", "docker"], indirect=True)


@pytest.fixture
def build_docker(docker_runtime: DockerRuntime, docker_image: Image) -> Build:
    """`image_of`, but of one image of the engine whose configuration varies: every test would build for seconds."""

    def build(*sources: str, user: str = "2000", cmd: tuple[str, ...] | None = None) -> Image:
        source = "".join(textwrap.dedent(text) for text in sources)
        config = replace(docker_image.config, cmd=cmd or ("python3", "-c", source), user=user)
        return replace(docker_image, config=config)

    MAKERS[docker_image.digest] = docker_runtime.sandbox
    return build


@pytest.fixture(scope="module")
def docker_image(docker_runtime: DockerRuntime, tmp_path_factory: pytest.TempPathFactory) -> Image:
    """An image whose only file of its own is /app/main.py, as `image_of` makes it."""
    context = tmp_path_factory.mktemp("context")
    (context / "main.py").touch()
    (context / "Dockerfile").write_text(
        f"FROM {BASE}\nCOPY main.py /app/\nWORKDIR /app\nENV PYTHONUNBUFFERED=1\n"
    )
    return asyncio.run(docker_runtime.builder(context.parent, HostAccess({}, ())).build(context, log=print))


async def answer_metadata(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")
    writer.write(b"HTTP/1.0 200 OK\r\nMetadata-Flavor: Google\r\n\r\nproject-1")


async def answer_proxy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    line = await reader.readline()
    writer.write(b"HTTP/1.0 200 OK\r\n\r\n" + line)


class Logs(list[tuple[str, str]]):
    def __call__(self, stream: str, line: str) -> None:
        self.append((stream, line))

    def of(self, stream: str) -> list[str]:
        return [line for name, line in self if name == stream]


def spec(image: Image, **changes: Any) -> InstanceSpec:
    values: dict[str, Any] = {
        "container": "web-1",
        "env": {},
        "metadata": answer_metadata,
        "proxy": answer_proxy,
        "sandbox": MAKERS.get(image.digest, bubblewrap_sandbox),
    }
    return InstanceSpec(image=image, **{**values, **changes})


@contextlib.asynccontextmanager
async def running(image: Image, logs: Logs | None = None, **changes: Any) -> AsyncIterator[Instance]:
    instance = Instance(spec(image, **changes), logs if logs is not None else Logs())
    await instance.start()
    try:
        yield instance
    finally:
        await instance.kill()


async def get(instance: Instance) -> Any:
    reader, writer = await instance.connect()
    writer.write(b"GET / HTTP/1.0\r\n\r\n")
    _, _, body = (await reader.read()).partition(b"\r\n\r\n")
    writer.close()
    return json.loads(body)


async def until(condition: Callable[[], bool | Awaitable[bool]], seconds: float = 5) -> None:
    async with asyncio.timeout(seconds):
        while True:
            result = condition()
            if await result if isinstance(result, Awaitable) else result:
                return
            await asyncio.sleep(0.01)


@both
def test_two_instances_serve_the_same_port_and_nothing_listens_on_the_host(build: Build) -> None:
    async def check() -> None:
        image = build(SERVER, SERVE)
        async with running(image) as one, running(image) as two:
            assert (await get(one))["env"]["PORT"] == (await get(two))["env"]["PORT"] == "8080"
            with pytest.raises(ConnectionRefusedError):
                await asyncio.open_connection("127.0.0.1", 8080)

    asyncio.run(check())


@both
def test_the_application_has_the_images_user_and_no_capability(build: Build) -> None:
    async def check() -> None:
        image = build(reporting('[os.getuid(), os.getgid(), open("/proc/self/status").read()]'), SERVE)
        async with running(image) as instance:
            uid, gid, status = await get(instance)
        assert (uid, gid) == (2000, 0)
        capabilities = {
            line.split()[0]: int(line.split()[1], 16)
            for line in status.splitlines()
            if line.startswith("Cap")
        }
        assert capabilities == {"CapInh:": 0, "CapPrm:": 0, "CapEff:": 0, "CapBnd:": 0, "CapAmb:": 0}
        assert "NoNewPrivs:\t1" in status

    asyncio.run(check())


@both
def test_an_image_without_a_user_runs_as_root_without_capabilities(build: Build) -> None:
    async def check() -> None:
        image = build(reporting('[os.getuid(), open("/proc/self/status").read()]'), SERVE, user="")
        async with running(image) as instance:
            uid, status = await get(instance)
        assert uid == 0
        assert "CapEff:\t0000000000000000" in status

    asyncio.run(check())


@both
def test_environment_is_the_images_then_the_platforms_then_the_specs(build: Build, tmp_path: Path) -> None:
    async def check() -> None:
        bundle = tmp_path / "ca.pem"
        bundle.write_text("certificates")
        async with running(
            build(SERVER, SERVE),
            platform_env={"K_SERVICE": "web", "BOTH": "platform"},
            env={"BOTH": "spec"},
            ca_bundle=bundle,
        ) as instance:
            env = (await get(instance))["env"]
        assert (env["PYTHONUNBUFFERED"], env["K_SERVICE"], env["BOTH"]) == ("1", "web", "spec")
        assert env["SSL_CERT_FILE"] == env["REQUESTS_CA_BUNDLE"] == "/etc/ssl/certs/ca-certificates.crt"
        assert env["HTTPS_PROXY"].startswith("http://127.0.0.1:")

    asyncio.run(check())


@both
def test_secret_files_have_their_content_mode_and_owner_and_are_on_no_disk(build: Build) -> None:
    async def check() -> None:
        expression = (
            '[open("/secrets/key/value").read(), oct(os.stat("/secrets/key/value").st_mode & 0o777), '
            'os.stat("/secrets/key/value").st_uid, '
            '[line.split()[2] for line in open("/proc/mounts") if " /secrets/key " in line]]'
        )
        volume = Volume("/secrets/key", {"value": (b"hush", 0o400)})
        async with running(build(reporting(expression), SERVE), volumes=(volume,)) as instance:
            assert await get(instance) == ["hush", "0o400", 2000, ["tmpfs"]]

    asyncio.run(check())


@both
def test_a_volume_may_lie_inside_a_folder_of_the_image(build: Build) -> None:
    async def check() -> None:
        volume = Volume("/app/conf/deep", {"value": (b"x", 0o444)})
        expression = (
            '[sorted(os.listdir("/app")), os.path.exists("/app/conf") and os.listdir("/app/conf/deep")]'
        )
        image = build(reporting(expression), SERVE)
        async with running(image, volumes=(volume,)) as instance:
            assert await get(instance) == [["conf", "main.py"], ["value"]]
        async with running(image) as another:
            assert await get(another) == [["main.py"], False]

    asyncio.run(check())


@both
def test_the_image_cannot_be_written_but_temporary_folders_can(build: Build) -> None:
    async def check() -> None:
        expression = '[os.access("/app", os.W_OK), os.access("/", os.W_OK), os.access("/tmp", os.W_OK), os.access("/dev/shm", os.W_OK)]'
        async with running(build(reporting(expression), SERVE)) as instance:
            assert await get(instance) == [False, False, True, True]

    asyncio.run(check())


@both
def test_the_metadata_server_answers_at_its_address_and_name(build: Build) -> None:
    async def check() -> None:
        source = """
            import urllib.request
            class Handler(Handler):
                def answer(self):
                    return [urllib.request.urlopen("http://%s/x" % host).read().decode()
                            for host in ("169.254.169.254", "metadata.google.internal")]
        """
        async with running(build(SERVER, source, SERVE)) as instance:
            assert await get(instance) == ["project-1", "project-1"]

    asyncio.run(check())


@both
def test_outgoing_https_goes_to_the_proxy_and_nothing_else_leaves(build: Build) -> None:
    async def check() -> None:
        source = """
            import socket
            from urllib.parse import urlsplit
            class Handler(Handler):
                def answer(self):
                    proxy = urlsplit(os.environ["HTTPS_PROXY"])
                    with socket.create_connection((proxy.hostname, proxy.port)) as connection:
                        connection.sendall(b"CONNECT storage.googleapis.com:443 HTTP/1.1\\r\\n\\r\\n")
                        said = connection.makefile().read().splitlines()[-1]
                    try:
                        socket.create_connection(("192.0.2.1", 443), timeout=1)
                    except OSError as error:
                        return [said, error.strerror]
        """
        async with running(build(SERVER, source, SERVE)) as instance:
            assert await get(instance) == [
                "CONNECT storage.googleapis.com:443 HTTP/1.1",
                "Network is unreachable",
            ]

    asyncio.run(check())


@both
def test_the_cloud_sql_socket_reaches_its_handler(build: Build) -> None:
    async def check() -> None:
        path = "/cloudsql/project-1:us-central1:djangogcp/.s.PGSQL.5432"
        source = f"""
            import socket
            class Handler(Handler):
                def answer(self):
                    with socket.socket(socket.AF_UNIX) as connection:
                        connection.connect({path!r})
                        connection.sendall(b"question")
                        return connection.recv(100).decode()
        """

        async def database(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(b"answer to " + await reader.read(100))
            await writer.drain()

        async with running(
            build(SERVER, source, SERVE),
            volumes=(Volume("/cloudsql"),),
            sockets=(UnixListener(path, database),),
        ) as instance:
            assert await get(instance) == "answer to question"

    asyncio.run(check())


@both
def test_output_is_passed_on_line_by_line_and_dev_stdout_can_be_opened(build: Build) -> None:
    async def check() -> None:
        logs = Logs()
        source = """
            import sys
            print("to stdout")
            print("to stderr", file=sys.stderr)
            open("/dev/stdout", "a").write("opened\\n")
            sys.stdout.write("no line end")
        """
        result = await run_task(spec(build(source), port=None), 10, logs)
        assert result.succeeded
        assert logs.of("stdout") == ["to stdout", "opened", "no line end"]
        assert logs.of("stderr") == ["to stderr"]
        assert logs.of("system") == ["Container called exit(0)."]

    asyncio.run(check())


def failing_to_start(image: Image, **changes: Any) -> tuple[InstanceError, Logs]:
    async def check() -> tuple[InstanceError, Logs]:
        logs = Logs()
        with pytest.raises(InstanceError) as caught:
            async with running(image, logs, **changes):
                pass
        return caught.value, logs

    return asyncio.run(check())


PORT_FAILURE = (
    "The user-provided container failed to start and listen on the port defined provided by the PORT=8080 environment "
    "variable within the allocated timeout. This can happen when the container port is misconfigured or if the timeout "
    "is too short. The health check timeout can be extended. Logs for this revision might contain more information."
)


@both
def test_an_application_that_exits_fails_at_once_with_its_code(build: Build) -> None:
    failure, logs = failing_to_start(build('print("no settings"); raise SystemExit(1)'))
    assert str(failure) == PORT_FAILURE
    assert failure.exit == Exit(code=1)
    assert logs.of("stdout") == ["no settings"]
    assert logs.of("system") == [
        "Container called exit(1).",
        'Default STARTUP TCP probe failed 1 time consecutively for container "web-1" on port 8080. '
        "The instance was not started.",
    ]


def test_an_application_that_never_listens_fails_when_the_probe_times_out(build: Build) -> None:
    failure, _ = failing_to_start(
        build("import signal; signal.pause()"),
        startup_probe=Probe(8080, timeout=0.3, period=0.3, failure_threshold=1, configured=False),
    )
    assert str(failure) == PORT_FAILURE
    assert failure.exit is None


@both
def test_an_application_that_listens_on_the_loopback_address_only_is_not_reached(build: Build) -> None:
    failure, _ = failing_to_start(
        build(SERVER, 'http.server.HTTPServer(("127.0.0.1", 8080), Handler).serve_forever()'),
        startup_probe=Probe(8080, timeout=0.5, period=0.5, failure_threshold=1, configured=False),
    )
    assert str(failure) == PORT_FAILURE


@both
def test_a_command_that_does_not_exist_is_named(build: Build) -> None:
    failure, logs = failing_to_start(build("", cmd=("/app/missing",)))
    assert str(failure) == (
        "Application exec likely failed. terminated: Application failed to start: "
        '"/app/missing": no such file or directory'
    )
    assert logs.of("system") == [
        'terminated: Application failed to start: "/app/missing": no such file or directory'
    ]


def test_an_http_startup_probe_waits_for_a_good_answer(build: Build) -> None:
    async def check() -> None:
        source = """
            calls = []
            class Handler(Handler):
                def answer(self):
                    calls.append(self.path)
                    return calls if len(calls) > 2 else None
        """
        logs = Logs()
        async with running(
            build(SERVER, source, SERVE),
            logs,
            startup_probe=Probe(8080, path="/-/ready", timeout=1, period=0.05),
        ) as instance:
            assert await get(instance) == ["/-/ready", "/-/ready", "/-/ready", "/"]
        assert logs.of("system") == [
            'STARTUP HTTP probe succeeded after 3 attempts for container "web-1" on path "/-/ready".'
        ]

    asyncio.run(check())


def test_a_failing_http_startup_probe_says_so(build: Build) -> None:
    failure, logs = failing_to_start(
        build(reporting("None"), SERVE),
        startup_probe=Probe(8080, path="/", timeout=1, period=0.02, failure_threshold=2),
    )
    assert str(failure) == (
        "The user-provided container failed the configured startup probe checks. "
        "Logs for this revision might contain more information."
    )
    assert logs.of("system") == [
        'STARTUP HTTP probe failed 2 times consecutively for container "web-1" on path "/". The instance was not started.'
    ]


def test_an_instance_that_fails_its_liveness_probe_is_killed(build: Build) -> None:
    async def check() -> None:
        logs = Logs()
        probe = Probe(8080, path="/", timeout=1, period=0.02, failure_threshold=2)
        async with running(build(reporting("None"), SERVE), logs, liveness_probe=probe) as instance:
            assert (await instance.wait()).signal == signal.SIGKILL
        assert logs.of("system")[-1] == (
            'LIVENESS HTTP probe failed 2 times consecutively for container "web-1" on path "/". '
            "The instance has been shut down."
        )

    asyncio.run(check())


@both
def test_stopping_sends_sigterm_and_gives_time(build: Build) -> None:
    async def check() -> None:
        logs = Logs()
        source = """
            def bye(*_):
                print("finishing")
                raise SystemExit(3)
            signal.signal(signal.SIGTERM, bye)
        """
        async with running(build(SERVER, source, SERVE), logs) as instance:
            assert (await instance.stop(5)).code == 3
        assert logs.of("stdout") == ["finishing"]

    asyncio.run(check())


@both
def test_what_ignores_sigterm_is_killed_after_the_grace(build: Build) -> None:
    async def check() -> None:
        async with running(build(SERVER, "signal.signal(signal.SIGTERM, signal.SIG_IGN)", SERVE)) as instance:
            assert (await instance.stop(0.2)).signal == signal.SIGKILL

    asyncio.run(check())


@both
def test_a_task_reports_its_exit_code_and_its_timeout(build: Build) -> None:
    async def check() -> None:
        image = build(
            "import os, signal; code = os.environ['CODE']; signal.pause() if code == 'never' else exit(int(code))"
        )
        failed = await run_task(spec(image, port=None, env={"CODE": "7"}), 10, Logs())
        assert (failed.succeeded, failed.exit and failed.exit.code, failed.timed_out) == (False, 7, False)
        logs = Logs()
        late = await run_task(spec(image, port=None, env={"CODE": "never"}), 0.3, logs)
        assert (late.succeeded, late.timed_out) == (False, True)
        assert logs.of("system") == [
            "Terminating task because it has reached the maximum timeout of 0.3 seconds."
        ]

    asyncio.run(check())


def alive(marker: str) -> bool:
    """Whether a process of this machine has the marker in its command line."""
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if marker.encode() in (folder / "cmdline").read_bytes() and int(folder.name) != os.getpid():
                return True
    return False


def test_everything_dies_with_the_emulator_even_when_it_is_killed(tmp_path: Path) -> None:
    marker = f"marker-{os.getpid()}-{os.urandom(4).hex()}"
    script = f"""
import asyncio, sys
sys.path[:0] = {sys.path!r}
from pathlib import Path
from gcp_emulator.workloads.instances import run_task
from emulator.tests.workloads.apps import image_of
from emulator.tests.workloads.test_instances import spec
image = image_of(Path({str(tmp_path)!r}), "import signal; print('up'); signal.pause()")
task = spec(image, port=None, args=(*image.config.cmd, {marker!r}))
asyncio.run(run_task(task, 60, lambda stream, line: print(line, flush=True)))
"""
    emulator = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    assert emulator.stdout
    assert emulator.stdout.readline() == "up\n"
    assert alive(marker)
    emulator.kill()
    emulator.wait()
    emulator.stdout.close()

    async def gone() -> None:
        await until(lambda: not alive(marker))

    asyncio.run(gone())


@both
def test_an_instance_whose_stop_is_broken_off_is_killed(build: Build) -> None:
    async def check() -> None:
        logs = Logs()
        stubborn = "    signal.signal(signal.SIGTERM, lambda *_: print('asked', flush=True))\n"
        image = build(SERVER, textwrap.dedent(stubborn), SERVE)
        async with running(image, logs) as instance:
            stopping = asyncio.create_task(instance.stop(60))
            await until(lambda: "asked" in logs.of("stdout"))
            stopping.cancel()
            await asyncio.wait({stopping})
            assert not instance.running

    asyncio.run(check())
