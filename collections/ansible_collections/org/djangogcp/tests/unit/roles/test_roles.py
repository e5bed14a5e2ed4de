# Copyright (c) 2026, The djangogcp contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What every role has, and that its papers agree."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from ansible_collections.org.djangogcp.plugins.plugin_utils._survey import survey_answers

COLLECTION = Path(__file__).parents[3]
ROLES = sorted(path for path in (COLLECTION / "roles").iterdir() if path.is_dir())
MODULES = {path.stem for path in (COLLECTION / "plugins/modules").glob("*.py")}

_specification = importlib.util.spec_from_file_location("role_readmes", COLLECTION / "tests/role_readmes.py")
role_readmes = importlib.util.module_from_spec(_specification)
_specification.loader.exec_module(role_readmes)


def load(path: Path) -> object:
    return yaml.safe_load(path.read_text("utf-8"))


@pytest.fixture(params=ROLES, ids=lambda role: role.name)
def role(request: pytest.FixtureRequest) -> Path:
    return request.param


def test_the_readme_is_fresh(role: Path) -> None:
    assert (role / "README.md").read_text("utf-8") == role_readmes.readme(role), "run tests/role_readmes.py"


def test_every_entry_point_is_described(role: Path) -> None:
    for entry in load(role / "meta/argument_specs.yml")["argument_specs"].values():
        assert entry["short_description"]
        assert entry["description"]
        assert all(option["description"] and option["type"] for option in entry.get("options", {}).values())


def test_every_default_is_specified_and_every_other_option_is_required(role: Path) -> None:
    options = {
        name: option
        for entry in load(role / "meta/argument_specs.yml")["argument_specs"].values()
        for name, option in entry.get("options", {}).items()
    }
    defaults = role_readmes.defaults_of(role)
    assert set(defaults) <= set(options)
    assert {name for name in options if name not in defaults} <= {
        name for name, option in options.items() if option.get("required")
    }


def test_a_default_that_is_documented_is_the_default(role: Path) -> None:
    defaults = role_readmes.defaults_of(role)
    for entry in load(role / "meta/argument_specs.yml")["argument_specs"].values():
        documented = {
            name: option["default"]
            for name, option in entry.get("options", {}).items()
            if "default" in option
        }
        assert documented == {name: defaults[name] for name in documented}


#: What the inventory says of labels, flags and environment, with entries that are taken back.
TAKEN_BACK = {
    "djangogcp_environment": {
        "ALLOWED_HOSTS": None,
        "GREETING": None,
        "MODE": "live",
        "GUNICORN_CMD_ARGS": "--preload",
    },
    "djangogcp_labels": {"team": None, "cost": "web"},
    "djangogcp_domains": [],
    "djangogcp_media_bucket": "m",
    "djangogcp_port": 8080,
    "djangogcp_release_commands": ["migrate", "collectstatic", "superuser"],
    "djangogcp_project": "p",
    "djangogcp_region": "r",
    "djangogcp_settings_module": "",
    "djangogcp_site": "s",
    "djangogcp_static": "bucket",
    "djangogcp_static_bucket": "b",
    "djangogcp_threads": 8,
    "djangogcp_workers": 2,
    "role_path": str(COLLECTION / "roles/app"),
    "djangogcp_out_preflight": {"project_number": "1"},
    "djangogcp_out_site_secrets": [
        {"variable": "TOKEN", "name": "token", "path": "", "version": "7"},
        {"variable": "KEY_FILE", "name": "key", "path": "/run/secrets/key/pem", "version": "3"},
    ],
    "djangogcp_out_target": {
        "uri": "https://s-1.r.run.app",
        "hosts": ["s-1.r.run.app", "candidate---s-1.r.run.app"],
    },
}


def test_every_list_and_dictionary_of_a_site_can_be_text() -> None:
    options = load(COLLECTION / "roles/preflight/meta/argument_specs.yml")["argument_specs"]["site"][
        "options"
    ]
    kinds = {
        name: {"type": option["type"]}
        for name, option in options.items()
        if option["type"] in ("list", "dict")
    }
    assert load(COLLECTION / "roles/preflight/vars/main.yml")["__preflight_lists"] == kinds


