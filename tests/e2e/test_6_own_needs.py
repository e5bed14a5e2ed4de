"""What a site needs of its own: secrets that its owner made, a rollback by hand that is respected, and builds that are timely and quick."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e import projects
from tests.e2e.rehearsal import PROJECT, REGION, Rehearsal, Run

SECRETS = f"secretmanager.googleapis.com/v1/projects/{PROJECT}/secrets"
KEY_FILE = "/run/secrets/payments/key"
#: What the owner puts into secrets. No run may print it.
VALUES = ("first-of-smtp", "second-of-smtp", "only-of-payments", "disabled-of-payments", "of-the-other")
ASKED = {
    "EMAIL_HOST_PASSWORD": "smtp-password",
    "PAYMENTS_KEY_FILE": {"name": "payments_key", "path": KEY_FILE},
    "TAKEN_BACK": None,
}
#: What the next release is.
NEXT: dict[str, Any] = {
    "djangogcp_secrets": {"EMAIL_HOST_PASSWORD": "smtp-password"},
    "djangogcp_environment": {"EDITION": "second"},
}
#: A page that proves what the site has without telling it.
PAGE = """
import hashlib, os, pathlib
from django.http import JsonResponse

def needs(request):
    values = {name: value.encode() for name, value in os.environ.items() if name == "EMAIL_HOST_PASSWORD"}
    if "PAYMENTS_KEY_FILE" in os.environ:
        values["file"] = pathlib.Path(os.environ["PAYMENTS_KEY_FILE"]).read_bytes()
    return JsonResponse({name: hashlib.sha256(value).hexdigest() for name, value in values.items()})

urlpatterns.append(path("needs/", needs))
"""


class Shop:
    """A small site with needs of its own, in an empty project."""

    def __init__(self, home: Path) -> None:
        self.rehearsal = Rehearsal(home / "home", REHEARSAL_SCALE="0.01")
        self.source = projects.plain_project(home / "project")
        with (self.source / "mysite" / "urls.py").open("a", encoding="utf-8") as urls:
            urls.write(PAGE)
        self._home = home

    def play(self, playbook: str = "deploy.yml", *options: str, **variables: Any) -> Run:
        """A playbook on the site, which asks for its secrets unless the variables say otherwise."""
        site = {**projects.small_site(self.source), "djangogcp_secrets": ASKED, **variables}
        return self.rehearsal.playbook(
            playbook, *options, inventory=projects.inventory(self._home / "hosts.yml", {"shop": site})
        )

    def deployed(self, *options: str, **variables: Any) -> Run:
        """A deploy that succeeds and shows no value of a secret."""
        run = self.play("deploy.yml", "-vvv", "--diff", *options, **variables)
        assert run.status == 0, run.output
        assert not any(value in run.output for value in VALUES)
        return run

    def add(self, secret: str, value: str) -> str:
        """Add a version with its owner's hand; its name."""
        data = base64.b64encode(value.encode()).decode()
        body = {"payload": {"data": data}}
        return str(self.rehearsal.api(f"{SECRETS}/{secret}:addVersion", method="POST", body=body)["name"])

    def make(self, secret: str, value: str, **labels: str) -> None:
        """Make a secret as its owner does."""
        body = {"replication": {"automatic": {}}, "labels": labels}
        self.rehearsal.api(f"{SECRETS}?secretId={secret}", method="POST", body=body)
        self.add(secret, value)

    def readers(self, secret: str) -> list[str]:
        """Who may read a secret, without the project."""
        policy = self.rehearsal.api(f"{SECRETS}/{secret}:getIamPolicy")
        (members,) = [one["members"] for one in policy.get("bindings", [])] or [[]]
        return sorted(member.partition(":")[2].partition("@")[0] for member in members)

    def page(self) -> Any:
        """The digests of what the site has."""
        return self.rehearsal.get("shop", "/needs/").json()


def digest(value: str) -> str:
    return hashlib.sha256(value.encode()).hexdigest()


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    found = Shop(tmp_path_factory.mktemp("shop"))
    found.rehearsal.start()
    yield found
    found.rehearsal.make("rehearse-clean")


@pytest.mark.parametrize("options", [("--check",), ()])
def test_a_secret_that_nobody_made_is_refused_with_the_command_that_makes_it(
    shop: Shop, options: tuple[str, ...]
) -> None:
    refused = shop.play("deploy.yml", *options)
    assert refused.status != 0
    assert "- secret smtp-password (djangogcp_secrets): it does not exist." in refused.output
    assert f"gcloud secrets create payments_key --project={PROJECT} --data-file=-" in refused.output
    # In a new project nobody can tell otherwise what the caller may do.
    assert not [task for task in refused.changed_tasks() if "preflight : new_project" not in task]


