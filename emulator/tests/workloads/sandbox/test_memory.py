"""The limit of memory where processes and not containers run."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from gcp_emulator.workloads.instances import InstanceSpec, TaskResult, run_task
from gcp_emulator.workloads.sandbox.bubblewrap import check_available
from gcp_emulator.workloads.sandbox.process import SandboxUnavailable, Volume

from emulator.tests.workloads.apps import image_of

try:
    check_available()
except SandboxUnavailable as why:
    pytest.skip(str(why), allow_module_level=True)

LIMIT = 96 << 20
WAIT = "import signal; signal.pause()\n"
#: Long enough for several looks at the memory.
LIVE = "import time; time.sleep(1.6)\n"
FORKS = "import os\nfor _ in range(3):\n    if os.fork() == 0:\n        break\n"


async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Nobody calls."""


def run(folder: Path, source: str, *, user: str = "2000") -> tuple[TaskResult, list[str]]:
    """How a program of at most `LIMIT` bytes ended, and every line of it and about it."""
    lines: list[str] = []
    image = image_of(folder, source, user=user)
    spec = InstanceSpec(
        image, "web-1", {}, silent, silent, port=None, memory=LIMIT, volumes=(Volume("/cache", mode=0o777),)
    )
    return asyncio.run(run_task(spec, 30, lambda stream, line: lines.append(line))), lines


@pytest.mark.parametrize("user", ["2000", "0"])
@pytest.mark.parametrize(
    "source",
    [
        pytest.param("x = bytearray(120 << 20)\n" + WAIT, id="a process"),
        pytest.param(FORKS + "x = bytearray(40 << 20)\n" + WAIT, id="several processes together"),
        pytest.param(
            "open('/tmp/large', 'wb').write(bytes(60 << 20)); x = bytearray(60 << 20)\n" + WAIT,
            id="a file in /tmp",
        ),
        pytest.param("open('/cache/large', 'wb').write(bytes(100 << 20))\n" + WAIT, id="a file in a volume"),
        pytest.param("x = bytearray(120 << 20); del x\n" + WAIT, id="for a moment"),
    ],
)
def test_who_uses_more_than_the_limit_is_ended_in_googles_words(
    tmp_path: Path, source: str, user: str
) -> None:
    result, lines = run(tmp_path, source, user=user)

    assert result.exit
    assert result.exit.signal == 9
    assert not result.succeeded
    assert result.exit.memory is not None
    assert lines == [
        f"Memory limit of 96 MiB exceeded with {result.exit.memory >> 20} MiB used. Consider increasing the memory limit, see "
        "https://cloud.google.com/run/docs/configuring/memory-limits",
        "Container terminated on signal 9.",
    ]
    assert 96 < result.exit.memory >> 20 < 200


@pytest.mark.parametrize(
    "source",
    [
        pytest.param("x = bytearray(70 << 20)\n" + LIVE, id="below the limit"),
        pytest.param("x = bytearray(60 << 20)\n" + FORKS + LIVE, id="memory that several processes share"),
        pytest.param(
            "import mmap\nf = open('/tmp/large', 'w+b')\nfor _ in range(60): f.write(bytes(1 << 20))\nf.flush()\n"
            "m = mmap.mmap(f.fileno(), 0); sum(m[::4096])\n" + LIVE,
            id="a file in memory that is mapped",
        ),
        pytest.param(
            "for turn in range(3):\n    x = bytearray(50 << 20); del x\n    " + LIVE.replace("1.6", "0.7"),
            id="again and again",
        ),
    ],
)
def test_who_stays_below_the_limit_lives(tmp_path: Path, source: str) -> None:
    result, lines = run(tmp_path, source)

    assert (result.succeeded, lines) == (True, ["Container called exit(0)."])
