# Copyright (c) 2026, The djangogcp contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

"""What doctor makes of what was read of a site."""

import copy

import pytest
from ansible_collections.org.djangogcp.plugins.plugin_utils import _doctor
from ansible_collections.org.djangogcp.plugins.plugin_utils._doctor import OK, PROBLEM, UNREAD, WARNING

REFUSED = "Failed to read it: Permission 'x.y.get' denied (HTTP 403 PERMISSION_DENIED). Grant the caller x.y.get, for example with the role roles/x."
NOW = 1_790_000_000.0  # 2026-09-21T14:13:20Z
WELL = {
    "error": "",
    "now": NOW,
    "site": {
        "site": "polls",
        "host": "polls-prod",
        "project": "p",
        "region": "us-central1",
        "instance": "djangogcp",
    },
    "project": {
        "caller": {"email": "a@example.com", "member": "user:a@example.com"},
        "permissions_tested": True,
        "missing_permissions": [],
    },
    "policies": {"unread": "", "problems": []},
    "lock": {"held": None},
    "records": {
        "records": [
            {
                "number": 4,
                "result": "released",
                "step": "",
                "began": "2026-09-21T10:00:00Z",
                "ended": "2026-09-21T10:05:00Z",
                "who": "a@example.com",
            }
        ]
    },
    "failures": {"failures": [], "unread": []},
    "serving": [{"revision": "polls-00004-abc", "release": 4}],
    "unread": [],
    "moved": {},
    "standing": {},
    "maintenance": False,
    "pages": [{"path": "/", "status": 200, "problem": ""}],
    "tried_out": [],
    "log": [],
    "certificates": {"skipped": True},
    "instance": {
        "instances": [
            {
                "name": "djangogcp",
                "state": "RUNNABLE",
                "activation_policy": "ALWAYS",
                "storage_auto_resize": True,
                "storage_auto_resize_limit": 0,
                "data_disk_size_gb": 10,
                "backup_configuration": {"enabled": True},
            }
        ]
    },
    "connections": [],
    "secrets": {
        "secrets": [{"name": "polls-secret-key", "versions": [{"version": "2", "state": "ENABLED"}]}]
    },
    "served": {"app": {"secret_versions": {"polls-secret-key": "2"}, "secrets": {}}},
    "due": {"words": [], "notes": []},
    "drift": {"unread": "", "actions": []},
}


@pytest.fixture
def facts():
    return copy.deepcopy(WELL)


def failure(kind="execution", time="2026-09-21T11:00:00.123456Z", message="It failed.", lines=()):
    of = {"execution": "polls-migrate", "revision": "polls", "build": "polls"}[kind]
    return {"kind": kind, "name": f"{of}-x", "of": of, "time": time, "message": message, "lines": list(lines)}


def stopped(step="commands", number=5):
    return {
        "number": number,
        "result": "failed",
        "step": step,
        "began": "2026-09-21T10:50:00Z",
        "ended": "2026-09-21T11:05:00Z",
        "who": "b@example.com",
    }


def test_of_a_site_that_is_well_everything_is_ok(facts):
    told = _doctor.told(facts)
    assert told["summary"] == "polls in p, us-central1: all is well"
    assert (told["problems"], told["warnings"], told["not_looked_at"]) == (0, 0, 0)
    assert {one["state"] for one in told["findings"]} == {OK}
    assert "ok: traffic: polls-00004-abc (release 4) serves" in told["lines"]


@pytest.mark.parametrize(
    ("name", "check"),
    [
        ("project", "permissions"),
        ("lock", "lock"),
        ("records", "last release"),
        ("instance", "database"),
        ("secrets", "secrets"),
        ("certificates", "certificates"),
    ],
)
def test_what_a_module_could_not_read_is_told_in_its_words_and_is_no_problem(facts, name, check):
    facts[name] = {"msg": REFUSED, "failed": False}
    told = _doctor.told(facts)
    (found,) = [one for one in told["findings"] if one["check"] == check]
    assert (found["state"], found["text"]) == (UNREAD, REFUSED)
    assert told["summary"] == "polls in p, us-central1: all is well, 1 not looked at"
    assert told["problems"] == 0


@pytest.mark.parametrize(("name", "check"), [("policies", "policies"), ("drift", "drift")])
def test_what_was_not_looked_at_for_another_reason_is_told(facts, name, check):
    facts[name]["unread"] = REFUSED
    (found,) = [one for one in _doctor.findings(facts) if one.check == check]
    assert (found.state, found.text) == (UNREAD, REFUSED)


