"""What stands before the Compose stack's buckets lets a browser read the files of pages, and do nothing else."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import requests
import yaml

from tests.contract.wire import ROOT

BUCKETS = ("djangogcp-local-media", "djangogcp-local-static")
NAME = "/djangogcp-local-static/css/site.css"
EVIL = "http://evil.example"
#: The files of the stack in compose/.
PARTS = ("stack", "postgresql", "mysql")


class Server(BaseHTTPRequestHandler):
    """Answers as fake-gcs-server does, which lets every page do everything, and notes what it is asked."""

    protocol_version = "HTTP/1.1"
    asked: list[tuple[str, str, dict[str, str]]]

    def do_GET(self) -> None:
        """Any object is its own path."""
        self.asked.append((self.command, self.path, dict(self.headers)))
        ranged = "Range" in self.headers
        body = self.path.encode()[:4] if ranged else self.path.encode()
        self.send_response(206 if ranged else 200)
        for name, value in {
            "Access-Control-Allow-Origin": "*",
            "Access-Control-Allow-Credentials": "true",
            "Access-Control-Expose-Headers": "Location",
            "Content-Type": "text/css",
            "Content-Length": str(len(body)),
            "Etag": '"1"',
        }.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    do_HEAD = do_PUT = do_POST = do_PATCH = do_DELETE = do_OPTIONS = do_GET  # noqa: N815

    def log_message(self, *_: object) -> None:
        """Says nothing."""


class Front:
    """The front on a port of its own, and what the server behind it was asked."""

    def __init__(self, port: int, upstream: int) -> None:
        self.port, self.upstream = port, upstream
        self.host, self.origin = f"gcs.localhost:{port}", "http://localhost:8000"
        Server.asked = self.asked = []

    def ask(self, path: str, method: str = "GET", **headers: str) -> requests.Response:
        """The answer to a request whose path is sent as it stands here."""
        request = requests.Request(
            method, f"http://127.0.0.1:{self.port}/", headers={"Host": self.host, **headers}
        )
        prepared = request.prepare()
        prepared.url = f"http://127.0.0.1:{self.port}{path}"
        return requests.Session().send(prepared, timeout=30, allow_redirects=False)


@pytest.fixture(scope="module")
def ports() -> Iterator[tuple[int, int]]:
    """The front by gunicorn as the stack starts it, and the server behind it; both stopped at the end."""
    upstream = ThreadingHTTPServer(("127.0.0.1", 0), Server)
    threading.Thread(target=upstream.serve_forever, daemon=True).start()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    service = yaml.safe_load((ROOT / "compose/stack.yaml").read_text("utf-8"))["services"]["gcs-front"]
    variables = {
        "HOST": f"gcs.localhost:{port}",
        "ORIGIN": "http://localhost:8000",
        "UPSTREAM": f"127.0.0.1:{upstream.server_port}",
    }
    assert variables.keys() < service["environment"].keys()
    command = [word for word in service["command"] if not word.startswith("--bind=")]
    process = subprocess.Popen(
        [str(Path(sys.executable).parent / command[0]), f"--bind=127.0.0.1:{port}", *command[1:]],
        cwd=ROOT / "compose",
        env={**os.environ, **service["environment"], **variables, "PYTHONDONTWRITEBYTECODE": "1"},
        stderr=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 30
    while True:
        try:
            requests.get(f"http://127.0.0.1:{port}/", timeout=5)
            break
        except requests.ConnectionError:
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.05)
    yield port, upstream.server_port
    process.terminate()
    process.wait(30)
    upstream.shutdown()
    upstream.server_close()


@pytest.fixture
def front(ports: tuple[int, int]) -> Front:
    """The front; nothing was asked yet."""
    return Front(*ports)


@pytest.mark.parametrize("bucket", BUCKETS)
def test_a_page_s_file_is_read_by_its_exact_address(front: Front, bucket: str) -> None:
    path = f"/{bucket}/gallery/a%20b%2Fc.jpg?X-Goog-Algorithm=GOOG4-RSA-SHA256&X-Goog-Signature=00ff"
    answer = front.ask(path)
    assert (answer.status_code, answer.text) == (200, path)
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert [(method, target, headers["Host"]) for method, target, headers in front.asked] == [
        ("GET", path, front.host)
    ]


def test_head_and_parts_and_conditions_go_through(front: Front) -> None:
    head = front.ask(NAME, "HEAD")
    assert (head.status_code, head.content, head.headers["Content-Length"]) == (200, b"", str(len(NAME)))
    part = front.ask(NAME, Range="bytes=0-3", **{"If-None-Match": '"1"', "Cookie": "sessionid=1"})
    assert (part.status_code, part.text) == (206, NAME[:4])
    passed = front.asked[1][2]
    assert (passed["Range"], passed["If-None-Match"]) == ("bytes=0-3", '"1"')
    assert "Cookie" not in passed


def test_no_other_page_reads_an_answer(front: Front) -> None:
    mine = front.ask(NAME, Origin=front.origin)
    assert mine.headers["Access-Control-Allow-Origin"] == front.origin
    assert "Origin" in mine.headers["Vary"]
    plain = front.ask(NAME)
    for answer in (mine, plain):
        assert "Access-Control-Allow-Credentials" not in answer.headers
    assert "Access-Control-Allow-Origin" not in plain.headers
    asked = len(front.asked)
    for origin in (EVIL, "null", "http://localhost:9000", f"http://{front.host}"):
        other = front.ask(NAME, Origin=origin)
        assert other.status_code == 403
        assert "Access-Control-Allow-Origin" not in other.headers
    assert len(front.asked) == asked


@pytest.mark.parametrize("method", ["PUT", "POST", "PATCH", "DELETE", "OPTIONS"])
def test_nothing_is_written(front: Front, method: str) -> None:
    for path in (NAME, "/upload/storage/v1/b/djangogcp-local-media/o?uploadType=media&name=x"):
        for headers in ({}, {"Origin": front.origin}, {"Origin": EVIL}):
            answer = front.ask(path, method, **headers)
            assert answer.status_code == 405
            assert not [name for name in answer.headers if name.lower().startswith("access-control-")]
    assert front.asked == []


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/djangogcp-local-media",
        "/djangogcp-local-media/",
        "/djangogcp-local-media?prefix=gallery",
        "/others/x",
        "/storage/v1/b/djangogcp-local-media/o",
        "/download/storage/v1/b/djangogcp-local-media/o/x?alt=media",
        "/_internal/config",
        "//djangogcp-local-media/x",
        "/djangogcp-local-media/../storage/v1/b",
        "/djangogcp-local-media/%2e%2e/storage/v1/b",
        "/djangogcp-local-media/a%2F..%2F..%2Fsecrets",
    ],
)
def test_what_is_no_object_of_the_site_s_buckets_is_refused(front: Front, path: str) -> None:
    assert front.ask(path).status_code == 403
    assert front.asked == []


def test_another_name_that_leads_here_is_refused(front: Front) -> None:
    for host in ("evil.example", f"evil.example:{front.port}", f"127.0.0.1:{front.port}", "gcs.localhost"):
        assert front.ask(NAME, Host=host).status_code == 403
    assert front.asked == []


def test_only_the_front_is_published() -> None:
    parts = [yaml.safe_load((ROOT / f"compose/{name}.yaml").read_text("utf-8")) for name in PARTS]
    services = parts[0]["services"]
    assert "ports" not in services["gcs"]
    assert services["gcs-front"]["ports"] == ["127.0.0.1:${GCS_PORT:-4443}:${GCS_PORT:-4443}"]
    published = [port for part in parts for one in part["services"].values() for port in one.get("ports", [])]
    assert all(port.startswith("127.0.0.1:") for port in published)
