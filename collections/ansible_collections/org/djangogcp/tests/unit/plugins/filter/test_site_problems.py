# Copyright (c) 2026, The djangogcp contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is said of wrong variables."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml
from ansible_collections.org.djangogcp.plugins.filter.in_maintenance import VARIABLES as MAINTENANCE
from ansible_collections.org.djangogcp.plugins.filter.site_problems import (
    ELEMENT_RULES,
    MADE_OF,
    OWN_ENTRIES,
    RULES,
    site_problems,
    source_problems,
    tier_problems,
)
from ansible_collections.org.djangogcp.plugins.lookup.role_variables import role_variables

PREFLIGHT = Path(__file__).parents[4] / "roles" / "preflight"
VARIABLES = yaml.safe_load((PREFLIGHT / "meta/argument_specs.yml").read_text("utf-8"))["argument_specs"][
    "site"
]["options"]
DEFAULTS = yaml.safe_load((PREFLIGHT / "defaults/main.yml").read_text("utf-8"))
REGIONS = ["europe-west1", "us-central1"]

GOOD = {
    "djangogcp_project": "my-project",
    "djangogcp_region": "us-central1",
    "djangogcp_source_dir": "/srv/polls",
    "djangogcp_superuser_email": "admin@example.com",
    "djangogcp_site": "polls",
    "djangogcp_database_name": "polls",
    "djangogcp_database_edition": "ENTERPRISE",
    "djangogcp_database_tier": "db-custom-1-3840",
}

SOURCE = {
    "path": "/srv/polls",
    "exists": True,
    "manage_py": True,
    "settings_module": "config.settings",
    "wsgi_module": "config.wsgi:application",
    "asgi": False,
    "wsgi_modules": ["config.wsgi:application"],
    "wsgi_problem": "",
    "requirements_file": "requirements.txt",
    "requirements_files": ["requirements.txt"],
    "requirements": ["django", "gunicorn", "psycopg2-binary"],
    "requirements_known": True,
    "dockerfile": False,
    "procfile_web": "",
    "python_version": "",
    "manage_dirs": [],
    "manage_problem": "",
    "requirements_problem": "",
    "system_packages_problem": "",
    "python_needs": {},
    "unreadable_files": [],
    "overlay": False,
    "overlay_problem": "",
    "driver_problem": "",
}


def problems(**changed: object) -> list[str]:
    return site_problems({**GOOD, **changed}, VARIABLES, REGIONS, SOURCE)


def test_a_right_site_has_no_problem() -> None:
    assert problems() == []


MYSQL = {"djangogcp_database_version": "MYSQL_8_0", "djangogcp_database_extensions": []}


def test_a_site_with_mysql_is_right() -> None:
    assert problems(**MYSQL, djangogcp_database_flags={"cloudsql_iam_authentication": "on"}) == []
    assert problems(**{**MYSQL, "djangogcp_database_version": "MYSQL_8_4"}, djangogcp_network="net") == []


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        (
            {"djangogcp_database_version": "MYSQL_5_7"},
            "djangogcp_database_version is 'MYSQL_5_7': expected POSTGRES_14 or later, MYSQL_8_0 or MYSQL_8_4.",
        ),
        (
            {"djangogcp_database_name": "my_polls"},
            "djangogcp_database_name is 'my_polls': expected for MYSQL_8_0 at most 23 lower case letters and digits, beginning with a letter,"
            " and none of the server's own (mysql, sys), because users of MySQL have short names, and an underscore in a GRANT stands for any"
            " character.",
        ),
        (
            {"djangogcp_database_extensions": ["pg_trgm"]},
            "djangogcp_database_extensions is ['pg_trgm']: expected none, because MySQL has no extensions.",
        ),
        (
            {"djangogcp_database_flags": {"cloudsql_iam_authentication": "off"}},
            "djangogcp_database_flags.cloudsql_iam_authentication is set: expected no such entry, because it has to be on for the deploy to log"
            " in.",
        ),
    ],
)
def test_what_does_not_go_with_mysql_is_refused(changed: dict[str, object], message: str) -> None:
    assert problems(**{**MYSQL, **changed}) == [message]


def test_a_name_that_the_site_has_wrong_is_told_once() -> None:
    (message,) = problems(**MYSQL, djangogcp_site="My_Shop", djangogcp_database_name="My_Shop")
    assert message.startswith("djangogcp_site is ")


