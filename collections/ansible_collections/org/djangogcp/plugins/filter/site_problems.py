# Copyright (c) 2026, The djangogcp contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

DOCUMENTATION = r"""
name: site_problems
author: The djangogcp contributors (@djangogcp)
version_added: 1.0.0
short_description: What is wrong with the variables of a site
description:
  - Finds unknown, missing and wrong variables before anything is asked of Google Cloud.
  - An empty text, as an AWX survey sends one, is no value but for the variables that may be empty.
options:
  _input:
    description: All variables of the site by name.
    type: dict
    required: true
  variables:
    description: The variables that exist, as the options of an argument specification.
    type: dict
    required: true
  regions:
    description: The regions that exist.
    type: list
    elements: str
    required: true
  source:
    description: What the lookup P(org.djangogcp.django_source#lookup) says of the project's folder. Not looked at if empty.
    type: dict
    default: {}
  roles:
    description: What the lookup P(org.djangogcp.role_variables#lookup) says of the variables of single roles.
    type: dict
    default: {}
  role_values:
    description: The values of those of them that the inventory sets.
    type: dict
    default: {}
"""

EXAMPLES = r"""
- name: Refuse wrong variables
  ansible.builtin.assert:
    that: problems | length == 0
    fail_msg: "{{ problems | join(' ') }}"
  vars:
    problems: >-
      {{ {'djangogcp_regoin': 'europe-west1'}
         | org.djangogcp.site_problems({'djangogcp_region': {'type': 'str'}}, ['europe-west1']) }}
"""

RETURN = r"""
_value:
  description: One sentence or two for each problem.
  type: list
  elements: str
  sample:
    - djangogcp_regoin is unknown: expected the name of a variable of this collection. Did you mean djangogcp_region?
"""


import math
import re
import shlex
import typing as t

from ansible_collections.org.djangogcp.plugins.module_utils import _rules as rules
from ansible_collections.org.djangogcp.plugins.module_utils._rules import (
    Rule,
    between,
    nearest,
    pattern,
    problem,
    unknown,
)

Values = t.Mapping[str, t.Any]

#: Values that may hold secrets are named, never shown.
_HIDDEN = frozenset({"djangogcp_environment", "cloud_run_environment"})

_DNS_LABEL = r"[a-z]([a-z0-9-]*[a-z0-9])?"
_HOST = r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)+"
_PATH_OR_EMPTY = pattern(
    "a path that begins with / and is not /healthz, which Google's front end answers itself, or nothing",
    r"(?!/healthz\Z)(/[^\s?#\x00-\x1f\x7f-\U0010ffff]*)?",
    limit=2048,
)
#: A site's name is in S-migrator, a service account id of at most 30 characters (IAM, "Create service accounts"), and in
#: the host name candidate---S-NUMBER, a DNS label of at most 63 (Cloud Run, "Deterministic URL").
_SITE_LENGTH = 30 - len("-migrator")
_SECONDS = between(1, 86400)


def _is_command(value: t.Any) -> bool:
    try:
        words = shlex.split(value) if isinstance(value, str) else list(value)
    except (TypeError, ValueError):
        return False
    return (
        bool(words)
        and not isinstance(value, t.Mapping)
        and all(isinstance(word, str | int | float) and "\0" not in str(word) for word in words)
    )


