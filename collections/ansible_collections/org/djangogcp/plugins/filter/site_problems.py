# Copyright (c) 2026, The djangogcp contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

DOCUMENTATION = r"""
name: site_problems
author: The djangogcp contributors (@djangogcp)
version_added: 0.9.0
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
  target_problems:
    description: What the target says of the variables.
    type: list
    elements: str
    default: []
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


import contextlib
import datetime
import itertools
import math
import re
import shlex
import typing as t

from ansible_collections.org.djangogcp.plugins.filter.hook_files import paths
from ansible_collections.org.djangogcp.plugins.filter.in_maintenance import VARIABLES as MAINTENANCE
from ansible_collections.org.djangogcp.plugins.filter.rotation import GENERATED
from ansible_collections.org.djangogcp.plugins.filter.shared_problems import BUCKET_VARIABLES
from ansible_collections.org.djangogcp.plugins.module_utils import _rules as rules
from ansible_collections.org.djangogcp.plugins.module_utils._database_engines import (
    ENGINES,
    VERSIONS,
    engine_of,
)
from ansible_collections.org.djangogcp.plugins.module_utils._rules import (
    Rule,
    between,
    nearest,
    pattern,
    problem,
    unknown,
)
from ansible_collections.org.djangogcp.plugins.plugin_utils import _commands, _workers

# ansible-core requires it; only what ansible-test imports plugins with has none.
with contextlib.suppress(ImportError):
    from packaging.specifiers import SpecifierSet

Values = t.Mapping[str, t.Any]

#: Values that may hold secrets are named, never shown.
HIDDEN = frozenset({"djangogcp_environment", "djangogcp_secrets", "djangogcp_preview_variables"})

_COMPUTED_REASON = "the deploy computes it, and it is no secret. djangogcp_environment can set it otherwise"
_LABEL_REASON = "it is one of the labels by which this collection knows what is whose"
_NOT_OURS = "expected no such entry, because"
# By variable of the environment; see OWN_ENTRIES.
_SET_OTHERWISE = {
    "SECRET_KEY": "the key is in the secret {site}-secret-key, which the first deploy makes. To keep the key of an old server,"
    " make that secret before the first deploy with gcloud secrets create {site}-secret-key --data-file=- and list"
    " 'secret {site}-secret-key' in djangogcp_adopt",
    "DATABASE_URL": "the deploy makes the database and puts its address into the secrets {site}-web-database-url and"
    " {site}-migrator-database-url. Import the data of an old server into it after the first deploy",
    "DJANGO_SUPERUSER_PASSWORD": "the password is in the secret {site}-superuser-password, which the first deploy makes",
    "DJANGO_SUPERUSER_EMAIL": "djangogcp_superuser_email sets it. Set that instead",
    "DJANGO_SUPERUSER_USERNAME": "djangogcp_superuser_username sets it. Set that instead",
    "GS_MEDIA_BUCKET_NAME": "djangogcp_media_bucket sets it, and makes the bucket and its rights, too. Set that instead",
    "GS_STATIC_BUCKET_NAME": "djangogcp_static_bucket sets it, and makes the bucket and its rights, too. Set that instead",
    "DJANGO_OVERLAY_SETTINGS_MODULE": "djangogcp_settings_overlay sets it. Set that instead",
    "DJANGO_PROJECT_SETTINGS_MODULE": "djangogcp_settings_module sets it. Set that instead",
    "DJANGO_ENVIRONMENT_NAMES": "djangogcp_environment_names sets it. Set that instead",
    **dict.fromkeys(MAINTENANCE, "the playbook maintenance sets it"),
    "WEB_CONCURRENCY": "djangogcp_workers sets it, and the requests and connections of an instance are counted by it. Set that"
    " instead",
}
#: Why an entry of a dictionary with free keys is not a person's to set: what the collection sets itself would drop it, or it
#: would undo that. {site} is the site's name. What is not here is honoured: ALLOWED_HOSTS, CSRF_TRUSTED_ORIGINS and
#: GOOGLE_CLOUD_PROJECT replace what is set otherwise, GUNICORN_CMD_ARGS are added to it.
OWN_ENTRIES: dict[str, dict[str, str]] = {
    "djangogcp_environment": _SET_OTHERWISE,
    # A variable has one value, and none of these is a person's secret.
    "djangogcp_secrets": {
        **_SET_OTHERWISE,
        **dict.fromkeys(
            (
                "ALLOWED_HOSTS",
                "CSRF_TRUSTED_ORIGINS",
                "DJANGO_SETTINGS_MODULE",
                "GOOGLE_CLOUD_PROJECT",
                "GUNICORN_CMD_ARGS",
            ),
            _COMPUTED_REASON,
        ),
    },
    # What it gives is there by its own name already.
    "djangogcp_environment_names": {
        **dict.fromkeys(
            ("SECRET_KEY", "DATABASE_URL", "ALLOWED_HOSTS", "CSRF_TRUSTED_ORIGINS", "GOOGLE_CLOUD_PROJECT"),
            "the deploy sets it already, by that name",
        ),
        **dict.fromkeys(
            ("GS_MEDIA_BUCKET_NAME", "GS_STATIC_BUCKET_NAME", "WEB_CONCURRENCY", "DJANGO_SETTINGS_MODULE"),
            "the deploy sets it already, or another variable of the site does",
        ),
    },
    "djangogcp_labels": dict.fromkeys(
        ("managed-by", "site", "region", "purpose", "preview", "preview-of", "preview-until"), _LABEL_REASON
    ),
}
#: What SITE has before these are the names of the secrets that a deploy makes (role secrets).
OWN_SECRETS = (
    "secret-key",
    "superuser-password",
    "web-db-password",
    "migrator-db-password",
    "web-database-url",
    "migrator-database-url",
)
#: The same of gunicorn's options in GUNICORN_CMD_ARGS: the command line of the generated Dockerfile wins over them, or they
#: would win over a variable.
_GUNICORN_OPTIONS = {
    "--threads": "djangogcp_threads sets it, and the requests and connections of an instance are counted by it. Set that instead",
    "--workers": _SET_OTHERWISE["WEB_CONCURRENCY"],
    "--bind": "Cloud Run says where to listen",
    "--worker-tmp-dir": "the generated Dockerfile sets it",
}
_GUNICORN_SHORT = {"-w": "--workers", "-b": "--bind"}

_DNS_LABEL = r"[a-z]([a-z0-9-]*[a-z0-9])?"
_HOST = r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)+"
#: Google's front end answers these itself, with 404: https://cloud.google.com/run/docs/known-issues. Of the paths that end with z
#: it names none; /healthz is one, and /healthz/, /readyz and /livez are not (https://github.com/kkdai/linebot-file/pull/5).
_NOT_RESERVED = r"(?!/(?:healthz|eventlog|_ah|_ah/.*)(?:[?#].*)?\Z)"
_NOT_RESERVED_WORDS = (
    "and is none of /healthz, /eventlog and /_ah/..., which Google's front end answers itself with 404 (serve it at another, such as"
    " /health/)"
)
_PATH_OR_EMPTY = pattern(
    f"a path that begins with / {_NOT_RESERVED_WORDS}, or nothing",
    _NOT_RESERVED + r"(/[^\s?#\x00-\x1f\x7f-\U0010ffff]*)?",
    limit=2048,
)
_BELOW = r"(?!/)(?!(.*/)?\.\.(/|\Z))[A-Za-z0-9_./@+-]*"
_FOLDER_BELOW = pattern(
    "a folder below djangogcp_source_dir, such as backend, or nothing", _BELOW, limit=1000
)
_FILE_BELOW = pattern(
    "a file below djangogcp_source_dir, such as requirements/live.txt, or nothing", _BELOW, limit=1000
)
_SMOKE_PATH = pattern(
    f"a path that begins with / {_NOT_RESERVED_WORDS}", _NOT_RESERVED + r"/[^\s]*", limit=2048
)
#: A site's name is in S-migrator, a service account id of at most 30 characters (IAM, "Create service accounts"), and in
#: the host name candidate---S-NUMBER, a DNS label of at most 63 (Cloud Run, "Deterministic URL").
SITE_LENGTH = 30 - len("-migrator")
_SECONDS = between(1, 86400)
#: From which one is named where a project cannot run on the one that is asked for, the best first.
_PYTHONS = ("3.13", "3.12", "3.11", "3.10", "3.9", "3.8", "3.14")


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


def _is_rising(percentages: list[int]) -> bool:
    between_them = [0, *percentages, 100]
    return bool(percentages) and all(low < high for low, high in itertools.pairwise(between_them))


def _is_rotation(value: t.Any) -> bool:
    words = value.split(",") if isinstance(value, str) else value
    return isinstance(words, list | tuple) and all(
        isinstance(word, str) and rules.SECRET_ID.test(word.strip()) for word in words
    )


def _or_nothing(rule: Rule) -> Rule:
    return Rule(f"{rule.expected}, or nothing", lambda value: value == "" or rule.test(value))


def _is_rebuild(value: t.Any) -> bool:
    if value in ("", "weekly"):
        return True
    if not isinstance(value, str) or re.fullmatch(r"\d{4}-\d\d-\d\d", value, re.ASCII) is None:
        return False
    try:
        return bool(datetime.date.fromisoformat(value))
    except ValueError:
        return False


#: What djangogcp_environment_names may give other names.
GIVEN = (
    "SECRET_KEY",
    "DATABASE_URL",
    "ALLOWED_HOSTS",
    "CSRF_TRUSTED_ORIGINS",
    "GS_MEDIA_BUCKET_NAME",
    "GS_STATIC_BUCKET_NAME",
    "GOOGLE_CLOUD_PROJECT",
    "DATABASE_NAME",
    "DATABASE_USER",
    "DATABASE_PASSWORD",
    "DATABASE_HOST",
    "DATABASE_PORT",
    "DATABASE_ENGINE",
    "DATABASE_INSTANCE",
)

#: When a deploy runs files of tasks, in its order.
HOOKS = (
    "before_build",
    "after_build",
    "before_commands",
    "after_commands",
    "before_traffic",
    "after_traffic",
    "after_release",
    "on_failure",
)

#: By variable.
RULES: dict[str, Rule] = {
    "djangogcp_project": rules.PROJECT_ID,
    "djangogcp_region": rules.LOCATION,
    "djangogcp_target": pattern(
        "cloud_run, compute_engine, or the full name of a role that is a target, such as my.collection.role",
        r"[a-z]\w*(\.[a-z]\w*\.[a-z]\w*)?",
        limit=200,
    ),
    "djangogcp_site": pattern(
        f"2 to {SITE_LENGTH} lower case letters, digits and hyphens, beginning with a letter, because SITE-migrator is the id of"
        " a service account (30 characters) and SITE is part of a host name (63 characters)",
        r"[a-z][a-z0-9-]*[a-z0-9]",
        limit=SITE_LENGTH,
    ),
    "djangogcp_former_site": pattern(
        "the former name of the site: lower case letters, digits and hyphens, or nothing",
        r"([a-z][a-z0-9-]*[a-z0-9])?",
    ),
    "djangogcp_roll_forward_from": pattern(
        "the name of what serves, such as polls-00007-abc, or nothing", r"([A-Za-z0-9][\w.:@-]*)?", limit=255
    ),
    "djangogcp_labels": rules.LABELS,
    "djangogcp_environment": rules.ENVIRONMENT,
    "djangogcp_environment_names": rules.each_entry(
        f"one of {', '.join(GIVEN)}, by {rules.ENVIRONMENT_NAME.expected}",
        rules.is_environment_name,
        GIVEN.__contains__,
        1000,
    ),
    "djangogcp_settings_overlay": Rule(
        "true, false or auto", lambda value: str(value).lower() in ("true", "false", "auto")
    ),
    "djangogcp_secrets": rules.SITE_SECRETS,
    "djangogcp_rotation_days": rules.each_entry(
        "1 to 36500 days, by secret_key, database_password, superuser_password or the name of a secret",
        rules.SECRET_ID.test,
        between(1, 36500).test,
        100,
    ),
    "djangogcp_superuser_email": pattern(
        "an e-mail address", r"[\w.!#$%&'*+/=?^`{|}~-]+@[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+", limit=254
    ),
    "djangogcp_superuser_username": pattern("letters, digits and @.+-_", r"[\w.@+-]+", limit=150),
    "djangogcp_python_version": pattern("a minor version such as 3.13, in quotes", r"3\.\d{1,2}"),
    "djangogcp_build_location": pattern(
        "a region such as europe-west1, global, or nothing", r"([a-z]+(-[a-z0-9]+)*)?", limit=40
    ),
    "djangogcp_rebuild": Rule("weekly, a date such as 2026-11-28, in quotes, or nothing", _is_rebuild),
    "djangogcp_manage_dir": _FOLDER_BELOW,
    "djangogcp_requirements": _FILE_BELOW,
    "djangogcp_settings_module": pattern(
        "a module such as config.settings, or nothing", r"([A-Za-z_]\w*(\.[A-Za-z_]\w*)*)?"
    ),
    "djangogcp_wsgi_module": pattern(
        "package.module:attribute, or nothing", r"([A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*)?"
    ),
    "djangogcp_startup_path": _PATH_OR_EMPTY,
    "djangogcp_liveness_path": _PATH_OR_EMPTY,
    "djangogcp_admin_path": _PATH_OR_EMPTY,
    "djangogcp_port": rules.PORT,
    "djangogcp_min_instances": rules.INSTANCES,
    "djangogcp_max_instances": between(1, 10000),
    "djangogcp_workers": between(1, 64),
    "djangogcp_threads": between(1, 1000),
    "djangogcp_background_workers": rules.each_entry(
        _workers.EXPECTED, _workers.is_name, _workers.is_worker, 50
    ),
    "djangogcp_job_timeout_seconds": _SECONDS,
    # lock_timeout of PostgreSQL is an int of milliseconds, and nobody lets a site wait for a day.
    "djangogcp_migration_lock_timeout_seconds": between(0, 86400),
    "djangogcp_migration_statement_timeout_seconds": between(0, 86400),
    "djangogcp_lock_wait_seconds": rules.WAIT_SECONDS,
    # A rollback reads the newest 50 records.
    "djangogcp_keep_releases": rules.between(1, 50),
    "djangogcp_keep_days": rules.DAYS,
    "djangogcp_canary_percentages": Rule(
        "rising percentages from 1 to 99, at least one", lambda value: _is_rising([int(one) for one in value])
    ),
    "djangogcp_canary_step_seconds": rules.CANARY_SECONDS,
    "djangogcp_canary_max_error_ratio": rules.RATIO,
    "djangogcp_canary_max_p95_ms": rules.MILLISECONDS,
    "djangogcp_canary_min_requests": rules.CANARY_REQUESTS,
    "djangogcp_preview_days": between(1, 365),
    "preview": pattern(
        "1 to 12 lower case letters, digits and hyphens, because it is part of the names of what is made",
        r"[a-z0-9]([a-z0-9-]*[a-z0-9])?",
        limit=12,
    ),
    # Each is checked as what it sets (filter preview).
    "djangogcp_preview_variables": rules.each_entry(
        "variables of a site by their names, djangogcp_...",
        lambda name: re.fullmatch(r"djangogcp_(?!out_)[a-z_]+", name, re.ASCII) is not None,
        lambda _value: True,
        200,
    ),
    "djangogcp_hooks": rules.each_entry(
        f"a path of a file of tasks, or a list of them, by one of {', '.join(HOOKS)}",
        HOOKS.__contains__,
        lambda value: (
            bool(paths(value)) and len(paths(value)) == (1 if isinstance(value, str) else len(value))
        ),
        len(HOOKS),
    ),
    "djangogcp_repository": rules.REPOSITORY,
    "djangogcp_source_bucket": rules.BUCKET,
    "djangogcp_media_bucket": rules.BUCKET,
    "djangogcp_static_bucket": rules.BUCKET,
    "djangogcp_releases_bucket": rules.BUCKET,
    "djangogcp_database_instance": rules.SQL_INSTANCE,
    "djangogcp_network": _or_nothing(rules.NETWORK),
    "djangogcp_subnetwork": _or_nothing(rules.SUBNETWORK),
    # It stands in SQL, in addresses and in names of secrets.
    "djangogcp_database_name": pattern(ENGINES[0].database_name_words, ENGINES[0].database_name),
    "djangogcp_database_version": pattern("POSTGRES_14 or later, MYSQL_8_0 or MYSQL_8_4", VERSIONS),
    "djangogcp_database_tier": rules.SQL_TIER,
    "djangogcp_database_flags": rules.SQL_FLAGS,
    # Variables of one role only.
    "cloud_run_candidate_tag": rules.TAG,
    "cloud_run_worker_settle_seconds": rules.SETTLE_SECONDS,
    "compute_engine_certificate": _or_nothing(rules.FILE),
    "compute_engine_certificate_key": _or_nothing(rules.FILE),
    "compute_engine_disk_gb": rules.BOOT_DISK_GB,
    "compute_engine_image": rules.BOOT_IMAGE,
    "compute_engine_ip_range": rules.NETWORK_RANGE,
    "compute_engine_machine_type": rules.INSTANCE_MACHINE_TYPE,
    "compute_engine_ssh_key": rules.FILE,
    "compute_engine_worker_settle_seconds": rules.SETTLE_SECONDS,
    "compute_engine_zone": rules.ZONE,
    "database_backup_start_time": rules.TIME_OF_DAY,
    "database_retained_backups": rules.RETAINED_BACKUPS,
    "database_transaction_log_retention_days": rules.LOG_DAYS,
    "database_ready_timeout_seconds": _SECONDS,
    "image_build_timeout_seconds": rules.BUILD_SECONDS,
    "preflight_reserved_connections": between(0, 100000),
    "release": between(0, 999999),
    "log_since": pattern("a number with s, m, h or d, such as 30m", r"[1-9][0-9]{0,3}[smhd]"),
    "log_lines": between(1, 1000),
    "log_search": rules.line(1000),
    "rotate": Rule(
        "secret_key, database_password, superuser_password, secret_key_fallback, due, or names of secrets, as a list or with commas",
        _is_rotation,
    ),
    "secrets_replaced": rules.SECRET_VERSIONS,
    "secrets_disabled": rules.each_entry(
        "lists of numbers of versions by names of secrets",
        rules.SECRET_ID.test,
        lambda value: isinstance(value, list) and all(re.fullmatch(r"\d{0,18}", str(one)) for one in value),
        100,
    ),
    "secrets_destroy_after_days": rules.DAYS,
    "release_fallback_days": rules.DAYS,
    "release_smoke_timeout_seconds": rules.WAIT_SECONDS,
    "storage_media_noncurrent_days": rules.DAYS,
    "maintenance": Rule(
        "on or off", lambda value: str(value).lower() in ("on", "off", "true", "false", "yes", "no")
    ),
    "maintenance_message": pattern(
        "one line of text", r"(?=.*\S)[^\x00-\x1f\x7f-\x9f\u2028\u2029]+", limit=1000
    ),
    "maintenance_retry_after_seconds": between(1, 604800),
    "manage_command": Rule(
        "the arguments of manage.py, as a list of strings or as one string in which every quote is closed",
        _is_command,
    ),
}

#: The default of the one is made of the other, which is what to fix.
MADE_OF: dict[str, str] = {
    "djangogcp_repository": "djangogcp_site",
    "djangogcp_source_bucket": "djangogcp_project",
    "djangogcp_media_bucket": "djangogcp_project",
    "djangogcp_static_bucket": "djangogcp_project",
    "djangogcp_releases_bucket": "djangogcp_project",
    "djangogcp_database_name": "djangogcp_site",
    "djangogcp_subnetwork": "djangogcp_network",
}

ELEMENT_RULES: dict[str, Rule] = {
    "compute_engine_source_ranges": rules.NETWORK_RANGE,
    "djangogcp_adopt": rules.ADOPTED,
    "djangogcp_release_commands": Rule(_commands.EXPECTED, _commands.is_command),
    "djangogcp_secret_locations": rules.LOCATION,
    "djangogcp_system_packages": rules.DEBIAN_PACKAGE,
    "djangogcp_domains": pattern("host names such as www.example.com", _HOST),
    "djangogcp_database_extensions": pattern(
        "names of PostgreSQL extensions such as pg_trgm", r"[a-z][a-z0-9_-]*", limit=63
    ),
    "preflight_permissions": rules.PERMISSION,
    "preflight_regions": rules.LOCATION,
    "project_services": rules.API,
    "project_network_services": rules.API,
    "djangogcp_smoke_paths": _SMOKE_PATH,
    "storage_static_origins": pattern(
        "* or origins such as https://www.example.com", r"\*|https?://[A-Za-z0-9.:*-]+"
    ),
}

_TYPES: dict[str, tuple[str, t.Callable[[t.Any], bool]]] = {
    "str": ("a string", lambda value: isinstance(value, str)),
    # A number in quotes is what -e and an AWX survey send.
    "int": (
        "an integer",
        lambda value: (
            not isinstance(value, bool) and re.fullmatch(r"-?\d{1,18}", str(value), re.ASCII) is not None
        ),
    ),
    "float": ("a number", rules.is_number),
    "bool": ("true or false", lambda value: str(value).lower() in {"true", "false", "yes", "no"}),
    "list": ("a list", lambda value: isinstance(value, list | tuple)),
    "dict": ("a dictionary", lambda value: isinstance(value, t.Mapping)),
    "path": ("a path", lambda value: isinstance(value, str)),
    "raw": ("anything", lambda value: True),
}


def _problem(name: str, value: t.Any, expected: str, suggestion: str | None = None) -> str:
    return problem(name, value, expected, suggestion, is_secret=name.partition(".")[0] in HIDDEN)


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
        # YAML makes 3.1 of 3.10.
        return _problem(name, value, f"{expected}, in quotes" if isinstance(value, float) else expected)
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
    """What is wrong with the variables of a site.

    *values* are all variables by name, *options* what the role's argument specification says of them.
    """
    problems = {name: _problems_of(name, values, option) for name, option in options.items()}
    return unknown_variables(values, options) + [
        problem
        for name, found in problems.items()
        if not problems.get(MADE_OF.get(name, ""))
        for problem in found
    ]


def _problems_of(name: str, values: Values, option: Values) -> list[str]:
    if name not in values or (option.get("required") and values[name] in (None, "")):
        return [f"{name} is not set: expected {_sentence(option)}."] if option.get("required") else []
    value = values[name]
    # What 2 CPUs are is said without quotes, too: a module makes a string of it.
    if option.get("type", "str") == "str" and isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    wrong_type = _type_problem(name, value, option)
    if wrong_type:
        return [wrong_type]
    rule = RULES.get(name)
    if rule and rule.entry:
        # An entry that is null is not set: so a host takes back what its group sets.
        value = {key: item for key, item in value.items() if item is not None}
        wrong_entries = [
            _problem(f"{name}.{rules.one_line(str(key))}", item, rule.expected)
            for key, item in value.items()
            if not rule.entry(key, item)
        ]
        wrong_entries += own_entry_problems(name, value, values)
        if wrong_entries:
            return wrong_entries
    wrong_value = _value_problem(name, value, option)
    return [wrong_value] if wrong_value else []


def own_entry_problems(name: str, entries: Values, values: Values) -> list[str]:
    """A message for each of the *entries* of a dictionary that the collection sets itself. Values are not shown.

    Args:
        name: the variable that is the dictionary.
        entries: those that are set.
        values: all variables of the site.
    """
    site = values.get("djangogcp_site", "SITE")
    reasons = OWN_ENTRIES.get(name, {})
    found = [
        f"{name}.{key} is set: {_NOT_OURS} {reasons[key].format(site=site)}."
        for key in entries
        if key in reasons
    ]
    if name == "djangogcp_environment":
        module = values.get("djangogcp_settings_module")
        if module and entries.get("DJANGO_SETTINGS_MODULE", module) != module:
            found.append(
                f"{name}.DJANGO_SETTINGS_MODULE is set: {_NOT_OURS} djangogcp_settings_module sets another module."
            )
        found += _gunicorn_problems(f"{name}.GUNICORN_CMD_ARGS", str(entries.get("GUNICORN_CMD_ARGS", "")))
    if name == "djangogcp_secrets":
        found += _secret_problems(entries, values)
    if name == "djangogcp_rotation_days":
        found += _rotation_problems(name, entries, values)
    if name == "djangogcp_database_flags":
        flag = engine_of(values.get("djangogcp_database_version")).iam_flag
        if str(entries.get(flag, "on")).lower() not in ("on", "true"):
            found.append(f"{name}.{flag} is set: {_NOT_OURS} it has to be on for the deploy to log in.")
    return found


def _secret_problems(entries: Values, values: Values) -> list[str]:
    """A message for each secret that is the site's own already, whose variable is plain, too, or whose file holds another one."""
    own = {f"{values.get('djangogcp_site', 'SITE')}-{name}" for name in OWN_SECRETS}
    environment = values.get("djangogcp_environment")
    plain = environment if isinstance(environment, t.Mapping) else {}
    holds: dict[str, str] = {}
    found = []
    for key, entry in entries.items():
        if not rules.is_site_secret(entry):
            continue
        name, path = (entry["name"], entry["path"]) if isinstance(entry, t.Mapping) else (entry, "")
        if name in own:
            reason = f"{name} is one of the secrets that the deploy makes, and who needs it gets it already"
        elif plain.get(key) is not None:
            reason = f"djangogcp_environment.{key} is set as well. Keep one of them"
        elif path and holds.setdefault(path, name) != name:
            reason = f"{path} holds the secret {holds[path]} already. Choose another path"
        else:
            continue
        found.append(f"djangogcp_secrets.{key} is set: {_NOT_OURS} {reason}.")
    return found


