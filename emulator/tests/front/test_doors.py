"""Who may come in where: programs, browsers, what runs in an instance."""

from __future__ import annotations

import asyncio
import http.client
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from gcp_emulator import seed
from gcp_emulator.app import Emulator, Settings
from gcp_emulator.front.http import forward
from gcp_emulator.front.messages import Headers, Request, in_one_piece

from emulator.tests.running import PROJECT, RunningEmulator

FLAVOR = {"Metadata-Flavor": "Google"}
BUCKET = "doors-open"
PAGE = f"/{BUCKET}/page.html"
OVERRIDE = f"/_/storage.googleapis.com{PAGE}"
SEED = """\
projects: [{id: doors-project, service_accounts: [my-site]}]
metadata: {project: doors-project, region: us-central1, service_account: my-site@doors-project.iam.gserviceaccount.com}
"""


def ask(port: int, path: str, method: str = "GET", **headers: str) -> tuple[int, Headers, str]:
    """Status, headers and text of the answer to a request with these headers; ``Host`` is as the client sends it, else this one."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    connection.request(method, path, headers=sent)
    answer = connection.getresponse()
    found = answer.status, Headers(answer.getheaders()), answer.read().decode()
    connection.close()
    return found


@pytest.fixture
def page(emulator: RunningEmulator) -> int:
    """The port of an emulator with a page in a public bucket."""
    session = emulator.session()
    storage = "https://storage.googleapis.com"
    assert session.post(f"{storage}/storage/v1/b?project={PROJECT}", json={"name": BUCKET}).ok
    query = {"uploadType": "media", "name": "page.html"}
    upload = f"{storage}/upload/storage/v1/b/{BUCKET}/o"
    sent = session.post(
        upload, params=query, data=b"<script>1</script>", headers={"Content-Type": "text/html"}
    )
    assert sent.ok
    emulator.grant(f"projects/_/buckets/{BUCKET}", "roles/storage.objectViewer", "allUsers")
    return emulator.emulator.front.port


@pytest.fixture
def instance(emulator: RunningEmulator) -> Iterator[int]:
    """The port of the proxy that an instance is given."""

    async def listen() -> asyncio.Server:
        return await asyncio.start_server(emulator.context.proxy, "127.0.0.1", 0)

    server = emulator.run(listen())
    yield server.sockets[0].getsockname()[1]
    emulator.call(server.close)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost:8910", "shop.run.app.localhost", "example.com"])
@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/"),
        ("GET", "/logs"),
        ("GET", "/_emulator/health"),
        ("GET", "/_emulator/requests"),
        ("POST", "/_emulator/faults"),
        ("GET", "/_/secretmanager.googleapis.com/v1/projects/p/secrets"),
        ("GET", "http://127.0.0.1/_emulator/faults"),
        ("GET", "/computeMetadata/v1/project/project-id"),
    ],
)
def test_an_instance_reaches_no_control_plane(instance: int, host: str, method: str, path: str) -> None:
    status, _, text = ask(instance, path, method, Host=host, **FLAVOR)
    assert (status, text.partition(", not for")[0]) == (
        403,
        "gcp-emulator answers for Google Cloud only",
    )


@pytest.mark.parametrize("target", ["127.0.0.1:80", "localhost:443", "metadata.google.internal:80"])
def test_an_instance_gets_no_tunnel_to_anything_else(instance: int, target: str) -> None:
    with socket.create_connection(("127.0.0.1", instance), 10) as connection:
        connection.sendall(f"CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n".encode())
        assert connection.recv(64).startswith(b"HTTP/1.1 403 ")


def test_an_instance_reaches_apis(instance: int, page: int) -> None:
    for path, host in (
        (f"http://storage.googleapis.com{PAGE}", "storage.googleapis.com"),
        (PAGE, "storage.googleapis.com"),
    ):
        assert ask(instance, path, Host=host)[0] == 200
    with socket.create_connection(("127.0.0.1", instance), 10) as connection:
        connection.sendall(
            b"CONNECT storage.googleapis.com:443 HTTP/1.1\r\nHost: storage.googleapis.com\r\n\r\n"
        )
        assert connection.recv(64).startswith(b"HTTP/1.1 200 ")


def test_an_instance_is_not_the_account_that_a_seed_gives_to_others(
    emulator: RunningEmulator, instance: int, tmp_path: Path
) -> None:
    (tmp_path / "seed.yaml").write_text(SEED, "utf-8")
    emulator.call(seed.apply, emulator.context, tmp_path / "seed.yaml")
    path = "/computeMetadata/v1/instance/service-accounts/default/token"
    assert ask(emulator.emulator.front.port, path, **FLAVOR)[0] == 200
    for host in ("metadata.google.internal", "metadata", "169.254.169.254", "127.0.0.1"):
        assert ask(instance, path, Host=host, **FLAVOR)[0] == 403, host


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:8910", "127.0.0.1.evil.example", "0.0.0.0", ""]
)
def test_a_name_that_somebody_makes_resolve_to_this_machine_is_not_answered(
    emulator: RunningEmulator, page: int, tmp_path: Path, host: str
) -> None:
    (tmp_path / "seed.yaml").write_text(SEED, "utf-8")
    emulator.call(seed.apply, emulator.context, tmp_path / "seed.yaml")
    token = "/computeMetadata/v1/instance/service-accounts/default/token"
    for path in (OVERRIDE, token, "/_emulator/health", "/_emulator/faults", "/"):
        status, _, text = ask(page, path, Host=host, **FLAVOR)
        assert (status, text) == (403, "This is for 127.0.0.1 and localhost only.\n"), path


def test_names_that_it_was_given_are_answered(tmp_path: Path) -> None:
    running = RunningEmulator(tmp_path / "state")
    running.stop()

    async def asked() -> list[int]:
        listener = socket.create_server(("127.0.0.1", 0))
        emulator = Emulator(Settings(tmp_path / "state", listener, names=("emulator",)))
        await emulator.start()
        statuses = []
        for host in (f"emulator:{emulator.front.port}", "EMULATOR", "other"):
            streams = await asyncio.open_connection("127.0.0.1", emulator.front.port)
            headers = Headers([("Host", host)])
            request = Request("GET", "http", host, "/_emulator/health", "", headers, in_one_piece(b""))
            statuses.append((await forward(request, *streams)).status)
        await emulator.stop()
        return statuses

    assert asyncio.run(asked()) == [200, 200, 403]


@pytest.mark.parametrize("site", ["cross-site", "same-site", "same-origin", "none"])
def test_no_browser_is_shown_a_bucket_as_a_page_of_the_console(page: int, site: str) -> None:
    status, _, text = ask(page, OVERRIDE, Sec_Fetch_Site=site, Sec_Fetch_Mode="navigate")
    assert status == 403
    assert f"http://storage.googleapis.com.localhost:{page}{PAGE}" in text
    host = f"storage.googleapis.com.localhost:{page}"
    assert ask(page, PAGE, Host=host, Sec_Fetch_Site=site)[0] == 200


def test_a_browser_that_does_not_say_so_runs_nothing_of_it(page: int) -> None:
    status, headers, text = ask(page, OVERRIDE)
    assert (status, text) == (200, "<script>1</script>")
    assert headers.get("Content-Security-Policy") == "sandbox"
    assert headers.get("X-Content-Type-Options") == "nosniff"


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_another_page_gets_nothing_of_the_control_plane_but_a_link(page: int, site: str) -> None:
    for path in ("/", "/_emulator/health", "/_emulator/requests", "/static/console.js"):
        for mode in ("no-cors", "cors"):
            assert ask(page, path, Sec_Fetch_Site=site, Sec_Fetch_Mode=mode)[0] == 403, path
    assert ask(page, "/", Sec_Fetch_Site=site, Sec_Fetch_Mode="navigate")[0] == 200
    form = ask(page, "/_emulator/faults", "POST", Sec_Fetch_Site=site, Sec_Fetch_Mode="navigate")
    assert form[0] == 403
