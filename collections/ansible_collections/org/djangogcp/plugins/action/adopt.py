# Copyright (c) 2026, The djangogcp contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Reads the folder of a Django project, tells of it, and writes an inventory. Calls nobody."""

from __future__ import annotations

import os
import shlex
import typing as t
from pathlib import Path

import yaml
from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display
from ansible_collections.org.djangogcp.plugins.filter.cloud_run_problems import cloud_run_problems
from ansible_collections.org.djangogcp.plugins.filter.site_problems import (
    RULES,
    engine_problems,
    region_problems,
    source_problems,
)
from ansible_collections.org.djangogcp.plugins.lookup.django_source import PYTHONS, describe
from ansible_collections.org.djangogcp.plugins.module_utils._database_engines import engine_of
from ansible_collections.org.djangogcp.plugins.plugin_utils import _adopt, _inventory

DEFAULTS = Path(__file__).resolve().parents[2] / "roles/preflight/defaults/main.yml"
#: The options that are variables of a site.
_VARIABLES = {
    "site": "djangogcp_site",
    "project_id": "djangogcp_project",
    "region": "djangogcp_region",
    "superuser_email": "djangogcp_superuser_email",
    "database_tier": "djangogcp_database_tier",
    "min_instances": "djangogcp_min_instances",
}
_SIZES = ("database_tier", "min_instances")
_PLAIN: dict[str, t.Callable[[t.Any], t.Any]] = {
    **dict.fromkeys(("source_dir", "inventory_dir", "site", "project_id", "region"), str),
    **dict.fromkeys(("superuser_email", "database_tier"), str),
    "min_instances": int,
}
display = Display()