def _rotation_problems(name: str, entries: Values, values: Values) -> list[str]:
    """A message for each word that no rotation knows."""
    secrets = values.get("djangogcp_secrets")
    own = [
        entry["name"] if isinstance(entry, t.Mapping) else str(entry)
        for entry in (secrets.values() if isinstance(secrets, t.Mapping) else ())
        if rules.is_site_secret(entry)
    ]
    known = [*GENERATED, *own]
    entry = RULES[name].entry
    return [
        unknown(f"{name}.{key}", f"one of {', '.join(known)}", [])
        for key, value in entries.items()
        if key not in known and (entry is None or entry(key, value))
    ]


def _gunicorn_problems(name: str, arguments: str) -> list[str]:
    """A message for each option that is not a person's to set, in every form that gunicorn takes for it.

    Source: gunicorn splits the variable by shlex (gunicorn.config.Config.get_cmd_args_from_env), and argparse takes an
    abbreviation for each option that it begins.
    """
    try:
        words = shlex.split(arguments)
    except ValueError as error:
        return [f"{name} is no command line ({error}): expected options as a shell takes them."]
    given = [_GUNICORN_SHORT.get(word[:2], word.partition("=")[0]) for word in words]
    return [
        f"{name} is set with {option}: expected no such option, because {reason}."
        for option, reason in _GUNICORN_OPTIONS.items()
        if any(len(word) > 2 and option.startswith(word) for word in given)
    ]


