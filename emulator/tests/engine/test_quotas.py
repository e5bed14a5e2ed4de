"""Request quotas: whom calls count against, and what is said when there is none left."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from gcp_emulator.engine.facts import Quota, apis, load_facts
from gcp_emulator.engine.operations import Profile
from gcp_emulator.engine.quotas import Caller, QuotaExceededError, Quotas

from emulator.tests.running import RunningEmulator

HOST = "run.googleapis.com"
READS = Quota("Read requests", "reads", "Reads per minute", "ReadsPerMinute", "region", 2, ["*.get"])
WRITES = Quota(
    "Write requests", "writes", "Writes per minute", "WritesPerMinute", "user", 5, cost={"a.many": 5}
)
ANN = Caller("1", "user:ann@example.com", "us-central1")


class Clock:
    def __init__(self) -> None:
        self.seconds = 100.0

    def __call__(self) -> float:
        return self.seconds


def taken(quotas: Quotas, method: str, caller: Caller = ANN) -> bool:
    try:
        quotas.charge(HOST, (READS, WRITES), method, caller)
    except QuotaExceededError:
        return False
    return True


@pytest.fixture
def realistic(tmp_path: Path) -> Iterator[RunningEmulator]:
    """One whose minutes are so long that none ends meanwhile."""
    running = RunningEmulator(tmp_path / "state", Profile("realistic", 1000))
    yield running
    running.stop()


@pytest.mark.parametrize(
    ("method", "other", "counts_for_itself"),
    [
        ("a.get", Caller("2", ANN.user, ANN.region), True),
        ("a.get", Caller("1", ANN.user, "europe-west1"), True),
        ("a.get", Caller("1", "user:bob@example.com", ANN.region), False),
        ("a.many", Caller("1", "user:bob@example.com", ANN.region), True),
        ("a.many", Caller("1", ANN.user, "europe-west1"), False),
    ],
)
def test_each_project_region_or_user_has_its_own(method: str, other: Caller, counts_for_itself: bool) -> None:
    quotas = Quotas(Profile("realistic"), Clock())
    while taken(quotas, method):
        pass
    assert taken(quotas, method, other) is counts_for_itself


def test_there_is_a_new_one_at_the_start_of_each_minute_of_the_profile() -> None:
    clock = Clock()
    quotas = Quotas(Profile("realistic", 0.5), clock)
    assert [taken(quotas, "a.get") for _ in range(3)] == [True, True, False]
    clock.seconds = 119.9
    assert not taken(quotas, "a.get")
    clock.seconds = 120.0
    assert [taken(quotas, "a.get") for _ in range(3)] == [True, True, False]


def test_some_calls_count_as_more_and_what_is_refused_does_not_count() -> None:
    quotas = Quotas(Profile("realistic"), Clock())
    assert taken(quotas, "a.set")
    assert not taken(quotas, "a.many")
    assert [taken(quotas, "a.set") for _ in range(5)] == [True] * 4 + [False]


def test_the_instant_profile_holds_none() -> None:
    quotas = Quotas(Profile())
    assert not quotas
    assert all(taken(quotas, "a.get") for _ in range(10))


def test_what_a_refusal_says(realistic: RunningEmulator) -> None:
    session, number = realistic.session(), realistic.number
    url = f"https://serviceusage.googleapis.com/v1/projects/{realistic.project}/services"
    asked = {"serviceIds": ["run.googleapis.com"]}
    answers = [session.post(f"{url}:batchEnable", json=asked) for _ in range(13)]
    assert [answer.status_code for answer in answers] == [200] * 12 + [429]
    assert session.get(f"{url}/run.googleapis.com").status_code == 200
    assert "Retry-After" not in answers[-1].headers
    assert answers[-1].json()["error"] == {
        "code": 429,
        "message": "Quota exceeded for quota metric 'Mutate requests' and limit 'Mutate requests per minute' of service "
        f"'serviceusage.googleapis.com' for consumer 'project_number:{number}'.",
        "status": "RESOURCE_EXHAUSTED",
        "details": [
            {
                "@type": "type.googleapis.com/google.rpc.ErrorInfo",
                "reason": "RATE_LIMIT_EXCEEDED",
                "domain": "googleapis.com",
                "metadata": {
                    "service": "serviceusage.googleapis.com",
                    "consumer": f"projects/{number}",
                    "quota_metric": "serviceusage.googleapis.com/mutate_requests",
                    "quota_limit": "MutateRequestsPerMinutePerProject",
                    "quota_limit_value": "60",
                    "quota_unit": "1/min/{project}",
                    "quota_location": "global",
                },
            },
            {
                "@type": "type.googleapis.com/google.rpc.Help",
                "links": [
                    {
                        "description": "Request a higher quota limit.",
                        "url": "https://cloud.google.com/docs/quotas/help/request_increase",
                    }
                ],
            },
        ],
    }


def test_the_users_of_a_project_have_their_own_in_cloud_sql_which_tells_both_forms(
    realistic: RunningEmulator,
) -> None:
    session, number = realistic.session(), realistic.number
    bob = realistic.session("user:bob@example.com")
    url = f"https://sqladmin.googleapis.com/v1/projects/{realistic.project}/instances"
    answers = [session.get(url) for _ in range(181)]
    assert [answer.status_code for answer in answers] == [200] * 180 + [429]
    assert bob.get(url).status_code == 403
    error = answers[-1].json()["error"]
    message = (
        "Quota exceeded for quota metric 'Queries' and limit 'Queries per minute per user' of service "
        f"'sqladmin.googleapis.com' for consumer 'project_number:{number}'."
    )
    assert (error["status"], error["message"]) == ("RESOURCE_EXHAUSTED", message)
    assert error["errors"] == [{"message": message, "domain": "global", "reason": "rateLimitExceeded"}]
    assert error["details"][0]["reason"] == "RATE_LIMIT_EXCEEDED"


def test_a_project_may_have_a_limit_of_its_own() -> None:
    quotas = Quotas(Profile("realistic"), Clock())
    quotas.limit("1", HOST, "WritesPerMinute", 1)
    quotas.limit("1", "other.googleapis.com", "ReadsPerMinute", 1)
    assert [taken(quotas, "a.set") for _ in range(2)] == [True, False]
    assert [taken(quotas, "a.get") for _ in range(3)] == [True, True, False]
    with pytest.raises(QuotaExceededError) as caught:
        quotas.charge(HOST, (READS, WRITES), "a.set", ANN)
    assert caught.value.body("status")["error"]["details"][0]["metadata"]["quota_limit_value"] == "1"
    others = Caller("2", ANN.user, ANN.region)
    assert [taken(quotas, "a.set", others) for _ in range(2)] == [True, True]


def test_every_quota_counts_a_method_and_what_costs_more_is_one() -> None:
    for api in apis():
        facts = load_facts(api)
        counted = {
            next((quota.limit for quota in facts.quotas if quota.counts(method)), "")
            for method in facts.methods
        }
        assert {quota.limit for quota in facts.quotas} <= counted, api
        assert {method for quota in facts.quotas for method in quota.cost} <= set(facts.methods), api