def test_a_project_without_a_driver_for_mysql_is_refused_where_nothing_would_take_ours() -> None:
    source = {**SOURCE, "driver_problem": "requirements.txt lists no driver"}
    assert source_problems(source) == [
        "djangogcp_settings_overlay is 'auto': expected true, or a driver among the project's own requirements, because requirements.txt"
        " lists no driver."
    ]


def test_an_integer_is_as_good_as_its_string() -> None:
    assert problems(djangogcp_cpu=2) == []
    assert problems(djangogcp_site=2) == problems(djangogcp_site="2") != []


def test_every_default_is_right() -> None:
    defaults = {
        name: value for name, value in DEFAULTS.items() if name in VARIABLES and "{{" not in str(value)
    }
    assert site_problems({**GOOD, **defaults}, VARIABLES, REGIONS, SOURCE) == []


def test_the_specification_and_the_defaults_say_the_same() -> None:
    specified = {name: option["default"] for name, option in VARIABLES.items() if "default" in option}
    constant = {
        name: value for name, value in DEFAULTS.items() if name in VARIABLES and "{{" not in str(value)
    }
    assert specified == constant


def test_a_variable_has_a_default_unless_it_is_required() -> None:
    assert {name for name in VARIABLES if name not in DEFAULTS} == {
        name for name, option in VARIABLES.items() if option.get("required")
    }


def test_every_rule_is_of_a_variable_that_exists() -> None:
    assert {*RULES, *ELEMENT_RULES, *MADE_OF, *MADE_OF.values()} <= {*VARIABLES, *role_variables()}


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        (
            "djangogcp_regoin",
            "us-central1",
            "djangogcp_regoin is unknown: expected the name of a variable of this collection. Did you mean djangogcp_region?",
        ),
        (
            "djangogcp_project",
            "",
            "djangogcp_project is not set: expected the id of the Google Cloud project.",
        ),
        (
            "djangogcp_project",
            "My Project",
            "djangogcp_project is 'My Project': expected a project id: 6 to 30 lower case letters, digits and hyphens,"
            " beginning with a letter.",
        ),
        (
            "djangogcp_region",
            "us-centrall1",
            "djangogcp_region is 'us-centrall1': expected a region of Google Cloud. Did you mean us-central1?",
        ),
        (
            "djangogcp_site",
            "a-very-long-name-of-a-site",
            "djangogcp_site is 'a-very-long-name-of-a-site': expected 2 to 21 lower case letters, digits and hyphens, beginning"
            " with a letter, because SITE-migrator is the id of a service account (30 characters) and SITE is part of a host"
            " name (63 characters).",
        ),
        ("djangogcp_max_instances", "many", "djangogcp_max_instances is 'many': expected an integer."),
        (
            "djangogcp_max_instances",
            0,
            "djangogcp_max_instances is 0: expected an integer from 1 to 10000.",
        ),
        ("djangogcp_max_instances", True, "djangogcp_max_instances is true: expected an integer."),
        (
            "djangogcp_python_version",
            3.1,
            "djangogcp_python_version is 3.1: expected a string, in quotes.",
        ),
        ("djangogcp_public", "perhaps", "djangogcp_public is 'perhaps': expected true or false."),
        ("djangogcp_domains", "www.example.com", "djangogcp_domains is 'www.example.com': expected a list."),
        (
            "djangogcp_domains",
            ["https://a.b"],
            "djangogcp_domains is 'https://a.b': expected host names such as www.example.com.",
        ),
        (
            "djangogcp_domains",
            [7],
            "djangogcp_domains is [7]: expected a list of which each entry is a string.",
        ),
        (
            "djangogcp_environment",
            ["TOKEN=abc"],
            "djangogcp_environment has a wrong value: expected a dictionary.",
        ),
        (
            "djangogcp_database_edition",
            "ENTERPRISE_PLU",
            "djangogcp_database_edition is 'ENTERPRISE_PLU': expected one of ENTERPRISE, ENTERPRISE_PLUS."
            " Did you mean ENTERPRISE_PLUS?",
        ),
        (
            "djangogcp_liveness_path",
            "/healthz",
            "djangogcp_liveness_path is '/healthz': expected a path that begins with / and is none of /healthz, /eventlog and"
            " /_ah/..., which Google's front end answers itself with 404 (serve it at another, such as /health/), or nothing.",
        ),
        (
            "djangogcp_admin_path",
            "/_ah/admin/",
            "djangogcp_admin_path is '/_ah/admin/': expected a path that begins with / and is none of /healthz, /eventlog and"
            " /_ah/..., which Google's front end answers itself with 404 (serve it at another, such as /health/), or nothing.",
        ),
        (
            "djangogcp_superuser_email",
            "nobody",
            "djangogcp_superuser_email is 'nobody': expected an e-mail address.",
        ),
    ],
)
def test_a_wrong_variable_is_explained(name: str, value: object, message: str) -> None:
    assert problems(**{name: value}) == [message]