def _sentence(option: Values) -> str:
    """The first sentence of an option's description, as the end of another sentence."""
    description = option["description"]
    first = (description if isinstance(description, str) else description[0]).rstrip(".")
    without_markup = re.sub(r"\b[A-Z]\((.*?)\)", r"\1", first)
    return without_markup[0].lower() + without_markup[1:]


def role_problems(values: Values, options: t.Mapping[str, Values]) -> list[str]:
    """What is wrong with variables of single roles that the inventory sets.

    Args:
        values: these variables.
        options: what the lookup role_variables says. A variable that is none of them belongs to somebody else.
    """
    return [
        problem
        for name in sorted(values.keys() & options.keys())
        for problem in _problems_of(name, values, {**options[name], "required": False})
    ]


def bucket_problems(values: Values) -> list[str]:
    """A message for each two buckets of a site that are one."""
    return [
        _problem(one, values[one], f"another bucket than {other}, because {reason}")
        for one, other, reason in _APART
        if one in values and values[one] == values.get(other)
    ]


def engine_problems(values: Values) -> list[str]:
    """What does not go with the database server that djangogcp_database_version is."""
    version = values.get("djangogcp_database_version")
    engine = engine_of(version)
    name, extensions = values.get("djangogcp_database_name"), values.get("djangogcp_database_extensions")
    problems = []
    if name and not re.fullmatch(engine.database_name, str(name)):
        problems.append(
            _problem("djangogcp_database_name", name, f"for {version} {engine.database_name_words}")
        )
    if extensions and not engine.has_extensions:
        problems.append(
            _problem(
                "djangogcp_database_extensions", extensions, f"none, because {engine.name} has no extensions"
            )
        )
    return problems