def test_a_secret_without_an_enabled_version_or_of_another_site_is_refused(shop: Shop) -> None:
    api = "serviceusage.googleapis.com/v1/projects/{}/services/secretmanager.googleapis.com:enable"
    shop.rehearsal.api(api.format(PROJECT), method="POST", body={})
    shop.make("smtp-password", "first-of-smtp")
    shop.make("payments_key", "only-of-payments")
    disabled = shop.add("payments_key", "disabled-of-payments")
    shop.make(
        "others-key", "of-the-other", **{"managed-by": "djangogcp", "site": "other", "region": "us-central1"}
    )
    body = {"replication": {"automatic": {}}}
    shop.rehearsal.api(f"{SECRETS}?secretId=empty", method="POST", body=body)
    shop.rehearsal.api(f"secretmanager.googleapis.com/v1/{disabled}:disable", method="POST", body={})
    refused = shop.play(djangogcp_secrets={"EMPTY": "empty", "OTHERS": "others-key", **ASKED})
    assert refused.status != 0
    assert "- secret empty (djangogcp_secrets): it has no enabled version." in refused.output
    assert (
        "- secret others-key (djangogcp_secrets): it belongs to the site other in us-central1"
        in refused.output
    )
    assert "smtp-password" not in refused.output
    assert refused.changed_tasks() == []


def test_the_site_gets_its_secrets_as_variables_and_files(shop: Shop) -> None:
    shop.deployed()
    assert shop.deployed().counts("shop")["changed"] == 0
    # The newest version of the one is disabled.
    assert shop.page() == {"EMAIL_HOST_PASSWORD": digest("first-of-smtp"), "file": digest("only-of-payments")}
    assert shop.readers("smtp-password") == shop.readers("payments_key") == ["shop-migrator", "shop-web"]
    template = shop.rehearsal.service("shop")["template"]
    variables = {one["name"]: one for one in template["containers"][0]["env"]}
    assert variables["EMAIL_HOST_PASSWORD"]["valueSource"]["secretKeyRef"]["version"] == "1"
    assert variables["PAYMENTS_KEY_FILE"]["value"] == KEY_FILE
    (volume,) = [one["secret"] for one in template["volumes"] if "secret" in one]
    assert volume["items"] == [{"path": "key", "version": "1"}]


def test_commands_get_them_and_status_tells_their_versions_only(shop: Shop) -> None:
    look = (
        "import hashlib, os, pathlib; print(hashlib.sha256((os.environ['EMAIL_HOST_PASSWORD']"
        " + pathlib.Path(os.environ['PAYMENTS_KEY_FILE']).read_text()).encode()).hexdigest())"
    )
    ran = shop.play("playbooks/manage.yml", "-e", json.dumps({"manage_command": ["shell", "-c", look]}))
    assert ran.status == 0, ran.output
    assert digest("first-of-smtponly-of-payments") in ran.output
    status = shop.play("playbooks/status.yml")
    assert '"smtp-password": "1"' in status.output
    assert '"payments_key": "1"' in status.output
    assert '"not_as_declared": []' in status.output
    assert not any(value in status.output for value in VALUES)


def test_a_newer_version_is_rolled_out_by_the_next_deploy(shop: Shop) -> None:
    before = shop.rehearsal.service("shop")["latestReadyRevision"]
    shop.add("smtp-password", "second-of-smtp")
    assert "update service shop" in shop.play("playbooks/status.yml").output
    shop.deployed()
    assert shop.rehearsal.service("shop")["latestReadyRevision"] != before
    assert shop.page()["EMAIL_HOST_PASSWORD"] == digest("second-of-smtp")


def test_what_is_no_longer_asked_for_is_taken_back(shop: Shop) -> None:
    asked = {"EMAIL_HOST_PASSWORD": "smtp-password", "PAYMENTS_KEY_FILE": None}
    shop.deployed(djangogcp_secrets=asked)
    assert shop.deployed("--check", djangogcp_secrets=asked).counts("shop")["changed"] == 0
    assert shop.page() == {"EMAIL_HOST_PASSWORD": digest("second-of-smtp")}
    assert shop.readers("payments_key") == []
    assert shop.readers("smtp-password") == ["shop-migrator", "shop-web"]


def serving(shop: Shop) -> str:
    """The one revision that has all the traffic."""
    (share,) = [one for one in shop.rehearsal.service("shop")["trafficStatuses"] if one.get("percent")]
    return str(share.get("revision") or shop.rehearsal.service("shop")["latestReadyRevision"]).rpartition(
        "/"
    )[2]


def give_traffic(shop: Shop, revision: str) -> None:
    """What the console does."""
    traffic = [{"type": "TRAFFIC_TARGET_ALLOCATION_TYPE_REVISION", "revision": revision, "percent": 100}]
    service = f"run.googleapis.com/v2/projects/{PROJECT}/locations/{REGION}/services/shop"
    shop.rehearsal.api(f"{service}?updateMask=traffic", method="PATCH", body={"traffic": traffic})


