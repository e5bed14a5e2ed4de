# Copyright (c) 2026, The djangogcp contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import base64
import datetime

import pytest
from ansible_collections.org.djangogcp.plugins.module_utils._errors import DjangoGcpError
from ansible_collections.org.djangogcp.plugins.module_utils._module import Task
from ansible_collections.org.djangogcp.plugins.modules import secretmanager_secrets

API = "https://secretmanager.googleapis.com/v1/projects/p/secrets"
MISSING = (404, {"error": {"code": 404, "status": "NOT_FOUND", "message": "no"}})
OPTIONS = {
    **dict.fromkeys(secretmanager_secrets.ARGUMENT_SPEC["secrets"]["options"]),
    "state": "present",
    "old_versions": "keep",
    "kept_versions": [],
}


def secret(name, **options):
    return {**OPTIONS, "name": name, **options}


def run(client, *asked, check_mode=False):
    return secretmanager_secrets.work(Task({"project": "p", "secrets": list(asked)}, client, check_mode))


def there(google, name, value=None, number="1", state="ENABLED"):
    """A secret that exists, with a value or without."""
    google.answer("GET", f"{API}/{name}", {"name": name, "etag": "e", "replication": {"automatic": {}}})
    newest = {"name": f"x/versions/{number}", "state": state}
    google.answer("GET", f"{API}/{name}/versions/latest", newest if value is not None else MISSING)
    payload = {"payload": {"data": base64.b64encode((value or "").encode()).decode()}}
    google.answer("GET", f"{API}/{name}/versions/{number}:access", payload)


def missing(google, name):
    google.answer("GET", f"{API}/{name}", MISSING, {"name": name})
    google.answer("POST", API, {})
    google.answer("GET", f"{API}/{name}/versions/latest", MISSING)


def adds(google, name, number):
    google.answer("POST", f"{API}/{name}:addVersion", {"name": f"x/versions/{number}"})


def added(google, name):
    """The values of the versions that were added."""
    bodies = [one.body for one in google.sent if one.url == f"{API}/{name}:addVersion"]
    return [base64.b64decode(body["payload"]["data"]).decode() for body in bodies]


def test_a_value_is_generated_once(google, client):
    missing(google, "key")
    adds(google, "key", 1)
    result = run(client, secret("key", generate={"length": 12, "alphabet": "ab"}))
    (value,) = added(google, "key")
    assert len(value) == 12
    assert set(value) <= {"a", "b"}
    assert result["secrets"][0]["version"] == "1"
    assert value not in repr(result)


def test_a_generated_value_is_left_alone_and_not_even_read(google, client):
    there(google, "key", "generated")
    assert not run(client, secret("key", generate={"length": 12, "alphabet": "ab"}))["changed"]
    assert google.calls == ["GET key", "GET latest"]


def test_a_disabled_newest_version_is_replaced(google, client):
    there(google, "key", "generated", state="DISABLED")
    adds(google, "key", 2)
    assert run(client, secret("key", generate={"length": 4, "alphabet": "a"}))["changed"]
    assert added(google, "key") == ["aaaa"]


@pytest.mark.parametrize(("have", "changed"), [("same", False), ("other", True)])
def test_a_value_is_compared_in_memory(google, client, have, changed):
    there(google, "key", have)
    adds(google, "key", 2)
    result = run(client, secret("key", value="same"))
    assert result["changed"] is changed
    assert result["secrets"][0]["version"] == ("2" if changed else "1")
    assert "same" not in repr(result)


def test_a_template_is_made_of_what_the_same_task_generates(google, client):
    for name in ("url", "password"):
        missing(google, name)
        adds(google, name, 1)
    run(
        client,
        secret("url", template="pg://u:{pw}@h/{pw}", values_from={"pw": "password"}),
        secret("password", generate={"length": 5, "alphabet": "x"}),
    )
    assert added(google, "url") == ["pg://u:xxxxx@h/xxxxx"]


