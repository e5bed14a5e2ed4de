"""What is laid over settings, setting by setting."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from django_on_google_cloud import logs, overlay

BASE = Path("/app")
SMTP = "django.core.mail.backends.smtp.EmailBackend"
UNSENT = "django_on_google_cloud.mail.UnsentEmailBackend"
SECURITY = "django.middleware.security.SecurityMiddleware"


def laid(project: dict[str, Any], version: tuple[int, ...] = (5, 2, 0), **environ: str) -> dict[str, Any]:
    return overlay.laid_over(project, environ, BASE, version)


def test_a_projects_own_lists_are_not_changed() -> None:
    project = {
        "MIDDLEWARE": [SECURITY],
        "INSTALLED_APPS": [],
        "DATABASES": {},
        "CACHES": {},
        "ALLOWED_HOSTS": ["*"],
    }
    before = {name: type(value)(value) for name, value in project.items()}
    laid(project, ALLOWED_HOSTS="a.example.com", DATABASE_URL="sqlite://")
    assert project == before


def test_hosts_are_exact_beside_those_that_the_project_names() -> None:
    found = laid({"ALLOWED_HOSTS": ["*", "shop.example.com"]}, ALLOWED_HOSTS="a.run.app,b.run.app")
    assert found["ALLOWED_HOSTS"] == ["a.run.app", "b.run.app", "shop.example.com"]
    assert laid({"ALLOWED_HOSTS": ["*"]})["ALLOWED_HOSTS"] == ["*"]


@pytest.mark.parametrize(("version", "expected"), [((3, 2), ["a.run.app"]), ((4, 0), ["https://a.run.app"])])
def test_origins_have_the_form_of_the_version(version: tuple[int, ...], expected: list[str]) -> None:
    assert laid({}, version, CSRF_TRUSTED_ORIGINS="https://a.run.app")["CSRF_TRUSTED_ORIGINS"] == expected


def test_only_a_site_in_maintenance_has_what_answers_for_it() -> None:
    maintenance = "django_on_google_cloud.middleware.maintenance"
    assert maintenance not in laid({})["MIDDLEWARE"]
    health, _traced, third, *_own = laid({}, MAINTENANCE_RETRY_AFTER="600")["MIDDLEWARE"]
    assert (health, third) == ("django_on_google_cloud.middleware.health", maintenance)


def test_the_key_and_its_forerunners() -> None:
    found = laid(
        {"SECRET_KEY": "django-insecure", "SECRET_KEY_FALLBACKS": ["c"]},
        SECRET_KEY="a",
        SECRET_KEY_FALLBACKS="b",
    )
    assert (found["SECRET_KEY"], found["SECRET_KEY_FALLBACKS"]) == ("a", ["b", "c"])


@pytest.mark.parametrize(("said", "expected"), [("", False), ("0", False), ("true", True)])
def test_nobody_debugs_unless_the_environment_says_so(said: str, expected: bool) -> None:
    assert laid({"DEBUG": True}, DEBUG=said)["DEBUG"] is expected


def test_what_a_project_says_of_https_stands() -> None:
    found = laid(
        {"SECURE_SSL_REDIRECT": False, "SECURE_HSTS_SECONDS": 0, "SECURE_REFERRER_POLICY": "no-referrer"}
    )
    assert (found["SECURE_SSL_REDIRECT"], found["SECURE_HSTS_SECONDS"], found["SECURE_REFERRER_POLICY"]) == (
        False,
        0,
        "no-referrer",
    )
    assert found["SESSION_COOKIE_SECURE"] is found["CSRF_COOKIE_SECURE"] is True
    assert "SECURE_CSP" not in found


def test_where_nothing_ends_https_the_environment_says_so() -> None:
    names = ("SECURE_SSL_REDIRECT", "SESSION_COOKIE_SECURE", "CSRF_COOKIE_SECURE")
    found = laid({"SECURE_SSL_REDIRECT": True}, **dict.fromkeys(names, "false"))
    assert [found[name] for name in names] == [False, False, False]
    # One says nothing of the others.
    found = laid({}, SECURE_SSL_REDIRECT="false")
    assert [found[name] for name in names] == [False, True, True]


@pytest.mark.parametrize(
    ("project", "expected"),
    [
        ({"STATIC_ROOT": "/app/static_root"}, "/app/static_root"),
        ({"STATIC_ROOT": Path("/app/public/static")}, "/app/public/static"),
        ({"STATIC_ROOT": "static_root"}, "/app/static_root"),
        # Nothing of it would be in the image.
        ({"STATIC_ROOT": "/var/www/static"}, "/app/collected_static"),
        # Django refuses to collect into what it collects from.
        ({"STATIC_ROOT": "/app/static", "STATICFILES_DIRS": ["/app/static"]}, "/app/collected_static"),
        ({"STATIC_ROOT": "/app/static", "STATICFILES_DIRS": [("all", "static")]}, "/app/collected_static"),
        ({}, "/app/collected_static"),
    ],
)
def test_static_files_are_collected_where_an_image_takes_them_along(
    project: dict[str, Any], expected: str
) -> None:
    assert laid(project)["STATIC_ROOT"] == expected
    assert laid(project, GS_STATIC_BUCKET_NAME="s")["STATIC_ROOT"] == expected


@pytest.mark.parametrize(
    ("server", "expected"),
    [
        ("", "https://storage.googleapis.com/s/"),
        ("http://gcs.localhost:4443", "http://gcs.localhost:4443/s/"),
    ],
)
def test_static_files_in_a_bucket_are_where_the_library_finds_it(server: str, expected: str) -> None:
    found = laid({"INSTALLED_APPS": ["shop"]}, GS_STATIC_BUCKET_NAME="s", STORAGE_EMULATOR_HOST=server)
    assert found["STATIC_URL"] == expected
    # Its collectstatic is found before that of staticfiles.
    assert found["INSTALLED_APPS"] == ["django_on_google_cloud", "shop", "django.contrib.staticfiles"]
    assert not [one for one in found["MIDDLEWARE"] if "whitenoise" in one]


@pytest.mark.parametrize(
    ("url", "expected"),
    [("assets/", "assets/"), ("https://cdn.example.com/", "/static/"), (None, "/static/")],
)
def test_static_files_have_an_address_of_the_site(url: str | None, expected: str) -> None:
    assert laid({"STATIC_URL": url})["STATIC_URL"] == expected


def test_a_project_that_has_whitenoise_keeps_its_own() -> None:
    own = {"staticfiles": {"BACKEND": "whitenoise.storage.CompressedStaticFilesStorage"}}
    middleware = ["whitenoise.middleware.WhiteNoiseMiddleware", SECURITY]
    found = laid(
        {"STORAGES": own, "MIDDLEWARE": middleware, "INSTALLED_APPS": ["django.contrib.staticfiles"]}
    )
    assert found["STORAGES"] == own
    assert found["MIDDLEWARE"][2:] == middleware


def test_what_comes_before_a_projects_middleware() -> None:
    found = laid({"MIDDLEWARE": ("shop.First", SECURITY, "shop.Last")})
    assert found["MIDDLEWARE"] == [
        "django_on_google_cloud.middleware.health",
        "django_on_google_cloud.middleware.traced",
        "shop.First",
        SECURITY,
        "whitenoise.middleware.WhiteNoiseMiddleware",
        "shop.Last",
    ]


def test_further_storages_stay() -> None:
    found = laid(
        {
            "STORAGES": {
                "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
                "exports": {"BACKEND": "x.Y"},
            }
        },
        GS_MEDIA_BUCKET_NAME="m",
    )
    assert found["STORAGES"] == {
        "default": {"BACKEND": "django_on_google_cloud.storage.SignedMediaStorage"},
        "staticfiles": {"BACKEND": "django_on_google_cloud.static.StaticFilesStorage"},
        "exports": {"BACKEND": "x.Y"},
    }
    assert (
        found["GS_BUCKET_NAME"],
        found["GS_IAM_SIGN_BLOB"],
        found["GS_FILE_OVERWRITE"],
        found["GS_DEFAULT_ACL"],
    ) == ("m", True, False, None)


@pytest.mark.parametrize(
    ("cache", "is_replaced"),
    [
        ({"BACKEND": "django_redis.cache.RedisCache", "LOCATION": "redis://localhost:6379/1"}, True),
        (
            {
                "BACKEND": "django.core.cache.backends.redis.RedisCache",
                "LOCATION": "redis://:pw@127.0.0.1:6379",
            },
            True,
        ),
        (
            {
                "BACKEND": "django.core.cache.backends.memcached.PyMemcacheCache",
                "LOCATION": ["127.0.0.1:11211"],
            },
            True,
        ),
        ({"BACKEND": "django_redis.cache.RedisCache", "LOCATION": "redis://10.0.0.3:6379/1"}, False),
        ({"BACKEND": "django.core.cache.backends.db.DatabaseCache", "LOCATION": "localhost"}, False),
    ],
)
def test_a_cache_on_a_developers_machine_is_none(cache: dict[str, Any], is_replaced: bool) -> None:
    found = laid({"CACHES": {"default": cache}, "SESSION_ENGINE": "django.contrib.sessions.backends.cache"})
    assert (found["CACHES"]["default"] != cache) is is_replaced
    assert found["SESSION_ENGINE"].endswith("cached_db" if is_replaced else "cache")
    assert found["CACHES"]["signed_urls"]["BACKEND"].endswith("LocMemCache")


@pytest.mark.parametrize(
    ("hosts", "is_replaced"),
    [
        # The tutorial of Channels.
        ([("127.0.0.1", 6379)], True),
        ([["localhost", 6379]], True),
        (["redis://:secret@localhost:6379/1"], True),
        ([{"address": "redis://127.0.0.1:6379"}], True),
        ([{"host": "localhost", "port": 6379}], True),
        (None, True),
        ([("10.0.0.3", 6379)], False),
        (["redis://localhost:6379", "rediss://redis.example.com:6379"], False),
        ([{"sentinels": [("localhost", 26379)], "master_name": "chat"}], False),
    ],
)
@pytest.mark.parametrize("backend", ["core.RedisChannelLayer", "pubsub.RedisPubSubChannelLayer"])
def test_a_channel_layer_on_a_developers_machine_is_none(
    hosts: list[Any] | None, is_replaced: bool, backend: str
) -> None:
    layer = {"BACKEND": f"channels_redis.{backend}", "CONFIG": {"hosts": hosts} if hosts else {}}
    memory = {"BACKEND": "channels.layers.InMemoryChannelLayer"}
    found = laid({"CHANNEL_LAYERS": {"default": layer, "own": {"BACKEND": "own.Layer"}}})["CHANNEL_LAYERS"]
    assert found == {"default": memory if is_replaced else layer, "own": {"BACKEND": "own.Layer"}}


def test_a_project_without_channel_layers_gets_none() -> None:
    assert "CHANNEL_LAYERS" not in laid({})


@pytest.mark.parametrize(
    ("project", "environ", "expected"),
    [
        ({}, {}, UNSENT),
        ({"EMAIL_BACKEND": "django.core.mail.backends.console.EmailBackend"}, {}, UNSENT),
        (
            {"EMAIL_BACKEND": "django.core.mail.backends.console.EmailBackend"},
            {"EMAIL_HOST": "smtp.example.com"},
            SMTP,
        ),
        ({"EMAIL_HOST": "smtp.example.com"}, {}, None),
        (
            {"EMAIL_BACKEND": "anymail.backends.mailgun.EmailBackend"},
            {},
            "anymail.backends.mailgun.EmailBackend",
        ),
    ],
)
def test_mail_goes_where_somebody_says(
    project: dict[str, Any], environ: dict[str, str], expected: str | None
) -> None:
    assert laid(project, **environ).get("EMAIL_BACKEND") == expected


def test_a_mail_server_by_the_environment() -> None:
    found = laid(
        {}, EMAIL_HOST="smtp.example.com", EMAIL_PORT="587", EMAIL_USE_TLS="true", EMAIL_HOST_PASSWORD="p"
    )
    assert (
        found["EMAIL_HOST"],
        found["EMAIL_PORT"],
        found["EMAIL_USE_TLS"],
        found["EMAIL_HOST_PASSWORD"],
    ) == ("smtp.example.com", 587, True, "p")


def test_logs_keep_levels_and_handlers_that_send_lines_elsewhere() -> None:
    project = {
        "version": 1,
        "filters": {"f": {}},
        "formatters": {"plain": {"format": "%(message)s"}},
        "handlers": {
            "console": {"class": "logging.StreamHandler", "formatter": "plain"},
            "file": {"class": "logging.FileHandler", "filename": "/var/log/shop.log"},
            "mail_admins": {"class": "django.utils.log.AdminEmailHandler"},
        },
        "root": {"handlers": ["console", "file"], "level": "WARNING"},
        "loggers": {
            "shop": {"handlers": ["console"], "level": "DEBUG", "propagate": False},
            "django.request": {"handlers": ["mail_admins"], "level": "ERROR", "propagate": False},
        },
    }
    found = logs.laid_over(project, "p")
    assert set(found["handlers"]) == {"mail_admins", "google_cloud"}
    assert found["root"] == {"handlers": ["google_cloud"], "level": "WARNING"}
    assert found["loggers"]["shop"] == {"handlers": [], "level": "DEBUG", "propagate": True}
    assert found["loggers"]["django.request"] == {
        "handlers": ["mail_admins"],
        "level": "ERROR",
        "propagate": False,
    }
    assert (found["filters"], found["formatters"]["plain"]) == ({"f": {}}, {"format": "%(message)s"})


def test_who_debugs_reads_the_lines_of_the_project() -> None:
    assert "LOGGING" not in laid({}, DEBUG="true")
    assert laid({"LOGGING": {"version": 1}}, DEBUG="true")["LOGGING"] == {"version": 1}


@pytest.mark.parametrize("value", [None, "logging.config.fileConfig"])
def test_logs_that_a_project_sets_up_itself_are_its_own(value: str | None) -> None:
    assert "LOGGING" not in laid({"LOGGING_CONFIG": value})


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (None, "https://a.run.app"),
        ("http://example.com", "https://a.run.app"),
        ("https://cms.example.org", "https://cms.example.org"),
    ],
)
def test_wagtail_knows_the_sites_address(said: str | None, expected: str) -> None:
    project: dict[str, Any] = {
        "INSTALLED_APPS": ["wagtail"],
        **({"WAGTAILADMIN_BASE_URL": said} if said else {}),
    }
    assert laid(project, CSRF_TRUSTED_ORIGINS="https://a.run.app")["WAGTAILADMIN_BASE_URL"] == expected


@pytest.mark.parametrize(("entry", "age"), [({}, 0), ({"CONN_MAX_AGE": 5}, 5)])
def test_an_asgi_server_keeps_no_connections_unless_the_project_says_so(
    entry: dict[str, Any], age: int
) -> None:
    project = {"DATABASES": {"default": entry}}
    environ = {"DATABASE_URL": "postgres://u:p@/n?host=/cloudsql/p:r:i"}
    found = overlay.laid_over(project, environ, BASE, (5, 2, 0), is_asgi=True)
    assert found["DATABASES"]["default"]["CONN_MAX_AGE"] == age


@pytest.mark.parametrize(
    ("version", "own", "apps", "expected"),
    [
        ((6, 0), "django.db.backends.sqlite3", ["wagtail"], ["wagtail", "django.contrib.postgres"]),
        ((6, 0), "django.db.backends.sqlite3", ["django.contrib.postgres"], ["django.contrib.postgres"]),
        ((6, 0), "django.db.backends.postgresql", ["wagtail"], ["wagtail"]),
        ((5, 2), "django.db.backends.sqlite3", ["wagtail"], ["wagtail"]),
    ],
)
def test_fields_of_postgresql_that_libraries_choose_are_allowed(
    version: tuple[int, ...], own: str, apps: list[str], expected: list[str]
) -> None:
    project = {"INSTALLED_APPS": apps, "DATABASES": {"default": {"ENGINE": own}}}
    found = laid(project, version, DATABASE_URL="postgres://u:p@/n?host=/cloudsql/p:r:i")["INSTALLED_APPS"]
    assert [app for app in found if app in ("wagtail", "django.contrib.postgres")] == expected


def test_a_variable_that_is_set_is_not_set_otherwise() -> None:
    environ = {
        "SECRET_KEY": "a",
        "DJANGO_SECRET_KEY": "own",
        "DEBUG": "1",
        "DJANGO_ENVIRONMENT_NAMES": "DJANGO_SECRET_KEY=SECRET_KEY KEY=SECRET_KEY X=ABSENT",
    }
    assert overlay.environment(environ) == {"DJANGO_DEBUG": "0", "KEY": "a"}


def test_secrets_may_be_in_files(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("$from-a-file\n", "utf-8")
    (tmp_path / "url").write_text("postgres://u:p@/shop?host=/cloudsql/p:r:i\n", "utf-8")
    environ = {
        "SECRET_KEY_FILE": str(tmp_path / "key"),
        "DATABASE_URL_FILE": str(tmp_path / "url"),
        "DJANGO_ENVIRONMENT_NAMES": "KEY=SECRET_KEY NAME=DATABASE_NAME",
        "DEBUG": "1",
        "DJANGO_DEBUG": "1",
    }
    assert overlay.environment(environ) == {
        "SECRET_KEY": "$from-a-file",
        "DATABASE_URL": "postgres://u:p@/shop?host=/cloudsql/p:r:i",
        "KEY": "$from-a-file",
        "NAME": "shop",
    }
    assert "SECRET_KEY" not in overlay.environment({**environ, "SECRET_KEY": "set"})
