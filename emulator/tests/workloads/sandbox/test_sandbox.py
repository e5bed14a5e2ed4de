"""What a machine must allow, and how the file system of a sandbox is put together."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from gcp_emulator.workloads.sandbox.bubblewrap import BubblewrapSandbox, check_available, cure, probe
from gcp_emulator.workloads.sandbox.process import SandboxSpec, SandboxUnavailable
from gcp_emulator.workloads.sandbox.rootfs import Rootfs
from gcp_emulator.workloads.sandbox.system import System

SYSTEM_PYTHON = "/usr/bin/python3"
HOST = System(Path("/"))
NOBODY = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    tree = tmp_path / "tree"
    tree.mkdir()
    return tree


def start(tree: Path) -> None:
    async def check() -> None:
        spec = SandboxSpec(("/bin/true",), {})
        await BubblewrapSandbox(Rootfs(tree, SYSTEM_PYTHON, HOST), spec, lambda stream, line: None).start()

    asyncio.run(check())


def test_without_bubblewrap_the_error_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, tree: Path
) -> None:
    monkeypatch.setenv("PATH", str(tree))
    with pytest.raises(SandboxUnavailable) as error:
        start(tree)
    assert str(error.value) == (
        "Applications cannot be run: the program 'bwrap' is not in PATH. Install the package bubblewrap "
        "(Debian, Ubuntu: apt-get install bubblewrap; Fedora: dnf install bubblewrap)."
    )


def test_a_machine_without_user_namespaces_is_told_what_to_allow(
    monkeypatch: pytest.MonkeyPatch, tree: Path, tmp_path: Path
) -> None:
    program = tmp_path / "bwrap"
    program.write_text("#!/bin/sh\necho 'bwrap: setting up uid map: Permission denied' >&2\nexit 1\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SandboxUnavailable) as error:
        start(tree)
    assert str(error.value).startswith(
        "Applications cannot be run: this machine refuses to make a sandbox "
        "(bwrap: setting up uid map: Permission denied). Allow user namespaces (sysctl "
    )


def test_a_forbidden_bubblewrap_is_found_before_anything_is_run(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    program = tmp_path / "bwrap"
    program.write_text(
        "#!/bin/sh\necho 'bwrap: loopback: Failed RTM_NEWADDR: Operation not permitted' >&2\nexit 1\n"
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SandboxUnavailable, match=r"refuses to make a sandbox .*RTM_NEWADDR"):
        probe()
    program.write_text('#!/bin/sh\nfor last; do :; done\nexec "$last"\n')
    probe()


@pytest.mark.parametrize(
    ("name", "value", "command"),
    [
        (
            "kernel/apparmor_restrict_unprivileged_userns",
            "1",
            "kernel.apparmor_restrict_unprivileged_userns=0",
        ),
        ("kernel/unprivileged_userns_clone", "0", "kernel.unprivileged_userns_clone=1"),
        ("user/max_user_namespaces", "0", "user.max_user_namespaces=10000"),
    ],
)
def test_the_cure_is_that_of_the_setting_which_forbids(
    name: str, value: str, command: str, tmp_path: Path
) -> None:
    assert "REHEARSAL_RUNTIME=docker make rehearse" in cure(tmp_path)
    (tmp_path / name).parent.mkdir()
    (tmp_path / name).write_text(f"{value}\n", "utf-8")
    assert cure(tmp_path).endswith(f"sudo sysctl -w {command}")


def mounts(arguments: list[str]) -> dict[str, str]:
    """What is bound where, of bubblewrap's arguments."""
    found = {}
    for index, word in enumerate(arguments):
        if word == "--ro-bind":
            found[arguments[index + 2]] = arguments[index + 1]
    return found


def test_the_images_own_folders_are_bound_and_the_system_is_the_hosts(tree: Path) -> None:
    (tree / "app").mkdir()
    (tree / "usr" / "local").mkdir(parents=True)
    found = mounts(Rootfs(tree, SYSTEM_PYTHON, HOST).arguments())
    assert found["/app"] == f"{tree}/app"
    assert found["/usr/bin"] == "/usr/bin"
    assert found["/usr/local"] == f"{tree}/usr/local"


