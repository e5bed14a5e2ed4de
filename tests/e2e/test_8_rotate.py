"""Secrets are rotated while visitors and somebody who is logged in ask all the time: no request fails, and nobody is logged out."""

from __future__ import annotations

import base64
import json
import re
import threading
from collections.abc import Iterator
from typing import Any

import psycopg2
import pytest
import requests

from tests.e2e.rehearsal import PROJECT, Rehearsal, Run

SECRETS = f"secretmanager.googleapis.com/v1/projects/{PROJECT}/secrets"
BUCKET = f"storage.googleapis.com/storage/v1/b/{PROJECT}-polls-releases"
SECRET = "smtp-password"
#: Each request opens a connection, as every new instance does; and a secret of the team's.
OPTIONS = (
    "-e",
    json.dumps(
        {
            "djangogcp_environment": {"CONN_MAX_AGE": "0"},
            "djangogcp_secrets": {"EMAIL_HOST_PASSWORD": SECRET},
            "djangogcp_rotation_days": {"secret_key": 90, SECRET: 90},
        }
    ),
)
EDITOR = ("editor@example.com", "only-for-this-test-8472")
_MAKE_EDITOR = (
    "from django.contrib.auth import get_user_model as model;"
    f" model().objects.create_superuser(email='{EDITOR[0]}', password='{EDITOR[1]}')"
)


def log_in(rehearsal: Rehearsal, email: str, password: str) -> requests.Session | None:
    """A session that is logged in to the admin, None if the password is refused."""
    session, url = rehearsal.session(), rehearsal.url("polls") + "/admin/login/"
    page = session.get(url, timeout=60)
    found = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', page.text)
    assert found is not None, page.text[:500]
    data = {"csrfmiddlewaretoken": found[1], "username": email, "password": password, "next": "/admin/"}
    answer = session.post(url, data, headers={"Referer": url}, timeout=60, allow_redirects=False)
    return session if answer.status_code == requests.codes.found else None


class Load:
    """Visitors, and somebody who is logged in, who ask one page after the other from beginning to end."""

    def __init__(self, rehearsal: Rehearsal, logged_in: requests.Session, visitors: int = 2) -> None:
        url = rehearsal.url("polls")
        self._ended = threading.Event()
        asked = [(rehearsal.session(), f"{url}/polls/")] * visitors + [(logged_in, f"{url}/admin/")]
        self._threads = [threading.Thread(target=self._visit, args=one, daemon=True) for one in asked]
        self.answers = 0
        #: What went wrong, in words.
        self.failed: list[str] = []

    def _visit(self, session: requests.Session, url: str) -> None:
        while not self._ended.wait(0.05):
            try:
                answer = session.get(url, timeout=60, allow_redirects=False)
            except requests.RequestException as error:
                self.failed.append(repr(error))
                continue
            self.answers += 1
            if answer.status_code != requests.codes.ok:
                self.failed.append(f"{url} {answer.status_code} {answer.text[:300]}")

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        for thread in self._threads:
            thread.join(90)


def add(cloud: Rehearsal, secret: str, value: str) -> None:
    data = base64.b64encode(value.encode()).decode()
    cloud.api(f"{SECRETS}/{secret}:addVersion", method="POST", body={"payload": {"data": data}})


@pytest.fixture(scope="module")
def rotating(model_site: Rehearsal) -> Rehearsal:
    body = {"replication": {"automatic": {}}}
    model_site.api(f"{SECRETS}?secretId={SECRET}", method="POST", body=body)
    add(model_site, SECRET, "first-of-smtp")
    run = model_site.playbook("deploy.yml", *OPTIONS)
    assert run.status == 0, run.output
    made = model_site.playbook(
        "playbooks/manage.yml", *OPTIONS, "-e", json.dumps({"manage_command": ["shell", "-c", _MAKE_EDITOR]})
    )
    assert made.status == 0, made.output
    return model_site


@pytest.fixture(scope="module")
def editor(rotating: Rehearsal) -> requests.Session:
    """Somebody who logged in before anything was rotated, and never again."""
    session = log_in(rotating, *EDITOR)
    assert session is not None
    return session


@pytest.fixture
def rotate(rotating: Rehearsal, editor: requests.Session) -> Iterator[Any]:
    """Rotates under load: no request may fail, nobody is logged out, no value is shown."""

    def run(words: str, *options: str) -> Run:
        before = rotating.secret_values()
        with Load(rotating, editor) as load:
            done = rotating.playbook(
                "playbooks/rotate.yml", "-vvv", *OPTIONS, "-e", f"rotate={words}", *options
            )
        assert done.status == 0, done.output
        assert load.failed == []
        assert load.answers > 20
        assert not [value for value in [*before, *rotating.secret_values()] if value in done.output]
        return done

    yield run
    assert not rotating.api(f"{BUCKET}/o?prefix=lock").get("items"), "the lock is given back"


