"""Every option of every module, generated from the argument specifications and tables: one message, and nothing is asked of Google."""

from __future__ import annotations

import copy
import importlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.org.djangogcp.plugins.module_utils._fields import Field, Kind
from ansible_collections.org.djangogcp.plugins.module_utils._reconcile import ResourceSpec
from ansible_collections.org.djangogcp.plugins.module_utils._rules import ENVIRONMENT_NAME
from ansible_collections.org.djangogcp.plugins.module_utils._services import (
    artifactregistry,
    compute,
    iam,
    run,
    secretmanager,
    sqladmin,
    storage,
)
from ansible_collections.org.djangogcp.plugins.module_utils._services.run import JOB, SERVICE, WORKER_POOL

from tests.bad_input.values import NASTY, UNPRINTABLE, WRONG_IN_TABLES, WRONG_TYPES, check_message
from tests.integration.cloud import Cloud
from tests.integration.test_every_module import MODULES, OPTIONS

#: Any text is right here; what Google limits is the length.
FREE_TEXT = {
    "description", "display_name", "dockerfile", "source_dir", "service_account_file", "expression", "title", "check", "statement",
    "value", "template", "alphabet", "args", "python_args", "command", "matches_prefix", "matches_suffix", "matches_storage_class",
    "response_header", "origin", "website_main_page_suffix", "website_not_found_page", "service_account_contents",
    "storage_class", "private_network", "allocated_ip_range", "sub_path",
    "execution_environment",
    "type", "path", "contains", "owner", "reason", "unlock_command", "filter", "report_line",
}  # fmt: skip
#: Any letters are right here.
FREE_NAMES = {
    "sql_database.name", "sql_users.users.name", "sql_users.users.database_roles", "sql_users.users.kept_roles", "sql_users.check_database",
    "sql_statements.database", "sql_database_copy.source", "sql_database_copy.target", "sql_database_copy.import_user",
    "sql_database_info.names", "sql_users_info.names", "sql_statements.statements.name",
    "sql_instance.ip_configuration.authorized_networks.name",
}  # fmt: skip
#: Options that another one excludes: what has to go from the call.
EXCLUDED = {
    "run_job_execution": {"args": ("once",), "env": ("once",)},
    "secretmanager_secrets": {"value": ("generate",), "template": ("generate",)},
    "cloudbuild_build": {"build_id": ("source_dir", "source_bucket", "service_account")},
}
#: Options that are required beside others, by path.
BESIDE: dict[str, dict[str, Any]] = {
    "secrets.template": {"values_from": {"key": "absent"}},
    "secrets.values_from": {"template": "{key}"},
    "buckets.cors": {"origin": ["https://example.com"], "method": ["GET"]},
    "buckets.lifecycle_rules": {"action": {"type": "Delete"}, "condition": {"age": 1}},
    "ip_configuration.authorized_networks": {"value": "203.0.113.0/24"},
    "members.condition": {"title": "x", "expression": "true"},
    "canary": {"percent": 0},
}


#: Modules with tables too large to try every value for every row, and where their options are.
TABLES: dict[str, tuple[ResourceSpec, tuple[Any, ...]]] = {
    "run_service": (SERVICE, ()),
    "run_jobs": (JOB, ("jobs", 0)),
    "run_worker_pool": (WORKER_POOL, ()),
}


@dataclass(frozen=True)
class Case:
    """A call with one wrong value in it."""

    module: str
    name: str
    value: Any
    options: dict[str, Any]

    def __str__(self) -> str:
        return f"{self.module}.{self.name}={str(self.value)[:30]!r}"


def cases(module: str) -> Iterator[Case]:
    """Every wrong call of a module that its specification tells of."""
    spec = importlib.import_module(
        f"ansible_collections.org.djangogcp.plugins.modules.{module}"
    ).ARGUMENT_SPEC
    base = copy.deepcopy(OPTIONS[module])
    yield from _of_spec(module, spec, base, base, "", "")
    if module in TABLES:
        table, path = TABLES[module]
        yield from _of_table(module, table.fields, base, path)


