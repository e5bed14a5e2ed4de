# Copyright (c) 2026, The djangogcp contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Writes the README of each role from its argument specification and its defaults.

Usage: role_readmes.py
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

#: A variable, or what preflight has read of it once.
_SITE_VARIABLE = re.compile(r"\bdjangogcp_(?:out_variables\.)?(?!out_)(\w+)")
ROLES = Path(__file__).resolve().parents[1] / "roles"


def readme(role: Path) -> str:
    """The README of the role in the folder *role*, in Markdown."""
    specification = _load(role / "meta/argument_specs.yml")["argument_specs"]
    defaults = defaults_of(role)
    summary = _load(role / "meta/main.yml")["galaxy_info"]["description"]
    lines = [f"# org.djangogcp.{role.name}", "", f"{summary}.", ""]
    lines += ["<!-- Made by tests/role_readmes.py from meta/argument_specs.yml. -->", ""]
    for entry, content in specification.items():
        # YAML's alias, in the specification, is the same object here.
        shared = None if entry == "main" else specification.get("main", {}).get("options")
        lines += _entry_point(
            entry, content, defaults, shared, is_tasks=(role / f"tasks/{entry}.yml").is_file()
        )
    if read := site_variables(role):
        lines += [
            "## Variables of the site",
            "",
            "It reads these, which [preflight](../preflight/README.md) describes:",
            "",
        ]
        lines += [", ".join(f"`{name}`" for name in read) + ".", ""]
    # A role that is used alone, without those of a site, tells itself how.
    own = role / "meta/example.md"
    lines += own.read_text("utf-8").splitlines() if own.is_file() else _example(role.name, specification)
    return "\n".join(lines) + "\n"


def defaults_of(role: Path) -> dict[str, Any]:
    """The defaults of a role, those of Ansible's own variables aside; {} of one that has no variables of its own."""
    path = role / "defaults/main.yml"
    found = dict(_load(path)) if path.is_file() else {}
    return {name: value for name, value in found.items() if not name.startswith("ansible_")}


def site_variables(role: Path) -> list[str]:
    """The variables of the site that a role reads. They are described where the role preflight is."""
    if role.name == "preflight":
        return []
    files = [
        path
        for kind in ("tasks", "vars", "defaults", "templates")
        for path in role.glob(f"{kind}/**/*")
        if path.is_file()
    ]
    found = {
        f"djangogcp_{name}" for path in files for name in _SITE_VARIABLE.findall(path.read_text("utf-8"))
    }
    return sorted(
        found & set(_load(ROLES / "preflight/meta/argument_specs.yml")["argument_specs"]["site"]["options"])
    )


def _load(path: Path) -> Any:
    return yaml.safe_load(path.read_text("utf-8"))


def _entry_point(
    entry: str, content: dict[str, Any], defaults: dict[str, Any], shared: Any, *, is_tasks: bool
) -> list[str]:
    lines = [
        f"## {'Entry point' if is_tasks else 'Variables'} `{entry}`",
        "",
        f"{content['short_description']}.",
        "",
    ]
    lines += [*(_marked(sentence) for sentence in content["description"]), ""]
    options = content.get("options")
    if options and options is shared:
        return [*lines, "The variables are those of `main`.", ""]
    if options:
        lines += ["| variable | type | default | what it is |", "| --- | --- | --- | --- |"]
        lines += [_row(name, option, defaults) for name, option in options.items()]
        lines.append("")
        for name, option in options.items():
            if "options" in option:
                lines += [f"Each of `{name}` has:", "", "| key | type | what it is |", "| --- | --- | --- |"]
                lines += [_key_row(key, described) for key, described in option["options"].items()]
                lines.append("")
    return lines


def _row(name: str, option: dict[str, Any], defaults: dict[str, Any]) -> str:
    kind = option["type"] + (f" of {option['elements']}" if "elements" in option else "")
    default = f"`{_shown(defaults[name])}`" if name in defaults else "**required**"
    if isinstance(defaults.get(name), list) and len(defaults[name]) > 3:
        default = "see `defaults/main.yml`"
    description = option["description"]
    text = " ".join(description) if isinstance(description, list) else description
    return f"| `{name}` | {kind} | {default} | {_marked(text)} |".replace("``", '`""`')


def _key_row(key: str, described: dict[str, Any]) -> str:
    """A key of a dictionary: what it is without is in its description."""
    kind = described["type"] + (f" of {described['elements']}" if "elements" in described else "")
    kind += ", **required**" if described.get("required") else ""
    description = described["description"]
    text = " ".join(description) if isinstance(description, list) else description
    return f"| `{key}` | {kind} | {_marked(text)} |"


def _shown(value: Any) -> str:
    return yaml.safe_dump(value, default_flow_style=True, width=1000).removesuffix("...\n").strip().strip("'")


def _marked(text: str) -> str:
    """Ansible's markup as Markdown's."""
    return re.sub(r"\b[A-Z]\((.*?)\)", r"`\1`", text).replace("|", "\\|")


def _example(name: str, specification: dict[str, Any]) -> list[str]:
    """A play that runs the role; with the roles before it, whose facts some need."""
    needs_facts = name in {"app", "database", "cloud_run", "release"}
    before = ["    - org.djangogcp.preflight"] if name != "preflight" else []
    note = (
        ["", "It takes facts from the roles before it: see the playbook `org.djangogcp.deploy`."]
        if needs_facts
        else []
    )
    absent = ["", "`tasks_from: absent` deletes what it makes."] if "absent" in specification else []
    play = [
        "```yaml",
        f"- name: {name.replace('_', ' ').capitalize()}",
        "  hosts: sites",
        "  gather_facts: false",
        "  roles:",
    ]
    return ["## Example", "", *play, *before, f"    - org.djangogcp.{name}", "```", *note, *absent]


def main() -> None:
    for specification in sorted(ROLES.glob("*/meta/argument_specs.yml")):
        role = specification.parents[1]
        (role / "README.md").write_text(readme(role), "utf-8")


if __name__ == "__main__":
    main()
