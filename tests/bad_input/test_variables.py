"""Every public variable of every role, generated from the argument specifications: one message, before anything changes."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from ansible_collections.org.djangogcp.plugins.filter.cloud_run_problems import RULES as CLOUD_RUN_RULES
from ansible_collections.org.djangogcp.plugins.filter.cloud_run_problems import cloud_run_problems
from ansible_collections.org.djangogcp.plugins.filter.site_problems import (
    ELEMENT_RULES,
    OWN_ENTRIES,
    RULES,
    role_problems,
)
from ansible_collections.org.djangogcp.plugins.filter.site_problems import site_problems as _site_problems
from ansible_collections.org.djangogcp.plugins.lookup.role_variables import ROLES, role_variables

from tests.bad_input.values import NASTY, WRONG_TYPES, check_message

SITE: dict[str, Any] = yaml.safe_load((ROLES / "preflight/meta/argument_specs.yml").read_text("utf-8"))[
    "argument_specs"
]["site"]["options"]
ROLE = role_variables()
REGIONS = ["europe-west1", "us-central1"]
#: A site in which nothing is wrong.
GOOD: dict[str, Any] = {
    **{name: option["default"] for name, option in SITE.items() if "default" in option},
    "djangogcp_project": "my-project",
    "djangogcp_region": "us-central1",
    "djangogcp_source_dir": "/srv/polls",
    "djangogcp_superuser_email": "admin@example.com",
    "djangogcp_site": "polls",
    "djangogcp_database_name": "polls",
    "djangogcp_repository": "polls",
    "djangogcp_source_bucket": "my-project-polls-source",
    "djangogcp_media_bucket": "my-project-polls-media",
    "djangogcp_static_bucket": "my-project-polls-static",
    "djangogcp_releases_bucket": "my-project-polls-releases",
}
#: A folder may have any name: what is in it counts. The second is compared with the site's name, and the others are for people.
ANY_TEXT = {
    "djangogcp_source_dir",
    "destroy_confirm",
    "database_backup_reason",
    "log_search",
    "doctor_error",
    "maintenance_message",
}
#: Nothing is a right value of these.
MAY_BE_EMPTY = {
    "djangogcp_settings_module", "djangogcp_wsgi_module", "djangogcp_startup_path", "djangogcp_liveness_path", "djangogcp_admin_path",
    "djangogcp_former_site", "djangogcp_roll_forward_from", "djangogcp_rebuild", "djangogcp_build_location",
    "djangogcp_manage_dir", "djangogcp_requirements", "djangogcp_cloud", "djangogcp_network", "djangogcp_subnetwork",
    "compute_engine_certificate", "compute_engine_certificate_key",
}  # fmt: skip
#: Words of one line that PostgreSQL, a shell or manage.py may well be given.
COMMAND = {"manage_command"}


def site_problems(values: dict[str, Any], *arguments: Any, **named: Any) -> list[str]:
    """What preflight finds of a site on Cloud Run."""
    return _site_problems(values, *arguments, target_problems=cloud_run_problems(values), **named)


def wrong_values(name: str, option: dict[str, Any]) -> Iterator[Any]:
    """What a variable must not be."""
    kind = option["type"]
    if name in COMMAND:
        yield from ([], {"a": 1}, "a 'b", "   ", "a\x00b", 7, [["a"]])
        return
    yield from (None, *WRONG_TYPES.get(kind, ()))
    if name not in ANY_TEXT and name not in MAY_BE_EMPTY:
        yield ""
    if "choices" in option:
        yield from (f"{option['choices'][-1]}x", option["choices"][-1].swapcase(), *NASTY)
    elif kind == "str" and name not in ANY_TEXT:
        yield from NASTY
    elif kind == "int":
        yield from (-1, 10**12, "10000000000000000000000000")
    elif name == "djangogcp_release_commands":
        yield from (
            [one]
            for one in (
                7,
                None,
                "",
                [],
                {},
                "migrate --fake",
                "a 'b",
                "a\x00b",
                "näme",
                {"command": "x", "cpu": 1},
            )
        )
    elif kind == "list":
        yield from ([value] for value in (*WRONG_TYPES[option["elements"]], *NASTY, ""))
    elif kind == "dict":
        # No number of a version, no label, no flag and no variable of the environment.
        yield from ({"näme of a key": "x"}, {"a": ["b"]}, {"a": {"b": 1}}, {7: "x"}, {"a": "x" * 100_000})


ALL = [(name, option) for options in (SITE, ROLE) for name, option in options.items()]


@pytest.mark.parametrize(("name", "option"), ALL, ids=[name for name, _ in ALL])
def test_a_wrong_value_is_refused(name: str, option: dict[str, Any]) -> None:
    count = 0
    for value in wrong_values(name, option):
        count += 1
        if name in SITE:
            found = site_problems({**GOOD, name: value}, SITE, REGIONS)
        else:
            found = site_problems(GOOD, SITE, REGIONS, roles=ROLE, role_values={name: value})
        assert len(found) == 1, (value, found)
        check_message(found[0], name, value)
    assert count >= 2


@pytest.mark.parametrize(
    "name", [name for name, option in ALL if option["type"] in ("str", "int") and "choices" not in option]
)
def test_every_text_and_number_has_a_rule(name: str) -> None:
    assert name in ANY_TEXT or name in {*RULES, *ELEMENT_RULES, *CLOUD_RUN_RULES}


@pytest.mark.parametrize("name", SITE)
def test_a_misspelt_variable_is_refused_with_the_right_name(name: str) -> None:
    misspelt = name[:-2] + name[-1] + name[-2] if name[-1] != name[-2] else f"{name}x"
    assert site_problems({**GOOD, misspelt: "x"}, SITE, REGIONS) == [
        f"{misspelt} is unknown: expected the name of a variable of this collection. Did you mean {name}?"
    ]


@pytest.mark.parametrize("name", ["djangogcp_", "djangogcp_" + "x" * 10_000, "djangogcp_näme"])
def test_an_unknown_variable_is_refused(name: str) -> None:
    (message,) = site_problems({**GOOD, name: "x"}, SITE, REGIONS)
    check_message(message, name[:50], "x")


@pytest.mark.parametrize("name", [name for name, option in SITE.items() if option.get("required")])
@pytest.mark.parametrize("value", ["", None])
def test_a_required_variable_that_is_empty_is_not_set(name: str, value: Any) -> None:
    (message,) = site_problems({**GOOD, name: value}, SITE, REGIONS)
    assert message.startswith(f"{name} is not set: expected ")


@pytest.mark.parametrize("name", MAY_BE_EMPTY)
def test_a_variable_that_may_be_empty_is_right_so(name: str) -> None:
    if name in SITE:
        assert site_problems({**GOOD, name: ""}, SITE, REGIONS) == []
    else:
        assert site_problems(GOOD, SITE, REGIONS, roles=ROLE, role_values={name: ""}) == []


def test_a_secret_in_the_environment_is_not_shown() -> None:
    for value in ({"API_KEY": ["hunter2"]}, ["hunter2"], {"PORT": "hunter2"}, "hunter2"):
        (message,) = site_problems({**GOOD, "djangogcp_environment": value}, SITE, REGIONS)
        assert re.match(r"djangogcp_environment(\.API_KEY|\.PORT)? has a wrong value: expected ", message)
        assert "hunter2" not in message


@pytest.mark.parametrize("name", OWN_ENTRIES)
def test_an_entry_that_the_collection_sets_itself_is_refused_by_its_name(name: str) -> None:
    # Of a dictionary that names variables only their names are right values.
    value = "DATABASE_PORT" if name == "djangogcp_environment_names" else "hunter2"
    for entry in OWN_ENTRIES[name]:
        (message,) = site_problems({**GOOD, name: {entry: value, "other": value}}, SITE, REGIONS)
        check_message(message, f"{name}.{entry} is set", value)
        assert value not in message


@pytest.mark.parametrize(
    ("name", "entry"),
    [
        (name, entry)
        for name in (
            "djangogcp_environment",
            "djangogcp_labels",
            "djangogcp_secrets",
            "djangogcp_database_flags",
        )
        for entry in (*OWN_ENTRIES.get(name, ()), "other", "PORT", "\x00")
    ],
)
def test_an_entry_that_is_null_is_not_set(name: str, entry: str) -> None:
    assert site_problems({**GOOD, name: {entry: None}}, SITE, REGIONS) == []


@pytest.mark.parametrize("entries", [{"näme": "x", "ok": "x", "Ö": 1}])
@pytest.mark.parametrize("name", ["djangogcp_environment", "djangogcp_labels", "djangogcp_database_flags"])
def test_every_wrong_entry_is_named(name: str, entries: dict[str, Any]) -> None:
    wrong = [entry for entry in entries if not RULES[name].entry(entry, entries[entry])]  # type: ignore[misc]
    found = site_problems({**GOOD, name: entries}, SITE, REGIONS)
    assert [message.partition(" ")[0] for message in found] == [f"{name}.{entry}" for entry in wrong]


@pytest.mark.parametrize(
    "entry",
    [
        "", "a secret", "projects/p/secrets/s", ["token"], 7, True,
        {}, {"name": "token"}, {"path": "/run/a/b"}, {"name": "token", "path": ""}, {"name": 7, "path": "/run/a/b"},
        {"name": "token", "path": "/run/a/b", "version": "1"}, {"secret": "token", "path": "/run/a/b"},
        *({"name": "token", "path": path} for path in (
            "run/a", "/token", "/", "/run/", "/run//a", "/run/../a", "/run/./a", "/run/..a", "/run/a b", "/run/a\n", 7, ["/run/a"],
            "/run/" + "x" * 300, "/x" * 600, "/run/n\u00e4me", "/run/$(id)",
        )),
    ],
)  # fmt: skip
def test_a_secret_that_is_not_named_as_one_is_refused_and_not_shown(entry: Any) -> None:
    (message,) = site_problems({**GOOD, "djangogcp_secrets": {"TOKEN": entry}}, SITE, REGIONS)
    assert message.startswith(
        "djangogcp_secrets.TOKEN has a wrong value: expected names of secrets of Secret Manager, or {name: "
    )
    check_message(message, "djangogcp_secrets.TOKEN", entry)


@pytest.mark.parametrize(
    ("paths", "wrong"),
    [
        (["/proc/token"], "PATH_0"),
        (["/dev/shm/token"], "PATH_0"),
        (["/cloudsql/token"], "PATH_0"),
        (["/app/token"], "PATH_0"),
        (["/etc/token"], "PATH_0"),
        (["/run/secrets/a", "/run/secrets/b"], "PATH_1"),
        (["/run/secrets/a", "/run/secrets/b/key"], "PATH_1"),
        (["/run/secrets/b/key", "/run/secrets/a"], "PATH_1"),
    ],
)
def test_a_file_that_cloud_run_cannot_mount_there_is_refused(paths: list[str], wrong: str) -> None:
    entries = {f"PATH_{number}": {"name": f"s-{number}", "path": path} for number, path in enumerate(paths)}
    (message,) = site_problems({**GOOD, "djangogcp_secrets": entries}, SITE, REGIONS)
    check_message(message, f"djangogcp_secrets.{wrong}.path", entries[wrong]["path"])
    # Two files of one secret share a folder.
    same = {key: {**entry, "name": "one", "path": f"/run/secrets/{key}"} for key, entry in entries.items()}
    assert site_problems({**GOOD, "djangogcp_secrets": same}, SITE, REGIONS) == []


@pytest.mark.parametrize(
    "value", ["monthly", "2026-02-30", "2026-1-1", "20261128", "2026-W48", "2026-11-28T00:00", 20261128, True]
)
def test_a_rebuild_is_weekly_or_a_date(value: Any) -> None:
    (message,) = site_problems({**GOOD, "djangogcp_rebuild": value}, SITE, REGIONS)
    check_message(message, "djangogcp_rebuild", value)
    for right in ("weekly", "2028-02-29"):
        assert site_problems({**GOOD, "djangogcp_rebuild": right}, SITE, REGIONS) == []


BUCKETS = (
    "djangogcp_media_bucket",
    "djangogcp_static_bucket",
    "djangogcp_source_bucket",
    "djangogcp_releases_bucket",
)


@pytest.mark.parametrize(("one", "other"), list(itertools.combinations(BUCKETS, 2)))
def test_two_buckets_that_are_one_are_refused(one: str, other: str) -> None:
    (message,) = site_problems({**GOOD, one: "one-bucket", other: "one-bucket"}, SITE, REGIONS)
    assert message.startswith(f"{one} is 'one-bucket': expected another bucket than {other}, because ")
    check_message(message, one, "one-bucket")


@pytest.mark.parametrize(
    "name", ["postgres", "template0", "template1", "cloudsqladmin", "pg_polls", "POSTGRES"]
)
def test_a_database_of_the_server_itself_is_refused(name: str) -> None:
    (message,) = site_problems({**GOOD, "djangogcp_database_name": name}, SITE, REGIONS)
    check_message(message, "djangogcp_database_name", name)


@pytest.mark.parametrize(
    "name", ["PORT", "K_SERVICE", "X_GOOGLE_A", "CLOUD_RUN_JOB", "1A", "A B", "A=B", "Ä", ""]
)
def test_a_name_that_cloud_run_does_not_take_is_refused(name: str) -> None:
    assert len(site_problems({**GOOD, "djangogcp_environment": {name: "x"}}, SITE, REGIONS)) == 1


@pytest.mark.parametrize("value", ["x", 7, 0.5, True, "", "{{ 1234 * 7 }}", "$(id)", "näme 💩", "a\nb"])
def test_any_text_number_or_boolean_is_right_in_the_environment(value: Any) -> None:
    assert site_problems({**GOOD, "djangogcp_environment": {"A_B.c-d": value}}, SITE, REGIONS) == []


@pytest.mark.parametrize(
    ("cpu", "memory", "name"),
    [
        ("0.5", "512Mi", "djangogcp_cpu"),
        ("500m", "512Mi", "djangogcp_cpu"),
        ("1", "256Mi", "djangogcp_memory"),
        ("1", "5Gi", "djangogcp_memory"),
        ("4", "1Gi", "djangogcp_memory"),
        ("8", "33Gi", "djangogcp_memory"),
    ],
)
def test_a_memory_that_does_not_fit_the_cpus_is_refused(cpu: str, memory: str, name: str) -> None:
    (message,) = site_problems({**GOOD, "djangogcp_cpu": cpu, "djangogcp_memory": memory}, SITE, REGIONS)
    check_message(message, name, memory)


@pytest.mark.parametrize(
    ("cpu", "memory"), [("1", "512Mi"), ("1", "4Gi"), ("2", "8Gi"), ("4000m", "16Gi"), ("8", "32Gi")]
)
def test_a_memory_that_fits_the_cpus_is_right(cpu: str, memory: str) -> None:
    assert site_problems({**GOOD, "djangogcp_cpu": cpu, "djangogcp_memory": memory}, SITE, REGIONS) == []


def test_a_variable_of_somebody_else_is_left_alone() -> None:
    assert role_problems({"database_password": ["x"], "storage_class": 7}, ROLE) == []


def test_all_problems_come_together() -> None:
    values = {**GOOD, "djangogcp_project": "", "djangogcp_threads": 0, "djangogcp_regoin": "x"}
    assert (
        len(
            site_problems(
                values, SITE, REGIONS, roles=ROLE, role_values={"database_retained_backups": "many"}
            )
        )
        == 4
    )
