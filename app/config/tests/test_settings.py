"""The settings of production, each read by a new Python: they are made once per process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from io import StringIO

from django.conf import settings
from django.core.management import call_command
from django.db import connection
from django.test import SimpleTestCase, TestCase

OLD_KEY = "$older-but-as-long-as-the-check-wants-it-9876543210-abcdefghijk"
PRODUCTION = {
    "DATABASE_URL": "postgres://polls_web_1:a%2Fb%23@/polls?host=/cloudsql/my-project:europe-west1:djangogcp",
    "SECRET_KEY": "$tarts-with-a-dollar-and-is-long-enough-to-pass-the-check-0123456789",
    "SECRET_KEY_FALLBACKS": f"{OLD_KEY},oldest-{OLD_KEY}",
    "ALLOWED_HOSTS": "polls-123.europe-west1.run.app,polls.example.org",
    "CSRF_TRUSTED_ORIGINS": "https://polls-123.europe-west1.run.app,https://polls.example.org",
    "GS_MEDIA_BUCKET_NAME": "my-media",
    "GS_STATIC_BUCKET_NAME": "my-static",
    "GOOGLE_CLOUD_PROJECT": "my-project",
}


def run(*arguments: str, without: str = "", **variables: str) -> subprocess.CompletedProcess[str]:
    """Run Python in the site's folder with the environment of production and nothing else."""
    environment = (
        PRODUCTION | variables | {"PATH": os.environ["PATH"], "DJANGO_SETTINGS_MODULE": "config.settings"}
    )
    environment.pop(without, None)
    return subprocess.run(
        [sys.executable, *arguments], cwd=settings.BASE_DIR, env=environment, capture_output=True, text=True
    )


def read(expression: str, **variables: str) -> object:
    """Return the value of `expression` over the production settings, through JSON."""
    code = f"import json; from config import settings; print(json.dumps({expression}))"
    result = run("-c", code, **variables)
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout)


