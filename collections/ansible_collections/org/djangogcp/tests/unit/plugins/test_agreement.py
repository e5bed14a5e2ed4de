# Copyright (c) 2026, The djangogcp contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

"""The four lists of what a module takes - table, argument spec, documentation, action group - are one."""

import importlib
import pathlib

import pytest
import yaml
from ansible_collections.org.djangogcp.plugins.doc_fragments import _auth, _mark, _wait
from ansible_collections.org.djangogcp.plugins.module_utils._argspec import AUTH_ARGS
from ansible_collections.org.djangogcp.plugins.module_utils._fields import Change
from ansible_collections.org.djangogcp.plugins.module_utils._services import (
    artifactregistry,
    iam,
    secretmanager,
    sqladmin,
    storage,
)

COLLECTION = pathlib.Path(__file__).parents[3]
MODULES = sorted(path.stem for path in (COLLECTION / "plugins/modules").glob("*.py"))
FRAGMENTS = {"org.djangogcp._auth": _auth, "org.djangogcp._mark": _mark, "org.djangogcp._wait": _wait}
COMMON = {"name", "state", "wait", "wait_timeout", "mark", "adopt", "explicit"}

# A module, the table that it offers, where its options are, and its options that are not rows of the table.
TABLES = [
    ("artifact_repository", artifactregistry.REPOSITORY, (), COMMON | {"location"}),
    (
        "secrets",
        secretmanager.SECRET,
        ("secrets",),
        COMMON | {"value", "generate", "template", "values_from", "old_versions"},
    ),
    ("service_accounts", iam.SERVICE_ACCOUNT, ("service_accounts",), COMMON),
    ("sql_database", sqladmin.DATABASE, (), COMMON | {"instance", "claim_secret"}),
    ("sql_instance", sqladmin.INSTANCE, (), COMMON),
    (
        "sql_users",
        sqladmin.USER,
        ("users",),
        COMMON | {"append_roles", "password_secret", "random_password", "per_version", "in_use_version"},
    ),
    ("storage_buckets", storage.BUCKET, ("buckets",), COMMON | {"force", "purpose"}),
]
# Rows that a module fills from other options: the password of an SQL user comes from a secret, or is random.
FILLED = {"sql_users": {"password"}}


def module_of(name):
    return importlib.import_module(f"ansible_collections.org.djangogcp.plugins.modules.{name}")


def documented(name):
    """The documented options, with those of the fragments. A module's own words win, key by key."""
    documentation = yaml.safe_load(module_of(name).DOCUMENTATION)
    options = {}
    for fragment in documentation["extends_documentation_fragment"]:
        if fragment in FRAGMENTS:
            options.update(yaml.safe_load(FRAGMENTS[fragment].ModuleDocFragment.DOCUMENTATION)["options"])
    for option, words in documentation.get("options", {}).items():
        options[option] = {**options.get(option, {}), **words}
    return options


def shape(options, nested):
    """What must agree of options in either form."""
    return {
        name: {
            "type": option.get("type", "str"),
            "elements": option.get("elements"),
            "choices": option.get("choices"),
            "default": option.get("default"),
            "required": bool(option.get("required")),
            "options": shape(option.get(nested) or {}, nested),
        }
        for name, option in options.items()
    }


@pytest.mark.parametrize("name", MODULES)
def test_documentation_and_argument_spec_agree(name):
    spec = {**AUTH_ARGS, **module_of(name).ARGUMENT_SPEC}
    assert shape(documented(name), "suboptions") == shape(spec, "options")


def table_names(fields):
    """The names of the rows that are options, with those below them."""
    return {
        field.name: table_names(field.fields) if field.fields else {}
        for field in fields
        if field.change is not Change.OUTPUT
    }


def option_names(options):
    return {name: option_names(option.get("options") or {}) for name, option in options.items()}


@pytest.mark.parametrize(("name", "spec", "path", "beside"), TABLES, ids=[row[0] for row in TABLES])
def test_table_and_argument_spec_agree(name, spec, path, beside):
    options = module_of(name).ARGUMENT_SPEC
    for key in path:
        options = options[key]["options"]
    rows = {row: below for row, below in table_names(spec.fields).items() if row not in FILLED.get(name, ())}
    offered = {option: names for option, names in option_names(options).items() if option not in beside}
    assert offered == rows


def test_the_action_group_holds_every_module_that_calls_google():
    runtime = yaml.safe_load((COLLECTION / "meta/runtime.yml").read_text())
    assert runtime["action_groups"]["gcp"] == MODULES


def test_every_module_can_run_in_ansibles_own_process():
    links = {
        path.stem: path.readlink() for path in (COLLECTION / "plugins/action").iterdir() if path.is_symlink()
    }
    assert links == dict.fromkeys(MODULES, pathlib.Path("../plugin_utils/in_process.py"))


@pytest.mark.parametrize("name", MODULES)
def test_every_module_says_whether_it_is_in_the_action_group(name):
    fragments = yaml.safe_load(module_of(name).DOCUMENTATION)["extends_documentation_fragment"]
    assert ("org.djangogcp._attributes.actiongroup_gcp" in fragments) == (name in MODULES)


@pytest.mark.parametrize("name", MODULES)
def test_examples_use_only_documented_options(name):
    options = set(documented(name))
    tasks = yaml.safe_load(module_of(name).EXAMPLES)
    ours = [task[f"org.djangogcp.{name}"] for task in tasks if f"org.djangogcp.{name}" in task]
    assert ours
    for arguments in ours:
        assert set(arguments) <= options
