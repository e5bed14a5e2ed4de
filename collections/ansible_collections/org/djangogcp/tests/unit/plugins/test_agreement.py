# Copyright (c) 2026, The djangogcp contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

"""The lists of what a module takes - table, argument spec, documentation, action group - are one."""

import importlib
import importlib.util
import pathlib

import pytest
import yaml
from ansible_collections.org.djangogcp.plugins.doc_fragments import _auth, _info, _mark, _wait
from ansible_collections.org.djangogcp.plugins.module_utils._argspec import AUTH_ARGS
from ansible_collections.org.djangogcp.plugins.module_utils._fields import Field

COLLECTION = pathlib.Path(__file__).parents[3]
#: The documentation of an action plugin that is no module: it has no code.
ACTIONS = ("adopt", "source_archive", "summary")
MODULES = sorted(
    path.stem for path in (COLLECTION / "plugins/modules").glob("*.py") if path.stem not in ACTIONS
)
#: What modules begin with: Google's own names, as its collection google.cloud writes them.
APIS = (
    "artifactregistry",
    "cloudbuild",
    "compute",
    "iam",
    "logging",
    "oslogin",
    "resourcemanager",
    "run",
    "secretmanager",
    "serviceusage",
    "sql",
    "storage",
)
#: What is about resources of every API, or of none.
OF_NO_API = (
    "certificates_info",
    "failures_info",
    "ownership_info",
    "read_ahead",
    "release_parts_info",
    "smoke_test",
)
FRAGMENTS = {
    "org.djangogcp._auth": _auth,
    "org.djangogcp._info": _info,
    "org.djangogcp._mark": _mark,
    "org.djangogcp._wait": _wait,
}


_specification = importlib.util.spec_from_file_location("module_docs", COLLECTION / "tests/module_docs.py")
module_docs = importlib.util.module_from_spec(_specification)
_specification.loader.exec_module(module_docs)


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
def test_the_documentation_of_the_rows_is_that_of_the_tables(name):
    source = (COLLECTION / f"plugins/modules/{name}.py").read_text("utf-8")
    assert module_docs.Writer(source).written() == source, "run tests/module_docs.py"


def test_a_row_without_a_description_is_refused_and_what_a_module_has_twice_is_written_once():
    table = (
        "# From the table JOB of _services/run.py: written by tests/module_docs.py.\n{0}# End of the table.\n"
    )
    source = f"jobs:\n  {table.format('  ')}common:\n  {table.format('  ')}"
    written = module_docs.Writer(source).written()
    assert written.count("containers:") == 1
    options = yaml.safe_load(written)
    assert options["jobs"] == options["common"]
    assert options["jobs"]["template"]["suboptions"]["template"]["suboptions"]["max_retries"]["type"] == "int"
    with pytest.raises(ValueError, match="the row x has no description"):
        module_docs.paragraphs(Field("x"))


@pytest.mark.parametrize("name", MODULES)
def test_documentation_and_argument_spec_agree(name):
    spec = {**AUTH_ARGS, **module_of(name).ARGUMENT_SPEC}
    assert shape(documented(name), "suboptions") == shape(spec, "options")


@pytest.mark.parametrize("name", sorted(set(MODULES) - set(OF_NO_API)))
def test_a_module_is_called_after_its_api_and_resource(name):
    api, resource = name.removesuffix("_info").split("_", 1)
    assert api in APIS
    # The plural takes a list of them.
    if not name.endswith("_info"):
        takes_a_list = module_of(name).ARGUMENT_SPEC.get(resource, {}).get("type") == "list"
        assert takes_a_list == (resource.endswith("s") and not resource.endswith("ss"))


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
