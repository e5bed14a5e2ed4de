# Copyright (c) 2026, The djangogcp contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The filters rotation and rotated."""

from __future__ import annotations

import datetime
import typing as t

import pytest
from ansible_collections.org.djangogcp.plugins.filter.rotated import rotated
from ansible_collections.org.djangogcp.plugins.filter.rotation import rotation

NOW = datetime.datetime(2026, 11, 29, tzinfo=datetime.UTC)
APP = {
    "secrets": {"SECRET_KEY": "polls-secret-key", "SMTP": "smtp"},
    "secret_versions": {
        "polls-secret-key": "2",
        "polls-web-db-password": 1,
        "polls-superuser-password": "1",
        "smtp": "1",
    },
}
WITH_FALLBACK = {**APP, "secrets": {**APP["secrets"], "SECRET_KEY_FALLBACKS": "polls-secret-key:1"}}


def secret(name: str, *days: float, states: t.Sequence[str] = ()) -> dict[str, t.Any]:
    """A secret whose versions, the first one first, are so many days old."""
    versions = [
        {
            "version": str(number),
            "state": states[number - 1] if states else "ENABLED",
            "create_time": (NOW - datetime.timedelta(days=age)).strftime("%Y-%m-%dT%H:%M:%S.123456789Z"),
        }
        for number, age in enumerate(days, 1)
    ]
    return {"name": name, "versions": versions[::-1]}


FOUND = [
    secret("polls-secret-key", 200, 91),
    secret("polls-web-db-password", 10),
    secret("polls-superuser-password", 10),
    secret("smtp", 50.1),
]


def found(
    words: object,
    app: dict[str, t.Any] | None = None,
    secrets: list[dict[str, t.Any]] | None = None,
    days: dict[str, object] | None = None,
) -> dict[str, t.Any]:
    return rotation(words, app or APP, secrets or FOUND, "polls", ["smtp"], days or {}, 30, NOW.timestamp())


def test_words_are_a_list_or_have_commas() -> None:
    for words in ("secret_key, database_password", ["secret_key", "database_password", "secret_key"]):
        result = found(words)
        assert result["problems"] == []
        assert result["words"] == ["secret_key", "database_password"]
        assert result["replaced"] == {
            "polls-secret-key": "2",
            "polls-web-db-password": "1",
            "polls-migrator-db-password": "",
            "polls-web-database-url": "",
            "polls-migrator-database-url": "",
        }
        assert result["fallback"] == "2", "the key that signed until now"


def test_another_rotation_leaves_the_former_key_accepted() -> None:
    assert found("superuser_password", WITH_FALLBACK)["fallback"] == "1"
    assert found("superuser_password")["fallback"] == ""
    assert found("secret_key_fallback", WITH_FALLBACK)["fallback"] == ""
    assert found("secret_key,secret_key_fallback", WITH_FALLBACK)["fallback"] == "", "nobody stays logged in"


def test_a_secret_of_the_teams_is_taken_in_its_newest_enabled_version() -> None:
    three = secret("smtp", 9, 8, 7, states=("ENABLED", "ENABLED", "DISABLED"))
    assert found("smtp", secrets=[three])["pinned"] == {"smtp": "2"}


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("secret-key", "rotate is 'secret-key': expected secret_key, database_password, superuser_password, secret_key_fallback, due, or"),
        ([], "rotate is not set: expected secret_key"),
        ("smtp", "rotate is smtp: what serves reads version 1, and there is no newer one that is enabled."),
        ("secret_key_fallback", "rotate is secret_key_fallback: what serves accepts no key beside the one that signs."),
    ],
)  # fmt: skip
def test_what_cannot_be_rotated_is_told(words: object, told: str) -> None:
    (problem,) = found(words)["problems"]
    assert problem.startswith(told)


def test_what_was_never_given_cannot_be_rotated() -> None:
    (problem,) = found("smtp", {"secret_versions": {}})["problems"]
    assert problem.startswith("rotate is smtp: what serves does not read it yet.")


def test_what_is_due_is_as_old_as_the_version_that_serves() -> None:
    days: dict[str, object] = {"secret_key": "90", "database_password": 30, "smtp": 40}
    result = found("due", days=days)
    assert result["words"] == ["secret_key"]
    assert result["notes"] == [
        "smtp is 50 days old (djangogcp_rotation_days: 40), and only the team knows another value. Add a version:"
        " gcloud secrets versions add smtp --data-file=-"
    ]
    assert found("due", days={"secret_key": 92})["words"] == []
    # Whatever its age: the team has added it to be used.
    assert found("due", secrets=[secret("smtp", 5, 1)], days={"smtp": 400})["words"] == ["smtp"]


def test_a_former_key_is_taken_out_after_its_time() -> None:
    assert found("due", WITH_FALLBACK)["words"] == ["secret_key_fallback"]
    young = [secret("polls-secret-key", 200, 29)]
    assert found("due", WITH_FALLBACK, young)["words"] == []
    assert found("due", WITH_FALLBACK, days={"secret_key": 90})["words"] == ["secret_key"], (
        "which takes it out"
    )


def test_a_rotation_is_what_serves_with_other_versions() -> None:
    app = {
        **APP,
        "image": "i",
        "command_secrets": {},
        "workers": [{"name": "w", "secrets": {"SMTP": "smtp"}}],
    }
    result = rotated(app, {"polls-secret-key": "3"}, "polls-secret-key:2")
    assert result["image"] == "i"
    assert result["secret_versions"] == {**APP["secret_versions"], "polls-secret-key": "3"}
    assert result["secrets"] == {**APP["secrets"], "SECRET_KEY_FALLBACKS": "polls-secret-key:2"}
    assert result["command_secrets"] == {"SECRET_KEY_FALLBACKS": "polls-secret-key:2"}
    assert result["workers"][0]["secrets"] == {"SMTP": "smtp", "SECRET_KEY_FALLBACKS": "polls-secret-key:2"}
    assert rotated(result, {}, "") == {**app, "secret_versions": result["secret_versions"]}


def test_what_the_project_says_of_its_former_keys_stands() -> None:
    own = {
        "secrets": {"SECRET_KEY_FALLBACKS": "my-keys"},
        "command_environment": {"SECRET_KEY_FALLBACKS": "a,b"},
    }
    result = rotated(own, {}, "polls-secret-key:2")
    assert result["secrets"] == {"SECRET_KEY_FALLBACKS": "my-keys"}
    assert result["command_secrets"] == {}