@pytest.mark.parametrize("path", ["/healthz", "/healthz?full", "/eventlog", "/_ah", "/_ah/health"])
def test_a_path_that_google_keeps_for_itself_is_refused_wherever_it_is_asked_from_outside(path: str) -> None:
    rule = ELEMENT_RULES["djangogcp_smoke_paths"]
    assert not rule.test(path)
    assert "/healthz" in rule.expected
    names = ("djangogcp_startup_path", "djangogcp_liveness_path", "djangogcp_admin_path")
    assert not any(RULES[name].test(path) for name in names)


@pytest.mark.parametrize(
    "path", ["/healthz/", "/readyz", "/quiz", "/eventlog/", "/_ahead/", "/eventlogs", "/-/live"]
)
def test_a_path_that_only_looks_so_is_taken(path: str) -> None:
    assert ELEMENT_RULES["djangogcp_smoke_paths"].test(path)
    assert RULES["djangogcp_startup_path"].test(path)


#: What the roles set in the environment and a person may set otherwise.
HONOURED = {
    "ALLOWED_HOSTS",
    "CSRF_TRUSTED_ORIGINS",
    "GOOGLE_CLOUD_PROJECT",
    "GUNICORN_CMD_ARGS",
    "DJANGO_CONFIGURATION",
    "DJANGO_SETTINGS_MODULE",
    "DATABASE_STATEMENT_TIMEOUT",
}


def test_whatever_the_roles_set_in_the_environment_is_refused_or_honoured() -> None:
    text = (PREFLIGHT.parent / "app/vars/main.yml").read_text("utf-8")
    ours = set(re.findall(r"\b([A-Z]+(?:_[A-Z]+)+)'?:", text))
    assert len(ours) > 10
    assert ours | set(MAINTENANCE) == HONOURED | set(OWN_ENTRIES["djangogcp_environment"])


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        (
            {"djangogcp_environment": {"SECRET_KEY": "hunter2"}},
            "djangogcp_environment.SECRET_KEY is set: expected no such entry, because the key is in the secret polls-secret-key,"
            " which the first deploy makes. To keep the key of an old server, make that secret before the first deploy with"
            " gcloud secrets create polls-secret-key --data-file=- and list 'secret polls-secret-key' in djangogcp_adopt.",
        ),
        (
            {"djangogcp_environment": {"DATABASE_URL": "hunter2"}},
            "djangogcp_environment.DATABASE_URL is set: expected no such entry, because the deploy makes the database and puts its"
            " address into the secrets polls-web-database-url and polls-migrator-database-url. Import the data of an old server"
            " into it after the first deploy.",
        ),
        (
            {"djangogcp_environment": {"GS_MEDIA_BUCKET_NAME": "x"}},
            "djangogcp_environment.GS_MEDIA_BUCKET_NAME is set: expected no such entry, because djangogcp_media_bucket sets it, and"
            " makes the bucket and its rights, too. Set that instead.",
        ),
        (
            {"djangogcp_environment": {"DJANGO_SETTINGS_MODULE": "a.b"}, "djangogcp_settings_module": "a.c"},
            "djangogcp_environment.DJANGO_SETTINGS_MODULE is set: expected no such entry, because djangogcp_settings_module sets"
            " another module.",
        ),
        (
            {"djangogcp_environment": {"GUNICORN_CMD_ARGS": "--preload --threads=4"}},
            "djangogcp_environment.GUNICORN_CMD_ARGS is set with --threads: expected no such option, because djangogcp_threads sets"
            " it, and the requests and connections of an instance are counted by it. Set that instead.",
        ),
        *(
            (
                {"djangogcp_environment": {"GUNICORN_CMD_ARGS": arguments}},
                "djangogcp_environment.GUNICORN_CMD_ARGS is set with --threads: expected no such option, because djangogcp_threads"
                " sets it, and the requests and connections of an instance are counted by it. Set that instead.",
            )
            for arguments in ("--thread 9", "--thr=9", "'--threads' 9", '--preload "--threads=9"')
        ),
        (
            {"djangogcp_environment": {"GUNICORN_CMD_ARGS": "--preload '"}},
            "djangogcp_environment.GUNICORN_CMD_ARGS is no command line (No closing quotation): expected options as a shell takes"
            " them.",
        ),
        (
            {"djangogcp_environment": {"GUNICORN_CMD_ARGS": "-w9"}},
            "djangogcp_environment.GUNICORN_CMD_ARGS is set with --workers: expected no such option, because djangogcp_workers sets"
            " it, and the requests and connections of an instance are counted by it. Set that instead.",
        ),
        (
            {"djangogcp_environment": {"GUNICORN_CMD_ARGS": "-b 0.0.0.0:80"}},
            "djangogcp_environment.GUNICORN_CMD_ARGS is set with --bind: expected no such option, because Cloud Run says where to"
            " listen.",
        ),
        (
            {"djangogcp_secrets": {"ALLOWED_HOSTS": "hosts"}},
            "djangogcp_secrets.ALLOWED_HOSTS is set: expected no such entry, because the deploy computes it, and it is no secret."
            " djangogcp_environment can set it otherwise.",
        ),
        (
            {"djangogcp_secrets": {"A": "polls-migrator-database-url"}},
            "djangogcp_secrets.A is set: expected no such entry, because polls-migrator-database-url is one of the secrets that the"
            " deploy makes, and who needs it gets it already.",
        ),
        (
            {"djangogcp_secrets": {"A": "token"}, "djangogcp_environment": {"A": "x"}},
            "djangogcp_secrets.A is set: expected no such entry, because djangogcp_environment.A is set as well. Keep one of them.",
        ),
        (
            {"djangogcp_secrets": {name: {"name": name, "path": "/run/secrets/key"} for name in ("A", "B")}},
            "djangogcp_secrets.B is set: expected no such entry, because /run/secrets/key holds the secret A already. Choose another"
            " path.",
        ),
        (
            {"djangogcp_labels": {"site": "other"}},
            "djangogcp_labels.site is set: expected no such entry, because it is one of the labels by which this collection knows"
            " what is whose.",
        ),
        (
            {"djangogcp_database_flags": {"cloudsql.iam_authentication": "off"}},
            "djangogcp_database_flags.cloudsql.iam_authentication is set: expected no such entry, because it has to be on for the"
            " deploy to log in.",
        ),
    ],
)
def test_an_entry_that_would_be_dropped_is_refused_with_the_right_way(
    variables: dict[str, object], message: str
) -> None:
    assert problems(**variables) == [message]


