"""What an application developer does with the stack, from the first `docker compose up --wait` to `down --volumes`."""

from __future__ import annotations

import html
import re
import shutil
import socket
import threading
import time
from collections.abc import Callable
from datetime import datetime
from io import BytesIO

import pytest
import requests
from PIL import Image
from playwright.sync_api import expect, sync_playwright

from tests.compose.stack import LOGIN, MEDIA, Stack, docker, form, logged_in

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
QUIET = [
    "--no-sandbox",  # Chromium refuses its sandbox to root
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]
#: After the restart of any service the site answers again within this time, in seconds.
PATIENCE = 60


def picture(color: str) -> bytes:
    """A JPEG of one colour."""
    data = BytesIO()
    Image.new("RGB", (640, 480), color).save(data, "JPEG")
    return data.getvalue()


def pictures(stack: Stack, session: requests.Session) -> list[str]:
    """The addresses of the pictures on the gallery's page."""
    page = stack.get("/gallery/", session).text
    found = re.findall(rf'<img[^>]* src="(http[^"]+/{MEDIA}/[^"]+)"', page)
    return [html.unescape(address) for address in found]


def until(done: Callable[[], bool], seconds: float) -> float:
    """Seconds until ``done()``; fails after ``seconds``."""
    begin = time.monotonic()
    while not done():
        assert time.monotonic() - begin < seconds, f"not within {seconds} s"
        time.sleep(0.05)
    return time.monotonic() - begin


def votes(stack: Stack) -> str:
    return stack.sql("SELECT sum(votes) FROM polls_choice")


def test_up_returns_when_the_site_answers(stack: Stack) -> None:
    assert stack.get("/").status_code == 200
    ready = stack.get("/-/ready")
    assert ready.status_code == 200, ready.text


def test_ports_are_on_loopback_only(stack: Stack) -> None:
    published = docker(
        "ps", "--filter", f"label=com.docker.compose.project={stack.project}", "--format", "{{.Ports}}"
    )
    assert re.findall(r"([\d.:\[\]]+):\d+->", published) == ["127.0.0.1"] * 2


def vote(stack: Stack) -> str:
    """The first vote of the poll, by a visitor; returns the number of what was chosen."""
    session = requests.Session()
    page = stack.get("/polls/1/", session)
    choice = re.search(r'name="choice" value="(\d+)"', page.text)
    assert choice is not None
    answer = session.post(
        f"{stack.address}/polls/1/vote/", data=form(page) | {"choice": choice[1]}, timeout=30
    )
    assert "1 vote in all." in answer.text
    return choice[1]


def test_a_vote_is_a_row_behind_the_socket_of_the_proxy(stack: Stack) -> None:
    vote(stack)
    assert votes(stack) == "[(1,)]"
    # The server knows the emulator's container, which ends the proxy's TLS, as its client.
    emulator = stack.inside("emulator", "hostname", "-i").strip()
    peers = stack.sql(
        "SELECT DISTINCT host(client_addr) FROM pg_stat_activity WHERE backend_type = 'client backend'"
    )
    assert peers == f"[('{emulator}',)]"


def test_three_pictures_are_stored_in_the_bucket_and_come_back(stack: Stack) -> None:
    session = logged_in(stack)
    page = stack.get("/gallery/upload/", session)
    sent = {name: picture(name) for name in ("red", "green", "blue")}
    files = [("images", (f"{name}.jpg", data, "image/jpeg")) for name, data in sent.items()]
    field = re.search(r'<input type="file" name="([^"]+)"', page.text)
    assert field is not None, page.text
    answer = session.post(
        page.url, data=form(page), files=[(field[1], file) for _, file in files], timeout=60
    )
    assert answer.status_code == 200, answer.text

    stored = stack.objects(MEDIA)
    assert len(stored) == 6, "three pictures with a thumbnail each"
    for address in pictures(stack, session):
        assert "X-Goog-Signature=" in address
        assert Image.open(BytesIO(stack.file(address).content)).format is not None
    base = f"http://gcs.localhost:{stack.gcs_port}/{MEDIA}/"
    assert set(sent.values()) <= {stack.file(base + name).content for name in stored}
    assert stack.sql("SELECT count(*) FROM gallery_picture") == "[(3,)]"


