#!/usr/bin/python

# Copyright (c) 2026, The djangogcp contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: certificates_info
short_description: Read the certificates that host names answer with
version_added: 0.9.0
description:
  - Connects to each host by TLS, as a browser does, and tells how long its certificate is good for, or why a browser would refuse it. Asks for no page.
extends_documentation_fragment:
  - org.djangogcp._auth
  - org.djangogcp._attributes.info
  - org.djangogcp._attributes.actiongroup_gcp
options:
  hosts:
    description: The host names.
    type: list
    elements: str
    required: true
  port:
    description: The port.
    type: int
    default: 443
notes:
  - Connections honour E(HTTPS_PROXY), E(NO_PROXY), E(REQUESTS_CA_BUNDLE) and E(CURL_CA_BUNDLE).
author:
  - The djangogcp contributors (@djangogcp)
"""

EXAMPLES = r"""
- name: See how long the certificate is good for
  org.djangogcp.certificates_info:
    project: my-project
    hosts: [www.example.com]
  register: result
"""

RETURN = r"""
certificates:
  description: What each host answers with.
  returned: success
  type: list
  elements: dict
  contains:
    host:
      description: The host.
      type: str
    problem:
      description: Why a browser would refuse it, empty if it would not.
      type: str
    names:
      description: The host names that the certificate is for.
      type: list
      elements: str
    not_after:
      description: When it ends.
      type: str
    days_left:
      description: How many whole days that is from now; C(0) with a problem.
      type: int
  sample:
    - host: www.example.com
      problem: ""
      names: [www.example.com]
      not_after: "2026-03-01T00:00:00Z"
      days_left: 61
"""

import datetime
import http.client
import ssl
import time
import typing as t

from ansible_collections.org.djangogcp.plugins.module_utils import _rules as rules
from ansible_collections.org.djangogcp.plugins.module_utils._client import (
    Json,
    connection_through,
    tls_context,
)
from ansible_collections.org.djangogcp.plugins.module_utils._module import Task, for_each, run_module

ARGUMENT_SPEC = {
    "hosts": {"type": "list", "elements": "str", "required": True},
    "port": {"type": "int", "default": 443},
}
RULES = {"hosts": rules.HOST, "port": rules.between(1, 65535)}
_SECONDS = 20


def problem_of(error: Exception) -> str:
    """Why there is no certificate that a browser would take, in a few words."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"has a certificate that browsers refuse: {error.verify_message}"
    if isinstance(error, ssl.SSLError):
        return f"does not speak TLS: {error.reason or 'it failed'}"
    if isinstance(error, TimeoutError):
        return f"does not answer within {_SECONDS} seconds"
    return f"is not reached: {rules.one_line(getattr(error, 'strerror', None) or str(error))}"


def look(host: str, port: int) -> Json:
    """What a host answers with."""
    none: Json = {"host": host, "problem": "", "names": [], "not_after": "", "days_left": 0}
    connection = connection_through(
        http.client.HTTPSConnection, host, port, timeout=_SECONDS, context=tls_context()
    )
    try:
        connection.connect()
        found = t.cast(t.Any, connection.sock).getpeercert()
    except (OSError, http.client.HTTPException) as error:
        return {**none, "problem": problem_of(error)}
    finally:
        connection.close()
    ends = ssl.cert_time_to_seconds(found["notAfter"])
    return {
        **none,
        "names": [name for kind, name in found.get("subjectAltName", ()) if kind == "DNS"],
        "not_after": datetime.datetime.fromtimestamp(ends, datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "days_left": int((ends - time.time()) // 86400),
    }


def work(task: Task) -> Json:
    """Look at all of them."""
    hosts = list(dict.fromkeys(task.params["hosts"]))
    return {"changed": False, "certificates": for_each(hosts, lambda host: look(host, task.params["port"]))}


def main() -> None:
    """Run the module."""
    run_module(ARGUMENT_SPEC, work, rules=RULES, only_reads=True)


if __name__ == "__main__":
    main()