class ActionModule(ActionBase):
    """Runs on the control node, once."""

    _requires_connection = False
    _supports_check_mode = True

    def run(self, tmp: str | None = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        variables = task_vars or {}
        result: dict[str, t.Any] = super().run(tmp, variables)
        _spec, options = self.validate_argument_spec(
            argument_spec={
                "source_dir": {"type": "path", "required": True},
                "inventory_dir": {"type": "path"},
                "site": {"type": "str"},
                "project_id": {"type": "str"},
                "region": {"type": "str", "default": _inventory.REGION},
                "superuser_email": {"type": "str", "default": _inventory.SUPERUSER_EMAIL},
                "database_tier": {"type": "str"},
                "min_instances": {"type": "int"},
                "patch": {"type": "bool", "default": False},
            }
        )
        # Ansible marks values with where they come from, and YAML has no form for what is marked.
        options = {
            name: type_of(value) if (type_of := _PLAIN.get(name)) and value is not None else value
            for name, value in options.items()
        }
        defaults = yaml.safe_load(DEFAULTS.read_text("utf-8"))
        try:
            site = _site(options, defaults)
            project = _read(options)
            folder = Path(os.path.abspath(options["inventory_dir"] or f"inventories/{project.name}"))
            wanted: dict[Path, str] = {}
            notes: list[str] = []
            if options["patch"]:
                patch = _adopt.patch(project)
                notes = [f"no patch: {patch.problem}"] if patch.problem else patch.notes
                if patch.text:
                    project = _adopt.with_own_settings(project)
                    wanted[Path(f"{folder}.patch")] = patch.text
            wanted = {folder / _inventory.FILE: _adopt.inventory(project, site, folder), **wanted}
            new = {path: text for path, text in wanted.items() if _is_new(path, text)}
            _refuse_neighbours(folder)
            is_check = bool(variables.get("ansible_check_mode"))
            if not is_check:
                for path, text in new.items():
                    path.parent.mkdir(parents=True, exist_ok=True)
                    # What somebody else has just written is not overwritten either.
                    with path.open("x", encoding="utf-8", newline="") as file:
                        file.write(text)
        except _adopt.AdoptError as error:
            raise AnsibleActionFail(str(error)) from None
        except OSError as error:
            raise AnsibleActionFail(f"{error.filename}: {error.strerror}") from None
        report = _adopt.report(project, site)
        report += ["", *_written(wanted, new, notes, is_check=is_check)]
        if is_check and not variables.get("ansible_diff_mode"):
            report += [line for path, text in new.items() for line in ("", f"{path}:", *text.splitlines())]
        report += ["", *_next(project, site, folder, wanted)]
        display.display("\n".join(report))
        return {
            **result,
            "changed": bool(new),
            "diff": [
                {"before_header": str(path), "after_header": str(path), "before": "", "after": text}
                for path, text in new.items()
            ],
            "report": report,
            "site": project.name,
            "inventory": str(folder / _inventory.FILE),
            "patch": next((str(path) for path in wanted if path.suffix == ".patch"), ""),
            "problems": project.problems,
        }


def _read(options: dict[str, t.Any]) -> _adopt.Project:
    source = describe(options["source_dir"])
    project = _adopt.look(source, _problems(source), options["site"] or "")
    version = project.database.version
    if not version:
        return project
    # Which driver an image lacks depends on it.
    source = describe(options["source_dir"], database_version=version)
    name = project.name.replace("-", engine_of(version).separator)
    asked = {"djangogcp_database_version": version, "djangogcp_database_name": name}
    return _adopt.look(
        source, _problems(source) + engine_problems(asked) + cloud_run_problems(asked), project.name
    )


def _problems(source: dict[str, t.Any]) -> list[str]:
    return (
        source_problems(source, python=source["python_version"] or PYTHONS[0]) if source["manage_py"] else []
    )


def _site(options: dict[str, t.Any], defaults: dict[str, t.Any]) -> _adopt.Site:
    """What was chosen; AdoptError where a deploy would refuse it."""
    for option, variable in _VARIABLES.items():
        value = options[option]
        if value not in (None, "") and variable in RULES and not RULES[variable].test(value):
            raise _adopt.AdoptError(f"{option} is {value}: expected {RULES[variable].expected}")
    if problems := region_problems(options["region"] or "", defaults["preflight_regions"]):
        raise _adopt.AdoptError(problems[0].replace("djangogcp_region", "region"))
    chosen = {_VARIABLES[name]: options[name] for name in _SIZES if options[name] not in (None, "")}
    return _adopt.Site(
        project_id=options["project_id"] or "",
        region=options["region"] or _inventory.REGION,
        superuser_email=options["superuser_email"] or _inventory.SUPERUSER_EMAIL,
        sizes={**defaults, **chosen},
        chosen=tuple(chosen),
    )


def _is_new(path: Path, text: str) -> bool:
    """Whether a file is to be written. AdoptError where another one is there."""
    if not os.path.lexists(path):
        return True
    if path.is_file() and path.read_bytes() == text.encode():
        return False
    raise _adopt.AdoptError(
        f"{path} is there already and says something else: it is not overwritten. Remove it, or name another folder (-e inventory_dir=)"
    )


def _refuse_neighbours(folder: Path) -> None:
    """AdoptError where a folder holds an inventory of somebody's own, which Ansible would read together with ours."""
    if folder.exists() and not folder.is_dir():
        raise _adopt.AdoptError(
            f"{folder} is there already and is no folder: name another one (-e inventory_dir=)"
        )
    others = (
        sorted(path.name for path in folder.iterdir() if path.name != _inventory.FILE)
        if folder.exists()
        else []
    )
    if others and not (folder / _inventory.FILE).exists():
        raise _adopt.AdoptError(
            f"{folder} holds {', '.join(others[:5])} already, which would be read together with the inventory: name another folder (-e inventory_dir=)"
        )


def _written(wanted: dict[Path, str], new: dict[Path, str], notes: list[str], *, is_check: bool) -> list[str]:
    verb = "Would write" if is_check else "Wrote"
    return [
        *(f"{verb if path in new else 'Is there already'}: {_shown(path)}" for path in wanted),
        *(f"  {note}" for note in notes),
    ]


def _next(project: _adopt.Project, site: _adopt.Site, folder: Path, wanted: dict[Path, str]) -> list[str]:
    """What to type next."""
    shown = shlex.quote(_shown(folder))
    found = []
    if patch := next((path for path in wanted if path.suffix == ".patch"), None):
        found.append(
            f"git -C {shlex.quote(_shown(project.root))} apply -p1 {shlex.quote(str(patch))}   (after you have read it)"
        )
    found.append(
        f"make rehearse INVENTORY={shown}   (in a checkout, on this machine, without a Google account)"
    )
    fill = "" if site.project_id else "   (with your project in it)"
    found.append(f"ansible-playbook org.djangogcp.deploy -i {shown}{fill}")
    return [f"{'Next:' if not place else '     '} {line}" for place, line in enumerate(found)]


def _shown(path: Path) -> str:
    """A path below the working directory without that."""
    relative = os.path.relpath(path)
    return str(path) if relative.startswith("..") else relative