def test_where_image_and_host_share_a_folder_the_image_is_in_front(tree: Path) -> None:
    (tree / "usr" / "bin").mkdir(parents=True)
    (tree / "usr" / "bin" / "env").write_text("the image's")
    found = mounts(Rootfs(tree, SYSTEM_PYTHON, HOST).arguments())
    assert found["/usr/bin/env"] == f"{tree}/usr/bin/env"
    files = (path for path in Path("/usr/bin").iterdir() if path.is_file() and not path.is_symlink())
    other = next(path for path in files if path.name != "env")
    assert found[str(other)] == str(other)


def test_a_mount_point_that_the_image_lacks_is_made_beside_its_files(tree: Path) -> None:
    (tree / "app").mkdir()
    (tree / "app" / "manage.py").touch()
    arguments = Rootfs(tree, SYSTEM_PYTHON, HOST).arguments(["/app/secrets"])
    found = mounts(arguments)
    assert "/app" not in found
    assert found["/app/manage.py"] == f"{tree}/app/manage.py"
    assert arguments[arguments.index("/app") - 1] == "--dir"


@pytest.fixture
def shared_folder() -> Iterator[Path]:
    """A folder that every user can read, with the workloads, the front below them and the helpers of these tests in it."""
    folder = Path(tempfile.mkdtemp(prefix="gcp-emulator-test-"))
    package = Path(sys.modules["gcp_emulator"].__file__ or "").parent
    for part in ("front", "workloads"):
        shutil.copytree(package / part, folder / "gcp_emulator" / part)
    (folder / "gcp_emulator" / "__init__.py").touch()
    shutil.copy(Path(__file__).parents[1] / "apps.py", folder)
    subprocess.run(["chmod", "-R", "a+rX", folder], check=True)
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


@pytest.mark.skipif(os.geteuid() != 0, reason="the other tests run as an ordinary user already")
@pytest.mark.skipif(
    not (shutil.which("setpriv") and os.path.exists(SYSTEM_PYTHON)),
    reason="needs setpriv and the system's python3",
)
def test_an_ordinary_user_runs_the_same_sandbox(shared_folder: Path) -> None:
    check_available()
    script = """
import asyncio, json, os, sys, tempfile
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from apps import image_of
from gcp_emulator.workloads.instances import InstanceSpec, run_task
from gcp_emulator.workloads.sandbox.process import Volume
async def silent(reader, writer): pass
with tempfile.TemporaryDirectory() as folder:
    os.environ["XDG_CACHE_HOME"] = folder
    image = image_of(Path(folder), "import os; print(os.getuid(), open('/s/key').read(), open('/proc/self/status').read())")
    spec = InstanceSpec(image, "web-1", {}, silent, silent, port=None, volumes=(Volume("/s", {"key": (b"hush", 0o400)}),))
    lines = []
    result = asyncio.run(run_task(spec, 20, lambda stream, line: lines.append(line)))
    large = image_of(Path(folder), "x = bytearray(120 << 20); import signal; signal.pause()", digest="1" * 64)
    spec = InstanceSpec(large, "web-1", {}, silent, silent, port=None, memory=96 << 20)
    killed = asyncio.run(run_task(spec, 20, lambda stream, line: None))
    print(json.dumps([os.getuid(), result.succeeded, lines, killed.exit.memory]))
"""
    probe = subprocess.run(
        [SYSTEM_PYTHON, "-c", "import sys; print(sys.version_info >= (3, 11))"],
        capture_output=True,
        text=True,
        check=True,
    )
    if probe.stdout.strip() != "True":
        pytest.skip("the system's python3 is older than 3.11")
    done = subprocess.run(
        [*NOBODY, SYSTEM_PYTHON, "-c", script, shared_folder], capture_output=True, text=True, cwd="/"
    )
    assert done.returncode == 0, done.stderr
    uid, succeeded, lines, killed_with = json.loads(done.stdout)
    assert (uid, succeeded) == (65534, True)
    assert lines[0].startswith("2000 hush Name:")
    assert "CapEff:\t0000000000000000" in lines
    assert killed_with > 96 << 20
