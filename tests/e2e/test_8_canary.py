"""A release that gets the traffic little by little: on when it is good, back by itself when it is not, and moved by hand."""

from __future__ import annotations

import collections
import contextlib
import json
import os
import re
import signal
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.e2e import projects
from tests.e2e.rehearsal import PROJECT, Rehearsal, Run

SITE = "shop"
RECORDS = f"storage.googleapis.com/storage/v1/b/{PROJECT}-{SITE}-releases/o"
WITHIN_SECONDS = 120
# The log-in page and the first page answer, so that the try-out has nothing against it.
URLS = """
import sys
from django.http import HttpResponse
from mysite.release import IS_BROKEN, RELEASE

def orders(request):
    if IS_BROKEN:
        print("no such table: orders", file=sys.stderr, flush=True)
        return HttpResponse(RELEASE, status=500)
    return HttpResponse(RELEASE)

urlpatterns += [path("orders/", orders)]
"""
CANARY: dict[str, Any] = {
    "djangogcp_strategy": "canary",
    "djangogcp_canary_percentages": [30, 60],
    "djangogcp_canary_step_seconds": 4,
    "djangogcp_canary_min_requests": 5,
    # Not what these tests are about, on a machine that does something else beside them.
    "djangogcp_canary_max_p95_ms": 60_000,
}


def until(what: str, holds: Callable[[], Any]) -> None:
    deadline = time.monotonic() + WITHIN_SECONDS
    while not holds():
        assert time.monotonic() < deadline, f"not {what} within {WITHIN_SECONDS} s"
        time.sleep(0.02)


@dataclass
class Shop:
    """A site that has visitors, and direct looks at who serves them."""

    rehearsal: Rehearsal
    project: Path
    inventory: Path
    variables: dict[str, Any] = field(default_factory=dict)

    def describe(self, release: str, *, is_broken: bool = False, **variables: Any) -> None:
        """A release, and a site that says so of its variables."""
        text = f"RELEASE, IS_BROKEN = {release!r}, {is_broken}\n"
        (self.project / "mysite" / "release.py").write_text(text, "utf-8")
        site = {**projects.small_site(self.project), **CANARY, **self.variables, **variables}
        projects.inventory(self.inventory, {SITE: site})

    def deploy(self, release: str, *options: str, is_broken: bool = False, **variables: Any) -> Run:
        self.describe(release, is_broken=is_broken, **variables)
        return self.play("deploy.yml", *options)

    def play(self, playbook: str, *options: str) -> Run:
        return self.rehearsal.playbook(playbook, *options, inventory=self.inventory)

    def shares(self) -> dict[str, int]:
        """How much of the traffic each revision has, as the API has it."""
        service = self.rehearsal.service(SITE)
        newest = service["latestReadyRevision"].rpartition("/")[2]
        return {
            one.get("revision") or newest: one["percent"]
            for one in service["trafficStatuses"]
            if one.get("percent")
        }

    def serving(self) -> str:
        """The one revision that has all the traffic."""
        [(revision, percent)] = self.shares().items()
        assert percent == 100
        return revision

    def newest(self) -> str:
        return str(self.rehearsal.service(SITE)["latestCreatedRevision"].rpartition("/")[2])

    def page(self) -> str:
        """Which release answers."""
        return self.rehearsal.get(SITE, "/orders/").text

    def records(self) -> list[Any]:
        """The records of releases, the oldest first."""
        names = [one["name"] for one in self.rehearsal.api(f"{RECORDS}?prefix=releases/").get("items", [])]
        return [self.rehearsal.api(f"{RECORDS}/{name.replace('/', '%2F')}?alt=media") for name in names]

    @contextlib.contextmanager
    def visited(self) -> Iterator[collections.Counter[tuple[str, int]]]:
        """While visitors come: how often which release answered with which status."""
        answers: collections.Counter[tuple[str, int]] = collections.Counter()
        is_over = threading.Event()

        def visit() -> None:
            session = self.rehearsal.session()
            while not is_over.is_set():
                # Each time another one, whom no cookie keeps with a revision.
                session.cookies.clear()
                answer = session.get(self.rehearsal_url, timeout=60)
                answers[answer.text, answer.status_code] += 1
                is_over.wait(0.05)

        self.rehearsal_url = self.rehearsal.url(SITE) + "/orders/"
        visitors = [threading.Thread(target=visit, daemon=True) for _ in range(2)]
        for visitor in visitors:
            visitor.start()
        try:
            yield answers
        finally:
            is_over.set()
            for visitor in visitors:
                visitor.join(60)


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    folder = tmp_path_factory.mktemp("canary")
    rehearsal = Rehearsal(folder / "home", REHEARSAL_SCALE="0.01")
    rehearsal.start()
    project = projects.plain_project(folder / "project")
    with (project / "mysite" / "urls.py").open("a", encoding="utf-8") as urls:
        urls.write(URLS)
    found = Shop(rehearsal, project, folder / "hosts.yml")
    try:
        run = found.deploy("first")
        assert run.status == 0, run.output
        assert "Nothing of shop serves yet:" in run.output
        assert found.page() == "first"
        yield found
    finally:
        rehearsal.make("rehearse-clean")


