"""What works in the background, beside what serves: found in a Procfile, of the image that serves, told when it does not start, gone when it is."""

from __future__ import annotations

import json
import os
import re
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.e2e import projects
from tests.e2e.rehearsal import PROJECT, REGION, Rehearsal, Run

SITE = "shop"
SECRETS = f"secretmanager.googleapis.com/v1/projects/{PROJECT}/secrets"
POOLS = f"run.googleapis.com/v2/projects/{PROJECT}/locations/{REGION}/workerPools"
MODELS = """
from django.db import models

class Order(models.Model):
    done_by = models.CharField(max_length=100, default="")
"""
# A queue in the site's own database: no broker is needed.
COMMAND = """
import os, time
from django.core.management.base import BaseCommand
from orders.models import Order

class Command(BaseCommand):
    def handle(self, **options):
        print("works on orders", flush=True)
        while True:
            Order.objects.filter(done_by="").update(done_by=f"RELEASE {os.environ['CLOUD_RUN_WORKER_POOL']} {os.environ['SIGN']}")
            time.sleep(0.1)
"""
WITHIN_SECONDS = 60


def write_command(project: Path, release: str) -> None:
    folder = project / "orders" / "management" / "commands"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "work.py").write_text(COMMAND.replace("RELEASE", release), "utf-8")


def shop_project(folder: Path) -> Path:
    """A stock project with a queue, and a Procfile that says what works on it."""
    project = projects.plain_project(folder)
    fields = "[('id', models.BigAutoField(primary_key=True)), ('done_by', models.CharField(max_length=100, default=''))]"
    projects.add_migration(project, "orders", "initial", f"CreateModel('Order', {fields})")
    (project / "orders" / "models.py").write_text(MODELS, "utf-8")
    with (project / "mysite" / "settings.py").open("a", encoding="utf-8") as settings:
        settings.write("DEFAULT_AUTO_FIELD = 'django.db.models.BigAutoField'\n")
    write_command(project, "first")
    procfile = "web: gunicorn --bind :$PORT mysite.wsgi\nworker: python manage.py work\n"
    (project / "Procfile").write_text(procfile, "utf-8")
    return project


@dataclass
class Shop:
    """A site with a worker, and direct looks at what the worker did."""

    rehearsal: Rehearsal
    project: Path
    inventory: Path

    def play(self, playbook: str, *options: str) -> Run:
        return self.rehearsal.playbook(playbook, *options, inventory=self.inventory)

    def deploy(self, release: str, **variables: Any) -> Run:
        """A deploy of a release in which the site says so of its variables."""
        self.describe(release, **variables)
        return self.play("deploy.yml", "--diff")

    def describe(self, release: str, **variables: Any) -> None:
        """A release, and a site that says so of its variables."""
        write_command(self.project, release)
        site = {
            **projects.small_site(self.project),
            "djangogcp_environment": {"SIGN": "signed"},
            "cloud_run_worker_settle_seconds": 1,
            **variables,
        }
        projects.inventory(self.inventory, {SITE: site})

    def sql(self, statement: str) -> list[tuple[Any, ...]]:
        password = self.rehearsal.secret(f"{SITE}-migrator-db-password")
        return self.rehearsal.sql(statement, database=SITE, user=f"{SITE}_migrator", password=password)

    def works(self, sign: str) -> None:
        """An order is worked on by who signs so."""
        self.sql("INSERT INTO orders_order (done_by) VALUES ('')")
        until(lambda: self.sql("SELECT done_by FROM orders_order ORDER BY id DESC LIMIT 1") == [(sign,)])

    def pools(self) -> dict[str, Any]:
        found = self.rehearsal.api(POOLS).get("workerPools", [])
        return {pool["name"].rpartition("/")[2]: pool for pool in found}

    def pool_revisions(self) -> set[str]:
        """Of the worker, by their full names."""
        listed = self.rehearsal.api(f"{POOLS}/{SITE}-worker/revisions")
        return {one["name"] for one in listed["revisions"]}

    def pinned(self) -> dict[str, str]:
        """Which version of each secret the worker reads."""
        [container] = self.pools()[f"{SITE}-worker"]["template"]["containers"]
        found = [one["valueSource"]["secretKeyRef"] for one in secrets_of(container)]
        return {one["secret"].rpartition("/")[2]: one["version"] for one in found}

    def state_of(self, secret: str, version: str) -> str:
        return str(self.rehearsal.api(f"{SECRETS}/{secret}/versions/{version}")["state"])

    def image(self) -> str:
        """What was deployed last."""
        return str(self.rehearsal.service(SITE)["template"]["containers"][0]["image"])

    def serving_release(self) -> int:
        """The number of what serves, as the records say."""
        run = self.play("playbooks/releases.yml")
        assert run.status == 0, run.output
        [number] = re.findall(r"^\W*(\d+)  .*, serves\b", run.output, re.MULTILINE)
        return int(number)

    def serving(self) -> str:
        """What has the traffic."""
        service = self.rehearsal.service(SITE)
        [share] = [one for one in service["trafficStatuses"] if one.get("percent") == 100]
        name = share.get("revision") or service["latestReadyRevision"].rpartition("/")[2]
        revision = self.rehearsal.api(f"run.googleapis.com/v2/{service['name']}/revisions/{name}")
        return str(revision["containers"][0]["image"])