def test_a_page_of_another_site_reads_writes_and_deletes_nothing(stack: Stack) -> None:
    stored = stack.objects(MEDIA)
    address = f"http://127.0.0.1:{stack.gcs_port}"
    name = sorted(stored)[0]
    evil = {"Host": f"gcs.localhost:{stack.gcs_port}", "Origin": "http://evil.example"}
    calls = {
        ("GET", f"/{MEDIA}/{name}"): 403,
        ("GET", f"/storage/v1/b/{MEDIA}/o"): 403,
        ("PUT", f"/{MEDIA}/{name}"): 405,
        ("POST", f"/upload/storage/v1/b/{MEDIA}/o?uploadType=media&name={name}"): 405,
        ("DELETE", f"/storage/v1/b/{MEDIA}/o/{name.replace('/', '%2F')}"): 405,
        ("OPTIONS", f"/{MEDIA}/{name}"): 405,
    }
    for (method, path), status in calls.items():
        answer = requests.request(method, address + path, data=b"evil", headers=evil, timeout=30)
        assert answer.status_code == status, (method, path, answer.text)
        assert "Access-Control-Allow-Origin" not in answer.headers
    rebound = {"Host": f"evil.example:{stack.gcs_port}"}
    assert requests.get(f"{address}/{MEDIA}/{name}", headers=rebound, timeout=30).status_code == 403
    assert stack.objects(MEDIA) == stored
    assert stack.file(f"http://gcs.localhost:{stack.gcs_port}/{MEDIA}/{name}").content != b"evil"