def test_a_good_release_gets_the_traffic_in_parts(shop: Shop) -> None:
    before = shop.serving()
    with shop.visited() as answers:
        run = shop.deploy("good")
    assert run.status == 0, run.output
    assert shop.serving() == shop.newest() != before
    assert {status for _release, status in answers} == {200}
    assert answers["good", 200] > 5
    told = re.findall(
        rf"{shop.newest()}, with (\d+) % of the traffic, answered \d+ requests: 0 errors", run.output
    )
    assert list(dict.fromkeys(told)) == ["30", "60"]
    begun, released = shop.records()[-2:]
    assert (begun["result"], released["result"]) == ("canary", "released")
    assert begun["candidate"] == released["candidate"] == released["traffic"]["after"] == shop.newest()
    annotations = shop.rehearsal.service(SITE)["annotations"]
    assert annotations["djangogcp/deployed-revision"] == shop.newest()
    assert annotations["djangogcp/canary"] == ""
    again = shop.deploy("good")
    assert again.counts(SITE)["changed"] == 0, again.output


def test_a_bad_release_gives_the_traffic_back_by_itself(shop: Shop) -> None:
    assert shop.deploy("fine", djangogcp_strategy="direct").status == 0
    before = shop.serving()
    with shop.visited() as answers:
        run = shop.deploy("bad", is_broken=True)
    assert run.status != 0, run.output
    assert shop.serving() == before
    bad = shop.newest()
    assert bad != before
    said = " ".join(run.output.split())
    assert f"{bad} is bad with 30 % of the traffic:" in said
    assert (
        "requests were answered with an error of the server (100.0%, of the old revision 0.0%): max_error_ratio is 0.05."
        in said
    )
    assert "Errors: 500 GET /orders/ (" in said
    assert "no such table: orders" in said
    assert f"{bad} has no traffic any more. {before} has all the traffic and answers" in said
    # Few were hurt, and nobody is.
    assert 0 < answers["bad", 500] < answers["fine", 200]
    assert {shop.page() for _ in range(20)} == {"fine"}
    assert (shop.records()[-1]["result"], shop.records()[-1]["step"]) == ("failed", "canary")

    # It comes back when somebody says so, and with a change.
    again = shop.deploy("bad", is_broken=True)
    assert "a rollback, or a canary that was bad, has taken out what this would deploy" in " ".join(
        again.output.split()
    )
    assert shop.serving() == before
    mended = shop.deploy("mended", djangogcp_strategy="direct")
    assert mended.status == 0, mended.output
    assert shop.page() == "mended"


def test_without_visitors_it_is_told_that_nobody_judged(shop: Shop) -> None:
    run = shop.deploy("unseen", djangogcp_canary_step_seconds=1)
    assert run.status == 0, run.output
    assert "It was not judged: fewer than 5 requests (djangogcp_canary_min_requests)." in run.output
    assert shop.page() == "unseen"


@contextlib.contextmanager
def left_standing(shop: Shop, release: str, output: Path) -> Iterator[None]:
    """A canary whose deploy was killed."""
    shop.serving()
    shop.describe(release, djangogcp_canary_step_seconds=3600)
    with shop.rehearsal.going_on(output, "deploy.yml", inventory=shop.inventory) as run:
        until("split", lambda: len(shop.shares()) == 2 or run.poll() is not None)
        assert run.poll() is None, output.read_text("utf-8")
        os.killpg(run.pid, signal.SIGKILL)
        run.wait(60)
    assert sorted(shop.shares().values()) == [30, 70]
    yield


