"""After its stop a whole emulator has left nothing behind: no task, no thread, no process of its own."""

from __future__ import annotations

import asyncio
import shutil
import socket
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest
from gcp_emulator.databases import process
from gcp_emulator.databases.postgres.binaries import find_binaries
from gcp_emulator.engine.identity import identity_of
from gcp_emulator.services.artifactregistry.api import ArtifactRegistry
from gcp_emulator.workloads.sandbox.bubblewrap import check_available
from gcp_emulator.workloads.sandbox.process import SandboxUnavailable

from emulator.tests.running import PROJECT, RunningEmulator
from emulator.tests.services.cloudbuild.test_api import IMAGE, SCRATCH, Site
from emulator.tests.services.run.test_api import Client, public
from emulator.tests.services.sqladmin.test_api import Sql
from emulator.tests.workloads.apps import SERVE, SERVER, image_of

try:
    check_available()
except SandboxUnavailable as why:
    pytest.skip(str(why), allow_module_level=True)
if not find_binaries():
    pytest.skip("no PostgreSQL server programs are installed", allow_module_level=True)

# Holds a connection to each place that an instance can reach: the database, the metadata server and the proxy.
HOLDING = """
    import glob, socket, urllib.parse
    held = []
    class Handler(Handler):
        def answer(self):
            database = socket.socket(socket.AF_UNIX)
            database.connect(glob.glob("/cloudsql/*/.s.PGSQL.5432")[0])
            database.sendall(bytes([0, 0, 0, 8, 4, 210, 22, 47]))
            answer = database.recv(1).decode()
            proxy = urllib.parse.urlsplit(os.environ["HTTPS_PROXY"])
            held.extend([
                database,
                socket.create_connection((proxy.hostname, proxy.port)),
                socket.create_connection(("169.254.169.254", 80)),
            ])
            for other in held[1:]:
                other.sendall(b"GET /")
            return answer
"""


@pytest.fixture
def state() -> Iterator[Path]:
    path = Path(tempfile.mkdtemp(prefix="stop-test-"))
    yield path
    shutil.rmtree(path)


def _threads() -> set[threading.Thread]:
    """All but the one that starts servers, which lives as long as the process (`databases.process`)."""
    return {one for one in threading.enumerate() if one not in process._STARTER._threads}


async def _left(running: RunningEmulator) -> set[asyncio.Task[object]]:
    await running.emulator.stop()
    return asyncio.all_tasks() - {asyncio.current_task()}


def test_nothing_is_left_after_a_stop_in_the_middle_of_everything(state: Path) -> None:
    threads = _threads()
    running = RunningEmulator(state)
    with ExitStack() as stack:
        stack.callback(running.stop)
        sql = Sql(running)
        sql.create("main")
        instance = sql("GET", "instances/main")
        client = Client(running)
        site = Site(running).prepare()
        account = f"{running.number}-compute@developer.gserviceaccount.com"
        running.grant(f"projects/{PROJECT}", "roles/cloudsql.client", f"serviceAccount:{account}")

        site.upload(Dockerfile=SCRATCH, main_py="print('hello')\n")
        assert site.build(site.request())["status"] == "SUCCESS"
        image = image_of(state / "built", SERVER, HOLDING, SERVE)
        registry = running.emulator.service(ArtifactRegistry)
        stored = registry.images.put(image.root, image.config, image.python)
        running.call(registry.push, identity_of("owner@example.com"), IMAGE, stored)
        client.create(
            public(
                IMAGE,
                container={"volumeMounts": [{"name": "sql", "mountPath": "/cloudsql"}]},
                volumes=[{"name": "sql", "cloudSqlInstance": {"instances": [instance["connectionName"]]}}],
            )
        )
        # PostgreSQL's answer to SSLRequest, through the socket of Cloud Run.
        assert client.open().json() == "N"
        address = (instance["ipAddresses"][0]["ipAddress"], 3307)
        # Somebody who has come to the database's TLS port, and says nothing.
        stack.enter_context(closing(socket.create_connection(address)))
        # Somebody who has begun a request.
        begun = stack.enter_context(
            closing(socket.create_connection(("127.0.0.1", running.emulator.front.port)))
        )
        begun.sendall(b"GET / HTTP/1.1\r\n")
        building = site.submit(site.request())
        assert not building.get("done")

        assert running.run(_left(running)) == set()
    assert _threads() == threads
    processes = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout
    assert str(state) not in processes