def _of_spec(
    module: str, spec: dict[str, Any], base: dict[str, Any], place: dict[str, Any], shown: str, path: str
) -> Iterator[Case]:
    """Cases of the options in ``place``, a dictionary somewhere in ``base``."""
    misspelt = next(iter(sorted(spec))) + "x"
    for wrong in (misspelt, "{{ 1234 * 7 }}", "näme"):
        with _changed(place, wrong, 1):
            yield Case(module, f"{shown}{wrong}", 1, copy.deepcopy(base))
    in_table = {row.name for row in TABLES[module][0].fields} if module in TABLES else set()
    for name, option in spec.items():
        if name in in_table:
            continue
        where = f"{path}{name}"
        before = copy.deepcopy(place)
        for gone in EXCLUDED.get(module, {}).get(name, ()):
            place.pop(gone, None)
        place.update(BESIDE.get(where, {}) if where.startswith("secrets.") else {})
        for value in _wrong_values(name, option, is_free=f"{module}.{where}" in FREE_NAMES):
            with _changed(place, name, value):
                item = "[0]" if option.get("elements") and isinstance(value, list) else ""
                yield Case(module, f"{shown}{name}{item}", value, copy.deepcopy(base))
        if "options" in option:
            inner = copy.deepcopy(BESIDE.get(where, {}))
            present = place.get(name)
            if option["type"] == "list":
                inside = present[0] if present else inner
                place[name] = [inside]
                yield from _of_spec(
                    module, option["options"], base, inside, f"{shown}{name}[0].", f"{where}."
                )
            else:
                place[name] = inside = present or inner
                yield from _of_spec(module, option["options"], base, inside, f"{shown}{name}.", f"{where}.")
        place.clear()
        place.update(before)


def _wrong_values(name: str, option: dict[str, Any], *, is_free: bool) -> Iterator[Any]:
    kind = option["type"]
    nasty = [text for text in UNPRINTABLE if text.strip()] if is_free else NASTY
    yield from WRONG_TYPES.get(kind, ())
    if "choices" in option:
        yield from (f"{option['choices'][0]}x", *NASTY)
    elif kind == "str" and name not in FREE_TEXT:
        yield from nasty if is_free else ("", *nasty)
    elif kind == "int":
        yield from (-1, 10**12)
    elif kind == "list" and option.get("elements") == "str":
        yield from ([value] for value in WRONG_TYPES["str"])
        if name not in FREE_TEXT:
            yield from ([value] for value in nasty)


def _of_table(
    module: str, fields: tuple[Field, ...], base: dict[str, Any], path: tuple[Any, ...]
) -> Iterator[Case]:
    """Cases of what a table has below the options of a specification."""
    for names, field in _rows(fields, path):
        for value in _wrong_for_row(field):
            options = copy.deepcopy(base)
            name = _put(options, names, value)
            if field.kind in (Kind.LIST, Kind.SET) and not field.fields:
                name += "[0]"
            yield Case(module, name, value, options)


def _rows(fields: tuple[Field, ...], path: tuple[Any, ...]) -> Iterator[tuple[tuple[Any, ...], Field]]:
    for field in fields:
        if field.is_option:
            here = (*path, field.name)
            yield here, field
            yield from _rows(field.fields, here if field.kind is Kind.VALUE else (*here, 0))


def _wrong_for_row(field: Field) -> Iterator[Any]:
    is_list = field.kind in (Kind.LIST, Kind.SET)
    if field.fields:
        # At the top Ansible makes a list or a dictionary of some of them.
        misspelt = min(row.name for row in field.fields if row.is_option) + "x"
        for entry in ({"x": 1}, {misspelt: 1}):
            yield [entry] if is_list else entry
    elif is_list:
        yield [{"a": 1}]
        yield from ([value] for value in NASTY if field.rule and field.name not in FREE_TEXT)
    elif field.kind is Kind.MAP:
        yield {"näme of a key": "x"} if field.rule else []
        yield from ({"a": value} for value in ([1], {"b": 1}) if field.rule)
    else:
        yield from ([1], {"a": 1}, *WRONG_IN_TABLES.get(field.type, ()))
        yield from (f"{choice}x" for choice in field.choices[:1])
        # Cloud Run limits name and value of a variable together, to 32 KiB.
        nasty = [text for text in NASTY if len(text) < 1000] if field.rule is ENVIRONMENT_NAME else NASTY
        yield from nasty if field.rule and field.name not in FREE_TEXT else ()


def _put(options: dict[str, Any], names: tuple[Any, ...], value: Any) -> str:
    """Set a value deep in options; returns how a message names the place."""
    target: Any = options
    shown = ""
    for name, following in zip(names, (*names[1:], None), strict=True):
        shown += f"[{name}]" if isinstance(name, int) else f".{name}"
        if following is None:
            target[name] = value
            break
        if isinstance(name, int):
            target = target[name]
            continue
        if name not in target or not isinstance(target[name], dict | list):
            target[name] = [{}] if isinstance(following, int) else {}
        target = target[name]
    inside = ""
    if isinstance(value, list) and value and isinstance(value[0], dict):
        inside = "[0]." + next(iter(value[0])) if 1 in value[0].values() and "a" not in value[0] else ""
    elif isinstance(value, dict) and 1 in value.values():
        inside = "." + next(iter(value)) if "a" not in value else ""
    return shown.lstrip(".") + inside