@pytest.mark.parametrize(
    "variables",
    [
        {"djangogcp_environment": dict.fromkeys(HONOURED - {"GUNICORN_CMD_ARGS"}, "a.b")},
        {"djangogcp_environment": {"DJANGO_SETTINGS_MODULE": "a.b"}, "djangogcp_settings_module": "a.b"},
        {
            "djangogcp_environment": {
                "GUNICORN_CMD_ARGS": "--preload --max-requests=100 --worker-class=gthread"
            }
        },
        {"djangogcp_environment": {"DJANGO_SUPERUSER_PHONE": "0123"}},
        {"djangogcp_secrets": {"A": "token", "B": None}, "djangogcp_environment": {"A": None, "B": "x"}},
        {"djangogcp_secrets": {key: {"name": "token", "path": "/run/secrets/token"} for key in ("A", "B")}},
        {"djangogcp_database_flags": {"cloudsql.iam_authentication": True}},
    ],
)
def test_what_a_person_may_set_is_right(variables: dict[str, object]) -> None:
    assert problems(**variables) == []


@pytest.mark.parametrize("value", ["4", 4])
def test_a_number_may_be_in_quotes_as_extra_variables_send_it(value: object) -> None:
    assert problems(djangogcp_max_instances=value) == []


def test_what_is_made_of_a_refused_variable_is_not_refused_as_well() -> None:
    found = problems(
        djangogcp_project="", djangogcp_media_bucket="-polls-media", djangogcp_static_bucket="-polls-static"
    )
    assert found == ["djangogcp_project is not set: expected the id of the Google Cloud project."]


def test_days_are_of_what_can_be_rotated() -> None:
    site = {**GOOD, "djangogcp_secrets": {"SMTP": "smtp", "KEY": {"name": "pay", "path": "/run/pay/key"}}}
    days = {"secret_key": "90", "smtp": 30, "pay": 30}
    assert site_problems({**site, "djangogcp_rotation_days": days}, VARIABLES, REGIONS) == []
    assert site_problems({**site, "djangogcp_rotation_days": {"SMTP": 30}}, VARIABLES, REGIONS) == [
        "djangogcp_rotation_days.SMTP is unknown: expected one of secret_key, database_password, superuser_password, smtp, pay."
    ]