def states(cloud: Rehearsal, secret: str) -> dict[str, str]:
    """By the number of a version its state."""
    listed = cloud.api(f"{SECRETS}/{secret}/versions")["versions"]
    return {one["name"].rpartition("/")[2]: one["state"] for one in listed}


def pinned(cloud: Rehearsal) -> dict[str, str]:
    """By variable the number of the version that serves."""
    container = cloud.service("polls")["template"]["containers"][0]
    return {
        one["name"]: one["valueSource"]["secretKeyRef"]["version"]
        for one in container["env"]
        if "valueSource" in one
    }


def image(cloud: Rehearsal) -> str:
    return str(cloud.service("polls")["template"]["containers"][0]["image"])


def record(cloud: Rehearsal) -> Any:
    """The newest record."""
    name = cloud.api(f"{BUCKET}/o?prefix=releases/")["items"][-1]["name"]
    return cloud.api(f"{BUCKET}/o/{name.replace('/', '%2F')}?alt=media")


def test_what_is_unknown_or_has_nothing_new_is_refused_in_one_line(rotating: Rehearsal) -> None:
    serves = rotating.service("polls")["latestReadyRevision"]
    for words, told in {
        "secret_kye": "polls: rotate is 'secret_kye': expected secret_key, database_password, superuser_password,"
        " secret_key_fallback, due, or the name of a secret of djangogcp_secrets (smtp-password). Did you mean secret_key?"
        " Nothing was changed.",
        SECRET: "polls: rotate is smtp-password: what serves reads version 1, and there is no newer one that is enabled.",
        "secret_key_fallback": "polls: rotate is secret_key_fallback: what serves accepts no key beside the one that signs.",
        None: "polls: rotate is not set: expected",
    }.items():
        option = ("-e", f"rotate={words}") if words else ()
        run = rotating.playbook("playbooks/rotate.yml", *OPTIONS, *option)
        assert run.status != 0
        assert told in run.output
        assert run.counts("polls")["changed"] == 0
    assert rotating.service("polls")["latestReadyRevision"] == serves


def test_a_check_tells_what_would_be_done_and_does_nothing(rotating: Rehearsal) -> None:
    run = rotating.playbook(
        "playbooks/rotate.yml", "--check", *OPTIONS, "-e", "rotate=secret_key,database_password"
    )
    assert run.status == 0, run.output
    assert "add version 2 to secret polls-secret-key" in run.output
    assert states(rotating, "polls-secret-key") == {"1": "ENABLED"}


def test_a_key_is_rotated_and_the_old_one_is_accepted_until_the_next_rotation(
    rotating: Rehearsal, rotate: Any, editor: requests.Session
) -> None:
    built = image(rotating)
    rotate("secret_key")
    assert image(rotating) == built
    assert (pinned(rotating)["SECRET_KEY"], pinned(rotating)["SECRET_KEY_FALLBACKS"]) == ("2", "1")
    assert states(rotating, "polls-secret-key") == {"1": "ENABLED", "2": "ENABLED"}
    assert record(rotating)["rotated"] == ["secret_key"]

    # What is deployed next keeps it, and needs no new revision for it.
    serves = rotating.service("polls")["latestReadyRevision"]
    deployed = rotating.playbook("deploy.yml", *OPTIONS)
    assert deployed.status == 0, deployed.output
    assert rotating.service("polls")["latestReadyRevision"] == serves

    rotate("secret_key")
    assert (pinned(rotating)["SECRET_KEY"], pinned(rotating)["SECRET_KEY_FALLBACKS"]) == ("3", "2")
    assert states(rotating, "polls-secret-key") == {"1": "DISABLED", "2": "ENABLED", "3": "ENABLED"}

    rotate("secret_key_fallback")
    assert "SECRET_KEY_FALLBACKS" not in pinned(rotating)
    assert states(rotating, "polls-secret-key") == {"1": "DISABLED", "2": "DISABLED", "3": "ENABLED"}


def test_the_database_passwords_are_rotated(rotating: Rehearsal, rotate: Any) -> None:
    old = rotating.secret("polls-web-db-password")
    rotate("database_password")
    assert pinned(rotating)["DATABASE_URL"] == "2"
    for name in ("web-db-password", "web-database-url", "migrator-db-password", "migrator-database-url"):
        assert states(rotating, f"polls-{name}") == {"1": "DISABLED", "2": "ENABLED"}
    question = {"database": "polls", "user": "polls_web_2"}
    new = rotating.secret("polls-web-db-password")
    assert rotating.sql("SELECT count(*) >= 0 FROM polls_question", password=new, **question) == [(True,)]
    with pytest.raises(psycopg2.OperationalError, match="password authentication failed"):
        rotating.sql("SELECT 1", password=old, **question)
    shown = rotating.playbook(
        "playbooks/manage.yml", *OPTIONS, "-e", json.dumps({"manage_command": ["migrate", "--check"]})
    )
    assert shown.status == 0, "the migrator logs in with its new password: " + shown.output