def test_everything_unread_at_once_fails_nothing(facts):
    for name in ("project", "lock", "records", "instance", "secrets", "certificates"):
        facts[name] = {"msg": REFUSED}
    facts.update(
        policies={"unread": REFUSED, "problems": []},
        drift={"unread": REFUSED, "actions": []},
        failures={"failures": [], "unread": [REFUSED]},
        unread=[REFUSED],
        pages=[],
        serving=[],
        served={},
    )
    states = {one.check: one.state for one in _doctor.findings(facts)}
    assert set(states.values()) == {UNREAD}
    assert len(states) == 9


# -- the last failure


def test_a_failure_before_the_last_release_is_over(facts):
    facts["failures"]["failures"] = [failure(time="2026-09-21T10:01:00Z")]
    assert _doctor.last_failure(facts)[0].state == OK


def test_what_failed_after_it_is_explained_by_its_log_with_the_step_of_the_release(facts):
    facts["records"]["records"].insert(0, stopped())
    lines = [
        "  Applying polls.0001_initial... OK",
        "  Applying polls.0002_more...Traceback (most recent call last):",
        "RuntimeError: no",
    ]
    facts["failures"]["failures"] = [failure(lines=lines), failure("build", "2026-09-21T10:55:00Z")]
    (found,) = _doctor.last_failure(facts)
    assert found.state == PROBLEM
    assert (
        found.text
        == "release 5 stopped at commands: execution polls-migrate-x of polls-migrate has failed: It failed."
    )
    assert (found.cause, found.page) == (
        "The migration polls.0002_more did not come to its end.",
        "a-migration-has-failed",
    )
    assert found.lines == tuple(lines)


def test_a_failure_without_a_record_counts_alone(facts):
    facts["failures"]["failures"] = [
        failure("revision", message="The user-provided container failed to start and listen on the port")
    ]
    (found,) = _doctor.last_failure(facts)
    assert found.text.startswith("revision polls-x of polls did not start: ")
    assert found.page == "a-container-does-not-listen"


def test_a_try_out_that_failed_is_asked_again(facts):
    facts["records"]["records"].insert(0, stopped("try_out"))
    # Older than the release that stopped.
    facts["failures"]["failures"] = [failure("build", "2026-09-21T10:45:00Z")]
    facts["tried_out"] = [
        {"path": "/", "status": 500, "problem": "answered 500 (expected less than 500, and not 400)"}
    ]
    facts["log"] = ["ModuleNotFoundError: No module named 'celery'"]
    (found,) = _doctor.last_failure(facts)
    assert found.text.startswith(
        "release 5 stopped at try_out, 2026-09-21T11:05:00Z, by b@example.com: / answered 500"
    )
    assert found.page == "a-module-of-python-is-missing"
    facts["tried_out"] = []
    (found,) = _doctor.last_failure(facts)
    assert (found.cause, found.cure) == (
        "Nothing of it is left that tells why.",
        "Run again: ansible-playbook deploy.yml --limit polls-prod",
    )


def test_nothing_released_yet_and_a_failure(facts):
    facts["records"]["records"] = []
    assert _doctor.last_failure(facts)[0].text == "nothing has failed"
    facts["failures"]["failures"] = [failure()]
    assert _doctor.last_failure(facts)[0].state == PROBLEM


def test_no_secret_of_a_log_is_shown(facts):
    lines = [
        "postgres://polls_web:s3cret-p%40ss@/polls?host=/cloudsql/x",
        "SECRET_KEY=abcdefgh and 'password': 'hunter22'",
        "redis://:tok3n-of-redis@10.0.0.3:6379",
    ]
    facts["failures"]["failures"] = [failure(lines=lines)]
    shown = "\n".join(_doctor.told(facts)["lines"])
    for secret in ("s3cret", "abcdefgh", "hunter22", "tok3n"):
        assert secret not in shown
    assert "polls_web:***@/polls" in shown


# -- the others


def test_a_lock_that_is_held_and_one_whose_time_is_over(facts):
    held = {
        "owner": "bob",
        "host": "laptop",
        "reason": "a deploy",
        "since": "2026-09-21 12:00:00 UTC",
        "generation": "1",
    }
    facts["lock"] = {"held": {**held, "until": "2026-09-21 15:00:00 UTC"}}
    (found,) = _doctor.lock(facts)
    assert (found.state, found.cure.partition(":")[0]) == (
        WARNING,
        "Wait for it; if it is certain that it is gone",
    )
    for until, word in (("2026-09-21 13:00:00 UTC", "left over"), ("", "going on")):
        facts["lock"] = {"held": {**held, "until": until}}
        assert word in _doctor.lock(facts)[0].cause


