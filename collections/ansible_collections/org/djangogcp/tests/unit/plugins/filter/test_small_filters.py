# Copyright (c) 2026, The djangogcp contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The filters container_env and shell_words."""

from __future__ import annotations

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.org.djangogcp.plugins.filter.container_env import container_env
from ansible_collections.org.djangogcp.plugins.filter.shell_words import shell_words


def test_variables_and_pinned_secrets_are_sorted_by_name() -> None:
    assert container_env({"B": 1, "C": True, "A": "x"}, {"AB": "polls-key"}, {"polls-key": 2}) == [
        {"name": "A", "value": "x"},
        {"name": "AB", "value_source": {"secret_key_ref": {"secret": "polls-key", "version": "2"}}},
        {"name": "B", "value": "1"},
        {"name": "C", "value": "true"},
    ]


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