#: By variable; a variable of a role whose default is one of these obeys its rule as well.
RULES: dict[str, Rule] = {
    "djangogcp_project": rules.PROJECT_ID,
    "djangogcp_region": rules.LOCATION,
    "djangogcp_site": pattern(
        f"2 to {_SITE_LENGTH} lower case letters, digits and hyphens, beginning with a letter, because SITE-migrator is the id of"
        " a service account (30 characters) and SITE is part of a host name (63 characters)",
        r"[a-z][a-z0-9-]*[a-z0-9]",
        limit=_SITE_LENGTH,
    ),
    "djangogcp_labels": rules.LABELS,
    "djangogcp_environment": rules.ENVIRONMENT,
    "djangogcp_superuser_email": pattern(
        "an e-mail address", r"[\w.!#$%&'*+/=?^`{|}~-]+@[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+", limit=254
    ),
    "djangogcp_superuser_username": pattern("letters, digits and @.+-_", r"[\w.@+-]+", limit=150),
    "djangogcp_python_version": pattern("a minor version such as 3.13, in quotes", r"3\.\d{1,2}"),
    "djangogcp_settings_module": pattern(
        "a module such as config.settings, or nothing", r"([A-Za-z_]\w*(\.[A-Za-z_]\w*)*)?"
    ),
    "djangogcp_wsgi_module": pattern(
        "package.module:attribute, or nothing", r"([A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*)?"
    ),
    "djangogcp_startup_path": _PATH_OR_EMPTY,
    "djangogcp_liveness_path": _PATH_OR_EMPTY,
    "djangogcp_admin_path": _PATH_OR_EMPTY,
    "djangogcp_min_instances": rules.INSTANCES,
    "djangogcp_max_instances": between(1, 10000),
    "djangogcp_workers": between(1, 64),
    "djangogcp_threads": between(1, 1000),
    "djangogcp_request_timeout_seconds": rules.REQUEST_SECONDS,
    "djangogcp_job_timeout_seconds": _SECONDS,
    "djangogcp_cpu": rules.CPU,
    "djangogcp_memory": rules.MEMORY,
    "djangogcp_repository": rules.REPOSITORY,
    "djangogcp_source_bucket": rules.BUCKET,
    "djangogcp_media_bucket": rules.BUCKET,
    "djangogcp_static_bucket": rules.BUCKET,
    "djangogcp_database_instance": rules.SQL_INSTANCE,
    # With _migrator at its end it is the name of a user. It stands in SQL, in addresses and in names of secrets.
    "djangogcp_database_name": pattern(
        "at most 54 lower case letters, digits and underscores, beginning with a letter",
        r"[a-z_][a-z0-9_]*",
        limit=54,
    ),
    "djangogcp_database_version": pattern("POSTGRES_14 or later", r"POSTGRES_(1[4-9]|[2-9]\d)"),
    "djangogcp_database_tier": rules.SQL_TIER,
    "djangogcp_database_flags": rules.SQL_FLAGS,
    # Variables of one role only.
    "cloud_run_candidate_tag": rules.TAG,
    "cloud_run_database_connection": rules.CONNECTION,
    "cloud_run_image": rules.IMAGE,
    "cloud_run_project_number": pattern("the number of a project", r"\d{6,20}"),
    "secrets_database_connection": rules.CONNECTION,
    "database_backup_start_time": rules.TIME_OF_DAY,
    "database_retained_backups": rules.RETAINED_BACKUPS,
    "database_transaction_log_retention_days": rules.LOG_DAYS,
    "database_ready_timeout_seconds": _SECONDS,
    "image_build_timeout_seconds": rules.BUILD_SECONDS,
    "preflight_reserved_connections": between(0, 100000),
    "release_smoke_timeout_seconds": rules.WAIT_SECONDS,
    "release_smoke_url": rules.SITE_URL,
    "storage_media_noncurrent_days": rules.DAYS,
    "manage_command": Rule(
        "the arguments of manage.py, as a list of texts or as one text in which every quote is closed",
        _is_command,
    ),
}

#: The default of the one is made of the other, which is what to mend.
MADE_OF: dict[str, str] = {
    "djangogcp_source_bucket": "djangogcp_project",
    "djangogcp_media_bucket": "djangogcp_project",
    "djangogcp_static_bucket": "djangogcp_project",
    "djangogcp_database_name": "djangogcp_site",
}

ELEMENT_RULES: dict[str, Rule] = {
    "djangogcp_domains": pattern("host names such as www.example.com", _HOST),
    "djangogcp_database_extensions": pattern(
        "names of PostgreSQL extensions such as pg_trgm", r"[a-z][a-z0-9_-]*", limit=63
    ),
    "preflight_permissions": rules.PERMISSION,
    "preflight_regions": rules.LOCATION,
    "project_services": rules.API,
    "release_smoke_paths": rules.HTTP_PATH,
    "storage_static_origins": pattern(
        "* or origins such as https://www.example.com", r"\*|https?://[A-Za-z0-9.:*-]+"
    ),
}

_TYPES: dict[str, tuple[str, t.Callable[[t.Any], bool]]] = {
    "str": ("a text", lambda value: isinstance(value, str)),
    # A number in quotes is what -e and an AWX survey send.
    "int": (
        "a whole number",
        lambda value: (
            not isinstance(value, bool) and re.fullmatch(r"-?\d{1,18}", str(value), re.ASCII) is not None
        ),
    ),
    "bool": ("true or false", lambda value: str(value).lower() in {"true", "false", "yes", "no"}),
    "list": ("a list", lambda value: isinstance(value, list | tuple)),
    "dict": ("a dictionary", lambda value: isinstance(value, t.Mapping)),
    "path": ("a path", lambda value: isinstance(value, str)),
    "raw": ("anything", lambda value: True),
}


def _problem(name: str, value: t.Any, expected: str, suggestion: str | None = None) -> str:
    return problem(name, value, expected, suggestion, is_secret=name in _HIDDEN)


def unknown_variables(names: t.Iterable[str], known: t.Iterable[str]) -> list[str]:
    """A message for each of *names* that is not *known*, with the nearest name that is."""
    known = set(known)
    return [
        unknown(name, "the name of a variable of this collection", known)
        for name in sorted(set(names) - known)
    ]


