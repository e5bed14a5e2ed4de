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
  - An empty text is the same as a variable that is not set, because an AWX survey sends one.
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


import difflib
import math
import re
import typing as t

Values = t.Mapping[str, t.Any]

#: Values that may hold secrets are named, never shown.
_HIDDEN = frozenset({"djangogcp_environment"})

_DNS_LABEL = r"[a-z]([a-z0-9-]*[a-z0-9])?"
_HOST = rf"({_DNS_LABEL}|[0-9a-z]([a-z0-9-]*[a-z0-9])?)(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)+"


class Rule(t.NamedTuple):
    """What a value must match: *test* of it, and *expected* in words."""

    expected: str
    test: t.Callable[[t.Any], bool]


def _pattern(expected: str, pattern: str, *, limit: int = 253) -> Rule:
    return Rule(expected, lambda value: len(value) <= limit and re.fullmatch(pattern, value) is not None)


def _between(low: int, high: int) -> Rule:
    return Rule(f"a whole number from {low} to {high}", lambda value: low <= int(value) <= high)


def _path_or_empty() -> Rule:
    return _pattern(
        "a path that begins with / and is not /healthz, which Google's front end answers itself, or nothing",
        r"(?!/healthz$)(/[^\s?#]*)?",
    )


#: A site's name is in S-migrator, a service account id of at most 30 characters (IAM, "Create service accounts"), and in
#: the host name candidate---S-NUMBER, a DNS label of at most 63 (Cloud Run, "Deterministic URL").
_SITE_LENGTH = 30 - len("-migrator")

_BUCKET = _pattern(
    "3 to 63 lower case letters, digits and hyphens, beginning and ending with a letter or digit",
    r"[a-z0-9][a-z0-9._-]{1,61}[a-z0-9]",
)

RULES: dict[str, Rule] = {
    "djangogcp_project": _pattern(
        "a project id: 6 to 30 lower case letters, digits and hyphens, beginning with a letter",
        r"[a-z][a-z0-9-]{4,28}[a-z0-9]",
    ),
    "djangogcp_site": _pattern(
        f"2 to {_SITE_LENGTH} lower case letters, digits and hyphens, beginning with a letter, because SITE-migrator is the id of"
        " a service account (30 characters) and SITE is part of a host name (63 characters)",
        r"[a-z][a-z0-9-]*[a-z0-9]",
        limit=_SITE_LENGTH,
    ),
    "djangogcp_superuser_email": _pattern("an e-mail address", r"[^@\s]+@[^@\s]+\.[^@\s]+"),
    "djangogcp_superuser_username": _pattern("letters, digits and @.+-_", r"[\w.@+-]+", limit=150),
    "djangogcp_python_version": _pattern("a minor version such as 3.13, in quotes", r"3\.\d{1,2}"),
    "djangogcp_settings_module": _pattern(
        "a module such as config.settings, or nothing", r"([A-Za-z_]\w*(\.[A-Za-z_]\w*)*)?"
    ),
    "djangogcp_startup_path": _path_or_empty(),
    "djangogcp_liveness_path": _path_or_empty(),
    "djangogcp_admin_path": _path_or_empty(),
    "djangogcp_min_instances": _between(0, 10000),
    "djangogcp_max_instances": _between(1, 10000),
    "djangogcp_workers": _between(1, 64),
    "djangogcp_threads": _between(1, 1000),
    "djangogcp_request_timeout_seconds": _between(1, 3600),
    "djangogcp_job_timeout_seconds": _between(1, 86400),
    "djangogcp_cpu": _pattern(
        "1, 2, 4, 6, 8 or a part of one such as 0.5", r"[124680]|0?\.\d{1,2}|[1-8]000m|\d{2,3}m"
    ),
    "djangogcp_memory": _pattern("a size such as 512Mi or 2Gi", r"\d+(Mi|Gi|M|G)"),
    "djangogcp_repository": _pattern("lower case letters, digits and hyphens", _DNS_LABEL, limit=63),
    "djangogcp_source_bucket": _BUCKET,
    "djangogcp_media_bucket": _BUCKET,
    "djangogcp_static_bucket": _BUCKET,
    "djangogcp_database_instance": _pattern(
        "at most 97 lower case letters, digits and hyphens, beginning with a letter", _DNS_LABEL, limit=97
    ),
    "djangogcp_database_name": _pattern(
        "lower case letters, digits and underscores, beginning with a letter", r"[a-z_][a-z0-9_]*", limit=63
    ),
    "djangogcp_database_version": _pattern("POSTGRES_14 or later", r"POSTGRES_(1[4-9]|[2-9]\d)"),
}

#: The default of the one is made of the other, which is what to mend.
MADE_OF: dict[str, str] = {
    "djangogcp_source_bucket": "djangogcp_project",
    "djangogcp_media_bucket": "djangogcp_project",
    "djangogcp_static_bucket": "djangogcp_project",
    "djangogcp_database_name": "djangogcp_site",
}