class _changed:  # noqa: N801
    """One key of a dictionary for a while."""

    def __init__(self, place: dict[str, Any], name: str, value: Any) -> None:
        self._place, self._name, self._value = place, name, value

    def __enter__(self) -> None:
        self._had = self._name in self._place
        self._before = self._place.get(self._name)
        self._place[self._name] = self._value

    def __exit__(self, *raised: object) -> None:
        if self._had:
            self._place[self._name] = self._before
        else:
            del self._place[self._name]


@pytest.mark.parametrize("module", MODULES)
def test_a_wrong_option_is_refused_before_anything_is_asked_of_google(
    cloud: Cloud, module: str, tmp_path: Path
) -> None:
    resources = cloud.resources()
    asked = cloud.running.context.requests.after()
    wrong = []
    count = 0
    for case in cases(module):
        count += 1
        try:
            result = cloud.run(module, **case.options)
            assert result.failed, "it was taken"
            assert "exception" not in result.values, result.values["exception"]
            check_message(result.message, case.name, case.value)
        except AssertionError as error:
            wrong.append(f"{case}: {error}")
    assert not wrong, "\n".join(wrong)
    assert count > 10
    assert cloud.running.context.requests.after() == asked
    assert cloud.resources() == resources


#: Dictionaries with free keys that are no rows, by what tests their entries.
FREE = {
    "a rule": {
        "cloudbuild_build.extra_files", "run_job_execution.env", "run_service.own_hosts", "secretmanager_secrets.secrets.values_from",
        "release_parts_info.releases.secret_versions", "secretmanager_secrets_info.value_versions", "smoke_test.headers",
    },
    "a check": {"sql_statements.variables", "ownership_info.resources.asked", "ownership_info.resources.required"},
    "nothing, because any JSON is right": {"storage_record.content"},
}  # fmt: skip
#: Rows without a rule, whose module has a check.
CHECKED_ROWS = {"cleanup_policies"}
TABLES_OF_ALL = [
    value
    for service in (artifactregistry, compute, iam, run, secretmanager, sqladmin, storage)
    for value in vars(service).values()
    if isinstance(value, ResourceSpec)
]


def _free_rows(fields: tuple[Field, ...]) -> Iterator[Field]:
    for field in fields:
        if field.is_option and field.kind is Kind.MAP:
            yield field
        yield from _free_rows(field.fields)


def _free_dictionaries(spec: dict[str, Any], path: str) -> Iterator[str]:
    for name, option in spec.items():
        if "dict" in (option["type"], option.get("elements")) and "options" not in option:
            yield f"{path}.{name}"
        yield from _free_dictionaries(option.get("options", {}), f"{path}.{name}")


def test_every_dictionary_with_free_keys_has_something_that_tests_its_entries() -> None:
    found = {
        name
        for module in MODULES
        for name in _free_dictionaries(
            importlib.import_module(
                f"ansible_collections.org.djangogcp.plugins.modules.{module}"
            ).ARGUMENT_SPEC,
            module,
        )
    }
    rows = [row for spec in TABLES_OF_ALL for row in _free_rows(spec.fields)]
    assert {row.name for row in rows if row.rule is None} == CHECKED_ROWS
    names = {row.name for row in rows}
    assert {name for name in found if name.rpartition(".")[2] not in names} == set().union(*FREE.values())


