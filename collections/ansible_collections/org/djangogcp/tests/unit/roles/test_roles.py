# Copyright (c) 2026, The djangogcp contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What every role has, and that its papers agree."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest
import yaml

COLLECTION = Path(__file__).parents[3]
ROLES = sorted(path for path in (COLLECTION / "roles").iterdir() if path.is_dir())
MODULES = {path.stem for path in (COLLECTION / "plugins/modules").glob("*.py")}

_specification = importlib.util.spec_from_file_location("role_readmes", COLLECTION / "tests/role_readmes.py")
role_readmes = importlib.util.module_from_spec(_specification)
_specification.loader.exec_module(role_readmes)


def load(path: Path) -> object:
    return yaml.safe_load(path.read_text("utf-8"))


@pytest.fixture(params=ROLES, ids=lambda role: role.name)
def role(request: pytest.FixtureRequest) -> Path:
    return request.param


def test_the_readme_is_fresh(role: Path) -> None:
    assert (role / "README.md").read_text("utf-8") == role_readmes.readme(role), "run tests/role_readmes.py"


def test_every_entry_point_is_described(role: Path) -> None:
    for entry in load(role / "meta/argument_specs.yml")["argument_specs"].values():
        assert entry["short_description"]
        assert entry["description"]
        assert all(option["description"] and option["type"] for option in entry["options"].values())


def test_every_default_is_specified_and_every_other_option_is_required(role: Path) -> None:
    options = {
        name: option
        for entry in load(role / "meta/argument_specs.yml")["argument_specs"].values()
        for name, option in entry["options"].items()
    }
    defaults = load(role / "defaults/main.yml")
    assert set(defaults) <= set(options)
    assert {name for name in options if name not in defaults} <= {
        name for name, option in options.items() if option.get("required")
    }


def test_a_default_that_is_documented_is_the_default(role: Path) -> None:
    defaults = load(role / "defaults/main.yml")
    for entry in load(role / "meta/argument_specs.yml")["argument_specs"].values():
        documented = {
            name: option["default"] for name, option in entry["options"].items() if "default" in option
        }
        assert documented == {name: defaults[name] for name in documented}


def test_every_task_that_changes_google_cloud_reports_to_status(role: Path) -> None:
    silent = []
    for path in [*role.glob("tasks/main.yml"), *role.glob("tasks/start.yml"), *role.glob("tasks/finish.yml")]:
        for task in load(path):
            ours = [
                key
                for key in task
                if key.removeprefix("org.djangogcp.") in MODULES and key.startswith("org.")
            ]
            if ours and role.name != "release" and not task.get("register", "").startswith(f"__{role.name}_"):
                silent.append(f"{path.name}: {task['name']}")
    assert silent == []