_APART = (
    (
        "djangogcp_media_bucket",
        "djangogcp_static_bucket",
        "everybody may read static files, and uploads stay private",
    ),
    (
        "djangogcp_media_bucket",
        "djangogcp_source_bucket",
        "sources are deleted after 30 days, and uploads are not",
    ),
    (
        "djangogcp_static_bucket",
        "djangogcp_source_bucket",
        "everybody may read static files, and sources stay private",
    ),
    *(
        (one, "djangogcp_releases_bucket", "records of releases are for who deploys, and for nobody else")
        for one in ("djangogcp_media_bucket", "djangogcp_static_bucket", "djangogcp_source_bucket")
    ),
)


def region_problems(region: str, regions: t.Iterable[str]) -> list[str]:
    """A message if *region* is none of *regions*."""
    known = list(regions)
    if not region or region in known:
        return []
    return [_problem("djangogcp_region", region, "a region of Google Cloud", nearest(region, known))]


def source_problems(
    source: Values,
    static: t.Any = "bucket",
    python: t.Any = "",
    overlay: t.Any = "auto",
    packages: t.Any = (),
) -> list[str]:
    """What keeps the folder that the lookup django_source described from being deployed.

    Args:
        source: what the lookup says.
        static: the value of djangogcp_static.
        python: the value of djangogcp_python_version.
        overlay: the value of djangogcp_settings_overlay.
        packages: the value of djangogcp_system_packages.
    """
    name = "djangogcp_source_dir"
    if not source["exists"]:
        return [_problem(name, source["path"], "an existing folder")]
    if source["manage_problem"]:
        return [
            f"djangogcp_manage_dir has to be the folder that holds manage.py: {source['manage_problem']}."
        ]
    if source["manage_dirs"]:
        return [
            f"djangogcp_manage_dir is not set: expected one of {', '.join(source['manage_dirs'])}, which hold a manage.py each."
        ]
    if not source["manage_py"]:
        return [_problem(name, source["path"], "the folder that holds manage.py")]
    if source["unreadable_files"]:
        return [
            _problem(name, source["path"], f"files of UTF-8 text, but {problem}")
            for problem in source["unreadable_files"]
        ]
    problems = _settings_problems(source, overlay)
    problems += _package_problems(source, packages)
    if source["dockerfile"]:
        return problems
    if source["requirements_problem"]:
        problems.append(
            _problem(
                name,
                source["path"],
                f"a folder that tells what is installed, but {source['requirements_problem']}",
            )
        )
    elif not source["requirements_file"]:
        problems.append(
            _problem(
                name,
                source["path"],
                "a requirements.txt, a lock file, a pyproject.toml with dependencies or a setup.py beside manage.py or above it (or djangogcp_requirements)",
            )
        )
    else:
        problems += _python_problems(source, python)
        if source["driver_problem"]:
            expected = (
                f"true, or a driver among the project's own requirements, because {source['driver_problem']}"
            )
            problems.append(_problem("djangogcp_settings_overlay", overlay, expected))
        has_server = source["overlay"] or {"whitenoise", "servestatic"} & set(source["requirements"])
        if static == "image" and source["requirements_known"] and not has_server:
            problems.append(
                _problem(
                    "djangogcp_static",
                    static,
                    f"{source['requirements_file']} to list whitenoise, and the settings to use it (docs/handbook.md, Static files), because nothing "
                    "else serves what is in the image",
                    "bucket",
                )
            )
    if not source["wsgi_module"] and not source["procfile_web"]:
        found = ", ".join(source["wsgi_modules"]) or "none"
        problems.append(
            f"djangogcp_wsgi_module is not set: expected package.module:attribute, because several or no wsgi.py or asgi.py were found ({found})."
        )
    return problems


