# Copyright (c) 2026, The djangogcp contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from ansible_collections.org.djangogcp.plugins.module_utils._rules import ENVIRONMENT_NAME
from ansible_collections.org.djangogcp.plugins.module_utils._services.run import SERVICE
from ansible_collections.org.djangogcp.plugins.module_utils._table_problems import table_problems
from ansible_collections.org.djangogcp.tests.unit.plugins.module_utils.tables import PROBE


def test_two_alternatives_are_refused():
    asked = {"probe": {"tcp": {}, "http": {"path": "/"}, "both": ""}}
    assert table_problems(asked, [PROBE], "") == [
        "probe.http and probe.tcp exclude one another: expected one of them."
    ]


TEMPLATE = next(field for field in SERVICE.fields if field.name == "template")


def test_a_name_that_the_api_does_not_have_is_refused_with_the_nearest_one():
    assert table_problems({"containers": [{"imgae": "x"}]}, TEMPLATE.fields, "template") == [
        "template.containers[0].imgae is unknown: expected one of args, base_image_uri, build_config, command, depends_on, env, "
        "image, liveness_probe, name, ports, readiness_probe, resources, sandbox_launcher, source_code, startup_probe, volume_mounts, "
        "working_dir. Did you mean template.containers[0].image?"
    ]


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (
            {"scaling": "many"},
            "template.scaling is 'many': expected a dictionary with one of concurrency_utilization, cpu_utilization, max_instance_count, min_instance_count.",
        ),
        ({"containers": "x"}, "template.containers is 'x': expected a list."),
        ({"labels": "x"}, "template.labels is 'x': expected a dictionary."),
        ({"timeout": ["x"]}, "template.timeout is ['x']: expected a single value."),
        ({"timeout": "300"}, "template.timeout is '300': expected seconds such as 300s, from 1s to 3600s."),
        (
            {"containers": [{"env": [{"name": "PORT"}]}]},
            f"template.containers[0].env[0].name is 'PORT': expected {ENVIRONMENT_NAME.expected}.",
        ),
    ],
)
def test_a_value_of_another_shape_is_refused(value, message):
    assert table_problems(value, TEMPLATE.fields, "template") == [message]


def test_every_documented_name_is_accepted():
    asked = {
        "service_account": "x@p.iam.gserviceaccount.com",
        "containers": [{"env": [{"name": "A", "value_source": {"secret_key_ref": {"secret": "s"}}}]}],
    }
    assert table_problems(asked, TEMPLATE.fields, "template") == []