def _type_problem(name: str, value: t.Any, option: Values) -> str | None:
    expected, test = _TYPES[option.get("type", "str")]
    if not test(value):
        return _problem(name, value, expected)
    element_type = option.get("elements")
    if element_type:
        expected, test = _TYPES[element_type]
        if not all(test(element) for element in value):
            return _problem(name, value, f"a list of which each entry is {expected}")
    return None


def _value_problem(name: str, value: t.Any, option: Values) -> str | None:
    choices = option.get("choices")
    if choices and value not in choices:
        return _problem(
            name, value, "one of " + ", ".join(map(str, choices)), nearest(str(value), map(str, choices))
        )
    ruled = option.get("same_as") or name
    rule = RULES.get(ruled)
    if rule and not rule.test(value):
        return _problem(name, value, rule.expected)
    element_rule = ELEMENT_RULES.get(ruled)
    wrong = [element for element in value if not element_rule.test(element)] if element_rule else []
    return _problem(name, wrong[0], element_rule.expected) if element_rule and wrong else None


def variable_problems(values: Values, options: t.Mapping[str, Values]) -> list[str]:
    """What is wrong with the variables of a site, one message each.

    *values* are all variables by name, *options* what the role's argument specification says of them.
    """
    problems = {name: _problem_of(name, values, option) for name, option in options.items()}
    return unknown_variables(values, options) + [
        problem for name, problem in problems.items() if problem and not problems.get(MADE_OF.get(name, ""))
    ]


def _problem_of(name: str, values: Values, option: Values) -> str | None:
    if name not in values or (option.get("required") and values[name] in (None, "")):
        return f"{name} is not set: expected {_sentence(option)}." if option.get("required") else None
    value = values[name]
    return _type_problem(name, value, option) or _value_problem(name, value, option)


def _sentence(option: Values) -> str:
    """The first sentence of an option's description, as the end of another sentence."""
    description = option["description"]
    first = (description if isinstance(description, str) else description[0]).rstrip(".")
    without_markup = re.sub(r"\b[A-Z]\((.*?)\)", r"\1", first)
    return without_markup[0].lower() + without_markup[1:]


def role_problems(values: Values, options: t.Mapping[str, Values]) -> list[str]:
    """What is wrong with variables of single roles that the inventory sets, one message each.

    *options* are what the lookup role_variables says. A variable that is none of them belongs to somebody else.
    """
    problems = [
        _problem_of(name, values, {**options[name], "required": False})
        for name in sorted(values)
        if name in options
    ]
    return [problem for problem in problems if problem]


def region_problems(region: str, regions: t.Iterable[str]) -> list[str]:
    """A message if *region* is none of *regions*."""
    known = list(regions)
    if not region or region in known:
        return []
    return [_problem("djangogcp_region", region, "a region of Google Cloud", nearest(region, known))]


#: Cloud Run, "Configure memory limits": the most GiB of memory by CPUs, and the least. The roles ask for the second
#: generation execution environment, which needs a whole CPU and 512 MiB ("Execution environments").
_MOST_MEMORY = {1: 4, 2: 8, 4: 16, 6: 24, 8: 32}
_LEAST_MEMORY = {4: 2, 6: 4, 8: 4}
_LEAST_OF_GEN2 = 0.5


def size_problems(cpu: str, memory: str) -> list[str]:
    """A message if an instance of so many CPUs cannot have this *memory*."""
    cpus = float(cpu.removesuffix("m")) / 1000 if cpu.endswith("m") else float(cpu)
    if cpus < 1:
        return [
            _problem(
                "djangogcp_cpu",
                cpu,
                "1, 2, 4, 6 or 8, because the second generation of Cloud Run needs a whole CPU",
                "1",
            )
        ]
    least, most = _LEAST_MEMORY.get(int(cpus), _LEAST_OF_GEN2), _MOST_MEMORY[int(cpus)]
    if least <= rules.memory_bytes(memory) / 2**30 <= most:
        return []
    shown = f"{int(least * 1024)}Mi" if least < 1 else f"{least}Gi"
    return [
        _problem(
            "djangogcp_memory", memory, f"a size from {shown} to {most}Gi, because djangogcp_cpu is {cpu}"
        )
    ]


