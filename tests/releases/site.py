"""The model site as a careful owner has it, in a rehearsal of its own, and direct looks at what serves, who holds the lock and what was kept."""

from __future__ import annotations

import base64
import contextlib
import itertools
import json
import os
import random
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg2
import requests

from tests.e2e import projects
from tests.e2e.rehearsal import PROJECT, ROOT, Rehearsal, Run
from tests.releases.load import Asked, Load, Plan

SITE = "polls"
#: A secret of the site's own.
SECRET = "smtp-password"
PASSWORD = "only-for-this-load-8472"
MEMBERS = [f"member-{number}@example.com" for number in range(8)]
_SECRETS = f"secretmanager.googleapis.com/v1/projects/{PROJECT}/secrets"
_RELEASES = f"storage.googleapis.com/storage/v1/b/{PROJECT}-{SITE}-releases"
_MAKE_MEMBERS = (
    "from django.contrib.auth.hashers import make_password\n"
    "from django.contrib.auth import get_user_model as model\n"
    f"password = make_password('{PASSWORD}')\n"
    f"model().objects.bulk_create(model()(email=email, password=password) for email in {MEMBERS})"
)
#: What a page says of the release: of its source and of its variables.
_RELEASE_PAGE = """
import os
from django.http import HttpResponse
from config.release import WORD
urlpatterns += [path("release/", lambda request: HttpResponse(f"{WORD} {os.environ.get('RELEASE')}"))]
"""
_MIGRATION = """
from django.db import migrations, models

def fail(apps, schema_editor):
    raise RuntimeError("this migration fails on purpose")

class Migration(migrations.Migration):
    dependencies = [("polls", "{before}")]
    operations = [{operations}]
"""