def test_all_problems_come_together() -> None:
    assert (
        len(
            problems(djangogcp_project="", djangogcp_regoin="x", djangogcp_region="mars", djangogcp_threads=0)
        )
        == 4
    )


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"exists": False}, "djangogcp_source_dir is '/srv/polls': expected an existing folder."),
        (
            {"manage_py": False},
            "djangogcp_source_dir is '/srv/polls': expected the folder that holds manage.py.",
        ),
        (
            {"manage_dirs": ["api", "web"], "manage_py": False},
            "djangogcp_manage_dir is not set: expected one of api, web, which hold a manage.py each.",
        ),
        (
            {"manage_problem": "there is no manage.py in bakend"},
            "djangogcp_manage_dir has to be the folder that holds manage.py: there is no manage.py in bakend.",
        ),
        (
            {"requirements_file": ""},
            "djangogcp_source_dir is '/srv/polls': expected a requirements.txt, a lock file, a pyproject.toml with dependencies or a setup.py"
            " beside manage.py or above it (or djangogcp_requirements).",
        ),
        (
            {"requirements_problem": "live.txt includes 'x', which is not there"},
            "djangogcp_source_dir is '/srv/polls': expected a folder that tells what is installed, but live.txt includes 'x', which is"
            " not there.",
        ),
        (
            {"wsgi_module": "confg.wsgi:application", "wsgi_problem": "there is no file confg/wsgi.py"},
            "djangogcp_wsgi_module is 'confg.wsgi:application': expected package.module:attribute, but there is no file"
            " confg/wsgi.py. Did you mean config.wsgi:application?",
        ),
        (
            {"wsgi_module": "", "wsgi_modules": []},
            "djangogcp_wsgi_module is not set: expected package.module:attribute, because several or no wsgi.py or asgi.py were found (none).",
        ),
    ],
)
def test_a_wrong_source_is_explained(changed: dict[str, object], message: str) -> None:
    assert source_problems({**SOURCE, **changed}) == [message]


def test_a_project_with_a_dockerfile_needs_no_requirements() -> None:
    assert (
        source_problems(
            {**SOURCE, "dockerfile": True, "requirements_file": "", "requirements": [], "wsgi_module": ""}
        )
        == []
    )


def test_what_the_image_holds_is_served_by_whitenoise() -> None:
    assert source_problems(SOURCE, "bucket") == []
    (message,) = source_problems(SOURCE, "image")
    assert message.startswith("djangogcp_static is 'image': expected requirements.txt to list whitenoise, ")
    assert message.endswith(" Did you mean bucket?")
    assert source_problems({**SOURCE, "requirements": [*SOURCE["requirements"], "whitenoise"]}, "image") == []
    # Nothing is known of what a setup.py asks for, or of what an image has that the project makes itself.
    assert source_problems({**SOURCE, "requirements_known": False}, "image") == []
    assert source_problems({**SOURCE, "dockerfile": True}, "image") == []


@pytest.mark.parametrize(
    "name", ["libpq5", "g++", "libgdal-dev=3.6.1", "libpq5; rm -rf /", "LibPQ", "gcc-", "-f", "x.deb/sid"]
)
def test_packages_of_debian_have_names_of_debian(name: str) -> None:
    found = problems(djangogcp_system_packages=["gdal-bin", name])
    if name in ("libpq5", "g++", "libgdal-dev=3.6.1"):
        assert found == []
    else:
        assert found == [
            f"djangogcp_system_packages is '{name}': expected the name of a package of Debian such as libpq5, or NAME=VERSION."
        ]


def test_a_dockerfile_installs_its_packages_itself() -> None:
    own = {**SOURCE, "dockerfile": True}
    assert source_problems(own) == []
    assert source_problems(own, packages=["libpq5"]) == [
        "djangogcp_system_packages is ['libpq5']: expected nothing, because the project has a Dockerfile, which is built as it is. Install them"
        " there, with RUN apt-get update && apt-get install --yes --no-install-recommends."
    ]


def test_packages_that_cannot_be_installed_are_refused_unless_others_are_named() -> None:
    source = {**SOURCE, "system_packages_problem": "Aptfile lists 'X'"}
    assert source_problems(source) == [
        "djangogcp_system_packages is not set: expected packages of Debian, because Aptfile lists 'X'."
    ]
    assert source_problems(source, packages=["libpq5"]) == []
    assert source_problems({**source, "dockerfile": True}) == []


