# Copyright (c) 2026, The djangogcp contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The filters container_env, hook_files, in_maintenance, play_hosts, secret_volumes, shell_words and site_secrets."""

from __future__ import annotations

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.org.djangogcp.plugins.filter.container_env import container_env
from ansible_collections.org.djangogcp.plugins.filter.hook_files import hook_files
from ansible_collections.org.djangogcp.plugins.filter.in_maintenance import in_maintenance
from ansible_collections.org.djangogcp.plugins.filter.play_hosts import play_hosts
from ansible_collections.org.djangogcp.plugins.filter.secret_volumes import secret_volumes
from ansible_collections.org.djangogcp.plugins.filter.shell_words import shell_words
from ansible_collections.org.djangogcp.plugins.filter.site_secrets import site_secrets


def test_variables_and_pinned_secrets_are_sorted_by_name() -> None:
    assert container_env({"B": 1, "C": True, "A": "x"}, {"AB": "polls-key"}, {"polls-key": 2}) == [
        {"name": "A", "value": "x"},
        {"name": "AB", "value_source": {"secret_key_ref": {"secret": "polls-key", "version": "2"}}},
        {"name": "B", "value": "1"},
        {"name": "C", "value": "true"},
    ]


def test_a_variable_may_name_another_version() -> None:
    (variable,) = container_env({}, {"OLD": "polls-key:1"}, {"polls-key": 2})
    assert variable["value_source"]["secret_key_ref"] == {"secret": "polls-key", "version": "1"}
    assert container_env({}, {"OLD": "another:7"}, {})


def test_what_serves_in_maintenance_has_variables_that_go_with_it() -> None:
    app = {"image": "i", "environment": {"A": "x"}, "command_environment": {"A": "x"}}
    said = {"MAINTENANCE_RETRY_AFTER": "600", "MAINTENANCE_MESSAGE": ""}
    on = in_maintenance(app, said, ["candidate.example.com"], ["/-/live", "/-/live", ""])
    assert on["environment"] == {
        "A": "x",
        **said,
        "MAINTENANCE_EXCEPT_HOSTS": "candidate.example.com",
        "MAINTENANCE_EXCEPT_PATHS": "/-/live",
    }
    assert on["command_environment"] == {"A": "x"}
    assert in_maintenance(on, {}) == app


def test_a_variable_that_is_plain_and_secret_is_refused() -> None:
    with pytest.raises(
        AnsibleFilterError,
        match=r"^SECRET_KEY is both a plain variable and a secret\. Remove the plain variable\.$",
    ):
        container_env({"SECRET_KEY": "visible"}, {"SECRET_KEY": "polls-key"}, {"polls-key": "1"})


def test_a_variable_that_is_null_is_left_out() -> None:
    assert container_env({"A": None, "B": ""}, {}, {}) == [{"name": "B", "value": ""}]
    (variable,) = container_env({"SECRET_KEY": None}, {"SECRET_KEY": "polls-key"}, {"polls-key": "1"})
    assert "value_source" in variable


def test_a_secret_without_a_version_is_refused() -> None:
    with pytest.raises(
        AnsibleFilterError,
        match=r"^The version of the secret polls-key is not known\. Run the role secrets first\.$",
    ):
        container_env({}, {"SECRET_KEY": "polls-key"}, {})


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("showmigrations --list", ["showmigrations", "--list"]),
        ("shell -c 'print(1 + 1)'", ["shell", "-c", "print(1 + 1)"]),
        (["shell", "-c", 1], ["shell", "-c", "1"]),
    ],
)
def test_a_command_is_split_as_a_shell_does(command: object, words: list[str]) -> None:
    assert shell_words(command) == words


def test_an_open_quote_is_refused() -> None:
    with pytest.raises(AnsibleFilterError, match=r"cannot be split: No closing quotation\.$"):
        shell_words("shell '")


@pytest.mark.parametrize("command", ["", []])
def test_an_empty_command_is_refused(command: object) -> None:
    with pytest.raises(AnsibleFilterError, match=r"^The command is empty\.$"):
        shell_words(command)


def test_the_files_of_a_folder_are_a_volume() -> None:
    files = {"/run/b/key": "pair", "/run/a/password": "smtp", "/run/b/cert": "pair"}
    assert secret_volumes(files, {"pair": 3, "smtp": "12"}) == {
        "volumes": [
            {
                "name": "secret-1",
                "secret": {"secret": "smtp", "items": [{"path": "password", "version": "12"}]},
            },
            {
                "name": "secret-2",
                "secret": {
                    "secret": "pair",
                    "items": [{"path": "cert", "version": "3"}, {"path": "key", "version": "3"}],
                },
            },
        ],
        "mounts": [
            {"name": "secret-1", "mount_path": "/run/a"},
            {"name": "secret-2", "mount_path": "/run/b"},
        ],
    }
    assert secret_volumes({}, {}) == {"volumes": [], "mounts": []}


