"""Stock and odd projects under the overlay, unedited, in each version of Django: what they answer, and what they print."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tests.overlay.ask import TRACE
from tests.overlay.djangos import VERSIONS, Django, environment, startproject

VIEWS = """
    import logging

    from django.conf import settings
    from django.contrib import admin
    from django.http import HttpResponse
    from django.templatetags.static import static
    from django.urls import path


    def home(request):
        logging.getLogger("shop").info("somebody is here")
        return HttpResponse(f"{static('shop/site.css')} {static('shop/absent.css')} {settings.DEBUG}")


    def broken(request):
        raise RuntimeError("the oven is cold")


    urlpatterns = [path("", home), path("broken/", broken), path("admin/", admin.site.urls)]
"""


@pytest.fixture(scope="module", params=VERSIONS)
def django(request: pytest.FixtureRequest) -> Django:
    found = environment(request.param)
    if found is None:
        pytest.skip(f"no Python here can run Django {request.param}")
    return found


@pytest.fixture(scope="module")
def shop(django: Django, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A stock project with a page, a style sheet and an error, and its static files as an image has collected them."""
    folder = startproject(django, tmp_path_factory.mktemp("projects") / "shop", urls=VIEWS)
    settings = folder / "shop" / "settings.py"
    settings.write_text(f"{settings.read_text('utf-8')}\nSTATICFILES_DIRS = [BASE_DIR / 'assets']\n", "utf-8")
    assets = folder / "assets" / "shop"
    assets.mkdir(parents=True)
    # Names a picture that is not there, as the style sheets of many do.
    (assets / "site.css").write_text("body { background: url(missing.png) }\n" * 50, "utf-8")
    django.ok(folder, "manage.py", "collectstatic", "--noinput")
    return folder


def test_a_stock_project_serves_its_pages_and_its_styles(django: Django, shop: Path) -> None:
    [[status, headers, page]], _logged = django.ask(shop, "shop.wsgi", "/")
    assert status == 200
    sheet, absent, debug = page.split()
    assert sheet.startswith("/static/shop/site.")
    assert sheet != "/static/shop/site.css"
    # What is not there keeps its name, and is no reason for a 500.
    assert (absent, debug) == ("/static/shop/absent.css", "False")
    assert headers["X-Frame-Options"] == "DENY"
    assert headers["Strict-Transport-Security"] == "max-age=3600"
    assert "Content-Security-Policy" not in headers
    [[status, headers, text]], _logged = django.ask(shop, "shop.wsgi", sheet)
    assert (status, headers["Cache-Control"]) == (200, "max-age=315360000, public, immutable")
    assert "missing.png" in text
    assert (shop / "collected_static" / f"{sheet[len('/static/') :]}.gz").is_file()


def test_the_admin_is_there_and_has_its_styles(django: Django, shop: Path) -> None:
    [[status, headers, page]], _logged = django.ask(shop, "shop.wsgi", "/admin/login/")
    assert status == 200
    assert "Secure" in headers["Set-Cookie"]
    style = next(part for part in page.split('"') if part.startswith("/static/admin/css/base."))
    [[status, _headers, _text]], _logged = django.ask(shop, "shop.wsgi", style)
    assert status == 200


@pytest.mark.parametrize("application", ["shop.wsgi", "shop.asgi"])
def test_probes_are_answered_before_hosts_are_looked_at(
    django: Django, shop: Path, application: str, tmp_path: Path
) -> None:
    asked = [
        "http://10.0.0.1:8080/-/live",
        "http://10.0.0.1:8080/-/ready",
        "https://10.0.0.1/",
        "http://shop.example.com/",
    ]
    database = f"sqlite:///{tmp_path}/db.sqlite3"
    django.ok(shop, "manage.py", "migrate", DATABASE_URL=database)
    answers, _logged = django.ask(shop, application, *asked, DATABASE_URL=database)
    live, ready, other_host, plain = answers
    assert (live[0], json.loads(live[2])) == (200, {"status": "ok"})
    assert (ready[0], json.loads(ready[2])) == (200, {"status": "ok", "database": "ok", "migrations": "ok"})
    assert other_host[0] == 400
    assert (plain[0], plain[1]["Location"]) == (301, "https://shop.example.com/")


