"""Grants and accounts take effect service by service; the realistic profile draws when."""

from __future__ import annotations

import itertools

import pytest
from gcp_emulator.engine import propagation
from gcp_emulator.engine.operations import Profile
from gcp_emulator.engine.propagation import Propagation

CHANGE = ("projects/p", "roles/viewer", "user:a@example.com")
SERVICES = ("cloudsql", "storage", "iam", "run", "secretmanager")


def reached_after(profile: Profile, moments: list[float], monkeypatch: pytest.MonkeyPatch) -> list[set[str]]:
    """Which services know of a change, so many seconds after it."""
    now = 1000.0
    monkeypatch.setattr(propagation.time, "monotonic", lambda: now)
    propagated = Propagation(profile)
    propagated.begin(CHANGE, "iam.policies.propagation", "grant_pending")
    found = []
    for seconds in moments:
        now = 1000.0 + seconds
        found.append({service for service in SERVICES if propagated.has_reached(CHANGE, service)})
    return found


def test_each_service_learns_at_a_time_of_its_own_and_keeps_knowing(monkeypatch: pytest.MonkeyPatch) -> None:
    steps = [second / 4 for second in range(41)]
    known = reached_after(Profile("realistic"), steps, monkeypatch)
    assert known[0] == set()
    assert known[-1] == set(SERVICES)
    assert all(earlier <= later for earlier, later in itertools.pairwise(known))
    # Not all at the same moment.
    assert len({frozenset(one) for one in known}) > 2


def test_the_times_follow_from_the_seed(monkeypatch: pytest.MonkeyPatch) -> None:
    steps = [second / 10 for second in range(100)]
    first, again, other = (
        reached_after(Profile("realistic", seed=seed), steps, monkeypatch) for seed in (1, 1, 2)
    )
    assert first == again
    assert first != other


def test_the_instant_profile_waits_for_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    assert reached_after(Profile(), [0.0], monkeypatch) == [set(SERVICES)]


def test_what_was_taken_away_is_new_when_it_is_granted_again(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr(propagation.time, "monotonic", lambda: now)
    propagated = Propagation(Profile("realistic"))
    propagated.begin(CHANGE, "iam.policies.propagation", "grant_pending")
    now = 1010.0
    assert propagated.has_reached(CHANGE, "storage")
    propagated.forget(CHANGE)
    propagated.begin(CHANGE, "iam.policies.propagation", "grant_pending")
    assert not propagated.has_reached(CHANGE, "storage")