MARK = {"site": "polls", "region": "europe-west1", "former_sites": ["votes"]}


def used(*versions: str, **labels: str) -> tuple[str, list[dict[str, str]]]:
    """What becomes of a secret with versions in these states, the newest first: the version, and why it is refused."""
    found = [
        {
            "name": "smtp",
            "labels": labels,
            "versions": [
                {"version": str(len(versions) - place), "state": state}
                for place, state in enumerate(versions)
            ],
        }
    ]
    asked = [{"variable": "A", "name": "smtp", "path": ""}, {"variable": "B", "name": "smtp", "path": "/a/b"}]
    result = site_secrets(asked, found, "my-project", MARK)
    assert [{**one, "version": ""} for one in result["secrets"]] == [{**one, "version": ""} for one in asked]
    (version,) = {one["version"] for one in result["secrets"]}
    return version, result["refused"]


@pytest.mark.parametrize(
    ("states", "version"),
    [(["ENABLED"] * 11, "11"), (["DISABLED", "ENABLED", "ENABLED"], "2"), (["DESTROYED", "ENABLED"], "1")],
)
def test_the_newest_enabled_version_is_used(states: list[str], version: str) -> None:
    assert used(*states) == (version, [])


@pytest.mark.parametrize("states", [[], ["DISABLED", "DESTROYED"]])
def test_a_secret_without_an_enabled_version_is_refused_once(states: list[str]) -> None:
    assert used(*states) == (
        "",
        [
            {
                "type": "site_secret",
                "resource": "secret smtp",
                "reason": "it has no enabled version.",
                "cure": "Enable one, or add one with its value as standard input: gcloud secrets versions add smtp"
                " --project=my-project --data-file=-",
            }
        ],
    )


@pytest.mark.parametrize(
    "labels",
    [
        {"managed-by": "djangogcp", "site": "shop", "region": "europe-west1"},
        {"managed-by": "djangogcp", "site": "polls", "region": "us-central1"},
    ],
)
def test_a_secret_of_another_site_is_refused(labels: dict[str, str]) -> None:
    ((refused,),) = [used("ENABLED", **labels)[1]]
    assert refused["reason"] == (
        f"it belongs to the site {labels['site']} in {labels['region']}, which changes and deletes it as its own."
    )


@pytest.mark.parametrize(
    "labels",
    [
        {},
        {"site": "shop"},
        {"managed-by": "terraform", "site": "shop"},
        {"managed-by": "djangogcp", "site": "votes", "region": "europe-west1"},
    ],
)
def test_a_secret_of_nobody_else_is_used(labels: dict[str, str]) -> None:
    assert used("ENABLED", **labels) == ("1", [])


@pytest.mark.parametrize(
    ("groups", "matched", "limited", "hosts"),
    [
        ({"sites": ["shop", "blog"]}, ["shop"], True, "sites"),
        ({"sites": ["shop"]}, ["shop", "router"], False, "sites"),
        ({"sites": ["shop"]}, ["router"], True, "all"),
        ({"sites": []}, [], False, "localhost"),
        ({}, ["router"], False, "localhost"),
    ],
)
def test_a_play_has_hosts_even_where_no_site_is_matched(groups, matched, limited, hosts) -> None:
    assert play_hosts(groups, "sites", matched, limited) == hosts


def test_hooks_are_looked_for_below_the_first_folder_that_has_them(tmp_path) -> None:
    for folder, name in (("inventory", "a.yml"), ("playbook", "a.yml"), ("playbook", "b.yml")):
        (tmp_path / folder).mkdir(exist_ok=True)
        (tmp_path / folder / name).touch()
    inventory, playbook = str(tmp_path / "inventory"), str(tmp_path / "playbook")
    hooks = {"after_build": "a.yml", "on_failure": ["b.yml", f"{playbook}/a.yml"], "after_release": "c.yml"}
    found = hook_files(hooks, [inventory, playbook])
    assert found["files"] == {
        "after_build": [f"{inventory}/a.yml"],
        "on_failure": [f"{playbook}/b.yml", f"{playbook}/a.yml"],
    }
    assert found["problems"] == [
        f"djangogcp_hooks.after_release is 'c.yml': expected a file of tasks, absolute or below {inventory} or {playbook}."
    ]
    # An inventory that is no file has no folder.
    assert hook_files({"on_failure": "b.yml"}, [None, "", playbook])["problems"] == []


@pytest.mark.parametrize(
    "wrong", [None, "a.yml", [], {"after_build": None}, {"after_build": [1, ""]}, {"after_build": {"a": 1}}]
)
def test_hooks_of_a_wrong_form_are_told_elsewhere(wrong) -> None:
    assert hook_files(wrong, ["/"]) == {"files": {}, "problems": []}
