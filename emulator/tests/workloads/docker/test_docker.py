"""The container engine as a runtime: what only it does, and that it leaves nothing behind."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from gcp_emulator.workloads.build.builder import BuildFailed
from gcp_emulator.workloads.build.run import HostAccess
from gcp_emulator.workloads.docker.command import DockerError, check_engine, docker
from gcp_emulator.workloads.docker.runtime import DockerRuntime
from gcp_emulator.workloads.images import Image, user_ids
from gcp_emulator.workloads.instances import Instance, InstanceSpec, TaskResult, run_task
from gcp_emulator.workloads.sandbox.process import SandboxUnavailable

from emulator.tests.workloads.engines import BASE

NO_ACCESS = HostAccess({"PIP_CONFIG_FILE": os.devnull}, ())


async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Says nothing."""


def build(
    runtime: DockerRuntime,
    context: Path,
    text: str,
    host: HostAccess = NO_ACCESS,
    lines: list[str] | None = None,
    **options: Any,
) -> tuple[Image, list[str]]:
    """An image of a Dockerfile's text, and what was logged."""
    context.mkdir(exist_ok=True)
    (context / "Dockerfile").write_text(text)
    lines = [] if lines is None else lines
    builder = runtime.builder(context.parent / "builds", host)
    image = asyncio.run(builder.build(context, log=lines.append, **options))
    return image, lines


@pytest.fixture(scope="module")
def image(docker_runtime: DockerRuntime, tmp_path_factory: pytest.TempPathFactory) -> Image:
    """Python, and a user of its own."""
    text = f"FROM {BASE}\nRUN echo web:x:1234:1234::/srv:/bin/sh >> /etc/passwd\nWORKDIR /srv\nUSER web\n"
    return build(docker_runtime, tmp_path_factory.mktemp("context"), text)[0]


def run(
    runtime: DockerRuntime, image: Image, source: str, *, user: str | None = None, **limits: Any
) -> tuple[TaskResult, list[str]]:
    """How a program ended, and every line of it and about it."""
    config = replace(image.config, user=image.config.user if user is None else user)
    lines: list[str] = []
    spec = InstanceSpec(
        replace(image, config=config),
        "web-1",
        {},
        silent,
        silent,
        command=("python3", "-c", source),
        port=None,
        sandbox=runtime.sandbox,
        **limits,
    )
    return asyncio.run(run_task(spec, 60, lambda stream, line: lines.append(line))), lines


def test_without_an_engine_the_error_says_what_to_do(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/docker.sock")
    monkeypatch.delenv("DOCKER_CONTEXT", raising=False)
    with pytest.raises(SandboxUnavailable) as error:
        check_engine()
    assert str(error.value).startswith("Containers cannot be run: no container engine answers (")
    assert str(error.value).endswith(
        "Start one, or name its socket in DOCKER_HOST, or run processes instead (--runtime process)."
    )


def test_without_the_docker_command_the_error_names_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SandboxUnavailable, match=r"\(the program 'docker' is not in PATH\)"):
        check_engine()


# ---------------------------------------------------------------- instances


def test_the_users_of_the_image_are_known(docker_runtime: DockerRuntime, image: Image) -> None:
    source = "import os; print(os.getuid(), os.getgid(), os.environ['HOME'], os.getcwd())"
    assert user_ids(image.root, "web") == (1234, 1234)
    assert run(docker_runtime, image, source)[1] == ["1234 1234 /srv /srv", "Container called exit(0)."]


def test_who_uses_too_much_memory_is_killed_in_googles_words(
    docker_runtime: DockerRuntime, image: Image
) -> None:
    result, lines = run(docker_runtime, image, "list(iter(lambda: bytearray(1 << 20), 0))", memory=64 << 20)
    assert result.exit
    assert result.exit.signal == 9
    assert lines == [
        "Memory limit of 64 MiB exceeded with 64 MiB used. Consider increasing the memory limit, see "
        "https://cloud.google.com/run/docs/configuring/memory-limits",
        "Container terminated on signal 9.",
    ]


def test_a_starved_child_takes_the_instance_along(docker_runtime: DockerRuntime, image: Image) -> None:
    source = (
        "import os, signal\n"
        "if os.fork() == 0: list(iter(lambda: bytearray(1 << 20), 0))\n"
        "signal.pause()\n"  # like a server that lives on when a worker has died
    )
    result, lines = run(docker_runtime, image, source, memory=64 << 20)
    assert result.exit
    assert result.exit.memory == 64 << 20
    assert lines[0].startswith("Memory limit of 64 MiB exceeded")


def test_files_in_temporary_folders_count_as_memory(docker_runtime: DockerRuntime, image: Image) -> None:
    source = "open('/tmp/large', 'wb').write(bytes(48 << 20)); x = bytearray(48 << 20)"
    assert run(docker_runtime, image, source, memory=80 << 20)[1][0].startswith("Memory limit of 80 MiB")