@pytest.mark.parametrize("application", ["shop.wsgi", "shop.asgi"])
def test_visitors_of_a_site_in_maintenance_are_told_when_to_come_back(
    django: Django, shop: Path, application: str
) -> None:
    said = {"MAINTENANCE_RETRY_AFTER": "120", "MAINTENANCE_EXCEPT_HOSTS": "10.0.0.1"}
    asked = ["/", "http://10.0.0.7/-/live", "https://10.0.0.1:8080/"]
    answers, logged = django.ask(shop, application, *asked, **said)
    # Who asks the host of those who test meets the project, which does not know that one.
    assert [status for status, _headers, _text in answers] == [503, 200, 400]
    assert answers[0][1]["Retry-After"] == "120"
    assert [line for line in map(json.loads, logged) if line["severity"] == "ERROR"] == []


def test_a_database_that_does_not_answer_is_not_ready(django: Django, shop: Path) -> None:
    url = "postgres://web:p@/shop?host=/cloudsql/p:europe-west1:none"
    [[status, _headers, text]], logged = django.ask(shop, "shop.wsgi", "/-/ready", DATABASE_URL=url)
    assert (status, json.loads(text)) == (503, {"status": "unavailable", "database": "does not answer"})
    [line] = [json.loads(line) for line in logged]
    assert (line["severity"], line["logger"]) == ("WARNING", "django_on_google_cloud.middleware")
    assert line["message"].startswith("Not ready: the database does not answer: ")


def test_a_database_without_the_migrations_is_not_ready(django: Django, shop: Path) -> None:
    [[status, _headers, text]], logged = django.ask(shop, "shop.wsgi", "/-/ready")
    assert status == 503
    assert "auth.0001_initial" in json.loads(text)["unapplied_migrations"]
    [line] = [json.loads(line) for line in logged]
    assert line["severity"] == "WARNING"
    assert line["message"].startswith("Not ready: unapplied migrations: ")


@pytest.mark.parametrize(("imported", "age"), [("gunicorn", "600"), ("uvicorn", "0"), ("daphne", "0")])
def test_an_asgi_server_is_known_by_its_package(django: Django, shop: Path, imported: str, age: str) -> None:
    code = (
        f"import sys; sys.modules['{imported}'] = sys\n"
        "from django.conf import settings; print(settings.DATABASES['default']['CONN_MAX_AGE'])\n"
    )
    assert django.ok(shop, "-c", code).strip() == age


@pytest.mark.parametrize("application", ["shop.wsgi", "shop.asgi"])
def test_lines_are_json_with_severity_traceback_and_trace(
    django: Django, shop: Path, application: str
) -> None:
    answers, logged = django.ask(shop, application, "/", "/broken/")
    assert [status for status, _headers, _text in answers] == [200, 500]
    here, failed = [json.loads(line) for line in logged if "somebody" in line or "oven" in line]
    assert (here["severity"], here["logger"], here["message"]) == ("INFO", "shop", "somebody is here")
    assert failed["severity"] == "ERROR"
    assert "RuntimeError: the oven is cold" in failed["stack_trace"]
    assert failed["httpRequest"] == {
        "requestMethod": "GET",
        "requestUrl": "/broken/",
        "userAgent": "",
        "protocol": "HTTP/1.1" if application == "shop.wsgi" else "",
        "status": 500,
    }
    for line in (here, failed):
        assert line["logging.googleapis.com/trace"] == f"projects/p/traces/{TRACE}"
        assert line["logging.googleapis.com/spanId"] == "00f067aa0ba902b7"


def test_storages_are_those_of_the_cloud_in_the_settings_of_this_version(django: Django, shop: Path) -> None:
    code = (
        "import django; django.setup()\n"
        "from django.core.files.storage import default_storage as media\n"
        "from django.contrib.staticfiles.storage import staticfiles_storage as static\n"
        "print(type(media._wrapped).__name__ if media.exists else '', media.bucket_name, media.iam_sign_blob, media.file_overwrite)\n"
        "static._setup(); print(type(static._wrapped).__name__, static.base_url)\n"
    )
    assert django.ok(shop, "-c", code).splitlines() == [
        "SignedMediaStorage p-shop-media True False",
        "StaticFilesStorage /static/",
    ]
    assert django.ok(shop, "-c", code, GS_STATIC_BUCKET_NAME="p-shop-static").splitlines() == [
        "SignedMediaStorage p-shop-media True False",
        "BucketStaticFilesStorage https://storage.googleapis.com/p-shop-static/",
    ]


