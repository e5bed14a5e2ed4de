# Copyright (c) 2026, The djangogcp contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: compute_engine_problems
author: The djangogcp contributors (@djangogcp)
version_added: 0.9.0
short_description: What a virtual machine does not take of the variables of a site
description:
  - Private to the role compute_engine. Finds what the target cannot do, before anything is asked of Google Cloud. What is of a wrong type is left to
    P(org.djangogcp.site_problems#filter).
options:
  _input:
    description: All variables of the site by name.
    type: dict
    required: true
  machine:
    description: The variables of the role by their names without C(compute_engine_).
    type: dict
    required: true
  source:
    description: What P(org.djangogcp.django_source#lookup) says of the project.
    type: dict
    required: true
"""

EXAMPLES = r"""
- name: Refuse what a machine does not take
  ansible.builtin.assert:
    that: problems | length == 0
    fail_msg: "{{ problems | join(' ') }}"
  vars:
    problems: "{{ {'djangogcp_strategy': 'canary'} | org.djangogcp.compute_engine_problems({'acme': true}, {}) }}"
"""

RETURN = r"""
_value:
  description: One sentence or two for each problem.
  type: list
  elements: str
  sample:
    - "djangogcp_strategy is 'canary': expected direct, because a machine gives all of its visitors to one release."
"""

import re
import shlex
import typing as t

from ansible_collections.org.djangogcp.plugins.module_utils import _rules as rules
from ansible_collections.org.djangogcp.plugins.module_utils._rules import problem

#: The Python of Debian's releases (https://packages.debian.org/python3), by the family of their images.
PYTHON_OF = {"debian-12": "3.11", "debian-13": "3.13"}
_FAMILY = re.compile(r"projects/debian-cloud/global/images/family/(debian-1[23])")
_PREFIX = "compute_engine_"
#: How a Procfile starts gunicorn.
_GUNICORN = re.compile(r"(exec )?((uv|poetry|pdm|pipenv|hatch) run )?((python3? -m )?gunicorn)(?= )")
#: What a machine says to gunicorn itself (https://gunicorn.org/reference/settings/), where it listens and logs,
#: and what variables of the site say.
_SAID_BY_A_MACHINE = frozenset({
    "-b", "--bind", "--log-file", "--error-logfile", "--access-logfile", "--log-level",
    "-w", "--workers", "--threads", "-t", "--timeout", "-k", "--worker-class",
})  # fmt: skip
#: Workers that serve what those of a machine serve.
_WORKERS = frozenset({"sync", "gthread", "uvicorn.workers.UvicornWorker", "uvicorn_worker.UvicornWorker"})
#: Where a unit has nothing of the machine's, or no file can be made (systemd.exec, ProtectHome=); /cloudsql has the database's sockets.
_NO_PLACES = ("/cloudsql", "/dev", "/home", "/proc", "/root", "/run/user", "/sys")


def compute_engine_problems(
    values: t.Mapping[str, t.Any], machine: t.Mapping[str, t.Any], source: t.Mapping[str, t.Any]
) -> list[str]:
    """What a machine does not take. See DOCUMENTATION."""
    return [
        *_machine_problems(machine, values.get("djangogcp_region")),
        *_certificate_problems(values, machine),
        *_site_problems(values),
        *_file_problems(values),
        *_python_problems(values, machine),
        *_source_problems(source),
    ]


def _machine_problems(machine: t.Mapping[str, t.Any], region: t.Any) -> list[str]:
    zone = machine.get("zone")
    if isinstance(zone, str) and isinstance(region, str) and rules.ZONE.test(zone) and zone[:-2] != region:
        return [
            problem(
                f"{_PREFIX}zone", zone, f"a zone of {region}, where the site's database is", f"{region}-b"
            )
        ]
    return []


def _certificate_problems(values: t.Mapping[str, t.Any], machine: t.Mapping[str, t.Any]) -> list[str]:
    """A site is served over TLS alone: it has a certificate that is given, or one by ACME, which needs names of its own."""
    given = [name for name in ("certificate", "certificate_key") if machine.get(name)]
    if len(given) == 1:
        (missing,) = {"certificate", "certificate_key"} - set(given)
        return [f"{_PREFIX}{missing} is not set: expected a file, because {_PREFIX}{given[0]} is set."]
    if machine.get("acme") and given:
        return [f"{_PREFIX}acme is true: expected false, because {_PREFIX}certificate is set."]
    if machine.get("acme") and not values.get("djangogcp_domains"):
        return [
            f"djangogcp_domains is empty: expected the site's host names, because {_PREFIX}acme asks for a certificate of them."
        ]
    if not machine.get("acme") and not given:
        return [
            f"{_PREFIX}certificate is not set: expected a certificate for the site's host names and {_PREFIX}certificate_key, or {_PREFIX}acme: true,"
            " because a machine serves over TLS alone."
        ]
    return []


def _site_problems(values: t.Mapping[str, t.Any]) -> list[str]:
    found = []
    if values.get("djangogcp_strategy") == "canary":
        found.append(
            problem(
                "djangogcp_strategy",
                "canary",
                "direct, because a machine gives all of its visitors to one release",
            )
        )
    if str(values.get("djangogcp_public", True)).lower() in ("false", "no", "off", "0"):
        found.append(
            problem(
                "djangogcp_public",
                values["djangogcp_public"],
                f"true. Who may reach a machine is said by {_PREFIX}source_ranges",
            )
        )
    if values.get("djangogcp_network"):
        found.append(
            problem(
                "djangogcp_network",
                values["djangogcp_network"],
                "none, because a machine has a network of its own",
            )
        )
    return found


def _file_problems(values: t.Mapping[str, t.Any]) -> list[str]:
    """A message for each file with a secret that systemd cannot have there for the site."""
    secrets = values.get("djangogcp_secrets")
    paths = {
        variable: entry["path"]
        for variable, entry in (secrets if isinstance(secrets, t.Mapping) else {}).items()
        if isinstance(entry, t.Mapping) and rules.is_site_secret(entry)
    }
    own = (*_NO_PLACES, f"/srv/{values.get('djangogcp_site')}")
    found = []
    for variable, path in paths.items():
        folder = next((one for one in (*own, *paths.values()) if path.startswith(f"{one}/")), None)
        if folder:
            why = (
                "is another secret"
                if folder in paths.values()
                else "has something of the machine's or the site's own"
            )
            expected = f"a file in another folder, such as /run/secrets/{variable.lower()}/value, because {folder} {why}"
            found.append(problem(f"djangogcp_secrets.{variable}.path", path, expected))
    return found


def _python_problems(values: t.Mapping[str, t.Any], machine: t.Mapping[str, t.Any]) -> list[str]:
    family = _FAMILY.fullmatch(str(machine.get("image", "")))
    wanted = values.get("djangogcp_python_version")
    if family is None or not isinstance(wanted, str) or wanted == PYTHON_OF[family[1]]:
        return []
    others = [name for name, version in PYTHON_OF.items() if version == wanted]
    cure = f" Set {_PREFIX}image to projects/debian-cloud/global/images/family/{others[0]}." if others else ""
    return [
        problem("djangogcp_python_version", wanted, f"{PYTHON_OF[family[1]]}, which {family[1]} has") + cure
    ]


def _source_problems(source: t.Mapping[str, t.Any]) -> list[str]:
    web, module = source.get("procfile_web"), source.get("wsgi_module", "")
    if not web or _served_by_a_machine(web) == _whole(module):
        return []
    return [
        f"The project's Procfile starts {rules.shown(web)}: expected gunicorn {module} and no options but those that a machine says itself (where it"
        " listens and logs, its workers, threads and timeout). Leave web out of the Procfile, or deploy to cloud_run."
    ]


def _whole(application: str) -> str:
    """The name of an application as gunicorn completes it."""
    return application if ":" in application else f"{application}:application"


def _served_by_a_machine(web: str) -> str:
    """The application that a command line of a Procfile has gunicorn serve, if a machine serves it in the same way; otherwise nothing."""
    begun = _GUNICORN.match(web)
    try:
        words = shlex.split(web[begun.end() :]) if begun else []
    except ValueError:
        return ""
    applications = []
    while words:
        word = words.pop(0)
        option, is_joined, value = word.partition("=")
        if option in _SAID_BY_A_MACHINE and (is_joined or words):
            value = value if is_joined else words.pop(0)
            if option in ("-k", "--worker-class") and value not in _WORKERS:
                return ""
        else:
            applications.append(word)
    return _whole(applications[0]) if len(applications) == 1 else ""


class FilterModule:
    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"compute_engine_problems": compute_engine_problems}
