# Copyright (c) 2026, The djangogcp contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

"""Which revisions a service needs itself, and what revisions and jobs refer to."""

import json

import pytest
from ansible_collections.org.djangogcp.plugins.modules.run_revision_retention import (
    images_of,
    needed,
    secret_versions,
)

PLACE = "projects/p/locations/l/services/polls/revisions/"


def test_a_service_needs_what_has_traffic_or_a_tag_the_newest_and_what_is_noted():
    service = {
        "traffic": [{"type": "TRAFFIC_TARGET_ALLOCATION_TYPE_LATEST", "percent": 90}],
        "trafficStatuses": [
            {"revision": "serves", "percent": 90},
            {"revision": "part", "percent": 10},
            {"revision": "tagged", "tag": "mine"},
        ],
        "latestCreatedRevision": PLACE + "newest",
        "latestReadyRevision": PLACE + "ready",
        "annotations": {
            "djangogcp/deployed-revision": "deployed",
            "djangogcp/canary": json.dumps({"revision": "part", "before": {"before": 100}}),
        },
    }
    assert needed(service) == {
        "serves",
        "part",
        "tagged",
        "newest",
        "ready",
        "deployed",
        "before",
    }


@pytest.mark.parametrize("noted", ["", "{", "[]"])
def test_an_annotation_that_is_none_names_nothing(noted):
    assert needed({"annotations": {"djangogcp/canary": noted}}) == set()


def test_a_worker_pool_needs_what_has_instances():
    assert needed({"instanceSplitStatuses": [{"revision": "works", "percent": 100}]}) == {"works"}


def test_what_revisions_and_jobs_refer_to():
    revision = {
        "containers": [
            {
                "image": "r/a@sha256:1",
                "env": [
                    {"name": "A", "valueSource": {"secretKeyRef": {"secret": "key", "version": "2"}}},
                    {"name": "B", "valueSource": {"secretKeyRef": {"secret": "key", "version": "latest"}}},
                ],
            }
        ],
        "volumes": [{"secret": {"secret": "projects/p/secrets/file", "items": [{"version": "3"}]}}],
    }
    job = {
        "template": {
            "template": {
                "containers": [
                    {
                        "image": "r/b:tag",
                        "env": [{"valueSource": {"secretKeyRef": {"secret": "key", "version": "10"}}}],
                    }
                ]
            }
        }
    }
    assert [images_of(one) for one in (revision, job, {})] == [["r/a@sha256:1"], ["r/b:tag"], []]
    assert secret_versions([revision, job]) == {"file": ["3"], "key": ["2", "10"]}