ELEMENT_RULES: dict[str, Rule] = {
    "djangogcp_domains": _pattern("host names such as www.example.com", _HOST),
    "djangogcp_database_extensions": _pattern(
        "names of PostgreSQL extensions such as pg_trgm", r"[a-z][a-z0-9_-]*", limit=63
    ),
}

_TYPES: dict[str, tuple[str, t.Callable[[t.Any], bool]]] = {
    "str": ("a text", lambda value: isinstance(value, str)),
    # A number in quotes is what -e and an AWX survey send.
    "int": (
        "a whole number",
        lambda value: not isinstance(value, bool) and re.fullmatch(r"-?\d+", str(value)) is not None,
    ),
    "bool": ("true or false", lambda value: str(value).lower() in {"true", "false", "yes", "no"}),
    "list": ("a list", lambda value: isinstance(value, list | tuple)),
    "dict": ("a dictionary", lambda value: isinstance(value, t.Mapping)),
    "path": ("a path", lambda value: isinstance(value, str)),
}


def _shown(value: t.Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return f"'{value}'" if isinstance(value, str) else str(value)


def _problem(name: str, value: t.Any, expected: str, suggestion: str | None = None) -> str:
    what = f"{name} has a wrong value" if name in _HIDDEN else f"{name} is {_shown(value)}"
    return f"{what}: expected {expected}." + (f" Did you mean {suggestion}?" if suggestion else "")


def nearest(word: str, words: t.Iterable[str]) -> str | None:
    """The entry of *words* that *word* is most likely a misspelling of, or None."""
    return next(iter(difflib.get_close_matches(word, sorted(words), n=1, cutoff=0.6)), None)


def unknown_variables(names: t.Iterable[str], known: t.Iterable[str]) -> list[str]:
    """A message for each of *names* that is not *known*, with the nearest name that is."""
    expected = "the name of a variable of this collection"
    return [_unknown(name, expected, nearest(name, known)) for name in sorted(set(names) - set(known))]


def _unknown(name: str, expected: str, suggestion: str | None) -> str:
    return f"{name} is unknown: expected {expected}." + (f" Did you mean {suggestion}?" if suggestion else "")


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
    rule = RULES.get(name)
    if rule and not rule.test(value):
        return _problem(name, value, rule.expected)
    element_rule = ELEMENT_RULES.get(name)
    wrong = [element for element in value if not element_rule.test(element)] if element_rule else []
    return _problem(name, wrong[0], element_rule.expected) if element_rule and wrong else None


def variable_problems(values: Values, options: t.Mapping[str, Values]) -> list[str]:
    """What is wrong with the variables of a site, one message each.

    *values* are all variables by name, *options* what the role's argument specification says of them. An empty text is
    the same as a variable that is not set, because an AWX survey sends one.
    """
    problems = {name: _problem_of(name, values.get(name), option) for name, option in options.items()}
    return unknown_variables(values, options) + [
        problem for name, problem in problems.items() if problem and not problems.get(MADE_OF.get(name, ""))
    ]


def _problem_of(name: str, value: t.Any, option: Values) -> str | None:
    if value is None or value == "":
        return f"{name} is not set: expected {_sentence(option)}." if option.get("required") else None
    return _type_problem(name, value, option) or _value_problem(name, value, option)


def _sentence(option: Values) -> str:
    """The first sentence of an option's description, as the end of another sentence."""
    description = option["description"]
    first = (description if isinstance(description, str) else description[0]).rstrip(".")
    without_markup = re.sub(r"\b[A-Z]\((.*?)\)", r"\1", first)
    return without_markup[0].lower() + without_markup[1:]


def region_problems(region: str, regions: t.Iterable[str]) -> list[str]:
    """A message if *region* is none of *regions*."""
    known = list(regions)
    if not region or region in known:
        return []
    return [_problem("djangogcp_region", region, "a region of Google Cloud", nearest(region, known))]


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
            f"djangogcp_wsgi_module is not set: expected package.module:attribute, because several or no wsgi.py were found ({found})."
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
    if not source["procfile_web"]:
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
) -> list[str]:
    """Everything that is wrong with a site before anything is asked of Google Cloud. See DOCUMENTATION."""
    problems = variable_problems(values, variables)
    # What depends on a variable says nothing new about one that is already refused.
    refused = " ".join(problems)
    if "djangogcp_region " not in refused:
        problems += region_problems(values.get("djangogcp_region", ""), regions)
    if source and "djangogcp_source_dir " not in refused:
        problems += source_problems(source)
    if {
        "djangogcp_database_tier",
        "djangogcp_database_edition",
    } <= values.keys() and "djangogcp_database_" not in refused:
        problems += tier_problems(values["djangogcp_database_tier"], values["djangogcp_database_edition"])
    return problems


class FilterModule:
    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"site_problems": site_problems}
