# Copyright (c) 2026, The djangogcp contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the tests of all scenarios take: the hosts, and plays that are run on them while they serve."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import testinfra
import yaml
from testinfra.host import Host

SERVERS = Path(__file__).resolve().parent
SCENARIO = os.environ["MOLECULE_SCENARIO_NAME"]
HOSTS = tuple(yaml.safe_load((SERVERS / "inventory.yml").read_text("utf-8"))["servers"]["hosts"])

#: Runs a playbook of the scenario on all hosts: ``play("release.yml", python_app_release="2")``.
Play = Callable[..., subprocess.CompletedProcess[str]]


def container(host: str) -> str:
    """The name of a host's container, by the rule of inventory.yml."""
    checkout = hashlib.sha1(str(SERVERS).encode(), usedforsecurity=False).hexdigest()[:8]
    return f"molecule-{checkout}-{SCENARIO}-{host}"


def connected(host: str) -> Host:
    """The host, as testinfra sees it: by ``docker exec``, as root."""
    return testinfra.get_host(f"docker://{container(host)}")


@pytest.fixture(params=HOSTS)
def host(request: pytest.FixtureRequest) -> Host:
    """Each host in turn."""
    return connected(request.param)


@pytest.fixture(scope="session")
def hosts() -> dict[str, Host]:
    """All hosts by their names, for tests in which a play runs on all of them."""
    return {name: connected(name) for name in HOSTS}


@pytest.fixture(scope="session")
def play() -> Play:
    """Runs a playbook; what it printed, in words with one space between them, and its exit status, are the result's."""

    def run(playbook: str, *arguments: str, **variables: Any) -> subprocess.CompletedProcess[str]:
        command = ["ansible-playbook", f"--inventory={SERVERS / 'inventory.yml'}", *arguments]
        command += [f"--extra-vars={json.dumps(variables)}", str(SERVERS / SCENARIO / playbook)]
        environment = {
            **os.environ,
            "ANSIBLE_COLLECTIONS_PATH": str(SERVERS.parents[4]),
            "ANSIBLE_CONNECTION_PLUGINS": str(SERVERS / "common" / "connection"),
            "ANSIBLE_CALLBACK_RESULT_FORMAT": "yaml",
            "ANSIBLE_PIPELINING": "true",
            "ANSIBLE_FORCE_COLOR": "false",
            # Lines are broken at it.
            "COLUMNS": "100000",
        }
        done = subprocess.run(
            command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
        )
        done.stdout = " ".join(done.stdout.split())
        return done

    return run
