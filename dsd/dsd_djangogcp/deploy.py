"""The hooks that django-simple-deploy calls, in the order in which it does.

What they are called with, and when: `django_simple_deploy/hookspecs.py` and `management/commands/deploy.py` of django-simple-deploy 1.4.
"""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

import django_simple_deploy
from django_simple_deploy.management.commands.utils import plugin_utils
from django_simple_deploy.management.commands.utils.plugin_utils import dsd_config

from dsd_djangogcp.options import Options
from dsd_djangogcp.playbooks import adopt, check, deploy, inventory

CONFIRM = """
--automate-all makes in your Google Cloud project what this Django project needs. That costs money, a database instance above all: without
--automate-all you are told how much a month, and nothing is made. What was added to your project is committed."""
NEXT = """
Deploy with --automate-all and the same options, or with: ansible-playbook org.djangogcp.deploy -i {folder}
The file is yours from now on: change it, commit it, and later deploys go by it."""


class PluginConfig:
    """What django-simple-deploy has to know of a plugin."""

    automate_all_supported = True
    confirm_automate_all_msg = CONFIRM
    platform_name = "Google Cloud"


#: What was asked for; there from `dsd_validate_cli` on.
asked: Options


@django_simple_deploy.hookimpl
def dsd_get_plugin_config() -> PluginConfig:
    """The platform's name, and what is asked before everything is automated."""
    return PluginConfig()


@django_simple_deploy.hookimpl
def dsd_get_plugin_cli(parser: ArgumentParser) -> None:
    """The options beside those of django-simple-deploy."""
    Options.declare(parser)


@django_simple_deploy.hookimpl
def dsd_validate_cli(options: dict[str, Any]) -> None:
    """Keeps what was asked for; DSDCommandError where something is missing, before anything is changed."""
    global asked
    asked = Options.read(options)
    check()


@django_simple_deploy.hookimpl
def dsd_deploy() -> None:
    """Writes an inventory beside the project unless there is one, and with --automate-all deploys what it describes.

    DSDCommandError with what a playbook said when it fails.
    """
    folder = inventory(dsd_config.git_path, asked.site or dsd_config.local_project_name)
    if folder.exists():
        plugin_utils.write_output(f"\n{folder} is there already, and is used as it is.")
    else:
        adopt(dsd_config.git_path, folder, asked)
    if not dsd_config.automate_all:
        plugin_utils.write_output(NEXT.format(folder=folder))
        return
    plugin_utils.commit_changes()
    deploy(folder)
