"""One emulator for all clients; each test has names of its own."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from emulator.tests.running import RunningEmulator
from tests.conformance.cloud import GCLOUD, REGION, Cloud

#: A web server and, with an argument, a program that ends.
_MAIN = """
import os, sys
from http.server import BaseHTTPRequestHandler, HTTPServer

class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        print("somebody asks", flush=True)
        self.send_response(200)
        self.end_headers()
        self.wfile.write(f"{os.environ.get('GREETING')} {os.environ.get('TOKEN')}".encode())

if len(sys.argv) > 1:
    print("task says", sys.argv[1])
    sys.exit(int(sys.argv[2]))
HTTPServer(("", int(os.environ["PORT"])), Handler).serve_forever()
"""


@pytest.fixture(scope="session")
def cloud() -> Iterator[Cloud]:
    """A running emulator with an empty project whose APIs are enabled; no call may have been unknown to it."""
    # Not pytest's folder: paths of sockets have to be short.
    folder = Path(tempfile.mkdtemp(prefix="conformance-"))
    running = RunningEmulator(folder / "state")
    try:
        yield Cloud(running)
        unhandled = list(running.context.unhandled)
    finally:
        running.stop()
        shutil.rmtree(folder)
    assert unhandled == []


@pytest.fixture(scope="session")
def gcloud(cloud: Cloud) -> Cloud:
    """The same, for tests that run gcloud."""
    if GCLOUD is None:
        pytest.skip("gcloud is not installed (https://cloud.google.com/sdk/docs/install)")
    return cloud


@pytest.fixture(scope="session")
def image(gcloud: Cloud, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A tiny application, built by ``gcloud builds submit`` and named by its tag."""
    source = tmp_path_factory.mktemp("source")
    (source / "main.py").write_text(_MAIN, "utf-8")
    lines = ["FROM python:3.11-slim", "WORKDIR /app", "COPY . .", 'ENTRYPOINT ["python", "main.py"]']
    (source / "Dockerfile").write_text("\n".join(lines) + "\n", "utf-8")
    gcloud.gcloud(
        "artifacts", "repositories", "create", "apps", "--repository-format", "docker", "--location", REGION
    )
    member = f"serviceAccount:{gcloud.compute_account}"
    gcloud.running.grant(f"projects/{gcloud.running.project}", "roles/cloudbuild.builds.builder", member)
    name = f"{REGION}-docker.pkg.dev/{gcloud.running.project}/apps/app:v1"
    gcloud.gcloud("builds", "submit", source, "--tag", name)
    return name
