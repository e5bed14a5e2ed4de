# Copyright (c) 2026, The djangogcp contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE to the collection: this file may change in any release.

"""What every module's main() is: the options, the client, the work, and the one place where errors become failures."""

from __future__ import annotations

import concurrent.futures
import dataclasses
import traceback
import typing as t

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.org.djangogcp.plugins.module_utils import _ahead, _progress
from ansible_collections.org.djangogcp.plugins.module_utils._ahead import Ahead
from ansible_collections.org.djangogcp.plugins.module_utils._argspec import (
    AUTH_ARGS,
    auth_problems,
    keep_given,
    mark_problems,
    rule_problems,
    type_problems,
)
from ansible_collections.org.djangogcp.plugins.module_utils._auth import (
    AuthOptions,
    TokenSource,
    default_cache_dir,
    missing_libraries,
)
from ansible_collections.org.djangogcp.plugins.module_utils._client import (
    HAS_REQUESTS,
    PARALLEL_REQUESTS,
    Client,
    Json,
    new_session,
)
from ansible_collections.org.djangogcp.plugins.module_utils._errors import DjangoGcpError
from ansible_collections.org.djangogcp.plugins.module_utils._fields import Field
from ansible_collections.org.djangogcp.plugins.module_utils._granted import Granted
from ansible_collections.org.djangogcp.plugins.module_utils._marks import ForeignError, Ownership
from ansible_collections.org.djangogcp.plugins.module_utils._operations import Wait
from ansible_collections.org.djangogcp.plugins.module_utils._reconcile import Outcome, ResourceSpec, reconcile
from ansible_collections.org.djangogcp.plugins.module_utils._rules import Rule
from ansible_collections.org.djangogcp.plugins.module_utils._shapes import asked_of

Item = t.TypeVar("Item")
Result = t.TypeVar("Result")


@dataclasses.dataclass(frozen=True)
class Task:
    """What a module's work gets: nothing of Ansible, so that tests can make one.

    Attributes:
        params: the options.
        client: calls Google Cloud.
        check_mode: whether nothing may be changed.
        wait: how long to wait; the default for modules without these options.
    """

    params: Json
    client: Client
    check_mode: bool = False
    wait: Wait = dataclasses.field(default_factory=Wait)

    @property
    def project(self) -> str:
        """The project's id."""
        return str(self.params["project"])


class SeveralError(DjangoGcpError):
    """Several items of a list failed; the text tells of each once.

    Args:
        errors: what the items failed with.
    """

    def __init__(self, errors: t.Iterable[BaseException]) -> None:
        self._errors = list(errors)
        messages = list(dict.fromkeys(str(error) for error in self._errors))
        super().__init__("\n".join(messages))

    def as_fail_json(self) -> dict[str, t.Any]:
        foreign = [error.as_dict() for error in self._errors if isinstance(error, ForeignError)]
        return {"msg": self.message, **({"foreign": foreign} if foreign else {})}


class _Module(AnsibleModule):  # type: ignore[misc]
    """Ansible's module that says in this collection's words, and all at once, what is wrong with its options."""

    def _set_internal_properties(self, *arguments: t.Any, **named: t.Any) -> None:
        super()._set_internal_properties(*arguments, **named)
        # Before Ansible makes what it can of the options: it takes a list for a string, and stumbles over a number where options
        # of an item belong.
        self.given = {name: value for name, value in self.params.items() if not name.startswith("_ansible_")}
        problems = type_problems(self.argument_spec, self.given)
        if problems:
            # Which values are secret is not known yet, so none is shown.
            self.fail_json(msg="\n".join(problems), invocation={"module_args": {}})


def run_module(
    argument_spec: t.Mapping[str, t.Mapping[str, t.Any]],
    work: t.Callable[[Task], Json],
    *,
    rules: t.Mapping[str, Rule] | None = None,
    tables: t.Mapping[str, t.Iterable[Field]] | None = None,
    only_reads: bool = False,
    reads_ahead: bool = False,
    check: t.Callable[[Json], list[str]] = lambda params: [],
    **options: t.Any,
) -> None:
    """Run a module: parse its options, do the work, and leave with its result or its error.

    What Google would refuse is refused before anything is asked of Google.

    Args:
        argument_spec: the module's own options; project and authentication are added.
        work: does it and returns the arguments of ``exit_json``.
        rules: what Google accepts, by option (`_argspec.rule_problems`).
        tables: the tables of the module's resources, by option.
        only_reads: whether nothing is ever changed, so that what a disabled API would hold is absent also without check mode.
        reads_ahead: whether what it looks at is kept for the tasks after it (`_ahead`).
        check: what else is wrong with the options, above all what would be dropped in silence beside others: a message each.
        options: further arguments of ``AnsibleModule``, such as ``mutually_exclusive``.
    """
    module = _made({**AUTH_ARGS, **argument_spec}, options)
    if not module.params["project"]:
        module.fail_json(
            msg="project is empty. Set the option project, or GCP_PROJECT or GOOGLE_CLOUD_PROJECT."
        )
    keep_given(module.params, module.given, tables or {})
    _refuse(module, rule_problems(module.params, rules or {}, tables or {}))
    dropped = [
        *auth_problems(module.given, module.params["auth_kind"]),
        *mark_problems(argument_spec, module.params),
        *check(module.params),
    ]
    _refuse(module, dropped)

    def with_client() -> Json:
        session = new_session()
        folder = default_cache_dir()
        tokens = TokenSource(AuthOptions.from_params(module.params), session, folder)
        client = Client(
            tokens,
            session,
            read_timeout=module.params["request_timeout"],
            ahead=Ahead(folder, tokens.identity, fills=reads_ahead),
            absent_when_disabled=module.check_mode or only_reads,
            granted=Granted(folder),
            told=_progress.Told(folder, _ahead.run),
        )
        wait = Wait.from_params(module.params) if "wait" in argument_spec else Wait()
        return work(Task(module.params, client, module.check_mode, wait))

    _leave(module, with_client)