def test_the_traffic_that_somebody_moved_a_canary_maintenance_and_no_record(facts):
    facts["moved"] = {
        "serving": "polls-00003-abc",
        "deployed": "polls-00004-abc",
        "cure": "gcloud run services update-traffic polls",
    }
    facts["standing"] = {"revision": "polls-00005-abc", "percent": 10}
    facts["maintenance"] = True
    facts["serving"] = [{"revision": "polls-00003-abc", "release": None}]
    found = _doctor.traffic(facts)
    assert [one.state for one in found] == [WARNING] * 4
    assert "djangogcp_roll_forward_from=polls-00003-abc" in found[0].cure
    assert "org.djangogcp.promote --limit polls-prod -e promote_to=old" in found[1].cure
    assert found[2].cure == "ansible-playbook org.djangogcp.maintenance --limit polls-prod -e maintenance=off"
    assert found[3].page == "what-serves-has-no-record"


def test_nothing_serves(facts):
    facts["serving"] = []
    assert _doctor.traffic(facts)[0].page == "nothing-is-deployed"


def test_a_page_that_fails_is_explained_by_the_log_and_503_in_maintenance_is_right(facts):
    facts["pages"] = [{"path": "/", "status": 503, "problem": "answered 503 (expected less than 500)"}]
    facts["log"] = ['django.db.utils.ProgrammingError: relation "polls_question" does not exist']
    (found,) = _doctor.pages(facts)
    assert (found.state, found.page) == (PROBLEM, "the-database-is-behind-the-code")
    assert "polls_question" in found.cause
    facts["maintenance"] = True
    assert _doctor.pages(facts)[0].state == OK
    facts["log"], facts["maintenance"] = [], False
    assert _doctor.pages(facts)[0].page == "a-page-does-not-answer"


@pytest.mark.parametrize(
    ("changed", "state", "page", "word"),
    [
        (
            {"activation_policy": "NEVER"},
            PROBLEM,
            "the-database-does-not-answer",
            "--activation-policy=ALWAYS",
        ),
        (
            {"state": "SUSPENDED"},
            PROBLEM,
            "the-database-does-not-answer",
            "gcloud billing projects describe p",
        ),
        ({"state": "MAINTENANCE"}, PROBLEM, "the-database-does-not-answer", "Wait."),
        (
            {"state": "REPAIRING"},
            PROBLEM,
            "the-database-does-not-answer",
            "operations list --instance=djangogcp",
        ),
        ({"backup_configuration": None}, WARNING, "there-are-no-backups", "--backup-start-time=03:00"),
        ({"storage_auto_resize": False}, WARNING, "the-disk-does-not-grow", "--storage-auto-increase"),
        (
            {"storage_auto_resize_limit": 10},
            WARNING,
            "the-disk-does-not-grow",
            "--storage-auto-increase-limit=0",
        ),
    ],
)
def test_the_instance(facts, changed, state, page, word):
    facts["instance"]["instances"][0].update(changed)
    (found,) = _doctor.database(facts)
    assert (found.state, found.page) == (state, page)
    assert word in found.cure


def test_an_instance_that_is_not_there_and_connections_that_may_run_out(facts):
    facts["instance"]["instances"] = []
    facts["connections"] = [
        "The connections to the database instance djangogcp may become 99: expected at most 15. Lower djangogcp_threads."
    ]
    absent, many = _doctor.database(facts)
    assert absent.text == "there is no SQL instance djangogcp"
    assert (many.state, many.cure) == (WARNING, "Lower djangogcp_threads.")


@pytest.mark.parametrize(
    ("versions", "state", "cure"),
    [
        (
            [{"version": "2", "state": "DISABLED"}],
            "disabled",
            "gcloud secrets versions enable 2 --secret=polls-secret-key --project=p",
        ),
        (
            [{"version": "2", "state": "DESTROYED"}],
            "destroyed",
            "ansible-playbook deploy.yml --limit polls-prod",
        ),
        ([], "gone", "ansible-playbook deploy.yml --limit polls-prod"),
    ],
)
def test_a_version_of_a_secret_that_cannot_be_read(facts, versions, state, cure):
    facts["secrets"]["secrets"][0]["versions"] = versions
    (found,) = _doctor.secrets(facts)
    assert found.text == f"version 2 of secret polls-secret-key, which what serves reads, is {state}"
    assert (found.state, found.cure) == (PROBLEM, cure)


