"""The entry of DATABASES that the overlay makes."""

from __future__ import annotations

from typing import Any

import pytest
from django_on_google_cloud.database import laid_over, parsed

URL = "postgres://shop_web_1:p%40@/shop?host=/cloudsql/p:europe-west1:sql"
POSTGRESQL = "django.db.backends.postgresql"
MYSQL = "django.db.backends.mysql"
MYSQL_URL = "mysql://shop_web_1:p%40@/shop?unix_socket=/cloudsql/p:europe-west1:sql&charset=utf8mb4"
STRICT = "SET SESSION sql_mode = TRIM(LEADING ',' FROM CONCAT(@@sql_mode, ',STRICT_TRANS_TABLES'))"
LIMIT = " /*!50708 , SESSION max_execution_time = 300000 */ /*M!100101 , SESSION max_statement_time = 300 */"


def laid(project: dict[str, Any], url: str = URL, **options: Any) -> dict[str, Any]:
    return laid_over(
        project, url, **{"max_age": None, "statement_timeout": 0, "is_geographic": False, **options}
    )


def test_a_project_with_sqlite_gets_postgresql_and_nothing_of_its_own_options() -> None:
    project = {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": "db.sqlite3",
        "OPTIONS": {"timeout": 20},
        "ATOMIC_REQUESTS": True,
    }
    assert laid(project) == {
        "ENGINE": POSTGRESQL,
        "NAME": "shop",
        "USER": "shop_web_1",
        "PASSWORD": "p@",
        "HOST": "/cloudsql/p:europe-west1:sql",
        "PORT": "",
        "OPTIONS": {"connect_timeout": 10},
        "ATOMIC_REQUESTS": True,
        "CONN_MAX_AGE": 600,
        "CONN_HEALTH_CHECKS": True,
    }


def test_options_that_apply_are_kept_and_those_of_another_server_are_not() -> None:
    options = {
        "sslmode": "require",
        "sslrootcert": "ca.pem",
        "isolation_level": 3,
        "connect_timeout": 2,
        "options": "-c search_path=shop",
    }
    found = laid(
        {"ENGINE": POSTGRESQL, "OPTIONS": options, "HOST": "db", "PORT": 6432}, statement_timeout=300
    )
    assert found["OPTIONS"] == {
        "isolation_level": 3,
        "connect_timeout": 2,
        "options": "-c statement_timeout=300000 -c search_path=shop",
    }
    assert (found["HOST"], found["PORT"]) == ("/cloudsql/p:europe-west1:sql", "")


def test_the_role_of_a_session_comes_last() -> None:
    found = laid(
        {"ENGINE": POSTGRESQL, "OPTIONS": {"options": "-c role=own"}},
        f"{URL}&options=-c%20role%3Dshop_migrator",
        statement_timeout=1,
    )
    # Of a parameter that is set twice PostgreSQL takes the last.
    assert found["OPTIONS"]["options"] == "-c statement_timeout=1000 -c role=own -c role=shop_migrator"


@pytest.mark.parametrize(
    ("engine", "is_geographic", "expected"),
    [
        ("", False, POSTGRESQL),
        ("django.db.backends.mysql", False, POSTGRESQL),
        ("django.contrib.gis.db.backends.spatialite", True, "django.contrib.gis.db.backends.postgis"),
        ("django.contrib.gis.db.backends.postgis", True, "django.contrib.gis.db.backends.postgis"),
        ("django_tenants.postgresql_backend", False, "django_tenants.postgresql_backend"),
        ("psqlextra.backend", False, "psqlextra.backend"),
    ],
)
def test_the_backend_is_the_projects_own_where_it_speaks_to_that_server(
    engine: str, is_geographic: bool, expected: str
) -> None:
    assert laid({"ENGINE": engine} if engine else {}, is_geographic=is_geographic)["ENGINE"] == expected


@pytest.mark.parametrize(
    ("project", "max_age", "expected"),
    [
        ({}, None, 600),
        ({"CONN_MAX_AGE": 60}, None, 60),
        ({"CONN_MAX_AGE": 60}, 0, 0),
        ({"OPTIONS": {"pool": True}}, None, 0),
    ],
)
def test_connections_are_kept_for_as_long_as_may_be(
    project: dict[str, Any], max_age: int | None, expected: int
) -> None:
    assert laid({"ENGINE": POSTGRESQL, **project}, max_age=max_age)["CONN_MAX_AGE"] == expected


def test_mysql_by_its_socket() -> None:
    found = laid(
        {"ENGINE": "django.db.backends.mysql", "OPTIONS": {"charset": "utf8mb4", "ssl": {}}},
        URL.replace("postgres", "mysql"),
    )
    assert (found["ENGINE"], found["HOST"], found["OPTIONS"]) == (
        "django.db.backends.mysql",
        "/cloudsql/p:europe-west1:sql",
        {"charset": "utf8mb4", "connect_timeout": 10, "init_command": STRICT},
    )


@pytest.mark.parametrize(
    ("own", "expected"),
    [
        (None, STRICT + LIMIT),
        ("SET sql_mode='ANSI';", "SET sql_mode='ANSI'" + LIMIT),
        ("SET NAMES utf8mb4", "SET NAMES utf8mb4"),
    ],
)
def test_mysql_ends_what_takes_too_long_where_the_project_leaves_room_for_it(
    own: str | None, expected: str
) -> None:
    options = {"init_command": own} if own else {}
    found = laid({"ENGINE": MYSQL, "OPTIONS": options}, MYSQL_URL, statement_timeout=300)
    assert found["OPTIONS"] == {"charset": "utf8mb4", "connect_timeout": 10, "init_command": expected}
    assert (found["NAME"], found["HOST"]) == ("shop", "/cloudsql/p:europe-west1:sql")


def test_mysql_at_its_private_address() -> None:
    found = laid({}, "mysql://shop_web_1:p%40@10.1.2.3:3306/shop?charset=utf8mb4&ssl_mode=REQUIRED")
    assert (found["ENGINE"], found["HOST"], found["PORT"]) == (MYSQL, "10.1.2.3", "3306")
    assert found["OPTIONS"]["ssl_mode"] == "REQUIRED"


def test_a_server_at_a_port() -> None:
    found = parsed("postgresql://u:p@10.1.2.3:6432/shop?sslmode=require")
    assert (found["HOST"], found["PORT"], found["OPTIONS"]) == ("10.1.2.3", "6432", {"sslmode": "require"})


def test_the_form_of_googles_guide() -> None:
    found = parsed("postgres://polls:Secret1@//cloudsql/my-project:europe-west1:djangogcp/polls")
    assert (found["HOST"], found["NAME"], found["USER"], found["OPTIONS"]) == (
        "/cloudsql/my-project:europe-west1:djangogcp",
        "polls",
        "polls",
        {},
    )


@pytest.mark.parametrize(
    "url",
    ["oracle://u:hunter2@h/n", "postgres://u:hunter2/x@h:5432/n", "postgres://u:hunter2[@h/n", "hunter2"],
)
def test_what_is_no_address_is_refused_and_not_shown(url: str) -> None:
    with pytest.raises(ValueError, match="DATABASE_URL") as refused:
        parsed(url)
    assert "hunter2" not in str(refused.value)