def test_a_rollback_by_hand_is_told_and_not_undone(shop: Shop) -> None:
    good = serving(shop)
    shop.deployed(**NEXT)
    bad = serving(shop)
    assert bad != good
    give_traffic(shop, good)
    said = f"{good} serves, and the last deploy gave all the traffic to {bad}: somebody has moved it"
    refused = shop.play(**NEXT)
    assert refused.status != 0
    assert f"- service shop (djangogcp_roll_forward_from): {said}" in refused.output
    assert f"-e djangogcp_roll_forward_from={good}" in refused.output
    assert refused.changed_tasks() == []
    assert said in shop.play("playbooks/status.yml", **NEXT).output
    # Without a change nothing moves, whatever is said.
    unchanged = shop.play(**NEXT, djangogcp_roll_forward_from=good)
    assert unchanged.status != 0
    assert f"Failed to deploy {bad} again: nothing has changed since it was deployed" in unchanged.output
    assert serving(shop) == good


def test_a_change_is_deployed_after_a_rollback_when_what_serves_is_named(shop: Shop) -> None:
    good = serving(shop)
    (shop.source / "mysite" / "mended.py").write_text("MENDED = True\n", "utf-8")
    assert shop.play(**NEXT, djangogcp_roll_forward_from="shop-00001-abc").status != 0
    shop.deployed(**NEXT, djangogcp_roll_forward_from=good)
    mended = serving(shop)
    assert mended != good
    # The word is about that one rollback: left where it is, it changes nothing.
    again = shop.deployed(**NEXT, djangogcp_roll_forward_from=good)
    assert again.counts("shop")["changed"] == 0
    # What was deployed gets its traffic back by hand, and all is as it was.
    give_traffic(shop, good)
    give_traffic(shop, mended)
    shop.deployed(**NEXT)
    assert serving(shop) == mended


def build_logs(shop: Shop) -> list[str]:
    """What each build printed, the oldest first."""
    api = f"cloudbuild.googleapis.com/v1/projects/{PROJECT}/locations/{REGION}/builds"
    builds = sorted(shop.rehearsal.api(api)["builds"], key=lambda build: build["createTime"])
    logs = []
    for build in builds:
        body = {
            "resourceNames": [f"projects/{PROJECT}"],
            "filter": f'resource.type="build" AND resource.labels.build_id="{build["id"]}"',
            "pageSize": 1000,
        }
        entries = shop.rehearsal.api("logging.googleapis.com/v2/entries:list", method="POST", body=body)
        logs.append("\n".join(entry["textPayload"] for entry in entries["entries"]))
    return logs


def test_a_change_of_the_code_installs_nothing_again(shop: Shop) -> None:
    first, second = build_logs(shop)
    installed = "RUN pip install -r requirements.txt\n ---> Using cache"
    assert "importing cache manifest" not in first
    assert "RUN pip install -r requirements.txt" in first
    assert installed not in first
    assert "importing cache manifest from" in second
    assert installed in second


def test_a_rebuild_builds_the_same_source_once_a_week_or_for_a_date(shop: Shop) -> None:
    package = f"projects/{PROJECT}/locations/{REGION}/repositories/shop/packages/shop"
    weekly = {**NEXT, "djangogcp_rebuild": "weekly"}
    run = shop.deployed(**weekly)
    assert any("Start the build" in task for task in run.changed_tasks())
    tags = [
        one["name"]
        for one in shop.rehearsal.api(f"artifactregistry.googleapis.com/v1/{package}/tags")["tags"]
    ]
    assert sum(re.search(r"/source-[0-9a-f]{24}-\d{4}-w\d\d$", tag) is not None for tag in tags) == 1
    assert shop.deployed("--check", **weekly).counts("shop")["changed"] == 0
    dated = shop.deployed("--check", **{**NEXT, "djangogcp_rebuild": "2026-11-28"})
    assert any("Start the build" in task for task in dated.changed_tasks())


def test_destroy_leaves_them_and_nobody_reads_them(shop: Shop) -> None:
    variables = ("-e", "destroy_confirm=shop", "-e", "destroy_data=true")
    # What the last deploy was granted is taken back, too, when the inventory no longer names it.
    gone = shop.play("playbooks/destroy.yml", *variables, djangogcp_secrets={})
    assert gone.status == 0, gone.output
    assert shop.readers("smtp-password") == []
    left = [one["name"].rpartition("/")[2] for one in shop.rehearsal.api(SECRETS)["secrets"]]
    assert sorted(left) == ["empty", "others-key", "payments_key", "smtp-password"]
