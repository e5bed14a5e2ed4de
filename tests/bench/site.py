"""The model site's process: requests/s and latency, and its start, each beside how Google's sample is run.

Both run the same files, byte-compiled as the image's build does it, against the same PostgreSQL of an emulated instance; neither goes
through a sandbox or the emulator's proxy, which would be measured instead.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.bench import wire
from tests.bench.emulator import BIN, PROJECT, ROOT, Emulator, running
from tests.bench.table import Row, high, median

#: What the image lays over the settings.
_OVERLAY = (
    ROOT / "collections/ansible_collections/org/djangogcp/roles/image/files/overlay/django_on_google_cloud"
)
_HOST = "bench.example.com"
_PAGE = wire.get("/polls/", _HOST, X_Forwarded_Proto="https")
_CONNECTIONS = 8
_QUESTIONS = """
from polls.models import Question
for number in range(10):
    Question.objects.create(question_text=f"Question {number}?")
"""


@dataclass(frozen=True)
class Settings:
    """One way of running the site."""

    arguments: tuple[str, ...]
    environment: dict[str, str] = field(default_factory=dict)


OURS = Settings(("--config", "config/gunicorn.py", "--logger-class", f"{_OVERLAY.name}.server.Logger"))
#: https://github.com/GoogleCloudPlatform/python-docs-samples/blob/main/run/django/Procfile; its settings leave CONN_MAX_AGE at 0.
SAMPLE = Settings(("--workers", "1", "--threads", "8", "--timeout", "0"), {"CONN_MAX_AGE": "0"})


class Site:
    """The byte-compiled files and the environment of the site."""

    def __init__(self, folder: Path, database_url: str) -> None:
        self._folder = folder
        self._environment = {
            "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}",
            "DATABASE_URL": database_url,
            "SECRET_KEY": "of-no-use-elsewhere",
            "ALLOWED_HOSTS": _HOST,
            "DJANGO_SETTINGS_MODULE": f"{_OVERLAY.name}.settings",
            "DJANGO_PROJECT_SETTINGS_MODULE": "config.settings",
            "PYTHONUNBUFFERED": "1",
            # As in the image: what is not compiled there is compiled at each start.
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        ignored = shutil.ignore_patterns("__pycache__", ".venv", "staticfiles", "db.sqlite3", ".env")
        shutil.copytree(ROOT / "app", folder, ignore=ignored)
        shutil.copytree(_OVERLAY, folder / _OVERLAY.name, ignore=ignored)
        self._manage("collectstatic", "--no-input")
        self._run([sys.executable, "-m", "compileall", "-q", "."])
        self._manage("migrate")
        self._manage("shell", "-c", _QUESTIONS)

    def _manage(self, *arguments: str) -> None:
        self._run([sys.executable, "manage.py", *arguments])

    def _run(self, command: list[str]) -> None:
        subprocess.run(
            command, cwd=self._folder, env=self._environment, check=True, stdout=subprocess.DEVNULL
        )

    @contextmanager
    def served(self, settings: Settings) -> Iterator[tuple[int, float]]:
        """gunicorn with these settings: its port, and the seconds from its start to the first answer."""
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = int(probe.getsockname()[1])
        begin = time.perf_counter()
        process = subprocess.Popen(
            [BIN / "gunicorn", *settings.arguments, "--bind", f"127.0.0.1:{port}", "config.wsgi"],
            cwd=self._folder,
            env=self._environment | settings.environment | {"PORT": str(port)},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            _wait(port, process)
            yield port, time.perf_counter() - begin
        finally:
            process.terminate()
            process.wait()


def _wait(port: int, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 60
    while process.poll() is None and time.monotonic() < deadline:
        try:
            with wire.tcp(port) as connection:
                wire.exchange(connection, _PAGE)
            return
        except ConnectionError:
            time.sleep(0.005)
    raise RuntimeError(f"gunicorn did not answer (status {process.poll()})")


def measure(folder: Path, *, rounds: int = 4, seconds: float = 3, starts: int = 7) -> list[Row]:
    """The rows of the site."""
    with running(folder / "site-emulator") as emulator:
        site = Site(folder / "site", _database(emulator))
        return [*_throughput(site, rounds, seconds), _cold_start(site, folder / "no-byte-code", starts)]


def _database(emulator: Emulator) -> str:
    """The URL of a database in a new instance."""
    session = emulator.session(emulator.token())
    emulator.enable(session, "sqladmin")
    instances = f"https://sqladmin.googleapis.com/v1/projects/{PROJECT}/instances"
    settings = {"tier": "db-f1-micro", "edition": "ENTERPRISE"}
    body = {"name": "bench", "region": "us-central1", "databaseVersion": "POSTGRES_17", "settings": settings}
    emulator.operation(session, instances, body)
    emulator.operation(session, f"{instances}/bench/databases", {"name": "site"})
    emulator.operation(
        session, f"{instances}/bench/users", {"name": "site", "password": "of-no-use-elsewhere"}
    )
    cluster = next((emulator.state / "sql").rglob("server.json"))
    port = json.loads(cluster.read_text("utf-8"))["port"]
    return f"postgres://site:of-no-use-elsewhere@127.0.0.1:{port}/site"


def _throughput(site: Site, rounds: int, seconds: float) -> list[Row]:
    """Both run at the same time and are asked in turns, so that whatever slows this machine slows both."""
    ours: list[wire.Load] = []
    sample: list[wire.Load] = []
    with site.served(OURS) as (our_port, _), site.served(SAMPLE) as (sample_port, _):
        for port, loads in [(our_port, ours), (sample_port, sample)] * rounds:
            loads.append(_load(port, seconds))
    fast, slow = (median(load.per_second for load in loads) for loads in (ours, sample))
    ours_p99, sample_p99 = (
        high([latency for load in loads for latency in load.latencies]) for loads in (ours, sample)
    )
    return [
        Row(
            f"site: requests/s of a page from the database, {_CONNECTIONS} connections",
            f"{fast:.0f}",
            f"{slow:.0f} with the sample's settings",
            "more",
            fast > slow,
        ),
        Row(
            "site: 99 % of them within",
            f"{ours_p99 * 1e3:.0f} ms",
            f"{sample_p99 * 1e3:.0f} ms with the sample's settings",
            "less",
            ours_p99 < sample_p99,
        ),
    ]


def _load(port: int, seconds: float) -> wire.Load:
    return wire.load(lambda: wire.tcp(port), _PAGE, connections=_CONNECTIONS, seconds=seconds)


def _cold_start(site: Site, empty: Path, starts: int) -> Row:
    # Python looks for byte-code below this folder only, and there is none.
    without = Settings(OURS.arguments, {"PYTHONPYCACHEPREFIX": str(empty)})
    compiled: list[float] = []
    plain: list[float] = []
    for settings, seconds in [(OURS, compiled), (without, plain)] * starts:
        with site.served(settings) as (_, ready):
            seconds.append(ready)
    fast, slow = median(compiled), median(plain)
    return Row(
        "site: from its start to the first answer",
        f"{fast:.2f} s",
        f"{slow:.2f} s without byte-code",
        "less",
        fast < slow,
    )
