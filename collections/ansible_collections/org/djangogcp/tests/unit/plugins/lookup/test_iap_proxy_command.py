# Copyright (c) 2026, The djangogcp contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

"""The command line by which ssh reaches a machine."""

import shlex
import sys

from ansible_collections.org.djangogcp.plugins.lookup import iap_proxy_command
from ansible_collections.org.djangogcp.plugins.lookup.iap_proxy_command import PROGRAM, command


def test_a_command_line_names_this_python_and_the_program():
    assert PROGRAM.is_file()
    words = shlex.split(command("web", "p", "us-east1-b"))
    expected = ["--project", "p", "--zone", "us-east1-b", "--instance", "web", "--port", "%p"]
    assert words == [sys.executable, str(PROGRAM), *expected]
    account = "deployer@p.iam.gserviceaccount.com"
    words = shlex.split(command("web", "p", "us-east1-b", account))
    assert words[-4:] == ["--impersonate-service-account", account, "--port", "%p"]


def test_what_is_odd_in_a_path_reaches_the_program(monkeypatch):
    monkeypatch.setattr(iap_proxy_command.sys, "executable", "/opt/a b/100%/python")
    line = command("web; reboot", "p", "z")
    assert "100%%/python" in line
    assert shlex.split(line.replace("%%", "%"))[:1] == ["/opt/a b/100%/python"]
    assert "web; reboot" in shlex.split(line)
