# Copyright (c) 2026, The djangogcp contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

DOCUMENTATION = r"""
name: cloud_run_problems
author: The djangogcp contributors (@djangogcp)
version_added: 0.9.0
short_description: What Cloud Run does not take of the variables of a site
description:
  - Private to the role cloud_run. Finds sizes and times that Cloud Run does not have, before anything is asked of Google Cloud. What is of a wrong
    type is left to P(org.djangogcp.site_problems#filter).
options:
  _input:
    description: All variables of the site by name.
    type: dict
    required: true
"""

EXAMPLES = r"""
- name: Refuse what Cloud Run does not take
  ansible.builtin.assert:
    that: problems | length == 0
    fail_msg: "{{ problems | join(' ') }}"
  vars:
    problems: "{{ {'djangogcp_cpu': '1', 'djangogcp_memory': '8Gi'} | org.djangogcp.cloud_run_problems }}"
"""

RETURN = r"""
_value:
  description: One sentence or two for each problem.
  type: list
  elements: str
  sample:
    - "djangogcp_memory is '8Gi': expected a size from 512Mi to 4Gi, because djangogcp_cpu is 1."
"""

import posixpath
import typing as t

from ansible_collections.org.djangogcp.plugins.module_utils import _rules as rules
from ansible_collections.org.djangogcp.plugins.module_utils._database_engines import engine_of
from ansible_collections.org.djangogcp.plugins.module_utils._rules import Rule, problem
from ansible_collections.org.djangogcp.plugins.plugin_utils import _workers

#: By variable; its limits are Cloud Run's.
RULES: dict[str, Rule] = {
    "djangogcp_cpu": rules.CPU,
    "djangogcp_memory": rules.MEMORY,
    "djangogcp_request_timeout_seconds": rules.REQUEST_SECONDS,
}

#: What the size of an instance is called.
SIZES = ("djangogcp_cpu", "djangogcp_memory")
#: Cloud Run, "Configure memory limits": the most GiB of memory by CPUs, and the least. The roles ask for the second
#: generation execution environment, which needs a whole CPU and 512 MiB ("Execution environments").
_MOST_MEMORY = {1: 4, 2: 8, 4: 16, 6: 24, 8: 32}
_LEAST_MEMORY = {4: 2, 6: 4, 8: 4}
_LEAST_OF_GEN2 = 0.5


def size_problems(cpu: str, memory: str, names: tuple[str, str] = SIZES) -> list[str]:
    """A message if an instance of so many CPUs cannot have this *memory*; *names* says what the two are called."""
    cpus = float(cpu.removesuffix("m")) / 1000 if cpu.endswith("m") else float(cpu)
    if cpus < 1:
        return [
            problem(
                names[0],
                cpu,
                "1, 2, 4, 6 or 8, because the second generation of Cloud Run needs a whole CPU",
                "1",
            )
        ]
    least, most = _LEAST_MEMORY.get(int(cpus), _LEAST_OF_GEN2), _MOST_MEMORY[int(cpus)]
    if least <= rules.memory_bytes(memory) / 2**30 <= most:
        return []
    shown = f"{int(least * 1024)}Mi" if least < 1 else f"{least}Gi"
    return [problem(names[1], memory, f"a size from {shown} to {most}Gi, because {names[0]} is {cpu}")]


def worker_size_problems(asked: t.Any, memory: str) -> list[str]:
    """A message for each background worker of a size that a worker pool cannot have.

    Args:
        asked: djangogcp_background_workers. What is of a wrong form is left out.
        memory: the memory of one that says none.
    """
    right = (
        {name: entry for name, entry in asked.items() if _workers.is_worker(entry)}
        if isinstance(asked, t.Mapping)
        else {}
    )
    found = []
    for worker in _workers.workers(right):
        place = f"djangogcp_background_workers.{worker.name}"
        found += size_problems(worker.cpu, worker.memory or memory, (f"{place}.cpu", f"{place}.memory"))
    return found


#: Cloud Run, "Configure secrets", "Disallowed paths and limitations"; /cloudsql has the database's sockets.
_NOT_MOUNTED = ("/dev", "/proc", "/sys", "/cloudsql")
#: What an image has here would be hidden. A generated one has the project in /app and its packages in /venv.
_IN_USE = frozenset(
    ("/app", "/bin", "/boot", "/etc", "/home", "/lib", "/lib64", "/opt", "/root", "/run", "/sbin", "/usr", "/usr/bin", "/usr/lib",
     "/usr/local", "/var", "/venv")
)  # fmt: skip


def file_problems(secrets: t.Mapping[str, t.Any]) -> list[str]:
    """A message for each file with a secret that Cloud Run cannot have there: it mounts a folder for each secret.

    Args:
        secrets: djangogcp_secrets. What is of a wrong form is left out.
    """
    holds: dict[str, str] = {}
    found = []
    for variable, entry in secrets.items():
        if not isinstance(entry, t.Mapping) or not rules.is_site_secret(entry):
            continue
        name, folder = entry["name"], posixpath.dirname(entry["path"])
        near = next((one for one in holds if _is_inside(folder, one) or _is_inside(one, folder)), folder)
        if any(_is_inside(folder, one) for one in _NOT_MOUNTED) or folder in _IN_USE:
            expected = f"a file in another folder than {folder}, because Cloud Run or the image has something of its own there"
        elif near != folder or holds.setdefault(folder, name) != name:
            expected = (
                f"a file in a folder of its own, such as /run/secrets/{variable.lower()}/value, because Cloud Run mounts a folder for"
                f" each secret, and {near} is that of {holds[near]}"
            )
        else:
            continue
        found.append(problem(f"djangogcp_secrets.{variable}.path", entry["path"], expected))
    return found


def _is_inside(path: str, folder: str) -> bool:
    return path == folder or path.startswith(f"{folder}/")


def socket_problems(version: t.Any, network: t.Any) -> list[str]:
    """A message if the database is not reached over the socket of Cloud Run, and no *network* leads to it."""
    if network or engine_of(version).has_socket:
        return []
    return [
        f"djangogcp_network is not set: expected the network that the database is reached in, because users of {version} log in by"
        " caching_sha2_password, which is not known to work over the socket of Cloud Run. Set it, or take MYSQL_8_0."
    ]


def cloud_run_problems(values: t.Mapping[str, t.Any]) -> list[str]:
    """What Cloud Run does not take. See DOCUMENTATION."""
    simple = {name: values[name] for name in RULES if isinstance(values.get(name), str | int)}
    wrong = [name for name, value in simple.items() if not RULES[name].test(value)]
    problems = [problem(name, simple[name], RULES[name].expected) for name in wrong]
    if set(SIZES) <= simple.keys() - set(wrong):
        problems += size_problems(*(str(simple[name]) for name in SIZES))
        problems += worker_size_problems(
            values.get("djangogcp_background_workers"), str(simple["djangogcp_memory"])
        )
    problems += socket_problems(values.get("djangogcp_database_version"), values.get("djangogcp_network"))
    secrets = values.get("djangogcp_secrets")
    return problems + (file_problems(secrets) if isinstance(secrets, t.Mapping) else [])


class FilterModule:
    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"cloud_run_problems": cloud_run_problems}
