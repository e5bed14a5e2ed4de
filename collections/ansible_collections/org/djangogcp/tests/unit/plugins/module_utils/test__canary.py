# Copyright (c) 2026, The djangogcp contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

"""What a canary answered, and whether that is good enough."""

import pytest
from ansible_collections.org.djangogcp.plugins.module_utils._canary import Limits, Seen, problems, seen

LIMITS = Limits(error_ratio=0.05, p95_ms=1000, requests=20)
NOTHING = Seen(0, 0, None, [])


def request(status=200, latency="0.100s", path="/", host="polls-1.run.app", **fields):
    return {
        "httpRequest": {
            "status": status,
            "latency": latency,
            "requestMethod": "GET",
            "requestUrl": f"https://{host}{path}",
            **fields,
        }
    }


def answered(requests, errors=0, p95_ms=100):
    return Seen(requests, errors, p95_ms, [])


def test_requests_errors_and_time_are_counted():
    entries = [request(latency=f"{number / 1000:.9f}s") for number in range(1, 101)]
    assert seen(entries) == Seen(100, 0, 95, [])
    broken = [request(500, path="/a?token=secret")] * 2 + [request(503, path="/b", requestMethod="POST")]
    assert seen([*broken, request(404)]) == Seen(4, 3, 100, ["500 GET /a (2)", "503 POST /b (1)"])


def test_what_is_no_visit_does_not_count():
    assert seen([]) == NOTHING
    unfinished = [
        {},
        {"httpRequest": None},
        {"httpRequest": {"requestUrl": "https://x/"}},
        {"textPayload": "x"},
    ]
    assert seen(unfinished) == NOTHING
    tried_out = request(500, host="candidate---polls-1.run.app")
    assert seen([tried_out, request()], "candidate") == Seen(1, 0, 100, [])
    assert seen([tried_out]).errors == 1
    # Google leaves out what is zero.
    assert seen([request(latency=None)]).p95_ms == 0


@pytest.mark.parametrize(
    ("canary", "before"),
    [
        (NOTHING, NOTHING),
        (answered(1, errors=1), NOTHING),
        (answered(100, errors=5), answered(900)),
        (answered(100, errors=50), answered(900, errors=450)),
        (answered(19, p95_ms=5000), answered(900)),
        (answered(100, p95_ms=1000), answered(900)),
        (answered(100, p95_ms=5000), answered(900, p95_ms=5000)),
    ],
)
def test_what_is_good_so_far(canary, before):
    assert problems(canary, before, LIMITS) == []


@pytest.mark.parametrize(
    ("canary", "before", "said"),
    [
        (
            answered(2, errors=2),
            NOTHING,
            "2 of 2 requests were answered with an error of the server (100.0%, of the old revision 0.0%): max_error_ratio is 0.05.",
        ),
        (
            answered(100, errors=6),
            answered(900),
            "6 of 100 requests were answered with an error of the server (6.0%, of the old revision 0.0%): max_error_ratio is 0.05.",
        ),
        (
            answered(100, errors=56),
            answered(900, errors=450),
            "56 of 100 requests were answered with an error of the server (56.0%, of the old revision 50.0%): max_error_ratio is 0.05.",
        ),
        (
            answered(20, p95_ms=1001),
            answered(900, p95_ms=300),
            "95 % of 20 requests were answered within 1001 ms (of the old revision 300 ms): max_p95_ms is 1000.",
        ),
    ],
)
def test_what_is_bad(canary, before, said):
    assert problems(canary, before, LIMITS) == [said]


def test_any_time_and_no_error_at_all_can_be_asked_for():
    assert problems(answered(100, p95_ms=99_000), NOTHING, LIMITS._replace(p95_ms=0)) == []
    assert len(problems(answered(1, errors=1), NOTHING, LIMITS._replace(error_ratio=0.0))) == 1
    assert len(problems(answered(100, errors=100, p95_ms=99_000), NOTHING, LIMITS)) == 2
