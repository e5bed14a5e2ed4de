# Copyright (c) 2026, The djangogcp contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from ansible_collections.org.djangogcp.plugins.module_utils import _progress
from ansible_collections.org.djangogcp.plugins.module_utils._errors import (
    ApiError,
    DjangoGcpError,
    OperationError,
)
from ansible_collections.org.djangogcp.plugins.module_utils._granted import Change, Granted, account_made
from ansible_collections.org.djangogcp.plugins.module_utils._grants import once_granted, refused_by_cloud_run

ACCOUNT = "web@p.iam.gserviceaccount.com"
MEMBER = f"serviceAccount:{ACCOUNT}"
READS_KEY = Change("secret", "key", "roles/secretmanager.secretAccessor", MEMBER)
NO_SECRET = OperationError(
    "Failed to create service polls: Revision 'polls-1' is not ready. Permission denied on secret: "
    f"projects/1/secrets/key/versions/2 for Revision service account {ACCOUNT}. The service account used must be granted a role."
)
NO_ACT_AS = ApiError(
    doing="create job polls-migrate",
    status=403,
    code="PERMISSION_DENIED",
    reason="forbidden",
    explanation=f"Permission 'iam.serviceaccounts.actAs' denied on service account {ACCOUNT} (or it may not exist).",
)


class Attempts:
    """Fails so many times before it returns how often it was called."""

    def __init__(self, failures, error):
        self.failures, self.error, self.count = failures, error, 0

    def __call__(self):
        self.count += 1
        if self.count <= self.failures:
            raise self.error
        return self.count


def attempted(client, attempts):
    return once_granted(client, attempts, refused_by_cloud_run, doing="deploy service polls")


@pytest.mark.parametrize(
    ("error", "change"),
    [
        (NO_SECRET, READS_KEY),
        (NO_SECRET, Change("project", "p", "roles/secretmanager.admin", MEMBER)),
        (NO_ACT_AS, account_made(ACCOUNT)),
        (NO_ACT_AS, Change("service_account", ACCOUNT, "roles/iam.serviceAccountUser", "user:a@example.com")),
    ],
)
def test_what_was_granted_a_moment_ago_is_waited_for(client, granted, error, change):
    granted.note(change)
    assert attempted(client, Attempts(2, error)) == 3


def test_it_is_waited_for_until_seven_minutes_after_it_was_granted(client, granted, fake_clock, monkeypatch):
    lines = []
    monkeypatch.setattr(_progress, "tell", lines.append)
    granted.note(READS_KEY)
    fake_clock.time += 100
    with pytest.raises(OperationError, match="Permission denied on secret"):
        attempted(client, Attempts(1000, NO_SECRET))
    assert sum(fake_clock.slept) == pytest.approx(320)
    # Every 30 seconds.
    assert len(lines) == 10
    assert lines[1].startswith(
        f"Deploy service polls: {ACCOUNT} is still refused, roles/secretmanager.secretAccessor on secret key was granted a moment ago, 1 min "
    )


@pytest.mark.parametrize(
    ("error", "change"),
    [
        (NO_SECRET, Change("secret", "other", "roles/secretmanager.secretAccessor", MEMBER)),
        (NO_SECRET, Change("secret", "key", "roles/secretmanager.secretAccessor", "serviceAccount:other@p")),
        (NO_ACT_AS, account_made("migrator@p.iam.gserviceaccount.com")),
        (NO_ACT_AS, Change("project", "p", "roles/cloudsql.client", MEMBER)),
        # Of what the account has been granted, nothing lets it read secrets.
        (NO_SECRET, Change("project", "p", "roles/cloudsql.client", MEMBER)),
        (NO_SECRET, account_made(ACCOUNT)),
        # Words that something else than Google Cloud said.
        (DjangoGcpError(NO_SECRET.message), READS_KEY),
        (OperationError("Failed to create service polls: no."), READS_KEY),
    ],
)
def test_anything_else_is_an_error_at_once(client, granted, fake_clock, error, change):
    granted.note(change)
    attempts = Attempts(1, error)
    with pytest.raises(type(error)):
        attempted(client, attempts)
    assert (attempts.count, fake_clock.slept) == (1, [])


def test_what_was_granted_long_ago_is_refused_for_another_reason(client, granted, fake_clock):
    granted.note(READS_KEY)
    fake_clock.time += 420
    with pytest.raises(OperationError):
        attempted(client, Attempts(1, NO_SECRET))
    assert fake_clock.slept == []


def test_a_role_that_was_taken_away_again_is_not_waited_for(client, granted, fake_clock):
    granted.note(READS_KEY)
    granted.forget(READS_KEY)
    with pytest.raises(OperationError):
        attempted(client, Attempts(1, NO_SECRET))
    assert fake_clock.slept == []


def test_another_task_knows_what_was_granted(granted, tmp_path, fake_clock):
    granted.note(READS_KEY)
    fake_clock.time += 20
    another = Granted(str(tmp_path), lambda: fake_clock.time)
    assert another.changes() == {READS_KEY: 400}
    assert another.of(ACCOUNT) == {READS_KEY: 400}
    assert another.of("other@p") == {}
    assert Granted(None).changes() == {}


def test_what_cannot_be_read_is_not_known(granted, tmp_path):
    (tmp_path / "granted-x").write_text("{", "utf-8")
    assert granted.changes() == {}