def secrets_of(container: dict[str, Any]) -> list[Any]:
    return [one for one in container["env"] if "valueSource" in one]


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WITHIN_SECONDS
    while not condition():
        assert time.monotonic() < deadline, f"not so within {WITHIN_SECONDS} seconds"
        time.sleep(0.1)


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    folder = tmp_path_factory.mktemp("workers")
    rehearsal = Rehearsal(folder / "home", REHEARSAL_SCALE="0.01")
    rehearsal.start()
    try:
        yield Shop(rehearsal, shop_project(folder / "project"), folder / "hosts.yml")
    finally:
        rehearsal.make("rehearse-clean")


def test_the_worker_of_a_procfile_works_with_the_image_and_secrets_of_what_serves(shop: Shop) -> None:
    run = shop.deploy("first")
    assert run.status == 0, run.output
    said = "shop: worker runs in the background all the time, as the Procfile says (djangogcp_background_workers)."
    assert said in run.output
    [(name, pool)] = shop.pools().items()
    assert name == "shop-worker"
    template, service = pool["template"], shop.rehearsal.service(SITE)["template"]
    [container], [served] = template["containers"], service["containers"]
    assert container["image"] == served["image"]
    assert container["args"] == ["exec python manage.py work"]
    assert template["serviceAccount"] == service["serviceAccount"]
    assert secrets_of(container) == secrets_of(served)
    assert pool["scaling"] == {"manualInstanceCount": 1}
    shop.works("first shop-worker signed")
    again = shop.deploy("first")
    assert again.counts(SITE)["changed"] == 0, again.output


def test_a_worker_is_of_the_release_that_serves(shop: Shop) -> None:
    assert shop.deploy("old").status == 0
    shop.works("old shop-worker signed")
    write_command(shop.project, "new")
    checked = shop.play("deploy.yml", "--check", "--diff")
    assert checked.status == 0, checked.output
    assert "update worker pool shop-worker" in checked.output
    shop.works("old shop-worker signed")
    run = shop.deploy("new")
    assert run.status == 0, run.output
    shop.works("new shop-worker signed")
    [pool] = shop.pools().values()
    assert pool["template"]["containers"][0]["image"] == shop.image()
    status = shop.play("playbooks/status.yml")
    revision = pool["latestReadyRevision"].rpartition("/")[2]
    told = status.output.rpartition("Show what is deployed]")[2].partition("=> ")[2].partition("\n}")[0]
    assert json.loads(told + "}")["msg"]["workers"] == [
        {
            "name": "worker",
            "instances": 1,
            "deployed": revision,
            "serving": [{"revision": revision, "percent": 100, "image": shop.image()}],
        }
    ]


def test_what_cannot_run_is_refused_before_anything_changes(shop: Shop) -> None:
    wrong: dict[str, Any] = {"beat": {"command": "celery -A shop beat", "instances": 2}}
    run = shop.deploy("first", djangogcp_background_workers={**wrong, "Web": "x"})
    assert run.status != 0
    assert "- djangogcp_background_workers.Web is 'x': expected a command such as" in run.output
    wrong["big"] = {"command": "x", "memory": "30Gi"}
    run = shop.deploy("first", djangogcp_background_workers=wrong)
    assert "djangogcp_background_workers.beat.instances is 2: expected 1, or 0 to stop it" in run.output
    assert (
        "djangogcp_background_workers.big.memory is '30Gi': expected a size from 512Mi to 4Gi" in run.output
    )
    assert run.changed_tasks() == []


def test_a_worker_that_does_not_start_is_told_with_its_log_and_the_site_goes_on(shop: Shop) -> None:
    assert shop.deploy("good").status == 0
    serving = shop.image()
    # It takes a busy machine so long to start Django at most.
    wrong = {
        "djangogcp_background_workers": {"worker": "python manage.py nothing"},
        "cloud_run_worker_settle_seconds": 60,
    }
    for _ in range(2):
        run = shop.deploy("bad", **wrong)
        assert run.status != 0, run.output
        assert "Unknown command: 'nothing'" in run.output
        assert "gets no traffic" in run.output
        assert shop.serving() == serving
        assert shop.rehearsal.get(SITE, "/admin/login/").status_code == 200
    mended = shop.deploy("bad")
    assert mended.status == 0, mended.output
    shop.works("bad shop-worker signed")


def test_what_is_no_longer_listed_is_gone_and_what_is_new_works(shop: Shop) -> None:
    assert shop.deploy("listed").status == 0
    other = {"second-worker": {"command": "python manage.py work", "instances": "2"}}
    run = shop.deploy("listed", djangogcp_background_workers=other)
    assert run.status == 0, run.output
    assert shop.pools().keys() == {"shop-second-worker"}
    shop.works("listed shop-second-worker signed")
    none = shop.deploy("listed", djangogcp_background_workers={})
    assert none.status == 0, none.output
    assert shop.pools() == {}
    assert shop.deploy("listed", djangogcp_background_workers={}).counts(SITE)["changed"] == 0