def status_of(shop: Shop) -> Any:
    output = shop.play("playbooks/status.yml").output
    told = output.rpartition("Show what is deployed]")[2].partition("=> ")[2].partition("\n}")[0]
    return json.loads(told + "}")["msg"]


def test_a_canary_that_was_left_is_told_and_promoted(shop: Shop, tmp_path: Path) -> None:
    before = shop.serving()
    with left_standing(shop, "left", tmp_path / "run"):
        status = status_of(shop)
        told = status["canary"]
        assert (told["revision"], told["percent"], told["before"]) == (shop.newest(), 30, {before: 100})
        *_, released, begun = range(1, len(shop.records()) + 1)
        assert sorted(map(int, status["release"])) == [released, begun]
        run = shop.play("playbooks/promote.yml")
    assert run.status == 0, run.output
    assert shop.serving() == shop.newest() != before
    assert shop.page() == "left"
    assert shop.records()[-1]["result"] == "released"
    assert status_of(shop)["canary"] == "none"
    again = shop.play("playbooks/promote.yml")
    assert again.status != 0
    assert "There is nothing to promote" in again.output
    assert shop.deploy("left").counts(SITE)["changed"] == 0


def test_a_canary_that_was_left_is_taken_back(shop: Shop, tmp_path: Path) -> None:
    before = shop.serving()
    with left_standing(shop, "unwanted", tmp_path / "run"):
        wrong = shop.play("playbooks/promote.yml", "-e", "promote_to=back")
        assert "promote_to is 'back': expected one of new, old." in wrong.output
        run = shop.play("playbooks/promote.yml", "-e", "promote_to=old")
    assert run.status == 0, run.output
    assert shop.serving() == before
    assert f"{shop.newest()} has no traffic any more. {before} has all the traffic" in " ".join(
        run.output.split()
    )
    refused = shop.deploy("unwanted")
    assert "has taken out what this would deploy" in refused.output
    # Who wants it after all.
    run = shop.play("playbooks/promote.yml")
    assert run.status == 0, run.output
    assert shop.page() == "unwanted"
    assert shop.deploy("unwanted").counts(SITE)["changed"] == 0


def test_the_next_deploy_begins_a_canary_that_was_left_again(shop: Shop, tmp_path: Path) -> None:
    with left_standing(shop, "again", tmp_path / "run"):
        left = shop.newest()
        run = shop.deploy("again", djangogcp_canary_step_seconds=1)
    assert run.status == 0, run.output
    assert shop.serving() == left
    assert f"{left}, with 30 % of the traffic" in run.output


def test_a_rollback_goes_back_from_a_canary_that_was_left(shop: Shop, tmp_path: Path) -> None:
    before = shop.page()
    with left_standing(shop, "wrong", tmp_path / "run"):
        run = shop.play("playbooks/rollback.yml")
    assert run.status == 0, run.output
    assert shop.serving() == shop.newest()
    assert shop.page() == before
    refused = shop.deploy("wrong")
    assert "has taken out what this would deploy" in refused.output


def test_a_site_that_is_not_public_is_judged_and_promoted_too(shop: Shop, tmp_path: Path) -> None:
    shop.variables["djangogcp_public"] = False
    try:
        assert shop.deploy("closed", djangogcp_strategy="direct").status == 0
        assert shop.rehearsal.get(SITE, "/orders/").status_code == 403
        with left_standing(shop, "inside", tmp_path / "run"):
            promoted = shop.play("playbooks/promote.yml")
            assert promoted.status == 0, promoted.output
        assert shop.serving() == shop.newest()
        assert shop.rehearsal.get(SITE, "/orders/").status_code == 403
        unseen = shop.deploy("unseen inside", djangogcp_canary_step_seconds=1)
        assert unseen.status == 0, unseen.output
        assert "It was not judged" in unseen.output
        assert shop.serving() == shop.newest()
    finally:
        del shop.variables["djangogcp_public"]