def test_the_superusers_password_is_rotated(rotating: Rehearsal, rotate: Any) -> None:
    old = rotating.secret("polls-superuser-password")
    serves = rotating.service("polls")["latestReadyRevision"]
    rotate("superuser_password")
    new = rotating.secret("polls-superuser-password")
    assert new != old
    assert log_in(rotating, "admin@example.com", new) is not None
    assert log_in(rotating, "admin@example.com", old) is None
    assert states(rotating, "polls-superuser-password") == {"1": "DISABLED", "2": "ENABLED"}
    assert rotating.service("polls")["latestReadyRevision"] == serves, "what serves does not read it"


def test_a_secret_of_the_teams_is_taken_in_its_newest_version(rotating: Rehearsal, rotate: Any) -> None:
    add(rotating, SECRET, "second-of-smtp")
    rotate(SECRET)
    assert pinned(rotating)["EMAIL_HOST_PASSWORD"] == "2"
    assert states(rotating, SECRET) == {"1": "DISABLED", "2": "ENABLED"}

    # Another one reads it, and nobody here knows which version.
    url = f"{SECRETS}/{SECRET}"
    policy = rotating.api(f"{url}:getIamPolicy")
    policy["bindings"][0]["members"].append(
        "serviceAccount:polls-build@" + PROJECT + ".iam.gserviceaccount.com"
    )
    rotating.api(f"{url}:setIamPolicy", method="POST", body={"policy": policy})
    add(rotating, SECRET, "third-of-smtp")
    run = rotate("due")
    assert "Older versions of smtp-password are not disabled" in " ".join(run.output.split())
    assert states(rotating, SECRET) == {"1": "DISABLED", "2": "ENABLED", "3": "ENABLED"}


def test_a_rotation_that_fails_takes_nothing_from_what_serves_and_can_be_run_again(
    rotating: Rehearsal, rotate: Any, editor: requests.Session
) -> None:
    before = pinned(rotating)
    failing = ("-e", '{"djangogcp_smoke_paths": ["/absent/"], "release_smoke_timeout_seconds": 1}')
    with Load(rotating, editor) as load:
        run = rotating.playbook(
            "playbooks/rotate.yml", *OPTIONS, *failing, "-e", "rotate=secret_key,database_password"
        )
    assert run.status != 0
    assert "/absent/ answered 404" in run.output
    assert load.failed == []
    assert record(rotating)["result"] == "failed"
    serving = {
        one["state"] for one in rotating.api(f"{SECRETS}/polls-web-database-url/versions")["versions"][:2]
    }
    assert serving == {"ENABLED"}, "what serves goes on reading its own"
    rotate("secret_key,database_password")
    assert pinned(rotating)["SECRET_KEY"] == str(int(before["SECRET_KEY"]) + 1), (
        "that of the failed run is used"
    )
    assert pinned(rotating)["DATABASE_URL"] == str(int(before["DATABASE_URL"]) + 1)


def test_a_rollback_goes_back_to_code_and_keeps_what_was_rotated_since(
    rotating: Rehearsal, rotate: Any
) -> None:
    deployed = rotating.playbook("deploy.yml", *OPTIONS, "-e", "djangogcp_threads=5")
    assert deployed.status == 0, deployed.output
    rotate("database_password", "-e", "djangogcp_threads=5")
    versions = pinned(rotating)
    back = rotating.playbook("playbooks/rollback.yml", *OPTIONS, "-e", "djangogcp_threads=5")
    assert back.status == 0, back.output
    assert pinned(rotating) == versions
    assert rotating.get("polls", "/polls/").status_code == requests.codes.ok


def test_what_was_disabled_long_ago_is_destroyed_and_what_is_due_is_told(
    rotating: Rehearsal, rotate: Any
) -> None:
    rotate("superuser_password", "-e", "secrets_destroy_after_days=0")
    found = states(rotating, "polls-superuser-password")
    assert found == {"1": "DESTROYED", "2": "DISABLED", "3": "ENABLED"}
    status = rotating.playbook("playbooks/status.yml", *OPTIONS)
    assert '"rotation_due": []' in status.output, status.output
    run = rotating.playbook("playbooks/rotate.yml", *OPTIONS, "-e", "rotate=due")
    assert run.status == 0, run.output
    assert "Nothing of polls is due." in run.output
    assert run.counts("polls")["changed"] == 0