def test_a_template_takes_parts_as_they_are_percent_encoded_and_by_their_number(google, client):
    there(google, "password", "a/b#c@d?e%f:g h+i&j\u00e9\n", number="7")
    missing(google, "url")
    adds(google, "url", 1)
    run(
        client,
        secret("url", template="u_{pw|version}:{pw|urlencode}@{pw}", values_from={"pw": "password"}),
    )
    assert added(google, "url") == [
        "u_7:a%2Fb%23c%40d%3Fe%25f%3Ag%20h%2Bi%26j%C3%A9%0A@a/b#c@d?e%f:g h+i&j\u00e9\n"
    ]


def test_a_template_takes_the_number_of_a_version_that_the_same_task_adds(google, client):
    there(google, "password", "old", number="3", state="DISABLED")
    missing(google, "url")
    adds(google, "password", 4)
    adds(google, "url", 1)
    run(
        client,
        secret("url", template="u_{pw|version}:{pw}", values_from={"pw": "password"}),
        secret("password", generate={"length": 3, "alphabet": "x"}),
    )
    assert added(google, "url") == ["u_4:xxx"]


@pytest.mark.parametrize(
    ("value", "problem"), [(b"", "is empty"), (b"caf\xe9", "is not UTF-8"), (b"a\0b", "holds a zero byte")]
)
def test_a_part_that_is_no_text_is_told_without_it(google, client, value, problem):
    there(google, "password", "x")
    payload = {"payload": {"data": base64.b64encode(value).decode()}}
    google.answer("GET", f"{API}/password/versions/1:access", payload)
    missing(google, "url")
    with pytest.raises(DjangoGcpError) as caught:
        run(client, secret("url", template="{pw}", values_from={"pw": "password"}))
    assert caught.value.message == (
        f"Failed to use the value of secret password in project p: version 1 {problem}. Add a version that is a string of at least "
        "one character in UTF-8."
    )
    assert caught.value.__cause__ is None


def test_a_template_follows_a_changed_part(google, client):
    there(google, "password", "new")
    there(google, "url", "pg://old")
    adds(google, "url", 2)
    assert run(client, secret("url", template="pg://{pw}", values_from={"pw": "password"}))["changed"]
    assert added(google, "url") == ["pg://new"]


def test_check_mode_predicts_versions_on_an_empty_project(google, client):
    missing(google, "url")
    missing(google, "password")
    result = run(
        client,
        secret("url", template="pg://{pw}", values_from={"pw": "password"}),
        secret("password", generate={"length": 5, "alphabet": "x"}),
        check_mode=True,
    )
    assert [one["version"] for one in result["secrets"]] == ["1", "1"]
    assert not google.bodies("POST")


def test_a_part_that_is_missing_is_an_error(google, client):
    missing(google, "password")
    there(google, "url", "x")
    with pytest.raises(DjangoGcpError) as caught:
        run(client, secret("url", template="pg://{pw}", values_from={"pw": "password"}))
    assert caught.value.message == (
        "Failed to compose the value of secret url: the secret password in project p has no enabled newest version. "
        "Add one, or correct values_from."
    )


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        (
            [secret("a", value="")],
            "The value of secret a is empty. Give one, or leave value out to keep what is there.",
        ),
        (
            [secret("a", template="{x}{y}", values_from={"x": "b"})],
            "Secret a: template uses {y} but values_from has no key y. Add it.",
        ),
        (
            [secret("a", template="{x}", values_from={"x": "b", "y": "c"})],
            "Secret a: values_from has the key y but template does not use {y}.",
        ),
        (
            [secret("a", template="{x|base64}", values_from={"x": "b"})],
            "Secret a: template uses {x|base64}: expected {x}, {x|urlencode} or {x|version}.",
        ),
        ([secret("a"), secret("a")], "The secret a is in the list more than once. Keep one of them."),
        (
            [
                secret("a", template="{x}", values_from={"x": "b"}),
                secret("b", template="{x}", values_from={"x": "a"}),
            ],
            "The templates of a, b are made of one another.",
        ),
        (
            [secret("a", generate={"length": 0, "alphabet": "x"})],
            "Secret a: generate needs a length of 1 or more and an alphabet that is not empty.",
        ),
    ],
)
def test_what_cannot_be_is_refused_before_any_request(google, client, asked, message):
    with pytest.raises(DjangoGcpError) as caught:
        run(client, *asked)
    assert caught.value.message == message
    assert google.sent == []