POLICY = {"id": "old", "action": "DELETE", "condition": {"tagState": "ANY"}}
IMAGE = "us-docker.pkg.dev/p/r/i"
ENV = [{"name": "A", "value": "1"}, {"name": "A", "value": "2"}]
#: Options that would be dropped in silence, alone or beside others, and what is said of them.
DROPPED: list[tuple[str, dict[str, Any], str]] = [
    ("run_service", {"taken_out": ["0123456789abcdef"]}, "taken_out is set: expected latest_revision beside it."),
    (
        "run_service",
        {"canary": {"percent": 10}, "candidate_tag": "candidate", "template": None},
        "canary.percent is set: expected latest_revision beside it.",
    ),
    (
        "run_service",
        {"canary": {"percent": 0}, "template": None},
        "canary is set: expected candidate_tag beside it.",
    ),
    (
        "run_service",
        {"canary": {"percent": 0}, "candidate_tag": "candidate"},
        "template is set: expected no canary beside it.",
    ),
    ("storage_lock", {"generation": "1"}, "generation is set: expected state to be absent beside it."),
    ("storage_lock", {"state": "absent", "owner": None}, "reason is set: expected state to be present beside it."),
    (
        "artifactregistry_repository",
        {"cleanup_policies": {"old": {**POLICY, "conditon": {}}}},
        "cleanup_policies.old.conditon is unknown: expected one of action, condition, id, mostRecentVersions. Did you mean"
        " cleanup_policies.old.condition?",
    ),
    (
        "artifactregistry_repository",
        {"cleanup_policies": {"old": {**POLICY, "condition": {"olderThen": "30d"}}}},
        "cleanup_policies.old.condition.olderThen is unknown: expected one of newerThan, olderThan, packageNamePrefixes, tagPrefixes,"
        " tagState, versionNamePrefixes. Did you mean cleanup_policies.old.condition.olderThan?",
    ),
    (
        "artifactregistry_repository",
        {"cleanup_policies": {"old": "DELETE"}},
        "cleanup_policies.old is 'DELETE': expected a dictionary with one of action, condition, id, mostRecentVersions.",
    ),
    (
        "sql_users",
        {"users": [{"name": "web", "append_roles": True}]},
        "users[0].append_roles is true: expected database_roles as well.",
    ),
    (
        "sql_users",
        {"users": [{"name": "a@example.com", "type": "CLOUD_IAM_USER", "password_secret": "absent"}]},
        "users[0].password_secret is set: expected none, because a user of the type CLOUD_IAM_USER has no password.",
    ),
    (
        "sql_users",
        {"users": [{"name": "web"}, {"name": "web"}]},
        "users[1].name is 'web': expected a name that no other item of the list has.",
    ),
    (
        "sql_statements",
        {"statements": [{"name": "x", "check": "SELECT :'database'", "statement": "SELECT 1"}], "variables": {"databse": "x", "database": "y"}},
        "variables.databse is unknown: expected the name of a variable that a statement uses. Did you mean variables.database?",
    ),
    (
        "sql_statements",
        {"statements": [{"name": "x", "check": "SELECT :'database'", "statement": "SELECT 1"}], "variables": {"database": None}},
        "variables.database is null: expected a string or a number.",
    ),
    (
        "iam_members",
        {"members": [{"role": "roles/viewer", "members": ["allUsers"], "location": "us-central1"}]},
        "members[0].location is set: expected none, because a project is found without it.",
    ),
    (
        "storage_buckets",
        {"buckets": [{"name": "one-bucket"}, {"name": "one-bucket"}]},
        "buckets[1].name is 'one-bucket': expected a name that no other item of the list has.",
    ),
    (
        "iam_service_accounts",
        {"service_accounts": [{"name": "account"}, {"name": "account"}]},
        "service_accounts[1].name is 'account': expected a name that no other item of the list has.",
    ),
    (
        "run_jobs",
        {"jobs": [{"name": "job"}, {"name": "job"}]},
        "jobs[1].name is 'job': expected a name that no other item of the list has.",
    ),
    (
        "run_service",
        {"template": {"containers": [{"image": IMAGE, "env": ENV}]}},
        "template.containers[0].env[1].name is 'A': expected a name that no other item of the list has.",
    ),
    (
        "cloudbuild_build",
        {"source_dir": None, "build_id": "0" * 8 + "-0000-0000-0000-" + "0" * 12, "source_bucket": None, "machine_type": "E2_HIGHCPU_8", "service_account": None},
        "machine_type is set: expected none beside build_id, because that build has been started already.",
    ),
    (
        "resourcemanager_project_info",
        {"service_account_email": "default"},
        "service_account_email is set: expected auth_kind to be machineaccount as well, because it is not looked at when auth_kind is"
        " application.",
    ),
    ("sql_instance", {"database_flags": {"max_connections": None}}, "database_flags is {'max_connections': None}: expected "),
    ("run_job_execution", {"env": {"GREETING": None}, "once": None}, "env is {'GREETING': None}: expected "),
    ("storage_buckets", {"buckets": [{"name": "one-bucket", "labels": {"a": None}}]}, "buckets[0].labels is {'a': None}: expected "),
]  # fmt: skip