class ProductionTests(SimpleTestCase):
    def test_check_deploy_has_nothing_to_say(self) -> None:
        result = run("manage.py", "check", "--deploy", "--fail-level", "WARNING")
        self.assertEqual((result.returncode, result.stderr), (0, ""))
        self.assertIn("no issues", result.stdout)

    def test_database_url(self) -> None:
        self.assertEqual(
            read("settings.DATABASES['default']"),
            {
                "ENGINE": "django.db.backends.postgresql",
                "HOST": "",
                "PORT": "",
                "NAME": "polls",
                "USER": "polls_web_1",
                "PASSWORD": "a/b#",
                "CONN_MAX_AGE": 600,
                "CONN_HEALTH_CHECKS": True,
                "OPTIONS": {"host": "/cloudsql/my-project:europe-west1:djangogcp", "connect_timeout": 3},
            },
        )

    def test_database_url_of_googles_tutorial(self) -> None:
        url = "postgres://polls:Secret1@//cloudsql/my-project:europe-west1:djangogcp/polls"
        database = read("settings.DATABASES['default']", DATABASE_URL=url)
        self.assertEqual(database["HOST"], "/cloudsql/my-project:europe-west1:djangogcp")
        self.assertEqual(database["OPTIONS"], {"connect_timeout": 3})
        self.assertEqual(database["USER"], "polls")

    def test_debug_is_off_unless_asked_for(self) -> None:
        self.assertIs(read("settings.DEBUG"), False)
        self.assertIs(read("settings.DEBUG", DEBUG="true"), True)

    def test_keys_may_start_with_a_dollar(self) -> None:
        keys = read("[settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS]")
        self.assertEqual(keys, [PRODUCTION["SECRET_KEY"], OLD_KEY, f"oldest-{OLD_KEY}"])

    def test_what_the_site_cannot_do_without_has_no_default(self) -> None:
        for name in ("SECRET_KEY", "DATABASE_URL"):
            with self.subTest(name=name):
                result = run("manage.py", "check", without=name)
                self.assertNotEqual(result.returncode, 0)
                self.assertIn(
                    f"Set the {name} environment variable (or DEBUG=true for local development).",
                    result.stderr,
                )

    def test_secrets_may_be_in_files(self) -> None:
        with tempfile.NamedTemporaryFile("w", encoding="utf-8") as file:
            file.write("$from-a-file\n")
            file.flush()
            code = "from config import settings; print(settings.SECRET_KEY)"
            result = run("-c", code, without="SECRET_KEY", SECRET_KEY_FILE=file.name)
        self.assertEqual(result.stdout, "$from-a-file\n")

    def test_hosts_and_origins_are_lists(self) -> None:
        hosts, origins = read("[settings.ALLOWED_HOSTS, settings.CSRF_TRUSTED_ORIGINS]")
        self.assertEqual(hosts, ["polls-123.europe-west1.run.app", "polls.example.org"])
        self.assertEqual(origins, ["https://polls-123.europe-west1.run.app", "https://polls.example.org"])

    def test_each_kind_of_file_has_its_bucket(self) -> None:
        media = read("settings.STORAGES['default']['OPTIONS']['bucket_name']")
        self.assertEqual(
            (media, read("settings.STATIC_URL")), ("my-media", "https://storage.googleapis.com/my-static/")
        )

    def test_without_a_static_bucket_the_site_serves_its_static_files_itself(self) -> None:
        whitenoise = "whitenoise.middleware.WhiteNoiseMiddleware"
        self.assertNotIn(whitenoise, read("settings.MIDDLEWARE"))
        self.assertNotIn(whitenoise, read("settings.MIDDLEWARE", GS_STATIC_BUCKET_NAME="", DEBUG="true"))
        middleware = read("settings.MIDDLEWARE", GS_STATIC_BUCKET_NAME="")
        # HTTPS is asked for first, and a file needs neither a session nor a user.
        self.assertEqual(
            middleware.index(whitenoise),
            middleware.index("django.middleware.security.SecurityMiddleware") + 1,
        )
        self.assertEqual(read("settings.STATIC_URL", GS_STATIC_BUCKET_NAME=""), "static/")
        self.assertEqual(read("settings.SECURE_CSP['style-src']", GS_STATIC_BUCKET_NAME=""), ["'self'"])

    def test_policy_names_the_two_buckets_and_not_the_whole_of_cloud_storage(self) -> None:
        policy = read("settings.SECURE_CSP")
        host = "https://storage.googleapis.com"
        self.assertEqual(policy["img-src"], ["'self'", "data:", f"{host}/my-static/", f"{host}/my-media/"])
        self.assertEqual(policy["script-src"], ["'self'", f"{host}/my-static/"])

    def test_another_server_of_buckets_is_used_and_allowed(self) -> None:
        server = {"STORAGE_EMULATOR_HOST": "http://gcs.localhost:4443"}
        self.assertEqual(read("settings.STATIC_URL", **server), "http://gcs.localhost:4443/my-static/")
        self.assertIn("http://gcs.localhost:4443/my-media/", read("settings.SECURE_CSP['img-src']", **server))

    def test_the_front_that_ends_tls_is_the_proxy_that_tells_addresses(self) -> None:
        names = "[settings.TRUSTED_PROXIES, settings.CLIENT_ADDRESS_HEADER]"
        self.assertEqual(read(names), [1, "X-Forwarded-For"])
        self.assertEqual(read(names, SECURE_SSL_REDIRECT="false"), [0, "X-Forwarded-For"])
        self.assertEqual(read(names, TRUSTED_PROXIES="2"), [2, "X-Forwarded-For"])
        self.assertEqual(read(names, GAE_ENV="standard"), [1, "X-Appengine-User-IP"])

    def test_without_tls_in_front_nothing_asks_for_it(self) -> None:
        names = "SECURE_SSL_REDIRECT SECURE_HSTS_SECONDS SESSION_COOKIE_SECURE CSRF_COOKIE_SECURE"
        expression = f"[getattr(settings, name) for name in '{names}'.split()]"
        self.assertEqual(read(expression), [True, 365 * 24 * 3600, True, True])
        self.assertEqual(read(expression, SECURE_SSL_REDIRECT="false"), [False, 0, False, False])

    def test_asgi_keeps_no_connections(self) -> None:
        code = "import config.asgi; from django.conf import settings; print(settings.DATABASES['default']['CONN_MAX_AGE'])"
        self.assertEqual(run("-c", code).stdout, "0\n")

    def test_starting_calls_nobody(self) -> None:
        code = (
            "import socket\n"
            "def refuse(*args): raise SystemExit(f'called {args[1:]}')\n"
            "socket.socket.connect = refuse\n"
            "import config.wsgi\n"
        )
        result = run("-c", code)
        self.assertEqual((result.returncode, result.stderr), (0, ""))


class DescriptionTests(TestCase):
    def test_the_description_holds_no_secret(self) -> None:
        output = StringIO()
        call_command("describe_site", stdout=output)
        site = json.loads(output.getvalue().removeprefix("site: "))
        self.assertEqual(site["settings"]["SECRET_KEY"], "********************")
        self.assertNotIn(settings.SECRET_KEY, output.getvalue())
        self.assertEqual(site["storages"]["default"], "django.core.files.storage.InMemoryStorage")
        self.assertRegex(site["database"], rf"^{connection.vendor} \d+$")


class MigrationTests(TestCase):
    def test_no_migration_is_missing(self) -> None:
        call_command("makemigrations", check=True, dry_run=True, verbosity=0)
