"""A database password is rotated while the site is asked all the time, also when the deploy that brings it fails."""

from __future__ import annotations

import base64
import threading
import urllib.parse

import psycopg2
import pytest
import requests

from tests.e2e.rehearsal import PROJECT, Rehearsal, Run

SECRET = f"secretmanager.googleapis.com/v1/projects/{PROJECT}/secrets/polls-web-db-password"
USERS = f"sqladmin.googleapis.com/v1/projects/{PROJECT}/instances/djangogcp/users"
#: Whatever a person may think of: what ends a part of an address, spaces, quotes, other scripts, a line's end.
PASSWORDS = [
    "rotated-once/#@?%:&=+;,!$'()*[]",
    'failed-to-rotate "%41" {{ pw }} {password} \\ | ~^`<>',
    "rotated-twice %2F//@@ \N{LATIN SMALL LETTER E WITH ACUTE}\N{CJK UNIFIED IDEOGRAPH-5B57}\n",
]
#: Each request opens a connection, as a project does that says nothing of them, and as every new instance does.
CONNECTION_PER_REQUEST = ("-e", '{"djangogcp_environment": {"CONN_MAX_AGE": "0"}}')
#: A try-out that no revision passes.
FAILING = ("-e", '{"djangogcp_smoke_paths": ["/absent/"], "release_smoke_timeout_seconds": 1}')


class Load:
    """Visitors who ask for a page that reads the database, one request after the other, from beginning to end."""

    def __init__(self, rehearsal: Rehearsal, visitors: int = 4) -> None:
        self._rehearsal = rehearsal
        self._ended = threading.Event()
        self._threads = [threading.Thread(target=self._visit, daemon=True) for _ in range(visitors)]
        self.answers = 0
        #: What went wrong, in words.
        self.failed: list[str] = []

    def _visit(self) -> None:
        session, url = self._rehearsal.session(), self._rehearsal.url("polls") + "/polls/"
        while not self._ended.wait(0.05):
            try:
                answer = session.get(url, timeout=60)
            except requests.RequestException as error:
                self.failed.append(repr(error))
                continue
            self.answers += 1
            if answer.status_code != 200:
                self.failed.append(f"{answer.status_code} {answer.text[:300]}")

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        for thread in self._threads:
            thread.join(90)


def rotate(rehearsal: Rehearsal, password: str, *options: str) -> Run:
    """A new version of the password, and a deploy, under load; no request may fail."""
    data = base64.b64encode(password.encode()).decode()
    with Load(rehearsal) as load:
        rehearsal.api(f"{SECRET}:addVersion", method="POST", body={"payload": {"data": data}})
        run = rehearsal.playbook("deploy.yml", "-vvvv", "--diff", *CONNECTION_PER_REQUEST, *options)
    assert load.failed == []
    assert load.answers > 20
    for word in (password.split("/")[0].split()[0], urllib.parse.quote(password, safe=""), data):
        assert word not in run.output
    return run


def users(rehearsal: Rehearsal) -> list[str]:
    """The site's users of the database."""
    names = [user["name"] for user in rehearsal.api(USERS)["items"]]
    return sorted(name for name in names if name.startswith("polls_"))


def may_log_in(rehearsal: Rehearsal, user: str, password: str) -> bool:
    """Whether the server accepts the password, and the user may read the site's rows."""
    question = "SELECT count(*) >= 0 FROM polls_question"
    try:
        rows = rehearsal.sql(question, database="polls", user=user, password=password)
    except psycopg2.OperationalError as error:
        if "password authentication failed" not in str(error):
            raise
        return False
    return rows == [(True,)]


@pytest.fixture(scope="module")
def rotating(model_site: Rehearsal) -> Rehearsal:
    """The site, opening a connection for each request."""
    run = model_site.playbook("deploy.yml", *CONNECTION_PER_REQUEST)
    assert run.status == 0, run.output
    return model_site


def test_a_new_password_is_taken_into_use_without_a_failed_request(rotating: Rehearsal) -> None:
    run = rotate(rotating, PASSWORDS[0])
    assert run.status == 0, run.output
    assert users(rotating) == ["polls_migrator", "polls_web", "polls_web_1", "polls_web_2"]
    assert may_log_in(rotating, "polls_web_2", PASSWORDS[0])
    assert not may_log_in(rotating, "polls_web_1", PASSWORDS[0])


def test_a_password_whose_deploy_fails_takes_nothing_from_what_serves(rotating: Rehearsal) -> None:
    run = rotate(rotating, PASSWORDS[1], *FAILING)
    assert run.status != 0
    assert "/absent/ answered 404 (expected 200)" in run.output
    assert users(rotating) == [
        "polls_migrator", "polls_web", "polls_web_1", "polls_web_2", "polls_web_3",
    ]  # fmt: skip


def test_users_that_neither_serve_nor_served_before_go_with_the_next_password(rotating: Rehearsal) -> None:
    run = rotate(rotating, PASSWORDS[2])
    assert run.status == 0, run.output
    assert users(rotating) == ["polls_migrator", "polls_web", "polls_web_2", "polls_web_4"]
    assert may_log_in(rotating, "polls_web_4", PASSWORDS[2])
    annotations = rotating.api(SECRET)["annotations"].values()
    assert sorted(text.partition("/djangogcp/")[2] for text in annotations) == [
        "polls_web is used with version 4",
        "polls_web_2 has version 2",
        "polls_web_4 has version 4",
    ]
    again = rotating.playbook("deploy.yml", *CONNECTION_PER_REQUEST)
    assert again.counts("polls")["changed"] == 0
    check = rotating.playbook("deploy.yml", "--check", *CONNECTION_PER_REQUEST)
    assert check.counts("polls")["changed"] == 0


def test_a_value_that_is_no_password_changes_nothing(rotating: Rehearsal) -> None:
    before = users(rotating)
    data = base64.b64encode(b"caf\xe9").decode()
    added = rotating.api(f"{SECRET}:addVersion", method="POST", body={"payload": {"data": data}})
    with Load(rotating) as load:
        run = rotating.playbook("deploy.yml", *CONNECTION_PER_REQUEST)
    rotating.api(f"secretmanager.googleapis.com/v1/{added['name']}:destroy", method="POST", body={})
    assert run.status != 0
    assert (
        f"secret polls-web-db-password in project {PROJECT}: version 5 is not UTF-8. Add a version that"
        in run.output
    )
    assert load.failed == []
    assert users(rotating) == before
    # What is destroyed holds nothing, so the newest version is the last good one again.
    assert rotating.playbook("deploy.yml", *CONNECTION_PER_REQUEST).counts("polls")["changed"] == 0
