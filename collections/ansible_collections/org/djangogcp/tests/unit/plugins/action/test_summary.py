# Copyright (c) 2026, The djangogcp contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a person may type next."""

from __future__ import annotations

import types

import pytest
from ansible_collections.org.djangogcp.plugins.action import summary


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ((), "-i inventories/prod"),
        (("@target.yml", "djangogcp_rebuild=today"), "-i inventories/prod -e @target.yml"),
        (("@of this site.yml",), "-i inventories/prod -e '@of this site.yml'"),
    ],
)
def test_files_of_variables_are_said_again_and_variables_are_not(
    monkeypatch: pytest.MonkeyPatch, typed: tuple[str, ...], said: str
) -> None:
    arguments = {
        "args": ("org.djangogcp.deploy",),
        "inventory": ("inventories/prod",),
        "extra_vars": typed,
    }
    monkeypatch.setattr(summary, "context", types.SimpleNamespace(CLIARGS=arguments))
    assert summary._commands(None)["status"] == f"ansible-playbook org.djangogcp.status {said}"