def test_a_browser_shows_them(stack: Stack) -> None:
    if CHROMIUM is None:
        pytest.skip("no Chromium is installed; install the package chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=QUIET)
        page = browser.new_page()
        page.goto(f"{stack.address}/accounts/login/")
        page.get_by_label(re.compile("e-?mail", re.IGNORECASE)).fill(LOGIN)
        page.get_by_label("Password").fill(stack.password)
        page.get_by_role("button", name="Log in").click()
        expect(page).to_have_url(f"{stack.address}/")
        page.goto(f"{stack.address}/gallery/")
        expect(page.locator("main img")).to_have_count(3)
        page.wait_for_function(
            "[...document.querySelectorAll('main img')].every(i => i.complete && i.naturalWidth > 0)"
        )
        assert page.evaluate("document.styleSheets[0].cssRules.length") > 0
        browser.close()


def test_a_saved_template_is_served(stack: Stack, figures: dict[str, str]) -> None:
    template = stack.folder / "app/templates/home.html"
    text = template.read_text("utf-8")
    template.write_text(text.replace("{% block content %}", "{% block content %}<p>Just saved.</p>"), "utf-8")
    seconds = until(lambda: "Just saved." in stack.get("/").text, 3)
    figures["a saved template is served after"] = f"{seconds:.1f} s"
    template.write_text(text, "utf-8")


def test_saved_code_runs(stack: Stack, figures: dict[str, str]) -> None:
    urls = stack.folder / "app/config/urls.py"
    text = urls.read_text("utf-8")
    urls.write_text(
        text + "\nfrom django.http import HttpResponse\n"
        "urlpatterns.append(path('saved/', lambda request: HttpResponse('saved')))\n",
        "utf-8",
    )

    def served() -> bool:
        try:
            return stack.get("/saved/").status_code == 200
        except requests.RequestException:  # not there, or cut off in the middle of a page by the restart
            return False

    figures["saved code runs after"] = f"{until(served, 20):.1f} s"
    urls.write_text(text, "utf-8")


@pytest.mark.parametrize("service", ["db", "cloud-sql-proxy", "emulator", "gcs", "gcs-front", "app"])
def test_the_site_outlives_the_restart_of(service: str, stack: Stack, figures: dict[str, str]) -> None:
    until(lambda: _answers(stack), PATIENCE)
    times: list[float] = []
    failures: list[float] = []
    ended = threading.Event()

    def ask() -> None:
        while not ended.is_set():
            now = time.monotonic()
            times.append(now)
            if not _answers(stack):
                failures.append(now)
            ended.wait(0.1)

    asking = threading.Thread(target=ask)
    asking.start()
    try:
        stack.compose("restart", service)
        until(lambda: _answers(stack), PATIENCE)
    finally:
        ended.set()
        asking.join()
    lasted = failures[-1] - failures[0] if failures else 0.0
    figures[f"restart of {service}"] = f"{len(failures)} of {len(times)} requests failed, for {lasted:.1f} s"


def _answers(stack: Stack) -> bool:
    """A page out of the database, and what the bucket has not."""
    try:
        page = stack.get("/polls/")
        missing = stack.file(f"http://gcs.localhost:{stack.gcs_port}/{MEDIA}/none")
    except requests.RequestException:
        return False
    return page.status_code == 200 and missing.status_code == 404


def test_stop_and_start_keep_the_data(stack: Stack, figures: dict[str, str]) -> None:
    stored = stack.objects(MEDIA)
    figures["stop"] = f"{stack.timed('stop'):.1f} s"
    figures["up --wait, stopped before"] = f"{stack.timed('up', '--wait'):.1f} s"
    assert votes(stack) == "[(1,)]"
    assert stack.objects(MEDIA) == stored


def test_the_same_stack_with_mysql(stack: Stack, figures: dict[str, str]) -> None:
    """The next test ends this one, without saying which it is, and finds what PostgreSQL has."""
    if not docker("images", "--quiet", "mysql:8.4"):
        pytest.skip("the image mysql:8.4 cannot be had here; `python3 tools/engine.py up` says why")
    stack.compose("down")
    figures["up --wait, MySQL, no data of it there"] = (
        f"{stack.timed('up', '--wait', DATABASE='mysql'):.1f} s"
    )
    assert stack.get("/-/ready").json()["migrations"] == "ok"
    choice = vote(stack)
    row = f"SELECT votes, CURRENT_USER(), @@character_set_database FROM polls_choice WHERE id = {choice}"
    assert stack.sql(row, host="db") == "((1, 'app@%', 'utf8mb4'),)"
    # As an instance is reached at its private address.
    assert re.fullmatch(
        r"\(\('Ssl_cipher', '\S+'\),\)", stack.sql("SHOW STATUS LIKE 'Ssl_cipher'", host="db")
    )

    stack.compose("down")
    figures["the same after down"] = f"{stack.timed('up', '--wait', DATABASE='mysql'):.1f} s"
    assert stack.sql(row, host="db") == "((1, 'app@%', 'utf8mb4'),)"


def test_the_same_site_as_in_production(stack: Stack, figures: dict[str, str]) -> None:
    stored = stack.objects(MEDIA)
    stack.compose("down")
    figures["up --wait, after down, gunicorn"] = f"{stack.timed('up', '--wait', DEBUG='false'):.1f} s"
    assert votes(stack) == "[(1,)]"
    assert stack.objects(MEDIA) == stored

    page = stack.get("/").text
    style = re.search(r'<link rel="stylesheet" href="([^"]+)"', page)
    assert style is not None
    assert re.search(r"/djangogcp-local-static/site/site\.[0-9a-f]{12}\.css$", style[1])
    assert stack.file(style[1]).status_code == 200
    assert len(pictures(stack, logged_in(stack))) == 3
    command = stack.inside("app", "cat", "/proc/1/cmdline")
    assert "gunicorn" in command


def test_the_container_may_do_little(stack: Stack) -> None:
    assert stack.inside("app", "id", "-u").strip() == "2000"
    refused = stack.compose("exec", "-T", "app", "touch", "/app/x", check=False)
    assert "Read-only file system" in refused
    assert "No module named" in stack.compose(
        "exec", "-T", "app", "python", "-c", "import pymysql", check=False
    )
    assert stack.compose("exec", "-T", "app", "sh", "-c", "command -v gcc make git", check=False) == ""
    environment = docker("inspect", "--format", "{{.Config.Env}}", f"{stack.project}-app-1")
    assert stack.password not in environment
    for name in ("SECRET_KEY", "postgresql/DATABASE_URL"):
        secret = stack.inside("app", "cat", f"/run/secrets/site/{name}").strip()
        assert len(secret) > 40
        assert secret not in environment


def test_gunicorn_stops_within_a_second(stack: Stack, figures: dict[str, str]) -> None:
    # The best of three: what else the machine does at the moment is not gunicorn's.
    own, whole = min(_stop(stack) for _ in range(3))
    figures["stop of gunicorn"] = f"{own:.2f} s, with the engine {whole:.1f} s"
    assert own < 1


def _stop(stack: Stack) -> tuple[float, float]:
    """Seconds that gunicorn takes from the signal on, by its own log, and that ``docker stop`` takes."""
    container = f"{stack.project}-app-1"
    docker("start", container)
    until(lambda: _answers(stack), PATIENCE)
    begin = time.monotonic()
    docker("stop", container)
    whole = time.monotonic() - begin
    assert docker("inspect", "--format", "{{.State.ExitCode}}", container).strip() == "0"
    lines = docker("logs", "--timestamps", container).splitlines()
    told, gone = (
        datetime.fromisoformat(next(line for line in reversed(lines) if text in line)[:26])
        for text in ("Handling signal: term", "Shutting down: Master")
    )
    return (gone - told).total_seconds(), whole


def test_a_changed_file_is_in_the_image_in_seconds(stack: Stack, figures: dict[str, str]) -> None:
    (stack.folder / "app/config/views.py").open("a", encoding="utf-8").write("\n# changed\n")
    figures["build after a code change"] = f"{stack.timed('build', 'app'):.1f} s"
    size = int(docker("image", "inspect", "--format", "{{.Size}}", "djangogcp-site:local"))
    base = int(docker("image", "inspect", "--format", "{{.Size}}", "python:3.13-slim"))
    figures["image"] = f"{size / 1e6:.0f} MB, {(size - base) / 1e6:.0f} MB of them above python:3.13-slim"
    assert size - base < 200e6


def test_the_sites_own_tests_run_in_its_image(stack: Stack) -> None:
    assert "OK" in stack.compose("--profile", "test", "run", "--rm", "--no-deps", "test")


def test_a_worker_runs_a_command_beside_the_site(stack: Stack) -> None:
    printed = stack.compose("--profile", "worker", "run", "--rm", "worker")
    assert "System check identified no issues" in printed


def test_a_port_that_is_taken_is_named(stack: Stack) -> None:
    stack.compose("rm", "--stop", "--force", "gcs-front")
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind(("127.0.0.1", stack.gcs_port))
        other.listen()
        printed = stack.compose("up", "--no-deps", "--wait", "gcs-front", check=False)
    assert re.search(rf"127\.0\.0\.1:{stack.gcs_port}.*(in use|allocated)", printed), printed


def test_down_with_volumes_leaves_nothing(stack: Stack, figures: dict[str, str]) -> None:
    assert stack.remains() != ""
    figures["down --volumes"] = f"{stack.timed('down', '--volumes'):.1f} s"
    assert stack.remains() == ""


# What the stack refuses before it starts ---------------------------------------------------------------------------


def prepare(stack: Stack, before: str, *options: str) -> str:
    """What prepare.sh says in a container where ``before`` has been run."""
    script = f"{stack.folder}/compose/prepare.sh:/prepare.sh:ro"
    command = f"{before}; bash /prepare.sh && echo passed"
    return docker(
        *("run", "--rm", "--network=none", "--env=DATABASE=postgresql", f"--volume={script}", *options),
        *("--entrypoint=bash", "postgres:17", "-c", command),
        check=False,
    )


def test_data_of_an_older_postgresql_are_refused(stack: Stack) -> None:
    printed = prepare(stack, "echo 16 >$PGDATA/PG_VERSION")
    assert "error: the volume of the database was made by PostgreSQL 16, and this stack runs 17" in printed
    assert "docker compose down --volumes" in printed
    assert "passed" not in printed


def test_an_engine_without_space_is_refused(stack: Stack) -> None:
    printed = prepare(stack, ":", "--tmpfs=/var/lib/postgresql/data:size=100m")
    assert "error: the engine has 100 MiB of free space, and this stack needs 500" in printed
    assert "passed" not in printed