def _settings_problems(source: Values, overlay: t.Any) -> list[str]:
    """A message if the application is not there, or what is to be laid over its settings cannot be."""
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
    if str(overlay).lower() == "true" and source["overlay_problem"]:
        expected = f"auto or false, because {source['overlay_problem']}"
        problems.append(_problem("djangogcp_settings_overlay", overlay, expected))
    return problems


def _package_problems(source: Values, packages: t.Any) -> list[str]:
    """A message if packages of Debian are asked for that nothing would install."""
    name = "djangogcp_system_packages"
    if source["dockerfile"]:
        expected = (
            "nothing, because the project has a Dockerfile, which is built as it is. Install them there, with RUN apt-get update && apt-get install"
            " --yes --no-install-recommends"
        )
        return [_problem(name, packages, expected)] if packages else []
    if packages or not source["system_packages_problem"]:
        return []
    return [f"{name} is not set: expected packages of Debian, because {source['system_packages_problem']}."]


def _python_problems(source: Values, python: t.Any) -> list[str]:
    """A message if what the project has installed cannot run on the version of Python that is asked for."""
    needs: Values = source["python_needs"]

    def refusing(version: str) -> list[str]:
        # Any release of a minor version will do, such as the 3.11.4 that >=3.11.2 asks for.
        return [
            reason
            for said, reason in needs.items()
            if not any(SpecifierSet(said).contains(f"{version}.{patch}") for patch in (0, 99))
        ]

    if (
        not isinstance(python, str)
        or RULES["djangogcp_python_version"].test(python) is False
        or not refusing(python)
    ):
        return []
    others = [version for version in _PYTHONS if not refusing(version)]
    expected = f"one that the project runs on, but {'; '.join(refusing(python))}"
    return [_problem("djangogcp_python_version", python, expected, others[0] if others else None)]


