"""The module secretmanager_secrets; values are read by direct calls."""

from __future__ import annotations

import base64
import string
import urllib.parse
from typing import Any

import dj_database_url
import environ
import psycopg2.extensions
import pytest

from tests.integration.cloud import PROJECT, Cloud

URL = f"secretmanager.googleapis.com/v1/projects/{PROJECT}/secrets"
VALUE, NEW_VALUE = "first-value-of-a-test", "second-value-of-a-test"


def secret(name: str, **options: Any) -> dict[str, Any]:
    return {"secrets": [{"name": name, **options}]}


def test_the_life_of_a_secret(cloud: Cloud) -> None:
    before = cloud.resources()
    planned = cloud.ok("secretmanager_secrets", check=True, **secret("life", value=VALUE))
    assert planned["actions"] == ["create secret life", "add version 1 to secret life"]
    assert cloud.resources() == before

    made = cloud.ok("secretmanager_secrets", **secret("life", value=VALUE, labels={"site": "polls"}))
    assert made["secrets"][0]["version"] == "1"
    assert cloud.secret_value("life") == VALUE
    assert cloud.api(f"{URL}/life")["labels"] == {"site": "polls"}
    assert (
        cloud.ok("secretmanager_secrets", **secret("life", value=VALUE, labels={"site": "polls"}))["changed"]
        is False
    )

    before = cloud.resources()
    update = secret("life", value=NEW_VALUE, labels={"team": "web"}, old_versions="disable")
    planned = cloud.ok("secretmanager_secrets", check=True, **update)
    assert planned["diff"][0]["before"] == {"labels": {"site": "polls"}, "version": "1"}
    assert planned["diff"][0]["after"] == {"labels": {"team": "web"}, "version": "2"}
    assert cloud.resources() == before
    changed = cloud.ok("secretmanager_secrets", **update)
    assert changed["actions"] == [
        "update secret life",
        "add version 2 to secret life",
        "disable version 1 of secret life",
    ]
    assert cloud.secret_value("life") == NEW_VALUE
    assert cloud.api(f"{URL}/life/versions/1")["state"] == "DISABLED"
    assert cloud.api(f"{URL}/life")["labels"] == {"team": "web"}
    assert cloud.ok("secretmanager_secrets", **update)["changed"] is False

    assert cloud.ok("secretmanager_secrets", **secret("life", state="absent"))["actions"] == [
        "delete secret life"
    ]
    assert cloud.absent(f"{URL}/life")
    assert cloud.ok("secretmanager_secrets", **secret("life", state="absent"))["changed"] is False
    assert cloud.never_printed(VALUE)
    assert cloud.never_printed(NEW_VALUE)


def test_a_value_is_generated_once_and_composed_into_another(cloud: Cloud) -> None:
    asked = {
        "secrets": [
            {
                "name": "made-url",
                "template": "postgres://web:{password}@/polls",
                "values_from": {"password": "made"},
            },
            {"name": "made", "generate": {"length": 32}},
        ]
    }
    before = cloud.resources()
    assert cloud.ok("secretmanager_secrets", check=True, **asked)["changed"] is True
    assert cloud.resources() == before
    cloud.ok("secretmanager_secrets", **asked)
    value = cloud.secret_value("made")
    assert len(value) == 32
    assert cloud.secret_value("made-url") == f"postgres://web:{value}@/polls"
    assert cloud.ok("secretmanager_secrets", **asked)["changed"] is False
    assert cloud.secret_value("made") == value
    assert cloud.never_printed(value)

    cloud.ok("secretmanager_secrets", **secret("made", value="given-by-hand"))
    again = cloud.ok("secretmanager_secrets", **asked)
    assert again["actions"] == ["add version 2 to secret made-url"]
    assert cloud.secret_value("made-url") == "postgres://web:given-by-hand@/polls"
    assert cloud.never_printed("given-by-hand")


def test_the_first_value_is_that_of_another_secret_where_there_is_one(cloud: Cloud) -> None:
    cloud.ok("secretmanager_secrets", **secret("former", value=VALUE))
    asked = secret("renamed", generate={"length": 12, "copy_from": "former"})
    before = cloud.resources()
    assert cloud.ok("secretmanager_secrets", check=True, **asked)["changed"] is True
    assert cloud.resources() == before
    cloud.ok("secretmanager_secrets", **asked)
    assert cloud.secret_value("renamed") == VALUE
    cloud.ok("secretmanager_secrets", **secret("former", value=NEW_VALUE))
    assert cloud.ok("secretmanager_secrets", **asked)["changed"] is False
    assert cloud.secret_value("renamed") == VALUE
    assert cloud.never_printed(VALUE)

    cloud.ok("secretmanager_secrets", **secret("alone", generate={"length": 12, "copy_from": "never-made"}))
    assert len(cloud.secret_value("alone")) == 12


