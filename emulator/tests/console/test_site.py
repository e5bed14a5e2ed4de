"""The state page over HTTP."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator

import pytest
import requests

from emulator.tests.running import PROJECT, RunningEmulator

HOSTILE = "<script>alert('x')</script>\"&{{7*7}}"
SECRET = "correct-horse-battery"


@pytest.fixture
def browser(emulator: RunningEmulator) -> Iterator[requests.Session]:
    """A client that asks the emulator's own address, as a browser does."""
    with requests.Session() as session:
        session.trust_env = False
        yield session


def get(emulator: RunningEmulator, browser: requests.Session, path: str, **headers: str) -> requests.Response:
    return browser.get(f"http://127.0.0.1:{emulator.emulator.front.port}{path}", headers=headers, timeout=10)


def make_secret(emulator: RunningEmulator, name: str, value: str) -> None:
    session = emulator.session()
    secrets = f"https://secretmanager.googleapis.com/v1/projects/{PROJECT}/secrets"
    body = {"replication": {"automatic": {}}}
    assert session.post(f"{secrets}?secretId={name}", json=body).status_code == 200
    payload = {"payload": {"data": base64.b64encode(value.encode()).decode()}}
    assert session.post(f"{secrets}/{name}:addVersion", json=payload).status_code == 200


def make_object(emulator: RunningEmulator, bucket: str, name: str) -> None:
    session = emulator.session()
    storage = "https://storage.googleapis.com"
    made = session.post(f"{storage}/storage/v1/b?project={PROJECT}", json={"name": bucket})
    assert made.status_code == 200, made.text
    query = {"uploadType": "media", "name": name}
    sent = session.post(f"{storage}/upload/storage/v1/b/{bucket}/o", params=query, data=b"x" * 10)
    assert sent.status_code == 200, sent.text


def test_every_page_of_an_empty_project_is_there(
    emulator: RunningEmulator, browser: requests.Session
) -> None:
    for path in emulator.emulator.console.menu:
        page = get(emulator, browser, path)
        assert page.status_code == 200, path
        assert page.headers["content-type"] == "text/html; charset=utf-8"
        assert page.text.count("<h1") == 1, path
        assert '<html lang="en">' in page.text
        assert page.text.count('aria-current="page"') == 1, path


def test_what_is_not_there_is_404(emulator: RunningEmulator, browser: requests.Session) -> None:
    for path in ("/nothing", "/storage/none", "/?project=none", "/static/..%2fsite.py", "/static/"):
        assert get(emulator, browser, path).status_code == 404, path


def test_only_names_of_this_machine_are_answered(
    emulator: RunningEmulator, browser: requests.Session
) -> None:
    for host in ("evil.example", "127.0.0.1.evil.example", "localhost.evil.example:80", "[::1]", ""):
        for path in ("/secrets", "/_emulator/requests", "/_emulator/unhandled", "/_emulator/faults"):
            page = get(emulator, browser, path, Host=host)
            assert page.status_code == 403, (host, path)
            assert "127.0.0.1 and localhost only" in page.text


def test_localhost_is_answered(emulator: RunningEmulator, browser: requests.Session) -> None:
    assert get(emulator, browser, "/", Host=f"localhost:{emulator.emulator.front.port}").status_code == 200


def test_nothing_can_be_changed(emulator: RunningEmulator, browser: requests.Session) -> None:
    for method in ("POST", "PUT", "DELETE", "PATCH", "OPTIONS"):
        page = browser.request(method, f"http://127.0.0.1:{emulator.emulator.front.port}/secrets", timeout=10)
        assert page.status_code == 405, method
        assert page.headers["allow"] == "GET, HEAD"


def test_the_policy_lets_in_nothing_from_elsewhere(
    emulator: RunningEmulator, browser: requests.Session
) -> None:
    page = get(emulator, browser, "/")
    policy = page.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert page.headers["x-content-type-options"] == "nosniff"
    assert " style=" not in page.text
    links = re.findall(r'(?:src|href|action)="([^"]*)"', page.text)
    assert links
    outside = [link for link in links if not link.startswith(("/", "#"))]
    assert outside == []
    for link in ("/static/console.css", "/static/console.js", "/static/icon.svg"):
        assert get(emulator, browser, link).status_code == 200


def test_hostile_names_are_shown_as_text(emulator: RunningEmulator, browser: requests.Session) -> None:
    bucket = "hostile-names"
    make_object(emulator, bucket, HOSTILE)
    emulator.call(
        emulator.context.logs.write,
        PROJECT,
        HOSTILE,
        {"type": HOSTILE, "labels": {"service_name": HOSTILE}},
        HOSTILE,
        severity=HOSTILE,
    )
    shown = 0
    for path in (
        *emulator.emulator.console.menu,
        f"/storage/{bucket}",
        f"/storage/{bucket}?prefix={HOSTILE}",
    ):
        page = get(emulator, browser, path)
        assert page.status_code == 200, path
        assert "<script>alert" not in page.text, path
        shown += "&lt;script&gt;alert(" in page.text
    assert shown >= 3, "the bucket, its filter and the log show the name, escaped"