def worker_problems(asked: Values) -> list[str]:
    """A message for each scheduler that would run more than once.

    Args:
        asked: djangogcp_background_workers.
    """
    return [
        _problem(
            f"djangogcp_background_workers.{worker.name}.instances",
            worker.instances,
            "1, or 0 to stop it, because it is a scheduler, and two would do everything twice",
            "1",
        )
        for worker in _workers.workers(asked)
        if worker.is_scheduler and worker.instances > 1
    ]


def command_problems(asked: t.Iterable[t.Any]) -> list[str]:
    """A message for each command of a release that has the name of another one.

    Args:
        asked: djangogcp_release_commands.
    """
    expected = "commands whose first words differ, for each has a job of its own"
    return [
        _problem("djangogcp_release_commands", name, expected)
        for name in _commands.names_twice(_commands.commands(asked))
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
    target_problems: t.Iterable[str] = (),
) -> list[str]:
    """Everything that is wrong with a site before anything is asked of Google Cloud. See DOCUMENTATION."""
    problems = variable_problems(values, variables) + role_problems(role_values or {}, roles or {})
    # What depends on a variable says nothing new about one that is already refused.
    refused = {re.split(r"[ .]", problem, maxsplit=1)[0] for problem in problems}

    def are_right(*names: str) -> bool:
        return values.keys() >= set(names) and not refused & set(names)

    if are_right("djangogcp_region"):
        problems += region_problems(values["djangogcp_region"], regions)
    if source and are_right("djangogcp_source_dir"):
        static = values.get("djangogcp_static")
        python = values.get("djangogcp_python_version")
        overlay = values.get("djangogcp_settings_overlay", "auto")
        packages = values.get("djangogcp_system_packages") or ()
        found = source_problems(source, static, python, overlay, packages)
        problems += [one for one in found if one.partition(" ")[0] not in refused]
    if not refused.intersection(BUCKET_VARIABLES):
        problems += bucket_problems(values)
    if are_right("djangogcp_release_commands"):
        problems += command_problems(values["djangogcp_release_commands"])
    if are_right("djangogcp_background_workers"):
        problems += worker_problems(values["djangogcp_background_workers"])
    problems += [one for one in target_problems if one.partition(" ")[0] not in refused]
    if are_right("djangogcp_database_version"):
        found = engine_problems(values)
        names = [one.partition(" ")[0] for one in found]
        problems += [
            one for name, one in zip(names, found, strict=True) if not refused & {name, MADE_OF.get(name)}
        ]
    if are_right("djangogcp_database_tier", "djangogcp_database_edition"):
        problems += tier_problems(values["djangogcp_database_tier"], values["djangogcp_database_edition"])
    return problems


class FilterModule:
    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"site_problems": site_problems}
