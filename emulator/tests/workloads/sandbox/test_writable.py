"""What an application may write, and what becomes of it."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest
from gcp_emulator.workloads.images import Image
from gcp_emulator.workloads.instances import InstanceSpec, run_task
from gcp_emulator.workloads.sandbox import writable
from gcp_emulator.workloads.sandbox.bubblewrap import check_available
from gcp_emulator.workloads.sandbox.process import SandboxUnavailable

from emulator.tests.workloads.apps import image_of

try:
    check_available()
except SandboxUnavailable as why:
    pytest.skip(str(why), allow_module_level=True)

overlay = pytest.mark.skipif(not writable.is_available(), reason="this machine does not allow overlayfs")

WRITE = """
def attempt(path):
    try:
        with open(path, "a") as file:
            print(path, file.write("written"), file.tell())
    except OSError as error:
        print(path, error.strerror)
"""


async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Nobody calls."""


def run(image: Image, memory: int | None = None) -> list[str]:
    """Every line of a program and about it."""
    lines: list[str] = []
    spec = InstanceSpec(image, "web-1", {}, silent, silent, port=None, memory=memory)
    asyncio.run(run_task(spec, 30, lambda stream, line: lines.append(line)))
    return lines[:-1]


@overlay
def test_the_image_s_root_writes_wherever_it_likes_until_the_instance_ends(tmp_path: Path) -> None:
    source = (
        WRITE + "for path in ('/app/db.sqlite3', '/app/main.py', '/new', '/usr/bin/new'): attempt(path)\n"
    )
    image = image_of(tmp_path, source, user="0")
    before = (image.root / "app/main.py").read_bytes()
    written = ["/app/db.sqlite3 7 7", f"/app/main.py 7 {len(before) + 7}", "/new 7 7", "/usr/bin/new 7 7"]

    assert run(image) == written
    assert run(image) == written
    assert [path.name for path in image.root.iterdir()] == ["app"]
    assert (image.root / "app/main.py").read_bytes() == before


@overlay
@pytest.mark.skipif(os.geteuid() != 0, reason="an ordinary user's files have one owner")
def test_another_user_writes_what_is_its_own(tmp_path: Path) -> None:
    source = WRITE + "for path in ('/app/media/picture', '/app/main.py', '/new'): attempt(path)\n"
    image = image_of(tmp_path, source, user="2000")
    (image.root / "app/media").mkdir()
    os.chown(image.root / "app/media", 2000, 2000)

    assert run(image) == [
        "/app/media/picture 7 7",
        "/app/main.py Permission denied",
        "/new Permission denied",
    ]
    assert list((image.root / "app/media").iterdir()) == []


@overlay
def test_what_is_written_beside_the_code_counts_as_memory(tmp_path: Path) -> None:
    source = "open('/app/large', 'wb').write(bytes(120 << 20)); import signal; signal.pause()"
    [said] = run(image_of(tmp_path, source, user="0"), 96 << 20)

    assert said.startswith("Memory limit of 96 MiB exceeded with 12")


def test_without_overlayfs_only_the_temporary_folders_can_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writable, "is_available", lambda: False)
    source = WRITE + "for path in ('/app/db.sqlite3', '/tmp/new'): attempt(path)\n"

    assert run(image_of(tmp_path, source, user="0")) == [
        "/app/db.sqlite3 Read-only file system",
        "/tmp/new 7 7",
    ]


@pytest.mark.parametrize(("path", "can"), [("/a/b-c_d.e", True), ("/a,b", False), ("/a:b", False)])
def test_paths_that_would_end_an_option_cannot_be_mounted(path: str, can: bool) -> None:
    assert writable.can_be_named(Path("/fine"), Path(path)) is can