def test_replaced_versions_are_destroyed_on_request(cloud: Cloud) -> None:
    cloud.ok("secretmanager_secrets", **secret("short", value=VALUE))
    changed = cloud.ok("secretmanager_secrets", **secret("short", value=NEW_VALUE, old_versions="destroy"))
    assert changed["secrets"][0]["retired_versions"] == ["1"]
    assert cloud.api(f"{URL}/short/versions/1")["state"] == "DESTROYED"


def test_the_locations_of_a_secret_cannot_change(cloud: Cloud) -> None:
    cloud.ok("secretmanager_secrets", **secret("placed", locations=["europe-west1"]))
    replicas = cloud.api(f"{URL}/placed")["replication"]["userManaged"]["replicas"]
    assert replicas == [{"location": "europe-west1"}]
    assert (
        cloud.ok("secretmanager_secrets", **secret("placed", locations=["europe-west1"]))["changed"] is False
    )
    assert cloud.error("secretmanager_secrets", **secret("placed", locations=["us-east1"])) == (
        "Failed to update secret placed: Google Cloud cannot change locations from ['europe-west1'] to ['us-east1']. "
        "Ask for what is there, or delete the secret and run again to make it anew."
    )


def test_a_template_of_a_secret_that_is_missing_is_refused(cloud: Cloud) -> None:
    asked = secret("composed", template="{password}", values_from={"password": "nowhere"})
    assert cloud.error("secretmanager_secrets", **asked) == (
        f"Failed to compose the value of secret composed: the secret nowhere in project {PROJECT} has no enabled newest "
        "version. Add one, or correct values_from."
    )


def test_a_template_whose_key_is_misspelt_changes_nothing(cloud: Cloud) -> None:
    before = cloud.resources()
    asked = secret("misspelt", template="{pasword}", values_from={"password": "nowhere"})
    assert cloud.error("secretmanager_secrets", **asked) == (
        "Secret misspelt: template uses {pasword} but values_from has no key pasword. Add it."
    )
    assert cloud.resources() == before


@pytest.mark.parametrize(
    "password",
    [
        string.digits + string.ascii_letters + string.punctuation + " ",
        *(f"ended{char}{char}by{char}" for char in string.punctuation + " "),
        "a line's end, as echo writes it\n",
        "\t tabs and spaces around \t ",
        "\N{LATIN SMALL LETTER E WITH ACUTE}\N{CJK UNIFIED IDEOGRAPH-5B57}\N{PILE OF POO} not ASCII",
        "%2F%41 is no slash and no A",
    ],
)
def test_every_reader_finds_in_an_address_what_was_composed(cloud: Cloud, password: str) -> None:
    data = base64.b64encode(password.encode()).decode()
    cloud.ok("secretmanager_secrets", **secret("quoted"))
    version = cloud.api(f"{URL}/quoted:addVersion", method="POST", body={"payload": {"data": data}})
    number = version["name"].rpartition("/")[2]
    address = (
        "postgres://web_{pw|version}:{pw|urlencode}@/polls?host=/cloudsql/my-project:europe-west1:djangogcp"
    )
    cloud.ok("secretmanager_secrets", **secret("quoted-url", template=address, values_from={"pw": "quoted"}))
    assert cloud.never_printed(password)
    url = cloud.secret_value("quoted-url")

    socket = "/cloudsql/my-project:europe-west1:djangogcp"
    for found in (environ.Env.db_url_config(url), dj_database_url.parse(url)):
        read = {name: found[name] for name in ("USER", "PASSWORD", "HOST", "PORT", "NAME")}
        wanted = {"USER": f"web_{number}", "PASSWORD": password, "HOST": "", "PORT": "", "NAME": "polls"}
        assert read == wanted
        assert found["OPTIONS"] == {"host": socket}
    # libpq
    assert psycopg2.extensions.parse_dsn(url) == {
        "user": f"web_{number}", "password": password, "dbname": "polls", "host": socket,
    }  # fmt: skip
    parts = urllib.parse.urlsplit(url)
    assert (parts.username, urllib.parse.unquote(parts.password or "")) == (f"web_{number}", password)
    assert (parts.path, urllib.parse.parse_qs(parts.query)) == ("/polls", {"host": [socket]})