def test_other_workers_alone_are_a_release_that_can_be_gone_back_from(shop: Shop) -> None:
    assert shop.deploy("same").status == 0
    before = shop.serving_release()
    run = shop.deploy("same", djangogcp_background_workers={"other": "python manage.py work"})
    assert run.status == 0, run.output
    assert shop.serving_release() == before + 1
    again = shop.deploy("same", djangogcp_background_workers={"other": "python manage.py work"})
    assert again.counts(SITE)["changed"] == 0, again.output
    assert shop.serving_release() == before + 1
    back = shop.play("playbooks/rollback.yml")
    assert back.status == 0, back.output
    assert shop.pools().keys() == {"shop-worker"}
    assert shop.serving_release() == before + 2
    shop.works("same shop-worker signed")


def test_workers_are_of_the_new_release_before_its_first_visitor_and_go_back_with_the_traffic(
    shop: Shop, tmp_path: Path
) -> None:
    assert shop.deploy("kept").status == 0
    shop.works("kept shop-worker signed")
    more = {
        "djangogcp_background_workers": {"worker": "python manage.py work", "more": "python manage.py work"}
    }
    shop.describe("tried", djangogcp_strategy="canary", djangogcp_canary_step_seconds=3600, **more)
    with shop.rehearsal.going_on(tmp_path / "run", "deploy.yml", inventory=shop.inventory) as run:
        until(
            lambda: "Watch what it answers" in (tmp_path / "run").read_text("utf-8") or run.poll() is not None
        )
        assert run.poll() is None, (tmp_path / "run").read_text("utf-8")
        assert shop.pools().keys() == {"shop-worker", "shop-more"}
        assert {pool["template"]["containers"][0]["image"] for pool in shop.pools().values()} == {
            shop.image()
        }
        os.killpg(run.pid, signal.SIGKILL)
    back = shop.play("playbooks/promote.yml", "-e", "promote_to=old")
    assert back.status == 0, back.output
    assert shop.pools().keys() == {"shop-worker"}
    shop.works("kept shop-worker signed")
    [pool] = shop.pools().values()
    assert pool["template"]["containers"][0]["image"] == shop.serving()


def test_workers_get_what_is_rotated(shop: Shop) -> None:
    assert shop.deploy("rotated").status == 0
    [before] = shop.pools().values()
    run = shop.play("playbooks/rotate.yml", "-e", "rotate=secret_key,database_password")
    assert run.status == 0, run.output
    [pool] = shop.pools().values()
    [container], [served] = (
        pool["template"]["containers"],
        shop.rehearsal.service(SITE)["template"]["containers"],
    )
    assert secrets_of(container) == secrets_of(served) != secrets_of(before["template"]["containers"][0])
    shop.works("rotated shop-worker signed")


def test_old_revisions_of_workers_are_pruned_and_what_the_newest_reads_stays(shop: Shop) -> None:
    assert shop.deploy("older").status == 0
    older = shop.pool_revisions()
    assert shop.deploy("newer").status == 0
    assert shop.pool_revisions() > older
    options = ("-e", "djangogcp_keep_days=0", "-e", "djangogcp_keep_releases=1")
    pruned = shop.play("playbooks/prune.yml", *options)
    assert pruned.status == 0, pruned.output
    [pool] = shop.pools().values()
    assert shop.pool_revisions() == {pool["latestReadyRevision"]}
    read = shop.pinned()
    assert {secret: shop.state_of(secret, version) for secret, version in read.items()} == dict.fromkeys(
        read, "ENABLED"
    )
    shop.works("newer shop-worker signed")
    assert shop.play("playbooks/prune.yml", *options).counts(SITE)["changed"] == 0


def test_a_release_line_that_migrates_is_asked_first(shop: Shop) -> None:
    with (shop.project / "Procfile").open("a", encoding="utf-8") as procfile:
        procfile.write("release: python manage.py migrate --noinput\n")
    projects.add_migration(
        shop.project, "orders", "note", "AddField('order', 'note', models.TextField(null=True))"
    )
    added = shop.deploy("asked")
    assert added.status == 0, added.output
    assert "1 additive, 0 destructive, 0 unknown." in " ".join(added.output.split())
    serving = shop.image()
    without = projects.add_migration(shop.project, "orders", "without", "RemoveField('order', 'note')")
    refused = shop.deploy("asked")
    assert refused.status != 0, refused.output
    assert "the migrations of this release are destructive" in " ".join(refused.output.split())
    assert "note" in {
        name
        for (name,) in shop.sql(
            "SELECT column_name FROM information_schema.columns WHERE table_name = 'orders_order'"
        )
    }
    assert shop.serving() == serving
    without.unlink()


def test_workers_go_with_the_site(shop: Shop) -> None:
    run = shop.deploy("last")
    assert run.status == 0, run.output
    assert shop.pools().keys() == {"shop-worker"}
    gone = shop.play("playbooks/destroy.yml", "-e", f"destroy_confirm={SITE}")
    assert gone.status == 0, gone.output
    assert shop.pools() == {}
