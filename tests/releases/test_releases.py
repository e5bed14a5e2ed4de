"""A part of ``make releases`` that is small enough for every run, and the load itself: that it sees what fails."""

from __future__ import annotations

import collections
import contextlib
import http.server
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.releases.load import Load, Plan, failures
from tests.releases.report import Row, seen, table, told
from tests.releases.scenarios import SCENARIOS, Scenario, kill_once, next_deploy
from tests.releases.site import Site, until

EMAIL, PASSWORD = "member@example.com", "of-no-use-elsewhere"
KINDS = {"health", "page", "style", "login", "member", "upload"}
#: As long as a deploy takes on a machine that does nothing else.
SECONDS = 15


def some(site: Site) -> str:
    """A kill, the deploy after it, and a migration that fails, while everything is asked: of a hundred requests one is an upload, so a short time may have none."""
    children, built = site.draw.random() < 0.5, site.draw.random() < 0.5
    kill_once(site, site.draw.uniform(0.5, SECONDS), with_children=children, is_built=built)
    next_deploy(site)
    [failing] = [one for one in SCENARIOS if one.name == "failing"]
    ended = failing.run(site)
    until("asked", lambda: is_all_asked(site.logs / "some.jsonl"))
    return ended


def is_all_asked(log: Path) -> bool:
    """Whether each kind of request was made more than once, by the log of a load."""
    told = log.read_text("utf-8")
    return all(told.count(f'"{kind}') > 1 for kind in KINDS)


def test_visitors_notice_no_killed_deploy_and_none_after_it_and_no_failing_migration(site: Site) -> None:
    row = seen(site, Scenario("some", "a part", some, is_followed=False))
    assert row.is_good, row.wrong + told([row])
    assert row.lock == "free"
    assert {one.kind.partition(" ")[0] for one in row.asked} == KINDS


class Fake(http.server.BaseHTTPRequestHandler):
    """As little of the model site as the load asks for. ``faults``: by path what is wrong there."""

    protocol_version = "HTTP/1.1"
    faults: dict[str, str] = {}
    pages = {
        "/": "Have a say. Have a look.",
        "/polls/": "<title>Polls</title>",
        "/gallery/": "<title>Gallery</title>",
        "/accounts/login/": '<title>Log in</title><input name="csrfmiddlewaretoken" value="token">',
        "/gallery/upload/": f"Logged in as {EMAIL}",
    }

    def do_GET(self) -> None:
        fault = self.faults.get(self.path)
        if fault == "reset":
            self.close_connection = True
        elif fault == "maintenance":
            self._answer(503, "<h1>Maintenance</h1></html>", {"Retry-After": "120"})
        elif fault == "error":
            self._answer(500, "broken on purpose")
        elif fault == "cut":
            self._answer(200, self.pages[self.path])
        elif fault == "logged out":
            self._answer(302, "", {"Location": "/accounts/login/"})
        elif self.path == "/style.css":
            self._answer(200, "p {}", {"Content-Type": "text/css"})
        elif self.path.startswith("/-/"):
            self._answer(200, '{"status": "ok", "database": "ok"}', {"Content-Type": "application/json"})
        else:
            port = self.server.server_address[1]
            style = f'<link rel="stylesheet" href="http://127.0.0.1:{port}/style.css">'
            self._answer(
                200, f"{style}{self.pages[self.path]}</html>", {"Set-Cookie": "csrftoken=token; Path=/"}
            )

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self._answer(302, "", {"Location": "/" if "login" in self.path else "/gallery/"})

    def _answer(self, status: int, text: str, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        headers = {"Content-Type": "text/html", "Content-Length": str(len(text)), **(headers or {})}
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *_: object) -> None:
        """Nothing."""


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """Its port."""
    monkeypatch.setattr(Fake, "faults", {})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Fake)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server.server_address[1]
    server.shutdown()
    server.server_close()
    thread.join(60)


@contextlib.contextmanager
def visited(port: int, log: Path) -> Iterator[Load]:
    """The fake, visited until it was asked so often that everything was."""
    plan = Plan(f"http://127.0.0.1:{port}", "", "", [(EMAIL, PASSWORD)], 200, 1, str(log))
    with Load(plan) as load:
        yield load
        until("asked", lambda: is_all_asked(log))


def test_a_load_has_its_rate_and_its_mix_and_nothing_fails(fake: int, tmp_path: Path) -> None:
    with visited(fake, tmp_path / "log") as load:
        pass
    assert list(failures(load.asked)) == []
    count = collections.Counter(one.kind.partition(" ")[0] for one in load.asked)
    assert set(count) == KINDS
    assert count["page"] > count["login"] > count["upload"]
    due = [one.due for one in load.asked]
    assert 100 < len(due) / (max(due) - min(due)) < 300


def test_a_load_sees_every_kind_of_failure_and_counts_maintenance_apart(fake: int, tmp_path: Path) -> None:
    with visited(fake, tmp_path / "log") as load:
        Fake.faults = {
            "/": "error",
            "/polls/": "cut",
            "/gallery/": "maintenance",
            "/-/live": "reset",
            "/gallery/upload/": "logged out",
        }
    site = f"http://127.0.0.1:{fake}"
    found = {(one.url.removeprefix(site), one.status, one.failure) for one in load.asked if one.failed}
    # Of one kind there may be some before the faults, and none of others after them.
    assert found == {
        ("/", 500, "status 500"),
        ("/polls/", 200, "cut off"),
        ("/-/live", 0, "no answer"),
        ("/gallery/upload/", 302, "status 302"),
    }
    assert {one.url for one in load.asked if one.in_maintenance} == {f"{site}/gallery/"}
    first = next(line for line in failures(load.asked) if " / " in line or f"{site}/ " in line)
    assert "status 500: broken on purpose" in first


def test_the_table_tells_what_failed(fake: int, tmp_path: Path) -> None:
    with visited(fake, tmp_path / "log") as load:
        Fake.faults = {"/polls/": "error"}
    row = Row("a deploy", "released", asked=load.asked, failed=list(failures(load.asked)))
    assert not row.is_good
    assert f"| a deploy | released | {len(load.asked):,} |" in table([row])
    assert f"| **{len(row.failed)}** |" in table([row])
    assert "/polls/" in told([row])
