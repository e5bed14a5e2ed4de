# Copyright (c) 2026, The djangogcp contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
import requests
from ansible_collections.org.djangogcp.plugins.module_utils._errors import DjangoGcpError
from ansible_collections.org.djangogcp.plugins.module_utils._grants import once_granted, refused_secret

ACCOUNT = "web@p.iam.gserviceaccount.com"
POLICY = "https://secretmanager.googleapis.com/v1/projects/1/secrets/key:getIamPolicy"
REFUSED = (
    "Failed to create service polls: Revision 'polls-1' is not ready. Permission denied on secret: "
    f"projects/1/secrets/key/versions/2 for Revision service account {ACCOUNT}."
)
NO_CONNECTION = requests.exceptions.ConnectTimeout("timed out")
GRANTED = {"bindings": [{"role": "r", "members": [f"serviceAccount:{ACCOUNT}"]}]}


class Attempts:
    """Fails so many times, with a message, before it returns how often it was called."""

    def __init__(self, failures, message):
        self.failures, self.message, self.count = failures, message, 0

    def __call__(self):
        self.count += 1
        if self.count <= self.failures:
            raise DjangoGcpError(self.message)
        return self.count


@pytest.mark.parametrize("more", ["", " The service account used must be granted a role."])
def test_a_right_that_the_policy_has_is_waited_for(google, client, more):
    google.answer("GET", POLICY, GRANTED)
    assert once_granted(client, Attempts(2, REFUSED + more), refused_secret) == 3


def test_it_is_given_up_after_two_minutes(google, client, fake_clock):
    google.answer("GET", POLICY, GRANTED)
    with pytest.raises(DjangoGcpError, match="Permission denied on secret"):
        once_granted(client, Attempts(1000, REFUSED), refused_secret)
    assert sum(fake_clock.slept) == pytest.approx(120)


def test_a_right_that_the_policy_does_not_have_is_an_error_at_once(google, client, fake_clock):
    google.answer("GET", POLICY, {})
    attempt = Attempts(1, REFUSED)
    with pytest.raises(DjangoGcpError, match="Permission denied on secret"):
        once_granted(client, attempt, refused_secret)
    assert (attempt.count, fake_clock.slept) == (1, [])


@pytest.mark.parametrize("answer", [(403, {"error": {"code": 403, "message": "no"}}), NO_CONNECTION])
def test_a_policy_that_cannot_be_read_does_not_hide_the_error(google, client, answer):
    google.answer("GET", POLICY, answer)
    attempt = Attempts(1, REFUSED)
    with pytest.raises(DjangoGcpError, match="Permission denied on secret"):
        once_granted(client, attempt, refused_secret)
    assert attempt.count == 1


def test_another_error_is_no_refusal(client, fake_clock):
    attempt = Attempts(1, "Failed to create service polls: no.")
    with pytest.raises(DjangoGcpError, match=r"polls: no\."):
        once_granted(client, attempt, refused_secret)
    assert (attempt.count, fake_clock.slept) == (1, [])
