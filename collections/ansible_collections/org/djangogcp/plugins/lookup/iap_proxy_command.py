# Copyright (c) 2026, The djangogcp contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: iap_proxy_command
author: The djangogcp contributors (@djangogcp)
version_added: 0.9.0
short_description: What ssh runs to reach a virtual machine through Identity-Aware Proxy
description:
  - Tells the ProxyCommand of OpenSSH that leads through Identity-Aware Proxy to a virtual machine, without gcloud.
  - Its credentials are those of the modules of this collection, from the environment of C(ansible-playbook) alone; none of them is in it.
  - Who connects needs C(roles/iap.tunnelResourceAccessor), and a firewall rule has to let 35.235.240.0/20 in to port 22.
options:
  _terms:
    description: The names of the instances.
    type: list
    elements: str
    required: true
  project:
    description: The id of the project.
    type: str
    required: true
  zone:
    description: The zone.
    type: str
    required: true
  impersonate_service_account:
    description: The e-mail address of a service account that the credentials act as.
    type: str
"""

EXAMPLES = r"""
# In the variables of a host. known_hosts has what compute_instance_info tells of its host keys, by the name that HostKeyAlias gives.
ansible_user: "{{ login.username }}"
ansible_ssh_common_args: >-
  -o ProxyCommand={{ lookup('org.djangogcp.iap_proxy_command', inventory_hostname, project='my-project', zone='us-central1-a') | quote }}
  -o HostKeyAlias={{ inventory_hostname }} -o UserKnownHostsFile=known_hosts -o StrictHostKeyChecking=yes
"""

RETURN = r"""
_list:
  description: A command line for each instance, in which ssh fills in the port.
  type: list
  elements: str
"""

import shlex
import sys
import typing as t
from pathlib import Path

from ansible.plugins.lookup import LookupBase

PROGRAM = Path(__file__).absolute().parents[1] / "plugin_utils" / "iap_proxy_command.py"


def command(instance: str, project: str, zone: str, impersonate_service_account: str | None = None) -> str:
    """The command line for an instance. See DOCUMENTATION."""
    words = [sys.executable, str(PROGRAM), "--project", project, "--zone", zone, "--instance", instance]
    if impersonate_service_account:
        words += ["--impersonate-service-account", impersonate_service_account]
    # ssh looks for tokens in it: %p is the port, and %% a percent sign.
    return f"{shlex.join(words).replace('%', '%%')} --port %p"


class LookupModule(LookupBase):
    def run(self, terms: list[str], variables: t.Any = None, **kwargs: t.Any) -> list[str]:
        self.set_options(var_options=variables, direct=kwargs)
        options = {name: self.get_option(name) for name in ("project", "zone", "impersonate_service_account")}
        return [command(instance, **options) for instance in terms]