class Site:
    """The site, the inventory of its owner, and the copy of its source that scenarios change."""

    def __init__(self, folder: Path, logs: Path, rate: float, seed: int) -> None:
        """``logs``: the folder of what was asked and printed. ``rate``: requests per second."""
        self.folder, self.logs, self.rate = folder, logs, rate
        self.draw = random.Random(seed)
        self.rehearsal = Rehearsal(folder / "home", REHEARSAL_SCALE="0.01")
        self.source = folder / "app"
        self.inventory = folder / "hosts.yml"
        self.variables: dict[str, Any] = {}
        #: The release as its source and as its variables have it.
        self.word, self.variable = "first", "first"
        self._numbers = itertools.count(1)
        self._runs = itertools.count(1)
        self.new_source()

    # What its owner has -----------------------------------------------------------------------------------------------

    def new_source(self) -> None:
        """The source as it was, with the migrations that were run."""
        migrations = self.source / "polls" / "migrations"
        kept = (
            {path.name: path.read_text("utf-8") for path in migrations.glob("0*.py")}
            if self.source.exists()
            else {}
        )
        shutil.rmtree(self.source, ignore_errors=True)
        ignored = shutil.ignore_patterns("__pycache__", "media", "*.sqlite3", ".env", ".venv", "staticfiles")
        shutil.copytree(ROOT / "app", self.source, ignore=ignored)
        for name, text in kept.items():
            (migrations / name).write_text(text, "utf-8")
        self.append("config/urls.py", _RELEASE_PAGE)
        # What is slow is not to be refused: as many wait for a log-in as there are threads, and for an upload as long as a visitor does.
        self._replace("throttles/backends.py", "\n_MOST_WAITING = 4\n", "\n_MOST_WAITING = 32\n")
        self._replace("gallery/views.py", "\n_BUSY_SECONDS = 10\n", "\n_BUSY_SECONDS = 60\n")

    def _replace(self, module: str, old: str, new: str) -> None:
        path = self.source / module
        text = path.read_text("utf-8")
        assert old in text, module
        path.write_text(text.replace(old, new), "utf-8")

    def append(self, module: str, text: str) -> None:
        """Changes the source."""
        with (self.source / module).open("a", encoding="utf-8") as file:
            file.write(text)

    def migration(self, word: str, *operations: str) -> Path:
        """A further migration of polls."""
        folder = self.source / "polls" / "migrations"
        names = sorted(path.stem for path in folder.glob("0*.py"))
        path = folder / f"{len(names) + 1:04}_{word}.py"
        path.write_text(_MIGRATION.format(before=names[-1], operations=", ".join(operations)), "utf-8")
        return path

    def _describe(self) -> None:
        (self.source / "config" / "release.py").write_text(f"WORD = {self.word!r}\n", "utf-8")
        site = {
            "djangogcp_source_dir": str(self.source),
            # One for each core of a small machine: a new one has to import, connect and sign links before it is fast.
            "djangogcp_min_instances": 2,
            "djangogcp_max_instances": 2,
            "djangogcp_threads": 32,
            "djangogcp_memory": "1Gi",
            # For those of two revisions, whose threads keep theirs.
            "djangogcp_database_flags": {"max_connections": "300"},
            # Of the half of the pages that a scenario breaks, and not what it breaks in a canary.
            "djangogcp_smoke_paths": ["/polls/"],
            "djangogcp_secrets": {"EMAIL_HOST_PASSWORD": SECRET},
            "djangogcp_database_deletion_protection": False,
            "djangogcp_environment": {
                "RELEASE": self.variable,
                # All visitors come from one address.
                **{
                    f"THROTTLE_{name}": "100000/60"
                    for name in ("LOGIN_ACCOUNT", "LOGIN_ADDRESS", "UPLOAD_ACCOUNT", "UPLOAD_ADDRESS")
                },
            },
            **self.variables,
        }
        projects.inventory(self.inventory, {SITE: site})

    # What happens to it -------------------------------------------------------------------------------------------------

    def begin(self) -> None:
        """The first deploy, and its members."""
        self.rehearsal.start()
        body = {"replication": {"automatic": {}}}
        enabled = "serviceusage.googleapis.com/v1/projects/{}/services/secretmanager.googleapis.com:enable"
        self.rehearsal.api(enabled.format(PROJECT), method="POST", body={})
        self.rehearsal.once_in_force(f"{_SECRETS}?secretId={SECRET}", method="POST", body=body)
        self.add_secret("first-of-smtp")
        run = self.play("deploy.yml")
        assert run.status == 0, run.output
        command = json.dumps({"manage_command": ["shell", "-c", _MAKE_MEMBERS]})
        made = self.play("playbooks/manage.yml", "-e", command)
        assert made.status == 0, made.output

    def add_secret(self, value: str) -> None:
        """A version of the secret of the site's own."""
        data = base64.b64encode(value.encode()).decode()
        self.rehearsal.api(f"{_SECRETS}/{SECRET}:addVersion", method="POST", body={"payload": {"data": data}})

    def play(self, playbook: str, *options: str) -> Run:
        """A playbook with the inventory as it is now; what it printed is kept."""
        self._describe()
        run = self.rehearsal.playbook(playbook, *options, inventory=self.inventory)
        self.printed(playbook).write_text(run.output, "utf-8")
        return run

    def printed(self, playbook: str) -> Path:
        """A file for what one more run prints."""
        return self.logs / f"{next(self._runs):03}-{Path(playbook).stem}.txt"

    def change(self, *, is_built: bool) -> None:
        """Another release: of the source, or of the variables alone."""
        word = f"release-{next(self._numbers)}"
        if is_built:
            self.word = word
        else:
            self.variable = word

    def deploy(self, *options: str, is_built: bool = True) -> Run:
        """Deploys another release."""
        self.change(is_built=is_built)
        return self.play("deploy.yml", *options)

    @contextlib.contextmanager
    def going_on(self, *options: str) -> Iterator[tuple[subprocess.Popen[bytes], Path]]:
        """A deploy of what is described now, while it runs, and what it prints."""
        self._describe()
        printed = self.printed("deploy.yml")
        with self.rehearsal.going_on(printed, "deploy.yml", *options, inventory=self.inventory) as process:
            yield process, printed

    @contextlib.contextmanager
    def visited(self, name: str) -> Iterator[Load]:
        """While people visit it."""
        plan = Plan(
            url=self.rehearsal.url(SITE),
            proxy=f"http://127.0.0.1:{self.rehearsal.port}",
            ca=str(self.rehearsal.state / "ca" / "ca.pem"),
            accounts=[(email, PASSWORD) for email in MEMBERS],
            rate=self.rate,
            seed=self.draw.randrange(2**32),
            log=str(self.logs / f"{name}.jsonl"),
        )
        with Load(plan) as load:
            yield load

    @contextlib.contextmanager
    def session(self) -> Iterator[Any]:
        """A cursor in a transaction of the user that serves."""
        user, _, password = (
            self.rehearsal.secret(f"{SITE}-web-database-url")
            .partition("://")[2]
            .partition("@")[0]
            .partition(":")
        )
        server = next((self.rehearsal.state / "sql").rglob("server.json"))
        port = json.loads(server.read_text("utf-8"))["port"]
        connection = psycopg2.connect(host="127.0.0.1", port=port, dbname=SITE, user=user, password=password)
        try:
            with connection.cursor() as cursor:
                yield cursor
        finally:
            connection.close()

    # What is there --------------------------------------------------------------------------------------------------------

    def get(self, path: str) -> requests.Response:
        """A page, as a visitor gets it."""
        return self.rehearsal.get(SITE, path)

    def serves(self) -> str:
        """Which release answers."""
        answer = self.get("/release/")
        assert answer.status_code == requests.codes.ok, answer.text
        return answer.text

    def described(self) -> str:
        """Which release a deploy would bring."""
        return f"{self.word} {self.variable}"

    def traffic(self) -> dict[str, int]:
        """By revision its share, as the API has it."""
        service = self.rehearsal.service(SITE)
        newest = service["latestReadyRevision"].rpartition("/")[2]
        shares = [one for one in service["trafficStatuses"] if one.get("percent")]
        return {one.get("revision") or newest: one["percent"] for one in shares}

    def lock(self) -> str:
        """``free``, or in how many seconds the lock ends that a run has left. AssertionError if it never does."""
        if not self.rehearsal.api(f"{_RELEASES}/o?prefix=lock").get("items"):
            return "free"
        left = self.rehearsal.api(f"{_RELEASES}/o/lock.json?alt=media")
        assert left["lifetime_seconds"] > 0, left
        return f"ends after {left['lifetime_seconds']} s"

    def columns(self) -> set[str]:
        """Those of the tables of polls, as TABLE.COLUMN."""
        with self.session() as cursor:
            cursor.execute(
                "SELECT relname || '.' || attname FROM pg_attribute JOIN pg_class ON pg_class.oid = attrelid"
                " WHERE relname LIKE 'polls_%' AND relkind = 'r' AND attnum > 0 AND NOT attisdropped"
            )
            return {name for (name,) in cursor.fetchall()}

    def lost_uploads(self, asked: list[Asked]) -> list[str]:
        """The captions of pictures that a visitor was told are there, and the database does not have."""
        told = [
            one.kind.removeprefix("upload ")
            for one in asked
            if one.kind.startswith("upload ") and not one.failure
        ]
        with self.session() as cursor:
            cursor.execute("SELECT caption FROM gallery_picture WHERE caption = ANY(%s)", [told])
            return sorted(set(told) - {caption for (caption,) in cursor.fetchall()})


def kill(pid: int, *, with_children: bool) -> None:
    """SIGKILL to a process, alone as the kernel does it when memory is short, or with all that it has started, as when a machine goes."""
    parents: dict[int, int] = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            with contextlib.suppress(OSError):  # it has ended
                parents[int(folder.name)] = int(
                    (folder / "stat").read_text("utf-8").rpartition(")")[2].split()[1]
                )

    def belongs(found: int) -> bool:
        return found == pid or (found in parents and belongs(parents[found]))

    found = [one for one in parents if belongs(one)] if with_children else [pid]
    for one in found:
        with contextlib.suppress(ProcessLookupError):
            os.kill(one, signal.SIGKILL)


def until(what: str, holds: Callable[[], bool], seconds: float = 120) -> None:
    """Waits until something holds."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, f"not {what} within {seconds} s"
        time.sleep(0.05)