def test_the_cpu_limit_is_the_kernels(docker_runtime: DockerRuntime, image: Image) -> None:
    source = (
        "from pathlib import Path\n"
        "for folder, names in (('cpu', ('cpu.cfs_quota_us', 'cpu.cfs_period_us')), ('', ('cpu.max',))):\n"
        "    paths = [Path('/sys/fs/cgroup', folder, name) for name in names]\n"
        "    if paths[0].exists(): print(*(path.read_text().strip() for path in paths))\n"
    )
    assert run(docker_runtime, image, source, cpus=0.5)[1][0] == "50000 100000"


def test_files_can_be_written_by_their_owner_and_are_gone_afterwards(
    docker_runtime: DockerRuntime, image: Image
) -> None:
    source = "import os; print(os.path.exists('/srv/new')); open('/srv/new', 'w').close()"
    for _ in range(2):
        result, lines = run(docker_runtime, image, source, user="0")
        assert result.succeeded
        assert lines[0] == "False"


def test_an_image_without_python_says_what_is_missing(docker_runtime: DockerRuntime, tmp_path: Path) -> None:
    context = tmp_path / "context"
    context.mkdir()
    (context / "data").touch()
    empty, _ = build(docker_runtime, context, "FROM scratch\nCOPY data /\n")
    result, lines = run(docker_runtime, empty, "")
    expected = "terminated: Application failed to start: the image has no python3 in its PATH, which this runtime needs"
    assert lines == [expected]
    assert result.failure == f"Application exec likely failed. {expected}"


def test_an_instance_that_somebody_removes_has_ended(docker_runtime: DockerRuntime, image: Image) -> None:
    async def check() -> None:
        waiting = InstanceSpec(
            image,
            "web-1",
            {},
            silent,
            silent,
            command=("python3", "-c", "import signal; signal.pause()"),
            port=None,
            sandbox=docker_runtime.sandbox,
        )
        instance = Instance(waiting, lambda stream, line: None)
        await instance.start()
        for container in containers(docker_runtime):
            docker("rm", "--force", container)
        assert (await asyncio.wait_for(instance.wait(), 20)).signal == 9
        await instance.kill()

    asyncio.run(check())


# ---------------------------------------------------------------- nothing is left behind


def containers(runtime: DockerRuntime) -> list[str]:
    return docker("ps", "--all", "--quiet", "--filter", f"label=gcp-emulator.state={runtime.mark}").split()


def test_a_container_dies_with_an_emulator_that_is_killed(
    docker_runtime: DockerRuntime, docker_folder: Path, image: Image
) -> None:
    script = f"""
import asyncio, sys
sys.path[:0] = {sys.path!r}
from pathlib import Path
from gcp_emulator.workloads.docker.runtime import DockerRuntime
from gcp_emulator.workloads.instances import InstanceSpec, run_task
from emulator.tests.workloads.docker.test_docker import silent
runtime = DockerRuntime(Path({str(docker_folder)!r}))
command = ("python3", "-uc", "import signal; print('up'); signal.pause()")
image = runtime.images.get({image.digest!r})
spec = InstanceSpec(image, "web-1", {{}}, silent, silent, port=None, sandbox=runtime.sandbox, command=command)
asyncio.run(run_task(spec, 60, lambda stream, line: print(line, flush=True)))
"""
    emulator = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    assert emulator.stdout
    assert emulator.stdout.readline() == "up\n"
    left = containers(docker_runtime)
    assert len(left) == 1
    emulator.kill()
    emulator.wait()
    emulator.stdout.close()
    # Returns when the container has ended, and fails when it is removed already.
    subprocess.run(["docker", "wait", *left], capture_output=True, check=False, timeout=20)
    assert left[0] not in docker("ps", "--quiet").split()


@pytest.fixture
def another(docker_runtime: DockerRuntime, tmp_path: Path) -> Iterator[DockerRuntime]:
    """A runtime of its own beside `docker_runtime`, not yet started."""
    runtime = DockerRuntime(tmp_path / "another")
    yield runtime
    runtime.clear()


def test_the_next_start_removes_what_is_the_emulators_and_nothing_else(
    docker_runtime: DockerRuntime, another: DockerRuntime, image: Image
) -> None:
    reference = docker_runtime.images.reference(image.digest)
    for mark in (another.mark, "of-somebody-else"):
        docker(
            "create",
            "--label",
            f"gcp-emulator.state={mark}",
            "--name",
            f"test-{another.mark}-{mark}",
            reference,
        )
    docker("tag", reference, another.images.reference("sha256:" + "0" * 64))
    try:
        asyncio.run(another.start())
        assert containers(another) == []
        assert docker("image", "ls", "--quiet", another.images.reference("sha256:" + "0" * 64)) == ""
        assert docker("inspect", f"test-{another.mark}-of-somebody-else")
    finally:
        docker("rm", f"test-{another.mark}-of-somebody-else")
    assert docker("image", "ls", "--quiet", reference)