def test_the_former_key_and_what_is_due(facts):
    facts["served"]["app"]["secrets"] = {
        "SECRET_KEY_FALLBACKS": "polls-secret-key:1",
        "SECRET_KEY": "polls-secret-key",
    }
    facts["due"] = {
        "words": ["secret_key"],
        "notes": ["smtp is 99 days old. Add a version: gcloud secrets versions add smtp"],
    }
    gone, due, note = _doctor.secrets(facts)
    assert gone.text.startswith("version 1 of secret polls-secret-key")
    assert due.cure == "ansible-playbook org.djangogcp.rotate --limit polls-prod -e rotate=due"
    assert (note.state, note.cure) == (WARNING, "Add a version: gcloud secrets versions add smtp")


def test_certificates(facts):
    one = {"problem": "", "names": [], "not_after": "", "days_left": 60}
    facts["certificates"] = {
        "certificates": [
            {**one, "host": "a.example.com"},
            {**one, "host": "b.example.com", "days_left": 13},
            {**one, "host": "c.example.com", "problem": "is not reached: Name or service not known"},
        ]
    }
    assert [found.state for found in _doctor.certificates(facts)] == [OK, WARNING, PROBLEM]


def test_policies_and_permissions(facts):
    facts["policies"]["problems"] = [
        "sql.restrictPublicIp forbids the public address. Set djangogcp_network to a VPC network."
    ]
    (found,) = _doctor.policies(facts)
    assert (found.state, found.text) == (PROBLEM, "sql.restrictPublicIp forbids the public address.")
    assert found.cure == "Set djangogcp_network to a VPC network."
    facts["project"]["missing_permissions"] = [
        {"permission": "run.services.create", "role": "roles/run.admin"},
        {"permission": "run.jobs.create", "role": "roles/run.admin"},
        {"permission": "cloudsql.instances.create", "role": "roles/cloudsql.admin"},
    ]
    (found,) = _doctor.permissions(facts)
    assert found.state == WARNING
    assert found.cure.splitlines() == [
        "gcloud projects add-iam-policy-binding p --member=user:a@example.com --role=roles/run.admin",
        "gcloud projects add-iam-policy-binding p --member=user:a@example.com --role=roles/cloudsql.admin",
    ]
    facts["project"]["permissions_tested"] = False
    assert _doctor.permissions(facts)[0].state == UNREAD


def test_what_is_not_as_declared_is_a_problem_when_a_right_is_gone(facts):
    facts["drift"]["actions"] = ["update labels of bucket p-polls-media"] * 7
    (found,) = _doctor.drift(facts)
    assert found.state == WARNING
    assert found.cause.endswith("; and 2 more.")
    facts["drift"]["actions"] = ["grant roles/secretmanager.secretAccessor on secret polls-secret-key"]
    assert _doctor.drift(facts)[0].state == PROBLEM


def test_what_was_never_deployed_has_not_been_changed_by_anybody(facts):
    facts["drift"]["actions"] = ["create service account polls-web"]
    facts["records"]["records"], facts["serving"] = [], []
    assert _doctor.drift(facts) == []


def test_another_value_is_no_cure_of_one_that_was_disabled(facts):
    facts["secrets"]["secrets"][0]["versions"] = [{"version": "2", "state": "DISABLED"}]
    facts["drift"]["actions"] = ["add version 3 to secret polls-secret-key"]
    assert _doctor.drift(facts)[0].state == OK
    facts["drift"]["actions"].append("add version 3 to secret polls-superuser-password")
    assert _doctor.drift(facts)[0].state == WARNING


def test_a_message_that_nobody_knows_is_shown_as_it_is(facts):
    facts["error"] = "Something else altogether"
    (found,) = _doctor.asked(facts)
    assert (found.text, found.cause, found.page) == (facts["error"], "", "google-cloud-refuses-it")


def test_the_worst_comes_first_and_each_line_names_its_page(facts):
    facts["maintenance"] = True
    facts["instance"]["instances"][0]["activation_policy"] = "NEVER"
    told = _doctor.told(facts)
    assert told["summary"] == "polls in p, us-central1: 1 problem, 1 warning"
    assert told["lines"][1:5] == [
        "problem: database: the SQL instance djangogcp is stopped",
        "    cause: Somebody has stopped it (activation policy NEVER).",
        "    cure: gcloud sql instances patch djangogcp --project=p --activation-policy=ALWAYS",
        "    page: https://github.com/djangogcp/djangogcp/blob/main/docs/when-it-goes-wrong.md#the-database-does-not-answer",
    ]