def _made(argument_spec: t.Mapping[str, t.Mapping[str, t.Any]], options: t.Mapping[str, t.Any]) -> _Module:
    module = _Module(argument_spec=argument_spec, supports_check_mode=True, **options)
    if not HAS_REQUESTS:
        module.fail_json(msg=missing_libraries())
    return module


def _refuse(module: _Module, problems: list[str]) -> None:
    if problems:
        module.fail_json(msg="\n".join(problems))


def _leave(module: _Module, work: t.Callable[[], Json]) -> None:
    """Do the work, and leave with its result or its error."""
    try:
        result = work()
    except DjangoGcpError as error:
        module.fail_json(**error.as_fail_json())
    except Exception as error:  # a bug: say so without a traceback that could show a secret's value
        module.fail_json(
            msg=f"The module failed unexpectedly: {type(error).__name__}.", exception=_where(error)
        )
    for warning in result.pop("warnings", []):
        module.warn(warning)
    # Nobody asked to see the difference: leave it out of the output and of AWX's database.
    if not module._diff:
        result.pop("diff", None)
    module.exit_json(**result)


def reconciled(task: Task, key: str, spec: ResourceSpec, *places: str) -> Json:
    """The whole work of a module whose options are those of one table, with a mark and waiting: the resource is made what they say.

    Args:
        task: what the module was asked.
        key: what the resource is called in the result.
        spec: its table.
        places: the options that say which one it is, beside the project; one without a value is left out.

    Raises:
        DjangoGcpError: what `reconcile` raises.
    """
    outcome = reconcile(
        task.client,
        spec,
        {name: task.params[name] for name in ("project", *places) if task.params[name]},
        asked_of(task.params, spec.fields),
        state=task.params["state"],
        check_mode=task.check_mode,
        wait=task.wait,
        ownership=Ownership.from_params(task.params),
    )
    return one_result(key, outcome)


def one_result(key: str, outcome: Outcome) -> Json:
    """The result of a module for one resource: ``changed``, the resource under `key`, ``actions`` and ``diff``."""
    return _with_warnings(
        {
            "changed": outcome.changed,
            key: outcome.resource,
            "actions": outcome.actions,
            "diff": outcome.diff,
        },
        [outcome],
    )


def many_results(key: str, outcomes: list[Outcome]) -> Json:
    """The result of a module for a list: the resources in the asked order under `key`, each with its own ``changed``."""
    return _with_warnings(
        {
            "changed": any(outcome.changed for outcome in outcomes),
            key: [{**outcome.resource, "changed": outcome.changed} for outcome in outcomes],
            "actions": [action for outcome in outcomes for action in outcome.actions],
            "diff": [outcome.diff for outcome in outcomes if outcome.changed],
        },
        outcomes,
    )


def _with_warnings(result: Json, outcomes: t.Iterable[Outcome]) -> Json:
    """A result with what a person should know of its resources, if anything."""
    warnings = [warning for outcome in outcomes for warning in outcome.warnings]
    return {**result, "warnings": warnings} if warnings else result


def for_each(
    items: t.Sequence[Item], work: t.Callable[[Item], Result], at_once: int = PARALLEL_REQUESTS
) -> list[Result]:
    """Do the work for all items, so many at once; results come in the items' order.

    Raises:
        DjangoGcpError: one item failed; the others are done.
        SeveralError: more than one item failed.
    """
    if len(items) < 2:
        return [work(item) for item in items]
    with concurrent.futures.ThreadPoolExecutor(max_workers=min(at_once, len(items))) as pool:
        futures = [pool.submit(work, item) for item in items]
    errors = [error for future in futures if (error := future.exception()) is not None]
    for error in errors:
        if len(errors) == 1 or not isinstance(error, DjangoGcpError):
            raise error
    if errors:
        raise SeveralError(errors)
    return [future.result() for future in futures]


def _where(error: Exception) -> str:
    """The lines that an unexpected error came through, without its text and without the lines' values."""
    return "".join(traceback.format_tb(error.__traceback__))