def test_no_page_shows_a_secret_also_not_one_that_was_printed(
    emulator: RunningEmulator, browser: requests.Session
) -> None:
    make_secret(emulator, "key", SECRET)
    resource = {"type": "global", "labels": {}}
    emulator.call(emulator.context.logs.write_line, PROJECT, "stdout", resource, f"the key is {SECRET}")
    encoded = base64.b64encode(SECRET.encode()).decode()
    tokens = emulator.call(emulator.context.store.collection("tokens").names)
    assert tokens
    for path in emulator.emulator.console.menu:
        text = get(emulator, browser, path).text
        assert not [value for value in (SECRET, encoded, *tokens) if value in text], path
    assert "[secret]" in get(emulator, browser, "/logs").text
    assert ">key<" in get(emulator, browser, "/secrets").text


def test_requests_are_listed_with_caller_and_status(
    emulator: RunningEmulator, browser: requests.Session
) -> None:
    emulator.session().get(f"https://secretmanager.googleapis.com/v1/projects/{PROJECT}/secrets/none")
    text = get(emulator, browser, "/requests").text
    assert "secretmanager.<wbr>projects.<wbr>secrets.<wbr>get" in text
    assert "owner@example.com" in text
    assert '<span class="badge warn">404</span>' in text


def test_faults_and_unhandled_calls_are_told(emulator: RunningEmulator, browser: requests.Session) -> None:
    fault = {"method": "secretmanager.projects.secrets.get", "kind": "unavailable", "count": 2}
    emulator.call(emulator.emulator.faults.add, [fault])
    get(emulator, browser, "/_/compute.googleapis.com/nobody/answers/this")
    text = get(emulator, browser, "/problems").text
    assert "unavailable</th>" in text
    assert "0 of 2" in text
    assert "GET https://compute.googleapis.com/nobody/answers/this" in text
    assert '<span class="count">2</span>' in text
    emulator.expect_unhandled("GET https://compute.googleapis.com/nobody/answers/this")


def events(answer: requests.Response) -> Iterator[dict[str, str]]:
    """The events of a stream, field by field."""
    event: dict[str, str] = {}
    for line in answer.iter_lines(decode_unicode=True):
        if not line and event:
            yield event
            event = {}
        elif line and not line.startswith(":"):
            name, _, value = line.partition(": ")
            event[name] = event.get(name, "") + value


def test_new_requests_are_streamed_as_they_happen(
    emulator: RunningEmulator, browser: requests.Session
) -> None:
    url = f"http://127.0.0.1:{emulator.emulator.front.port}/live/requests?after=0"
    with browser.get(url, stream=True, timeout=10) as answer:
        assert answer.headers["content-type"] == "text/event-stream"
        emulator.session().get(f"https://secretmanager.googleapis.com/v1/projects/{PROJECT}/secrets")
        event = next(events(answer))
    assert event["id"] == "1"
    assert event["data"].startswith("<tr>")
    assert "secretmanager.<wbr>projects.<wbr>secrets.<wbr>list" in event["data"]


def test_a_stream_goes_on_where_the_browser_was(emulator: RunningEmulator, browser: requests.Session) -> None:
    resource = {"type": "global", "labels": {}}
    for text in ("seen", "not seen"):
        emulator.call(emulator.context.logs.write, PROJECT, "stdout", resource, text)
    url = f"http://127.0.0.1:{emulator.emulator.front.port}/live/logs?after=0"
    with browser.get(url, stream=True, timeout=10, headers={"Last-Event-ID": "1"}) as answer:
        event = next(events(answer))
    assert (event["id"], ">not seen<" in event["data"], ">seen<" in event["data"]) == ("2", True, False)


def test_the_page_of_one_project_says_nothing_of_another(
    emulator: RunningEmulator, browser: requests.Session
) -> None:
    make_secret(emulator, "first-projects-own", SECRET)
    emulator.call(emulator.context.projects.create, "second-project", created="2026-01-01T00:00:00.000000Z")
    assert "first-projects-own" in get(emulator, browser, f"/secrets?project={PROJECT}").text
    other = get(emulator, browser, "/secrets?project=second-project").text
    assert "first-projects-own" not in other
    assert "<option selected>second-project</option>" in other
    assert 'href="/run?project=second-project"' in other


def test_the_command_that_leads_a_client_here_names_somebody(
    emulator: RunningEmulator, browser: requests.Session
) -> None:
    state = emulator.emulator.settings.state
    assert "--user" not in get(emulator, browser, "/").text
    (state / "credentials").mkdir()
    (state / "credentials" / "someone@example.com.json").write_text("{}", "utf-8")
    shown = get(emulator, browser, "/").text
    assert f"gcp-emulator env --state {state} --project {PROJECT} --user someone@example.com)" in shown