def test_pages_name_what_the_bucket_has(django: Django, shop: Path) -> None:
    """By the manifest that was collected when the image was built."""
    [[status, _headers, page]], _logged = django.ask(
        shop, "shop.wsgi", "/", GS_STATIC_BUCKET_NAME="p-shop-static"
    )
    assert status == 200
    sheet, absent, _debug = page.split()
    bucket = "https://storage.googleapis.com/p-shop-static"
    assert re.fullmatch(rf"{bucket}/shop/site\.[0-9a-f]{{12}}\.css", sheet)
    assert absent == f"{bucket}/shop/absent.css"


def test_old_names_of_storages_stand_beside_nothing(django: Django, tmp_path: Path) -> None:
    if django.version == "6.0":
        pytest.skip("this version has only STORAGES")
    lines = """
        STATICFILES_STORAGE = "django.contrib.staticfiles.storage.ManifestStaticFilesStorage"
        DEFAULT_FILE_STORAGE = "storages.backends.s3boto3.S3Boto3Storage"
    """
    if django.version == "5.2":
        lines = ""
    folder = startproject(django, tmp_path / "shop", settings=lines)
    django.ok(folder, "manage.py", "check")
    name = (
        "settings.DEFAULT_FILE_STORAGE"
        if django.version == "3.2"
        else "settings.STORAGES['default']['BACKEND']"
    )
    backend = django.read(folder, name)
    # A place of the project's own that is no disk stays.
    assert backend.endswith("S3Boto3Storage" if lines else "SignedMediaStorage")


def test_checks_of_a_deployment_find_nothing_that_the_overlay_could_mend(django: Django, shop: Path) -> None:
    done = django.run(shop, "manage.py", "check", "--deploy")
    found = {word for word in done.stderr.replace(")", "").split() if word.startswith("(security.W")}
    # HSTS for each subdomain and for good is for the owner of the domain to say.
    assert found <= {"(security.W005", "(security.W021"}, done.stderr


@pytest.mark.parametrize(
    "statement",
    ["os.environ['DJANGO_SETTINGS_MODULE'] = '{}'", "os.environ.setdefault('DJANGO_SETTINGS_MODULE', '{}')"],
)
def test_settings_stay_under_the_overlay_whatever_a_project_assigns(
    django: Django, tmp_path: Path, statement: str
) -> None:
    """A package of settings, of which the files of the project name different ones."""
    folder = startproject(django, tmp_path / "shop", urls=VIEWS)
    package = folder / "shop" / "settings"
    package.mkdir()
    stock = (
        (folder / "shop" / "settings.py")
        .read_text("utf-8")
        .replace(".parent.parent", ".parent.parent.parent")
    )
    (package / "base.py").write_text(stock, "utf-8")
    (folder / "shop" / "settings.py").unlink()
    (package / "__init__.py").write_text("", "utf-8")
    for name in ("live", "dev"):
        own = f"from .base import *\nimport os\nNAMED = '{name}'\nCALLED = os.environ['DJANGO_SETTINGS_MODULE']\n"
        (package / f"{name}.py").write_text(own, "utf-8")
    for file in ("manage.py", "shop/wsgi.py", "shop/asgi.py"):
        path = folder / file
        # startproject has black write quotes as it likes, where there is one.
        text = re.sub(
            r"os\.environ\.setdefault\(['\"]DJANGO_SETTINGS_MODULE['\"], ['\"]shop\.settings['\"]\)",
            statement.format("shop.settings.dev"),
            path.read_text("utf-8"),
        )
        assert "settings.dev" in text
        path.write_text(text, "utf-8")
    show = "from django.conf import settings; print(settings.SETTINGS_MODULE, settings.NAMED, settings.CALLED, settings.DEBUG)"
    printed = django.ok(
        folder, "manage.py", "shell", "-c", show, DJANGO_PROJECT_SETTINGS_MODULE="shop.settings.live"
    )
    # Where a project assigns, that is what it wants; a default is only a default.
    named = "dev" if "setdefault" not in statement else "live"
    assert printed.split()[-4:] == [
        "django_on_google_cloud.settings",
        named,
        f"shop.settings.{named}",
        "False",
    ]
    for application in ("shop.wsgi", "shop.asgi"):
        [[status, *_rest]], _logged = django.ask(
            folder, application, "http://10.0.0.1/-/live", DJANGO_PROJECT_SETTINGS_MODULE="shop.settings.live"
        )
        assert status == 200
    chosen = django.ok(
        folder,
        "manage.py",
        "shell",
        "--settings",
        "shop.settings.live",
        "-c",
        show,
        DJANGO_PROJECT_SETTINGS_MODULE="shop.settings.dev",
    )
    if "setdefault" in statement:
        assert chosen.split()[-4:-1] == ["django_on_google_cloud.settings", "live", "shop.settings.live"]


