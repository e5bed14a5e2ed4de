"""The sites of an inventory as a rehearsal needs them, and an inventory for the folder of any Django project."""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from ansible_collections.org.djangogcp.plugins.plugin_utils import _inventory
from gcp_emulator.engine.projects import project_number

PROJECT = _inventory.REHEARSAL_PROJECT
REGION = _inventory.REGION


class SitesError(Exception):
    """A message for the person at the terminal."""


@dataclass(frozen=True)
class Site:
    """What a rehearsal says of a site."""

    host: str
    name: str
    project: str
    region: str
    login: str
    admin_path: str
    database_version: str

    def address(self, port: int) -> str:
        """Where a browser finds it."""
        return f"http://{self.name}-{project_number(self.project)}.{self.region}.run.app.localhost:{port}/"


def found(path: str, root: Path) -> Path:
    """A path as a person types it: from where `make` was called, or else from the checkout. SitesError."""
    typed = Path(path).expanduser()
    called_from = (os.environ.get("CALLED_FROM") or str(Path.cwd())).split(":")
    places = [Path(folder) / typed for folder in (*called_from, str(root)) if folder]
    for place in places:
        if place.exists():
            return place.resolve()
    raise SitesError(
        f"there is no {typed} (looked for {' and '.join(dict.fromkeys(str(place) for place in places))})"
    )


def read(inventory: Path) -> list[Site]:
    """The sites of an inventory, with the values of their variables. SitesError when there are none, or Ansible refuses it."""
    # Imported here, because it takes a while, and other verbs need none of it.
    from ansible.errors import AnsibleError
    from ansible.inventory.manager import InventoryManager
    from ansible.parsing.dataloader import DataLoader
    from ansible.template import Templar
    from ansible.vars.manager import VariableManager

    loader = DataLoader()
    try:
        # What is no inventory is tried with each of its formats, and told of each.
        with contextlib.redirect_stderr(io.StringIO()):
            manager = InventoryManager(loader=loader, sources=[str(inventory)])
        variables = VariableManager(loader=loader, inventory=manager)
        hosts = manager.groups["sites"].get_hosts() if "sites" in manager.groups else []
        sites = []
        for host in hosts:
            values = variables.get_vars(host=host)
            templar = Templar(loader=loader, variables=values)

            def value(name: str, default: str = "", values: Any = values, templar: Any = templar) -> str:
                return str(templar.template(values[name]) if name in values else default)

            sites.append(
                Site(
                    host=host.name,
                    name=value("djangogcp_site", host.name),
                    project=value("djangogcp_project", PROJECT),
                    region=value("djangogcp_region", REGION),
                    login=value("djangogcp_superuser_email", "admin@example.com")
                    if _logs_in_by_email(value("djangogcp_source_dir"))
                    else value("djangogcp_superuser_username", "admin"),
                    admin_path=value("djangogcp_admin_path", "/admin/"),
                    database_version=value("djangogcp_database_version"),
                )
            )
    except AnsibleError as error:
        raise SitesError(f"the inventory {inventory} cannot be read: {error}") from None
    if not sites:
        raise SitesError(
            f"the inventory {inventory} has no host in the group sites; inventories/local shows how"
        )
    return sites


def _logs_in_by_email(source: str) -> bool:
    """Whether the project's users say who they are with their addresses, as its user model says."""
    return bool(source) and any(
        re.search(r"""USERNAME_FIELD\s*=\s*["']email""", path.read_text("utf-8", errors="replace"))
        for path in _inventory.python_files(Path(source))
    )


def inventory_of(source: Path, folder: Path) -> Path:
    """Writes an inventory with one site, named like the folder ``source`` of its project, below ``folder``. SitesError."""
    # Imported here, because it takes a while, and other verbs need none of it.
    from ansible_collections.org.djangogcp.plugins.lookup.django_source import describe
    from ansible_collections.org.djangogcp.plugins.module_utils._database_engines import engine_of
    from ansible_collections.org.djangogcp.plugins.plugin_utils import _adopt

    described = describe(str(source))
    try:
        _adopt.require_project(described)
    except _adopt.AdoptError as error:
        raise SitesError(str(error).replace("source_dir", "SOURCE")) from None
    name = _inventory.site_name(source)
    path = folder / name / _inventory.FILE
    if path.exists() and (other := _source_of(path)) != str(source):
        raise SitesError(
            f"the rehearsal has a site {name} already, of {other}. Remove it with all others (make rehearse-clean), or write an "
            "inventory with another name for one of them (make adopt SOURCE=... SITE=..., make rehearse INVENTORY=...)"
        )
    version = ""
    # A deploy says what is wrong with a project, if anything is.
    with contextlib.suppress(_adopt.AdoptError):
        version = _adopt.look(described, []).database.version
    # What is reached in a network alone takes one that somebody has prepared: `make adopt` tells of it.
    is_reached = bool(version) and engine_of(version).has_socket
    variables = {
        "djangogcp_cloud": "emulator",
        "djangogcp_project": PROJECT,
        "djangogcp_region": REGION,
        "djangogcp_source_dir": str(source),
        "djangogcp_superuser_email": _inventory.SUPERUSER_EMAIL,
        **({"djangogcp_database_version": version} if is_reached else {}),
        **_inventory.paths_of(Path(described["path"]) / described["manage_dir"], described["overlay"]),
    }
    heading = (
        f"Written by `make rehearse SOURCE={source}`, each time anew. One of your own: make adopt SOURCE={source}, and then\n"
        f"make rehearse INVENTORY=inventories/{name}"
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(_inventory.content(name, variables, heading), "utf-8")
    return path.parent


def _source_of(inventory: Path) -> str:
    return str(yaml.safe_load(inventory.read_text("utf-8"))["sites"]["vars"]["djangogcp_source_dir"])


def health_of_emulator(port: int) -> dict[str, Any]:
    """What the emulator on this port says of itself: its projects, what runs machines; nothing when it does not answer."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(f"http://127.0.0.1:{port}/_emulator/health", timeout=10) as answer:
            return dict(json.load(answer))
    except (OSError, ValueError):
        return {}