def source_problems(source: Values) -> list[str]:
    """What keeps the folder that the lookup django_source described from being deployed."""
    name = "djangogcp_source_dir"
    if not source["exists"]:
        return [_problem(name, source["path"], "an existing folder")]
    if not source["manage_py"]:
        return [_problem(name, source["path"], "the folder that holds manage.py")]
    if source["unreadable_files"]:
        return [
            _problem(name, source["path"], f"files of UTF-8 text, but {problem}")
            for problem in source["unreadable_files"]
        ]
    problems = []
    if source["wsgi_problem"]:
        suggestion = nearest(source["wsgi_module"], source["wsgi_modules"])
        problems.append(
            _problem(
                "djangogcp_wsgi_module",
                source["wsgi_module"],
                f"package.module:attribute, but {source['wsgi_problem']}",
                suggestion,
            )
        )
    if source["dockerfile"]:
        return problems
    if not source["requirements_file"]:
        problems.append(
            _problem(name, source["path"], "a requirements.txt or a pyproject.toml beside manage.py")
        )
    else:
        problems += _requirement_problems(source)
    if not source["wsgi_module"] and not source["procfile_web"]:
        found = ", ".join(source["wsgi_modules"]) or "none"
        problems.append(
            f"djangogcp_wsgi_module is not set: expected package.module:attribute, because several or no wsgi.py or asgi.py were found ({found})."
        )
    return problems


def _requirement_problems(source: Values) -> list[str]:
    required = set(source["requirements"])
    where = source["requirements_file"]
    needs = {
        "psycopg2-binary, psycopg2 or psycopg, because the database is PostgreSQL": {
            "psycopg2-binary",
            "psycopg2",
            "psycopg",
            "psycopg-binary",
        }
    }
    # What an ASGI application needs is installed where the requirements do not list it.
    if not source["procfile_web"] and not source["asgi"]:
        needs["gunicorn, because the generated Dockerfile starts it"] = {"gunicorn"}
    return [
        _problem("djangogcp_source_dir", source["path"], f"{where} to list {text}")
        for text, any_of in needs.items()
        if not required & any_of
    ]


def tier_problems(tier: str, edition: str) -> list[str]:
    """A message if the machine *tier* is not one of *edition* (Cloud SQL, "Machine series overview")."""
    custom = re.fullmatch(r"db-custom-(\d+)-(\d+)", tier)
    if edition == "ENTERPRISE_PLUS":
        if re.fullmatch(r"db-(perf-optimized-N|c4a-highmem)-\d+", tier):
            return []
        return [
            _problem(
                "djangogcp_database_tier",
                tier,
                "db-perf-optimized-N-2 or larger, because djangogcp_database_edition is ENTERPRISE_PLUS",
                "db-perf-optimized-N-2",
            )
        ]
    if tier in {"db-f1-micro", "db-g1-small"}:
        return []
    if custom is None:
        expected = "db-f1-micro, db-g1-small or db-custom-CPUS-MEMORY (MB), because djangogcp_database_edition is ENTERPRISE"
        return [_problem("djangogcp_database_tier", tier, expected, "db-custom-1-3840")]
    cpus, memory = int(custom.group(1)), int(custom.group(2))
    if (cpus != 1 and (cpus % 2 or cpus > 96)) or cpus < 1:
        return [_problem("djangogcp_database_tier", tier, "1 or an even number of CPUs up to 96")]
    low, high = max(3840, math.ceil(cpus * 0.9 * 1024 / 256) * 256), int(cpus * 6.5 * 1024)
    if memory % 256 or not low <= memory <= high:
        return [
            _problem(
                "djangogcp_database_tier",
                tier,
                f"a memory from {low} to {high} MB in steps of 256 for {cpus} CPUs",
            )
        ]
    return []


def site_problems(
    values: Values,
    variables: t.Mapping[str, Values],
    regions: t.Iterable[str],
    source: Values | None = None,
    roles: Values | None = None,
    role_values: Values | None = None,
) -> list[str]:
    """Everything that is wrong with a site before anything is asked of Google Cloud. See DOCUMENTATION."""
    problems = variable_problems(values, variables) + role_problems(role_values or {}, roles or {})
    # What depends on a variable says nothing new about one that is already refused.
    refused = " ".join(problems)
    if "djangogcp_region " not in refused:
        problems += region_problems(values.get("djangogcp_region", ""), regions)
    if source and "djangogcp_source_dir " not in refused:
        problems += [one for one in source_problems(source) if one.partition(" ")[0] + " " not in refused]
    if {"djangogcp_cpu", "djangogcp_memory"} <= values.keys() and not (
        "djangogcp_cpu " in refused or "djangogcp_memory " in refused
    ):
        problems += size_problems(values["djangogcp_cpu"], values["djangogcp_memory"])
    if {
        "djangogcp_database_tier",
        "djangogcp_database_edition",
    } <= values.keys() and "djangogcp_database_" not in refused:
        problems += tier_problems(values["djangogcp_database_tier"], values["djangogcp_database_edition"])
    return problems


class FilterModule:
    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"site_problems": site_problems}