def test_a_class_of_settings_is_laid_over(django: Django, tmp_path: Path) -> None:
    """The one that is asked for, by whatever of django-configurations begins."""
    folder = startproject(django, tmp_path / "shop", urls=VIEWS)
    settings = folder / "shop" / "settings.py"
    stock = settings.read_text("utf-8")
    settings.rename(settings.with_name("stock.py"))
    settings.write_text(
        "from configurations import Configuration, values\n"
        "from shop import stock\n"
        "class Shop(Configuration):\n"
        "    vars().update({name: value for name, value in vars(stock).items() if name.isupper()})\n"
        "    DOUBLED = property(lambda self: self.WORD * 2)\n"
        "class Dev(Shop):\n"
        "    DEBUG = True\n"
        "    WORD = 'dev'\n"
        "class Live(Shop):\n"
        "    SECRET_KEY = values.SecretValue()\n"
        "    WORD = values.Value('live')\n",
        "utf-8",
    )
    assert "SECRET_KEY" in stock
    for file, core in (
        ("manage.py", "core.management"),
        ("shop/wsgi.py", "core.wsgi"),
        ("shop/asgi.py", "core.asgi"),
    ):
        path = folder / file
        text = path.read_text("utf-8").replace(f"django.{core}", f"configurations.{core.partition('.')[2]}")
        path.write_text(f"import os\nos.environ.setdefault('DJANGO_CONFIGURATION', 'Dev')\n{text}", "utf-8")
    given = {"DJANGO_CONFIGURATION": "Live", "DJANGO_ENVIRONMENT_NAMES": "DJANGO_SECRET_KEY=SECRET_KEY"}
    show = "from django.conf import settings as s; print(s.DEBUG, s.DOUBLED, s.DATABASES['default']['NAME'], s.SECRET_KEY[:5])"
    printed = django.ok(folder, "manage.py", "shell", "-c", show, **given)
    assert printed.split()[-4:] == ["False", "livelive", ":memory:", "a-key"]
    for application in ("shop.wsgi", "shop.asgi"):
        [[status, _headers, page]], _logged = django.ask(folder, application, "/", **given)
        assert (status, page.split()[-1]) == (200, "False")


def test_settings_in_files_are_laid_over(django: Django, tmp_path: Path) -> None:
    lines = "\nimport dynaconf\nsettings = dynaconf.DjangoDynaconf(__name__)\n"
    folder = startproject(django, tmp_path / "shop", urls=VIEWS, settings=lines)
    (folder / "settings.toml").write_text(
        "[development]\nWORD = 'dev'\n[production]\nWORD = 'live'\n", "utf-8"
    )
    show = "from django.conf import settings as s; print(s.DEBUG, s.WORD, s.DATABASES['default']['NAME'], s.SECRET_KEY[:5])"
    printed = django.ok(folder, "manage.py", "shell", "-c", show, DJANGO_ENV="production")
    assert printed.split()[-4:] == ["False", "live", ":memory:", "a-key"]
    [[status, _headers, page], [ready, *_rest]], _logged = django.ask(folder, "shop.wsgi", "/", "/-/live")
    assert (status, page.split()[-1], ready) == (200, "False", 200)