def test_old_versions_are_disabled_and_the_newest_is_not(google, client):
    there(google, "key", "value", number="3")
    versions = [
        {"name": f"x/versions/{n}", "state": s, "etag": n}
        for n, s in [("3", "ENABLED"), ("2", "ENABLED"), ("1", "DISABLED")]
    ]
    google.answer("GET", f"{API}/key/versions", {"versions": versions})
    google.answer("POST", f"{API}/key/versions/2:disable", {})
    result = run(client, secret("key", value="value", old_versions="disable"))
    assert result["secrets"][0]["retired_versions"] == ["2"]
    assert result["actions"] == ["disable version 2 of secret key"]
    assert google.bodies("POST") == [{"etag": "2"}]


@pytest.mark.parametrize(("newer_than", "is_added"), [(2, False), (3, True), (None, False)])
def test_a_version_that_is_replaced_gets_a_newer_one_once(google, client, newer_than, is_added):
    there(google, "key", "value", number="3")
    adds(google, "key", 4)
    result = run(client, secret("key", generate={"length": 4, "alphabet": "a", "newer_than": newer_than}))
    assert added(google, "key") == (["aaaa"] if is_added else [])
    assert result["secrets"][0]["version"] == ("4" if is_added else "3")


def test_what_is_replaced_is_no_copy_of_the_former_name(google, client):
    there(google, "key", "value", number="1")
    adds(google, "key", 2)
    options = {"length": 4, "alphabet": "a", "newer_than": 1, "copy_from": "former"}
    run(client, secret("key", generate=options))
    assert added(google, "key") == ["aaaa"]


def with_versions(google, annotations, *states):
    """The secret key, whose versions have these states, the first one first."""
    number = str(len(states))
    body = {"name": "key", "etag": "e", "replication": {"automatic": {}}, "annotations": annotations}
    google.answer("GET", f"{API}/key", body)
    versions = [{"name": f"x/versions/{n}", "state": s, "etag": str(n)} for n, s in enumerate(states, 1)]
    google.answer("GET", f"{API}/key/versions", {"versions": versions[::-1]})
    google.answer("GET", f"{API}/key/versions/latest", versions[-1])
    for one, state in enumerate(states, 1):
        google.answer("GET", f"{API}/key/versions/{one}", {"name": f"x/versions/{one}", "state": state})
        google.answer("POST", f"{API}/key/versions/{one}:disable", {})
        google.answer("POST", f"{API}/key/versions/{one}:destroy", {})
    google.answer("PATCH", f"{API}/key", body)
    return number


def days_ago(days):
    return (datetime.datetime.now(tz=datetime.UTC) - datetime.timedelta(days=days)).date().isoformat()


def test_versions_in_use_are_kept_and_what_was_disabled_long_ago_is_destroyed(google, client):
    noted = f"1={days_ago(31)} 2={days_ago(29)} 3=never"
    with_versions(
        google,
        {"djangogcp-disabled": noted, "other": "kept"},
        "DISABLED",
        "DISABLED",
        "DISABLED",
        "ENABLED",
        "ENABLED",
        "ENABLED",
    )
    result = run(client, secret("key", old_versions="disable", kept_versions=[5], destroy_after_days=30))
    assert result["actions"] == ["disable version 4 of secret key", "destroy version 1 of secret key"]
    (body,) = google.bodies("PATCH")
    assert body["annotations"] == {"djangogcp-disabled": f"2={days_ago(29)} 4={days_ago(0)}", "other": "kept"}