@pytest.mark.parametrize(
    ("module", "options", "message"), DROPPED, ids=[f"{one[0]}-{one[2][:30]}" for one in DROPPED]
)
def test_what_would_be_dropped_in_silence_is_refused(
    cloud: Cloud, module: str, options: dict[str, Any], message: str
) -> None:
    asked = cloud.running.context.requests.after()
    given = {name: value for name, value in {**OPTIONS[module], **options}.items() if value is not None}
    result = cloud.run(module, **given)
    assert result.failed
    assert result.message == message if message.endswith((".", "?")) else result.message.startswith(message)
    assert cloud.running.context.requests.after() == asked


AUTH_VALUES = [
    ("auth_kind", "applicatoin"),
    ("auth_kind", 7),
    ("access_token", "has a space"),
    ("access_token", "line\nline"),
    ("access_token", "bearer-é"),
    ("access_token", [1]),
    ("service_account_email", "nobody; rm -rf /"),
    ("service_account_email", "../../computeMetadata/v1/instance"),
    ("impersonate_service_account", "nobody"),
    ("scopes", ["has a space"]),
    ("scopes", {"a": 1}),
    ("request_timeout", "long"),
    ("project", "My Project"),
    ("project", "{{ 1234 * 7 }}"),
    ("project", "x" * 10_000),
]


@pytest.mark.parametrize(("name", "value"), AUTH_VALUES)
def test_a_wrong_option_of_all_modules_is_refused(cloud: Cloud, name: str, value: Any) -> None:
    asked = cloud.running.context.requests.after()
    result = cloud.run("resourcemanager_project_info", **{name: value})
    assert result.failed
    assert "exception" not in result.values
    check_message(result.message, name, value)
    assert cloud.running.context.requests.after() == asked


@pytest.mark.parametrize(
    "contents", ["no JSON", "[]", "{}", "{" * 10_000, '{"type": "service_account"}', "\x00"]
)
def test_a_broken_key_is_refused_and_not_shown(cloud: Cloud, contents: str) -> None:
    secret = f"{contents}hunter2-hunter2"
    result = cloud.run(
        "resourcemanager_project_info", auth_kind="serviceaccount", service_account_contents=secret
    )
    assert result.failed
    assert "exception" not in result.values
    assert "hunter2-hunter2" not in result.text


SECRET = "hunter2-hunter2"


@pytest.mark.parametrize(
    ("secret", "message"),
    [
        ({"name": "absent", "value": [SECRET]}, "secrets[0].value has a wrong value: expected a string."),
        (
            {"name": "absent", "value": SECRET * 10_000},
            "secrets[0].value has a wrong value: expected a string of at most 65536 bytes of UTF-8.",
        ),
        (
            {"name": "absent", "value": SECRET, "valeu": SECRET},
            "secrets[0].valeu is unknown: expected one of annotations, destroy_after_days, generate, kept_versions, labels, locations, name,"
            " old_versions, state, template, value, values_from. Did you mean secrets[0].value?",
        ),
        (SECRET, "secrets[0] has a wrong value: expected a dictionary."),
    ],
)
def test_a_secret_is_not_shown_whatever_is_wrong(cloud: Cloud, secret: Any, message: str) -> None:
    result = cloud.run("secretmanager_secrets", secrets=[secret])
    assert result.message == message
    assert SECRET not in result.text


def test_all_that_is_wrong_is_said_at_once(cloud: Cloud) -> None:
    message = cloud.error(
        "sql_instance", name="Bad Name", tier="large", region="moon-1-2-!", data_disk_size_gb=1
    )
    assert [line.partition(" ")[0] for line in message.splitlines()] == [
        "name",
        "region",
        "tier",
        "data_disk_size_gb",
    ]


@pytest.mark.parametrize(
    "text", ["{{ 1234 * 7 }}", "$(touch /tmp/owned)", "`id`", "näme 💩", "'; DROP TABLE users; --"]
)
def test_free_text_is_taken_literally(cloud: Cloud, text: str) -> None:
    account = {"name": "literal-account", "display_name": text, "description": text}
    made = cloud.ok("iam_service_accounts", service_accounts=[account])["service_accounts"][0]
    assert (made["display_name"], made["description"]) == (text, text)
    assert cloud.ok("iam_service_accounts", service_accounts=[account])["changed"] is False
    value = {"name": "literal-secret", "value": text * 2}
    cloud.ok("secretmanager_secrets", secrets=[value])
    assert cloud.secret_value("literal-secret") == text * 2
    cloud.ok("iam_service_accounts", service_accounts=[{"name": "literal-account", "state": "absent"}])
    cloud.ok("secretmanager_secrets", secrets=[{"name": "literal-secret", "state": "absent"}])
