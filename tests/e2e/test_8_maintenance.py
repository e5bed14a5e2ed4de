"""Maintenance: visitors get a small page with 503, health stays up, who tests has an address, and a deploy does not end it."""

from __future__ import annotations

import threading

import requests

from tests.e2e.rehearsal import Rehearsal

ON = (
    "-e",
    "maintenance=on",
    "-e",
    "maintenance_retry_after_seconds=120",
    "-e",
    '{"maintenance_message": "Back <soon>"}',
)
PATHS = ("/", "/polls/", "/admin/")


def as_who_tests(cloud: Rehearsal, path: str) -> requests.Response:
    """A page at the address of those who test."""
    return cloud.session().get(cloud.url("polls").replace("//", "//candidate---") + path, timeout=60)


def visited(cloud: Rehearsal) -> list[int]:
    return [cloud.get("polls", path).status_code for path in PATHS]


def test_another_word_is_refused(model_site: Rehearsal) -> None:
    run = model_site.playbook("playbooks/maintenance.yml", "-e", "maintenance=paused")
    assert run.status != 0
    assert "maintenance is 'paused': expected on or off." in run.output
    assert run.counts("polls")["changed"] == 0


def test_visitors_are_told_to_come_back_and_probes_and_who_tests_are_answered(model_site: Rehearsal) -> None:
    statuses: list[int] = []
    ended = threading.Event()

    def visit() -> None:
        while not ended.wait(0.05):
            statuses.append(model_site.get("polls", "/polls/").status_code)

    visitor = threading.Thread(target=visit, daemon=True)
    visitor.start()
    run = model_site.playbook("playbooks/maintenance.yml", *ON)
    ended.set()
    visitor.join(60)
    assert run.status == 0, run.output
    assert set(statuses) == {200} or set(statuses) == {200, 503}, "and nothing else on the way"
    assert visited(model_site) == [503, 503, 503]
    page = model_site.get("polls", "/polls/")
    assert (page.headers["Retry-After"], page.headers["Cache-Control"]) == ("120", "no-store")
    assert "Back &lt;soon&gt;" in page.text
    assert model_site.get("polls", "/-/live").status_code == 200
    assert model_site.get("polls", "/-/ready").status_code == 200
    assert [as_who_tests(model_site, path).status_code for path in PATHS] == [200, 200, 200]
    assert '"maintenance": "on"' in model_site.playbook("playbooks/status.yml").output


def test_a_deploy_and_a_rollback_leave_it_as_it_is_and_say_so(model_site: Rehearsal) -> None:
    assert model_site.playbook("playbooks/maintenance.yml", *ON).status == 0
    for playbook, options in (("deploy.yml", ("-e", "djangogcp_threads=5")), ("playbooks/rollback.yml", ())):
        run = model_site.playbook(playbook, *options)
        assert run.status == 0, run.output
        assert "polls is in maintenance: visitors get 503." in " ".join(run.output.split())
        assert visited(model_site) == [503, 503, 503]
        assert as_who_tests(model_site, "/polls/").status_code == 200


def test_it_ends_when_it_is_told_to(model_site: Rehearsal) -> None:
    assert model_site.playbook("playbooks/maintenance.yml", *ON).status == 0
    run = model_site.playbook("playbooks/maintenance.yml", "-e", "maintenance=off")
    assert run.status == 0, run.output
    assert visited(model_site) == [200, 200, 200]
    assert '"maintenance": "off"' in model_site.playbook("playbooks/status.yml").output
    again = model_site.playbook("playbooks/maintenance.yml", "-e", "maintenance=off")
    assert again.status == 0, again.output
    variables = [one["name"] for one in model_site.service("polls")["template"]["containers"][0]["env"]]
    assert not [name for name in variables if name.startswith("MAINTENANCE")]