def test_what_somebody_else_has_disabled_or_enabled_again_is_not_destroyed(google, client):
    with_versions(google, {"djangogcp-disabled": f"2={days_ago(90)}"}, "DISABLED", "ENABLED", "ENABLED")
    result = run(client, secret("key", old_versions="disable", kept_versions=[2], destroy_after_days=30))
    assert result["actions"] == []
    assert [call for call in google.calls if call.startswith(("POST", "PATCH"))] == []


def test_a_check_disables_and_destroys_nothing(google, client):
    with_versions(google, {"djangogcp-disabled": f"1={days_ago(90)}"}, "DISABLED", "ENABLED", "ENABLED")
    asked = secret("key", old_versions="disable", destroy_after_days=30)
    result = run(client, asked, check_mode=True)
    assert result["actions"] == ["disable version 2 of secret key", "destroy version 1 of secret key"]
    assert [call for call in google.calls if not call.startswith("GET")] == []


def race(google, own, theirs, state="ENABLED"):
    """Another run added version 1 between our look and our version 2."""
    missing(google, "key")
    adds(google, "key", 2)
    google.answer(
        "GET",
        f"{API}/key/versions",
        {
            "versions": [
                {"name": "x/versions/2", "state": "ENABLED"},
                {"name": "x/versions/1", "state": state},
            ]
        },
    )
    for number, value in (("1", theirs), ("2", own)):
        payload = {"payload": {"data": base64.b64encode(value.encode()).decode()}}
        google.answer("GET", f"{API}/key/versions/{number}:access", payload)
    google.answer("POST", f"{API}/key/versions/2:destroy", {})


def test_runs_that_generate_at_the_same_time_settle_on_the_oldest_version(google, client):
    race(google, "aaaa", "theirs")
    missing(google, "url")
    adds(google, "url", 1)
    result = run(
        client,
        secret("key", generate={"length": 4, "alphabet": "a"}),
        secret("url", template="pg://{pw}", values_from={"pw": "key"}),
    )
    assert result["secrets"][0]["version"] == "1"
    assert "POST 2:destroy" in google.calls
    assert added(google, "url") == ["pg://theirs"]


def test_a_version_of_another_run_that_is_gone_again_does_not_count(google, client):
    race(google, "aaaa", "theirs", state="DESTROYED")
    result = run(client, secret("key", generate={"length": 4, "alphabet": "a"}))
    assert result["secrets"][0]["version"] == "2"
    assert "POST 2:destroy" not in google.calls


@pytest.mark.parametrize(("theirs", "number"), [("same", "1"), ("another", "2")])
def test_runs_that_give_one_value_settle_and_another_value_stays(google, client, theirs, number):
    race(google, "same", theirs)
    assert run(client, secret("key", value="same"))["secrets"][0]["version"] == number


def test_a_destroyed_newest_version_hides_no_older_one(google, client):
    there(google, "key", "generated", number="2", state="DESTROYED")
    google.answer(
        "GET",
        f"{API}/key/versions",
        {
            "versions": [
                {"name": "x/versions/2", "state": "DESTROYED"},
                {"name": "x/versions/1", "state": "ENABLED"},
            ]
        },
    )
    result = run(client, secret("key", generate={"length": 4, "alphabet": "a"}))
    assert not result["changed"]
    assert result["secrets"][0]["version"] == "1"


def test_a_lost_answer_does_not_add_a_second_version(google, client):
    google.answer("GET", f"{API}/key", {"name": "key", "etag": "e"})
    google.answer("GET", f"{API}/key/versions/latest", MISSING, {"name": "x/versions/1", "state": "ENABLED"})
    google.answer(
        "GET", f"{API}/key/versions/1:access", {"payload": {"data": base64.b64encode(b"v").decode()}}
    )
    google.answer("POST", f"{API}/key:addVersion", (504, ""))
    assert run(client, secret("key", value="v"))["secrets"][0]["version"] == "1"
    assert added(google, "key") == ["v"]