def templated(expression: str, tmp_path: Path, **variables: object) -> object:
    """An expression over the variables of the roles, as Ansible reads it."""
    lists = load(COLLECTION / "roles/preflight/vars/main.yml")["__preflight_lists"]
    empty = {name: {"dict": {}, "list": []}[option["type"]] for name, option in lists.items()}
    # As preflight hands them over.
    answers = survey_answers(empty | TAKEN_BACK | variables, lists)
    read = {name.removeprefix("djangogcp_"): answers[name] for name in lists}
    (tmp_path / "play.yml").write_text(
        yaml.safe_dump(
            [
                {
                    "hosts": "localhost",
                    "gather_facts": False,
                    "vars_files": [
                        str(COLLECTION / f"roles/{name}/vars/main.yml")
                        for name in ("app", "cloud_run", "image", "release", "secrets", "storage")
                    ],
                    "vars": {"djangogcp_out_variables": read} | TAKEN_BACK | variables,
                    "tasks": [
                        {
                            "copy": {
                                "content": f"{{{{ {expression} | to_json }}}}",
                                "dest": str(tmp_path / "result"),
                            }
                        }
                    ],
                }
            ]
        ),
        "utf-8",
    )
    playbook = Path(sys.executable).parent / "ansible-playbook"
    done = subprocess.run(
        [playbook, "-c", "local", "-e", f"ansible_python_interpreter={sys.executable}", "play.yml"],
        cwd=tmp_path, capture_output=True, text=True, check=False,
        env={**os.environ, "ANSIBLE_COLLECTIONS_PATH": str(COLLECTION.parents[2])},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    return json.loads((tmp_path / "result").read_text("utf-8"))


@pytest.mark.parametrize(
    ("version", "rights", "needs", "expected"),
    [
        ("POSTGRES_17", "rows", {}, ["postgres", "/shop?host=/cloudsql/p:r:sql", ""]),
        (
            "POSTGRES_17",
            "schema",
            {},
            ["postgres", "/shop?host=/cloudsql/p:r:sql", "&options=-c%20role%3Dshop_migrator"],
        ),
        ("MYSQL_8_0", "schema", {}, ["mysql", "/shop?unix_socket=/cloudsql/p:r:sql&charset=utf8mb4", ""]),
        ("MYSQL_8_4", "rows", {}, ["mysql", "10.1.2.3:3306/shop?charset=utf8mb4&ssl_mode=REQUIRED", ""]),
        (
            "MYSQL_8_4",
            "rows",
            {"database_socket": True},
            ["mysql", "/shop?unix_socket=/cloudsql/p:r:sql&charset=utf8mb4", ""],
        ),
    ],
)
def test_the_address_is_that_of_the_version(
    version: str, rights: str, needs: dict[str, bool], expected: list[str], tmp_path: Path
) -> None:
    found = templated(
        "[__secrets_engine.scheme, __secrets_address, __secrets_role]",
        tmp_path,
        djangogcp_out_needs=needs,
        djangogcp_project="p",
        djangogcp_region="r",
        djangogcp_database_instance="sql",
        djangogcp_database_name="shop",
        djangogcp_database_version=version,
        djangogcp_database_rights=rights,
        djangogcp_out_database_address="10.1.2.3",
    )
    scheme, address, role = expected
    assert found == [scheme, f"{{password|urlencode}}@{address}", role]


def test_an_entry_that_is_null_is_not_set(tmp_path: Path) -> None:
    labels, variables = templated(
        "[[__cloud_run_labels, __secrets_labels, __storage_labels], __app_serving_variables]", tmp_path
    )
    assert all("team" not in one and one["cost"] == "web" for one in labels)
    assert "GREETING" not in variables
    assert variables["MODE"] == "live"
    assert variables["ALLOWED_HOSTS"].startswith("s-1.r.run.app,")
    assert variables["GUNICORN_CMD_ARGS"] == "--threads=8 --preload"


def test_hosts_that_a_site_names_itself_are_all_that_it_wants(tmp_path: Path) -> None:
    """`ALLOWED_HOSTS` is null there, which is not set."""
    own = templated("__cloud_run_own_hosts", tmp_path)
    assert own == {"ALLOWED_HOSTS": "", "CSRF_TRUSTED_ORIGINS": "https://"}


def test_a_file_with_a_secret_is_named_by_its_variable(tmp_path: Path) -> None:
    variables, secrets, files = templated(
        "[__app_variables, __app_site_secrets, __app_secret_files]", tmp_path
    )
    assert (variables["KEY_FILE"], "TOKEN" in variables) == ("/run/secrets/key/pem", False)
    assert secrets == {"TOKEN": "token"}
    assert files == {"/run/secrets/key/pem": "key"}


OVERLAID = {
    "overlay": True,
    "dockerfile": False,
    "project_settings_module": "shop.settings",
    "asgi": False,
    "manage_command": ["python", "manage.py"],
}
NAMES = {"DJANGO_SECRET_KEY": "SECRET_KEY", "HOSTS": "ALLOWED_HOSTS", "MODE": "GOOGLE_CLOUD_PROJECT"}


def test_what_is_laid_over_settings_is_told_to_what_serves_and_to_commands(tmp_path: Path) -> None:
    serving, commands, secrets = templated(
        "[__app_serving_variables, __app_variables, __app_secrets]",
        tmp_path,
        djangogcp_out_source=OVERLAID,
        djangogcp_environment_names=NAMES,
        djangogcp_request_timeout_seconds=300,
        djangogcp_settings_module="shop.settings",
    )
    for one in (serving, commands):
        assert one["DJANGO_SETTINGS_MODULE"] == "django_on_google_cloud.settings"
        assert one["DJANGO_OVERLAY_SETTINGS_MODULE"] == "django_on_google_cloud.settings"
        assert one["DJANGO_PROJECT_SETTINGS_MODULE"] == "shop.settings"
        # What the site sets itself is not set otherwise.
        assert one["DJANGO_ENVIRONMENT_NAMES"] == "DJANGO_SECRET_KEY=SECRET_KEY HOSTS=ALLOWED_HOSTS"
        assert ("HOSTS" in one, "CONN_MAX_AGE" in one, one["MODE"]) == (False, False, "live")
    # A page's statement ends with its request, and a migration's does not.
    assert (serving["DATABASE_STATEMENT_TIMEOUT"], "DATABASE_STATEMENT_TIMEOUT" in commands) == ("300", False)
    assert sorted(secrets) == ["DATABASE_URL", "SECRET_KEY"]


def test_settings_that_read_the_environment_find_it_by_their_own_names(tmp_path: Path) -> None:
    variables, serving, commands = templated(
        "[__app_variables, __app_secrets, __app_command_secrets]",
        tmp_path,
        djangogcp_out_source=OVERLAID | {"overlay": False},
        djangogcp_environment_names=NAMES | {"DB_URL": "DATABASE_URL", "DB_HOST": "DATABASE_HOST"},
    )
    assert variables["HOSTS"] == variables["ALLOWED_HOSTS"]
    assert "DJANGO_OVERLAY_SETTINGS_MODULE" not in variables
    assert (serving["DJANGO_SECRET_KEY"], serving["DB_URL"]) == ("s-secret-key", "s-web-database-url")
    assert (commands["DJANGO_SECRET_KEY"], commands["DB_URL"]) == ("s-secret-key", "s-migrator-database-url")
    # A part of the address needs the overlay.
    assert "DB_HOST" not in {*variables, *serving}


@pytest.mark.parametrize("has_overlay", [True, False])
def test_the_overlay_goes_with_the_build_of_a_site_that_has_it(tmp_path: Path, has_overlay: bool) -> None:
    overlay = COLLECTION / "roles/image/files/overlay"
    files = templated(
        "__image_overlay",
        tmp_path,
        djangogcp_out_source=OVERLAID | {"overlay": has_overlay, "path": str(tmp_path)},
        role_path=str(overlay.parent.parent),
    )
    paths = [path for path in overlay.rglob("*") if path.suffix in (".pth", ".py")]
    assert set(files) == {f".overlay/{path.relative_to(overlay)}" for path in paths if has_overlay}
    if has_overlay:
        assert files[".overlay/django_on_google_cloud.pth"] == "import django_on_google_cloud.start\n"
        own = (overlay / "django_on_google_cloud/overlay.py").read_text("utf-8")
        assert files[".overlay/django_on_google_cloud/overlay.py"] == own


#: MySQL's manual, "Server Error Message Reference", 1419.
REFUSED_TRIGGER = [
    "MySQLdb.OperationalError: (1419, 'You do not have the SUPER privilege and binary logging is enabled (you *might* want to use the less"
    " safe log_bin_trust_function_creators variable)')"
]
REFUSED_EXTENSION = [
    "  Applying search.0001_initial...Traceback (most recent call last):",
    'psycopg2.errors.InsufficientPrivilege: permission denied to create extension "vector"',
    "HINT:  Must be superuser to create this extension.",
]


@pytest.mark.parametrize(
    ("printed", "advice"),
    [
        (
            REFUSED_TRIGGER,
            'because MySQL writes a binary log: add log_bin_trust_function_creators with the value "on" to djangogcp_database_flags',
        ),
        (["Access denied for user"], None),
    ],
)
def test_a_trigger_that_a_migration_may_not_create_is_told_with_its_variable(
    tmp_path: Path, printed: list[str], advice: str | None
) -> None:
    failed = {"output": printed, "execution": {"message": "The execution failed.", "log_uri": ""}}
    said = templated(
        "__release_job_advice | split | join(' ')",
        tmp_path,
        release_command={"name": "migrate"},
        ansible_failed_result=failed,
        djangogcp_out_command=failed,
    )
    assert (advice in said) if advice else ("djangogcp_database_flags" not in said)


STEP = {
    "migration": "polls.0004_x",
    "operation": "Remove field votes from choice",
    "why": "it drops the column votes of polls_choice",
    "breaks": "nothing reads or writes polls.Choice",
}


@pytest.mark.parametrize(
    ("allowed", "why"),
    [
        ({}, "djangogcp_allow_destructive_migrations is false"),
        (
            {"allowed_plan": "abc"},
            "the plan is not the one that was allowed, because somebody else has migrated meanwhile",
        ),
    ],
)
def test_what_destructive_migrations_would_do_is_told(
    tmp_path: Path, allowed: dict[str, str], why: str
) -> None:
    said = templated(
        message_of("roles/release/tasks/command.yml"),
        tmp_path,
        release_command={"name": "migrate", **allowed},
        ansible_failed_result={
            "msg": "exit code 76",
            "output": [],
            "execution": {"message": "", "log_uri": ""},
        },
        djangogcp_out_status={"text": "polls-00001-abc serves."},
        __release_report={"refused": True, "destructive": [STEP]},
    )
    assert said == (
        f"localhost: the migrations of this release are destructive, and {why}. Nothing was migrated or released.\n"
        "- polls.0004_x, Remove field votes from choice: it drops the column votes of polls_choice; until the new code serves,"
        " nothing reads or writes polls.Choice\n"
        "Release code that does without it first, and the migration after that. To migrate now, run again with"
        " -e djangogcp_allow_destructive_migrations=true; Cloud SQL makes a backup of the instance before.\n\n"
        "polls-00001-abc serves."
    )


@pytest.mark.parametrize(
    ("passed", "advice"),
    [
        (
            {
                "limit": "lock",
                "seconds": 5,
                "table": "a",
                "holders": ["the session 7 of x (AccessShareLock)"],
            },
            "It waited 5 seconds for the table a that the session 7 of x (AccessShareLock) uses, and was given up,",
        ),
        (
            {"limit": "lock", "seconds": 5, "table": "a", "holders": []},
            "It waited 5 seconds for the table a that somebody uses, and was given up,",
        ),
        (
            {"limit": "statement", "seconds": 60, "table": "a", "holders": []},
            "It kept everybody from the table a for 60 seconds, and was given up (djangogcp_migration_statement_timeout_seconds).",
        ),
        (None, ""),
    ],
)
def test_a_limit_that_has_passed_is_told_with_its_variable(
    tmp_path: Path, passed: object, advice: str
) -> None:
    said = templated(
        "__release_limit_passed | default('', true) | split | join(' ')",
        tmp_path,
        __release_report={"passed": passed},
    )
    assert said.startswith(advice) if advice else said == ""


@pytest.mark.parametrize(
    ("printed", "advice"),
    [
        (
            REFUSED_EXTENSION,
            "Users of the site may not create the extension vector: add it to djangogcp_database_extensions and deploy again.",
        ),
        (["permission denied for schema public"], None),
    ],
)
def test_an_extension_that_a_migration_may_not_create_is_told_with_its_variable(
    tmp_path: Path, printed: list[str], advice: str | None
) -> None:
    failed = {"output": printed, "execution": {"message": "The execution failed.", "log_uri": ""}}
    said = templated(
        "__release_job_advice | split | join(' ')",
        tmp_path,
        release_command={"name": "migrate"},
        ansible_failed_result=failed,
        djangogcp_out_command=failed,
    )
    if advice is None:
        assert "djangogcp_database_extensions" not in said
    else:
        assert advice in said
        assert "The migration search.0001_initial did not come to its end." in said


@pytest.mark.parametrize(
    ("printed", "told"),
    [
        ("- couldn't import psycopg 'python' implementation: libpq library not found", True),
        ("ImportError: libGL.so.1: cannot open shared object file: No such file or directory", True),
        ("ImportError: failed to find libmagic.  Check your installation", True),
        ("ModuleNotFoundError: No module named 'environ'", False),
    ],
)
def test_a_library_that_the_image_lacks_is_told_with_the_way_out(
    tmp_path: Path, printed: str, told: bool
) -> None:
    said = templated(
        "__release_job_advice | split | join(' ')",
        tmp_path,
        release_command={"name": "migrate"},
        djangogcp_out_command={
            "output": [printed],
            "execution": {"message": "The execution failed.", "log_uri": ""},
        },
    )
    assert ("add to the inventory djangogcp_system_packages: [lib" in said) == told


def test_every_task_that_changes_google_cloud_reports_to_status(role: Path) -> None:
    silent = []
    for path in [*role.glob("tasks/main.yml"), *role.glob("tasks/start.yml"), *role.glob("tasks/finish.yml")]:
        for task in load(path):
            ours = [
                key
                for key in task
                if key.removeprefix("org.djangogcp.") in MODULES and key.startswith("org.")
            ]
            register = task.get("register", "")
            published = re.fullmatch(rf"djangogcp_out_{role.name}_\w+_result", register)
            if ours and role.name not in ("preflight", "release") and not published:
                silent.append(f"{path.name}: {task['name']}")
    assert silent == []


def test_a_site_that_serves_its_static_files_itself_has_no_bucket_for_them(tmp_path: Path) -> None:
    names = "__app_commands | map(attribute='name')"
    asked = f"[__app_variables.GS_STATIC_BUCKET_NAME | default(none), {names} | list]"
    described = {"djangogcp_superuser_email": "a@example.com", "djangogcp_superuser_username": "admin"}
    assert templated(asked, tmp_path, **described) == [
        "b",
        ["migrate", "collectstatic", "superuser", "manage"],
    ]
    of_image = templated(asked, tmp_path, **described, djangogcp_static="image")
    assert of_image == [None, ["migrate", "superuser", "manage"]]


@pytest.mark.parametrize(
    ("migrates", "names"),
    [
        (True, ["release", "migrate", "collectstatic", "superuser", "manage"]),
        (False, ["migrate", "release", "collectstatic", "superuser", "manage"]),
    ],
)
def test_what_a_procfile_releases_is_run_in_its_place(
    tmp_path: Path, migrates: bool, names: list[str]
) -> None:
    asked = "[__app_commands | map(attribute='name'), (__app_commands | selectattr('name', 'equalto', 'release') | first).args]"
    found = templated(
        asked,
        tmp_path,
        djangogcp_superuser_email="a@example.com",
        djangogcp_superuser_username="admin",
        djangogcp_out_source={
            "release_command": "a && exec b",
            "release_migrates": migrates,
            "manage_command": ["python", "manage.py"],
        },
        djangogcp_database_version="POSTGRES_17",
        djangogcp_migration_lock_timeout_seconds=5,
    )
    assert found[0] == names
    (line,) = found[1]
    # One that migrates is asked first, in the same job, and not begun if it may not.
    assert line.endswith("\ngate()' || exit $?\na && exec b" if migrates else "a && exec b")
    assert line.startswith("python manage.py shell -v 0 -c '" if migrates else "a && exec b")


@pytest.mark.parametrize(
    ("public", "public_by", "unchecked", "granted"),
    [
        (True, "no_invoker_iam_check", True, "present"),
        (True, "all_users", False, "present"),
        (False, "all_users", False, "absent"),
        (False, "no_invoker_iam_check", False, "absent"),
    ],
)
def test_everybody_is_let_in_by_one_way_or_not_at_all(
    tmp_path: Path, public: bool, public_by: str, unchecked: bool, granted: str
) -> None:
    asked = "[__cloud_run_invoker_iam_disabled, __cloud_run_everybody.state]"
    variables = {"djangogcp_public": public, "djangogcp_public_by": public_by}
    assert templated(asked, tmp_path, **variables) == [unchecked, granted]


def test_probes_ask_as_the_front_end_does(tmp_path: Path) -> None:
    paths = {"djangogcp_startup_path": "/up/", "djangogcp_liveness_path": "/alive/"}
    asked = "[__cloud_run_startup_probe.http_get, __cloud_run_liveness_probe.http_get]"
    headers = [{"name": "Host", "value": "s-1.r.run.app"}, {"name": "X-Forwarded-Proto", "value": "https"}]
    assert templated(asked, tmp_path, **paths) == [
        {"path": path, "port": 8080, "http_headers": headers} for path in ("/up/", "/alive/")
    ]
    assert templated(
        "__cloud_run_startup_probe.tcp_socket", tmp_path, djangogcp_startup_path="", djangogcp_port=8000
    ) == {"port": 8000}


def message_of(tasks: str) -> str:
    """The expression that is the message of the task that fails at the end of a rescue."""
    block = next(task for task in load(COLLECTION / tasks) if "rescue" in task)
    message = block["rescue"][-1]["ansible.builtin.fail"]["msg"]
    return re.fullmatch(r"\{\{ (.+) \}\}", message, re.DOTALL).group(1)


@pytest.mark.parametrize(
    ("path", "said", "advised"),
    [
        ("/up/", "The container failed the configured startup probe checks.", True),
        (
            "/up/",
            "The container failed the configured startup probe checks. Container called exit(1).",
            False,
        ),
        ("", "The container failed to start and listen on the port.", False),
    ],
)
def test_a_probe_that_does_not_pass_is_explained(tmp_path: Path, path: str, said: str, advised: bool) -> None:
    variables = {
        "djangogcp_startup_path": path,
        "djangogcp_out_cloud_run_service_result": {"msg": said},
        "djangogcp_out_status": {"text": "Nothing of s has served yet."},
    }
    message = templated(message_of("roles/cloud_run/tasks/candidate.yml"), tmp_path, **variables)
    assert message.startswith(f"{said}\n\n")
    assert message.endswith("\n\nNothing of s has served yet.")
    assert ("400 is what Django answers to a host that is not in ALLOWED_HOSTS" in message) is advised
    assert ("/up/ (djangogcp_startup_path) with the host s-1.r.run.app" in message) is advised


def test_a_failure_about_which_nothing_more_is_known_is_told_as_it_is(tmp_path: Path) -> None:
    status = {"djangogcp_out_status": {"text": "Nothing of s has served yet."}}
    page = {
        "__release_failed": {
            "msg": "/ answered 404",
            "checks": [{"path": "/", "status": 404, "problem": "404"}],
        },
        "djangogcp_admin_path": "",
        "djangogcp_out_candidate": {"name": "s-00002-abc"},
        "djangogcp_out_log": ["begun"],
        "__release_stopped": "s-00002-abc gets no traffic.",
    }
    asked = templated(message_of("roles/release/tasks/ask.yml"), tmp_path, **status, **page)
    assert asked.split("\n\n") == [
        "/ answered 404",
        "What s-00002-abc printed last:\nbegun",
        "s-00002-abc gets no traffic.",
    ]
    job = {"ansible_failed_result": {"msg": "The job is gone."}, "release_command": {"name": "collectstatic"}}
    command = templated(message_of("roles/release/tasks/command.yml"), tmp_path, **status, **job)
    assert command == "The job is gone.\n\nNothing of s has served yet."


@pytest.mark.parametrize(
    ("listed", "left_out"),
    [
        (None, []),
        ("*", []),
        ("www.example.com, .run.app", []),
        ("www.example.com,s-1.r.run.app", ["candidate---s-1.r.run.app"]),
        ("www.example.com", ["s-1.r.run.app", "candidate---s-1.r.run.app"]),
    ],
)
def test_addresses_that_a_sites_own_list_leaves_out_are_told(
    tmp_path: Path, listed: str | None, left_out: list[str]
) -> None:
    variables = {"djangogcp_environment": {"ALLOWED_HOSTS": listed}, "cloud_run_candidate_tag": "candidate"}
    assert templated("__cloud_run_left_out", tmp_path, **variables) == left_out


def test_what_django_says_of_a_page_that_fails_is_told_where_the_log_is_silent(tmp_path: Path) -> None:
    variables = {
        "__release_failed": {
            "msg": "/a/ answered 500",
            "checks": [{"path": "/a/", "status": 500, "problem": "500"}],
        },
        "__release_said": ["/a/ fails:", "LookupError: no such thing"],
        "__release_stopped": "It gets no traffic.",
        "djangogcp_admin_path": "",
        "djangogcp_out_candidate": {"name": "s-00002-abc"},
        "djangogcp_out_log": [],
    }
    asked = f"[{message_of('roles/release/tasks/ask.yml')}, __release_asked_of_django]"
    message, question = templated(asked, tmp_path, **variables)
    assert question == {"paths": ["/a/"], "host": "s-1.r.run.app"}
    assert message.split("\n\n")[-2:] == [
        "What Django says in the job manage, which is asked the same:\n/a/ fails:\nLookupError: no such thing",
        "It gets no traffic.",
    ]
    variables["djangogcp_out_log"] = ["Traceback (most recent call last):"]
    message, question = templated(asked, tmp_path, **variables)
    assert (question["paths"], "What Django says" in message) == ([], False)


def test_a_site_whose_certificate_is_by_acme_brings_none_and_goes_on(tmp_path: Path) -> None:
    """Of a certificate that is not brought there is no result to ask."""
    tasks = load(COLLECTION / "roles/compute_engine/tasks/candidate.yml")
    block = next(task for task in tasks if "block" in task)
    when = next(
        task["when"]
        for task in block["block"]
        if (task.get("vars") or {}).get("compute_engine_steps") == "reload"
    )
    assert templated(f"({when})", tmp_path) is False
    assert templated(f"({when})", tmp_path, __compute_engine_certificate_result={"changed": True}) is True


TUNNEL = "Failed to open a tunnel to port 22 of instance shop (us-east1-b, p): "


@pytest.mark.parametrize(
    ("said", "told"),
    [
        (
            f"{TUNNEL}Identity-Aware Proxy refuses it (4033 not authorized). Grant it.\nConnection closed by UNKNOWN port 65535",
            f"{TUNNEL}Identity-Aware Proxy refuses it (4033 not authorized). Grant it.",
        ),
        (
            f"{TUNNEL}Identity-Aware Proxy does not reach it (4003 failed). See that.",
            f"{TUNNEL}Identity-Aware Proxy does not reach it (4003 failed). See that. A deploy sets the firewall rule right. If its SSH server has stopped, "
            "restart it: gcloud compute instances reset shop --project=p --zone=us-east1-b.",
        ),
        (
            "polls@shop: Permission denied (publickey).",
            "it does not know the key. Grant who deploys roles/compute.osAdminLogin, and see that its metadata has enable-oslogin: TRUE, which a deploy sets.",
        ),
        ("", "it does now. Run again."),
    ],
    ids=["no role", "nothing listens", "no key", "nothing any more"],
)
def test_why_a_machine_does_not_let_in_is_told(said: str, told: str, tmp_path: Path) -> None:
    its = load(COLLECTION / "roles/compute_engine/vars/main.yml")
    variables = {
        "__compute_engine_why_not": its["__compute_engine_why_not"],
        "__compute_engine_asked_why": {"stderr": said},
        "djangogcp_site": "shop",
        "djangogcp_project": "p",
        "compute_engine_zone": "us-east1-b",
    }
    assert templated("__compute_engine_why_not | split | join(' ')", tmp_path, **variables) == told