def test_an_image_that_the_engine_has_lost_is_forgotten(another: DockerRuntime, tmp_path: Path) -> None:
    asyncio.run(another.start())
    lost, _ = build(another, tmp_path / "context", f"FROM {BASE}\nLABEL test=lost\n")
    assert another.images.get(lost.digest) == lost
    docker("image", "rm", another.images.reference(lost.digest))
    asyncio.run(another.start())
    assert another.images.get(lost.digest) is None


def test_an_image_that_is_freed_leaves_the_engine(another: DockerRuntime, tmp_path: Path) -> None:
    asyncio.run(another.start())
    freed, _ = build(another, tmp_path / "context", f"FROM {BASE}\nLABEL test=freed\n")
    assert docker("image", "inspect", freed.digest)
    assert another.images.delete(freed.digest)
    with pytest.raises(DockerError, match="No such image"):
        docker("image", "inspect", freed.digest)


# ---------------------------------------------------------------- builds


def test_a_build_reads_its_arguments_and_stops_at_its_target(
    docker_runtime: DockerRuntime, tmp_path: Path
) -> None:
    text = f"FROM {BASE} AS first\nARG COLOUR\nENV COLOUR=$COLOUR\nFROM first\nENV COLOUR=none\n"
    built, lines = build(
        docker_runtime, tmp_path / "context", text, build_args={"COLOUR": "red"}, target="first"
    )
    assert "COLOUR=red" in built.config.env
    assert lines[-1] == f"Successfully built {built.digest[7:19]}"


def test_a_run_that_fails_is_told_with_its_output(docker_runtime: DockerRuntime, tmp_path: Path) -> None:
    lines: list[str] = []
    with pytest.raises(BuildFailed):
        build(docker_runtime, tmp_path / "context", f"FROM {BASE}\nRUN echo why; exit 3\n", lines=lines)
    assert any(line.endswith(" why") for line in lines)
    assert any("exit code: 3" in line for line in lines)


def test_without_buildkit_mounts_are_refused_as_in_cloud_build(
    docker_runtime: DockerRuntime, tmp_path: Path
) -> None:
    text = f"FROM {BASE}\nRUN --mount=type=tmpfs,target=/x true\n"
    lines: list[str] = []
    with pytest.raises(BuildFailed):
        build(docker_runtime, tmp_path / "context", text, buildkit=False, lines=lines)
    assert any("the --mount option requires BuildKit" in line for line in lines)


def test_proxy_certificates_and_pips_settings_reach_a_run_and_not_the_image(
    docker_runtime: DockerRuntime, tmp_path: Path
) -> None:
    bundle = tmp_path / "ca.pem"
    bundle.write_text("these certificates\n")
    index = "https://user:hidden-word@packages.example/simple"
    (tmp_path / "pip.conf").write_text(
        f"[global]\ncert = {bundle}\nextra-index-url =\n  https://one.example\n  https://two.example\n"
    )
    env = {
        "PIP_CONFIG_FILE": str(tmp_path / "pip.conf"),
        "PIP_INDEX_URL": index,
        "PIP_FIND_LINKS": "/opt/wheels",
    }
    host = HostAccess({**env, "HTTP_PROXY": "http://user:hidden-word@127.0.0.1:9"}, ())
    text = (
        f"FROM \\\n    {BASE} AS first\n"
        '# A comment about RUN\nRUN cat "$SSL_CERT_FILE" "$PIP_CERT" > /seen && \\\n'
        "    python3 -m pip config debug | grep -oE '(packages|one|two).example[^/]*' >> /seen && \\\n"
        "    echo $HTTP_PROXY | grep -o 127.0.0.1:9 >> /seen\n"
        'RUN ["python3", "-c", "import os; assert os.path.exists(os.environ[\'REQUESTS_CA_BUNDLE\'])"]\n'
        f"FROM {BASE}\nCOPY --from=first /seen /seen\nRUN test -f $CURL_CA_BUNDLE\n"
    )
    built, _ = build(docker_runtime, tmp_path / "context", text, host)
    _, lines = run(docker_runtime, built, "print(open('/seen').read())")
    assert lines[:2] == ["these certificates"] * 2
    assert lines[2:6] == ["one.example", "two.example", "packages.example", "127.0.0.1:9"]
    facts = docker("image", "inspect", built.digest) + docker("image", "history", "--no-trunc", built.digest)
    assert "hidden-word" not in facts
    assert [entry for entry in built.config.env if "CERT" in entry or "PIP" in entry] == []


def test_a_dockerfile_is_built_as_it_is_where_nothing_needs_to_be_added(
    docker_runtime: DockerRuntime, tmp_path: Path
) -> None:
    host = HostAccess({**NO_ACCESS.env, "PIP_DISABLE_PIP_VERSION_CHECK": "1"}, ())
    built, _ = build(docker_runtime, tmp_path / "context", f"FROM {BASE}\nRUN test -z $SSL_CERT_FILE\n", host)
    history = docker("image", "history", "--no-trunc", "--format", "{{json .CreatedBy}}", built.digest)
    assert "SSL_CERT_FILE" not in json.loads(history.splitlines()[0]).replace("test -z $SSL_CERT_FILE", "")
    assert os.listdir(tmp_path / "builds") == []
