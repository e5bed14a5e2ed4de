# Copyright (c) 2026, The djangogcp contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

"""Which releases, revisions and images go, from plain facts."""

import pytest
from ansible_collections.org.djangogcp.plugins.filter.retention import retention
from ansible_collections.org.djangogcp.plugins.module_utils._retention import (
    images_to_delete,
    kept_releases,
    revisions_to_delete,
    seconds,
    short,
    size,
)

DAY = 86400
NOW = seconds("2026-12-31T00:00:00Z")


def day(number):
    """The time of a day of December."""
    return f"2026-12-{number:02}T00:00:00Z"


def released(number, on, **more):
    return {
        "number": number,
        "result": "released",
        "ended": day(on),
        "candidate": f"polls-{number:05}-abc",
        "traffic": {"after": f"polls-{number:05}-abc"},
        "app": {"image": f"r/p@sha256:{number}", "secret_versions": {"polls-secret-key": str(number)}},
        "migrations": [],
        **more,
    }


def numbers(records, serving, keep, days=0):
    return kept_releases(records, serving, keep, NOW - days * DAY)


def test_the_newest_are_kept_by_count_with_what_serves_and_what_was_before_it():
    records = [released(number, number) for number in range(1, 9)]
    found = numbers(records, [8], 3)
    assert found == ([8, 7, 6], 6, [5, 4, 3, 2, 1])
    assert numbers(records, [3], 2).kept == [8, 7, 3, 2]
    assert numbers(records, [3], 2).first == 2, "what was done to the schema after it has to be known"
    assert numbers(records, [8], 1).kept == [8, 7], "a rollback without a number goes to the seventh"


def test_what_had_traffic_a_moment_ago_is_kept_and_not_what_was_made_a_moment_ago_only():
    records = [released(1, 1), released(2, 2), released(3, 29), released(4, 30)]
    # The second served until the 29th.
    assert numbers(records, [4], 1, days=2).kept == [4, 3, 2]
    assert numbers(records, [4], 1, days=1).kept == [4, 3]


def test_a_rotation_and_a_rollback_are_no_further_releases():
    records = [
        released(1, 1),
        released(2, 2),
        released(3, 3, rotation_of=2),
        released(4, 4, rotation_of=2),
        released(5, 5, rollback_of=1),
    ]
    assert numbers(records, [5], 2).kept == [5, 4, 3, 2, 1]
    found = numbers([*records, released(6, 6)], [6], 2)
    assert found.kept == [6, 5, 1], "the fifth is the code of the first"


def test_a_failed_release_is_kept_for_days_alone():
    failed = {"number": 3, "result": "failed", "ended": day(29), "candidate": "", "app": {}}
    records = [released(1, 1), released(2, 2), failed, released(4, 30)]
    assert numbers(records, [4], 1, days=3).kept == [4, 3, 2]
    assert numbers(records, [4], 1, days=0).kept == [4, 2]


@pytest.mark.parametrize("records", [[], [{"number": 1, "result": "failed", "ended": day(1), "app": {}}]])
def test_without_a_release_all_records_stay(records):
    assert numbers(records, [], 1) == ([], 0, [])


def test_what_kept_releases_are_made_of():
    records = [
        released(1, 1, schema={"backup": "111"}),
        released(2, 2, schema={"backup": "222"}),
        released(3, 3, rotation_of=2, rotated_secrets=["polls-secret-key"]),
        released(4, 4),
    ]
    records[3]["app"]["secrets"] = {"SECRET_KEY_FALLBACKS": "polls-secret-key:3", "SMTP": "smtp"}
    found = retention(records, [4], 2, 0, NOW)
    assert found == {
        "kept": [4, 3, 2],
        "first": 2,
        "revisions": ["polls-00002-abc", "polls-00003-abc", "polls-00004-abc"],
        "images": ["r/p@sha256:2", "r/p@sha256:3", "r/p@sha256:4"],
        "served_images": ["r/p@sha256:2", "r/p@sha256:3", "r/p@sha256:4"],
        # That of the second release was rotated.
        "secret_versions": {"polls-secret-key": ["3", "4"]},
        "backups": ["111"],
    }


def test_revisions_go_by_age_and_what_is_kept_stays():
    revisions = [{"name": f"a/revisions/p-{number}", "createTime": day(number)} for number in range(1, 7)]

    def going(kept, newest, before):
        return [
            short(one["name"]) for one in revisions_to_delete(revisions, kept, newest, seconds(day(before)))
        ]

    assert going({"p-2"}, 0, 5) == ["p-4", "p-3", "p-1"]
    assert going(set(), 4, 31) == ["p-2", "p-1"]


def version(digest, on, *tags):
    return {
        "name": f"x/versions/sha256:{digest}",
        "updateTime": day(on),
        "relatedTags": [{"name": f"x/tags/{tag}"} for tag in tags],
    }


def test_images_go_that_nothing_refers_to_by_digest_or_tag_and_that_nobody_has_tagged():
    versions = [
        version("a", 1, "source-1"),
        version("b", 2),
        version("c", 3, "source-3", "v1.0"),
        version("d", 4, "source-4"),
        version("e", 5, "source-5"),
        version("f", 6, "source-6"),
        version("g", 7, "source-7"),
    ]
    used = ["h/p/r/i@sha256:d", "h/p/r/i:source-5"]
    found = images_to_delete(versions, used, seconds(day(6)))
    assert [short(one["name"]) for one in found] == ["sha256:b", "sha256:a"]
    assert images_to_delete([version("a", 1)], [], NOW) == [], "the newest one stays"


@pytest.mark.parametrize(("count", "text"), [(0, "0 bytes"), (1500, "1.5 kB"), (123456789, "123.5 MB")])
def test_sizes_are_for_people(count, text):
    assert size(count) == text


def test_nanoseconds_are_read():
    assert seconds("2026-12-31T00:00:00.500000001Z") == pytest.approx(NOW + 0.5)