def test_a_child_process_has_the_overlay_too(django: Django, shop: Path) -> None:
    code = (
        "import os, subprocess, sys; os.environ['DJANGO_SETTINGS_MODULE'] = 'shop.settings'\n"
        "subprocess.run([sys.executable, '-c', 'from django.conf import settings; print(settings.SETTINGS_MODULE)'], check=True)"
    )
    assert django.ok(shop, "-c", code) == "django_on_google_cloud.settings\n"


def test_python_without_the_overlay_is_as_it_was(django: Django, shop: Path) -> None:
    code = "import sys; print('django.conf' in sys.modules); from django.conf import settings; print(settings.DEBUG)"
    assert django.ok(shop, "-c", code, DJANGO_SETTINGS_MODULE="shop.settings") == "False\nTrue\n"


def test_settings_find_what_they_call_otherwise(django: Django, tmp_path: Path) -> None:
    folder = startproject(django, tmp_path / "shop")
    settings = folder / "shop" / "settings.py"
    own = """
import os
SECRET_KEY = os.environ["DJANGO_SECRET_KEY"]
DEBUG = bool(int(os.environ.get("DEBUG", "1")))
NAMES = [os.environ[name] for name in ("DB_NAME", "DB_USER", "DB_PASSWORD", "DB_HOST", "DB_PORT", "INSTANCE")]
"""
    settings.write_text(settings.read_text("utf-8") + own, "utf-8")
    names = (
        "DJANGO_SECRET_KEY=SECRET_KEY DB_NAME=DATABASE_NAME DB_USER=DATABASE_USER DB_PASSWORD=DATABASE_PASSWORD DB_HOST=DATABASE_HOST"
        " DB_PORT=DATABASE_PORT INSTANCE=DATABASE_INSTANCE"
    )
    url = "postgres://web_1:a%2Fb%40@/shop?host=/cloudsql/p:europe-west1:sql"
    found = django.read(folder, "settings.NAMES", DATABASE_URL=url, DJANGO_ENVIRONMENT_NAMES=names)
    assert found == ["shop", "web_1", "a/b@", "/cloudsql/p:europe-west1:sql", "5432", "p:europe-west1:sql"]
    assert (
        django.read(
            folder, "settings.DATABASES['default']['HOST']", DATABASE_URL=url, DJANGO_ENVIRONMENT_NAMES=names
        )
        == found[3]
    )


def test_no_settings_of_a_project_are_said_to_be_missing(django: Django, shop: Path) -> None:
    # Not a command of Django's own: those begin without settings, and end in what they miss first.
    done = django.run(shop, "-c", "import django; django.setup()", DJANGO_PROJECT_SETTINGS_MODULE="")
    assert done.returncode != 0
    assert "Set DJANGO_PROJECT_SETTINGS_MODULE to the settings module of the project." in done.stderr


def test_a_message_without_a_mail_server_is_said_not_to_be_sent(django: Django, shop: Path) -> None:
    code = "from django.core.mail import send_mail; import django; django.setup(); print(send_mail('Reset', 'secret link', None, ['a@example.com']))"
    line, sent = django.ok(shop, "-c", code).splitlines()
    assert sent == "0"
    assert json.loads(line)["severity"] == "WARNING"
    assert "secret link" not in line
    assert "a@example.com" not in line


def test_an_address_is_read_as_the_libraries_do(django: Django, tmp_path: Path) -> None:
    """What django-environ, dj-database-url and libpq say of the address that a deploy gives, and what the overlay says."""
    url = "postgres://shop_web_1:p%3Fa%2Fb%23%25%40%C3%A9@/shop?host=/cloudsql/my-project:europe-west1:sql"
    code = f"""
import json
import re
import environ, dj_database_url, psycopg2.extensions
from django_on_google_cloud.database import parsed
url = {url!r}
read = []
for found in (environ.Env.db_url_config(url), dj_database_url.parse(url), parsed(url)):
    host = found.get("HOST") or (found.get("OPTIONS") or {{}}).get("host")
    read.append([found["NAME"], found["USER"], found["PASSWORD"], host])
libpq = psycopg2.extensions.parse_dsn(url)
read.append([libpq[name] for name in ("dbname", "user", "password", "host")])
print(json.dumps(read))
"""
    read = json.loads(django.ok(tmp_path, "-c", code))
    assert read == [["shop", "shop_web_1", "p?a/b#%@é", "/cloudsql/my-project:europe-west1:sql"]] * 4