def test_what_the_platform_needs_need_not_be_listed() -> None:
    assert source_problems({**SOURCE, "requirements": ["django"]}) == []


@pytest.mark.parametrize(
    ("python", "needs", "message"),
    [
        ("3.13", {}, ""),
        ("3.13", {"<3.14": "a"}, ""),
        ("3.11", {">=3.11.2": "a"}, ""),
        ("3.13", {"<3.12": "a", ">=3.9": "b"}, "but a. Did you mean 3.11?"),
        ("3.10", {">=3.12": "c", "<3.14": "d"}, "but c. Did you mean 3.13?"),
        ("3.13", {"<3.5": "e"}, "but e."),
        # Refused for itself.
        ("three", {"<3.5": "e"}, ""),
    ],
)
def test_a_python_that_the_project_cannot_run_on_is_refused(
    python: str, needs: dict[str, str], message: str
) -> None:
    found = source_problems({**SOURCE, "python_needs": needs}, python=python)
    start = f"djangogcp_python_version is '{python}': expected one that the project runs on, "
    assert found == ([start + message] if message else [])


@pytest.mark.parametrize(
    ("tier", "edition"),
    [
        ("db-f1-micro", "ENTERPRISE"),
        ("db-g1-small", "ENTERPRISE"),
        ("db-custom-1-3840", "ENTERPRISE"),
        ("db-custom-2-7680", "ENTERPRISE"),
        ("db-perf-optimized-N-2", "ENTERPRISE_PLUS"),
    ],
)
def test_tiers_of_their_edition_are_right(tier: str, edition: str) -> None:
    assert tier_problems(tier, edition) == []


@pytest.mark.parametrize(
    ("tier", "edition", "expected"),
    [
        ("db-f1-micro", "ENTERPRISE_PLUS", "Did you mean db-perf-optimized-N-2?"),
        ("db-perf-optimized-N-2", "ENTERPRISE", "Did you mean db-custom-1-3840?"),
        ("db-custom-3-7680", "ENTERPRISE", "expected 1 or an even number of CPUs up to 96."),
        (
            "db-custom-1-3841",
            "ENTERPRISE",
            "expected a memory from 3840 to 6656 MB in steps of 256 for 1 CPUs.",
        ),
        (
            "db-custom-2-1024",
            "ENTERPRISE",
            "expected a memory from 3840 to 13312 MB in steps of 256 for 2 CPUs.",
        ),
    ],
)
def test_a_tier_of_another_edition_is_explained(tier: str, edition: str, expected: str) -> None:
    (message,) = tier_problems(tier, edition)
    assert message.startswith(f"djangogcp_database_tier is '{tier}': ")
    assert message.endswith(expected)


@pytest.mark.parametrize("value", [True, False, "true", "false", "auto"])
def test_an_overlay_is_on_off_or_where_it_is_needed(value: object) -> None:
    assert problems(djangogcp_settings_overlay=value) == []


def test_an_overlay_that_cannot_be_is_refused_where_it_is_asked_for() -> None:
    source = {**SOURCE, "overlay_problem": "its own Dockerfile does not copy it"}
    (message,) = source_problems(source, overlay=True)
    assert (
        message
        == "djangogcp_settings_overlay is true: expected auto or false, because its own Dockerfile does not copy it."
    )
    assert source_problems(source, overlay="auto") == []


def test_with_the_overlay_the_image_serves_static_files_without_a_line_in_the_requirements() -> None:
    assert source_problems({**SOURCE, "overlay": True}, "image") == []


def test_other_names_are_given_to_what_a_deploy_sets() -> None:
    names = {"DJANGO_SECRET_KEY": "SECRET_KEY", "DATABASE_HOST": "DATABASE_HOST", "LEFT_OUT": None}
    assert problems(djangogcp_environment_names=names) == []
    (wrong,) = problems(djangogcp_environment_names={"KEY": "SECRETKEY"})
    assert wrong.startswith(
        "djangogcp_environment_names.KEY is 'SECRETKEY': expected one of SECRET_KEY, DATABASE_URL, "
    )
    (own,) = problems(djangogcp_environment_names={"SECRET_KEY": "DATABASE_URL"})
    assert own == (
        "djangogcp_environment_names.SECRET_KEY is set: expected no such entry, because the deploy sets it already, by that name."
    )
