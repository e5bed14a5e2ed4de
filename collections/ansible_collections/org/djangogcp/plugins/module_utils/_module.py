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

from ansible.module_utils.basic import AnsibleModule, missing_required_lib
from ansible_collections.org.djangogcp.plugins.module_utils._argspec import AUTH_ARGS
from ansible_collections.org.djangogcp.plugins.module_utils._auth import (
    AuthOptions,
    TokenSource,
    default_cache_dir,
)
from ansible_collections.org.djangogcp.plugins.module_utils._client import (
    HAS_REQUESTS,
    PARALLEL_REQUESTS,
    Client,
    Json,
    new_session,
)
from ansible_collections.org.djangogcp.plugins.module_utils._errors import DjangoGcpError
from ansible_collections.org.djangogcp.plugins.module_utils._operations import Wait
from ansible_collections.org.djangogcp.plugins.module_utils._reconcile import Outcome

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
        messages = list(dict.fromkeys(str(error) for error in errors))
        super().__init__("\n".join(messages))


def run_module(
    argument_spec: t.Mapping[str, t.Mapping[str, t.Any]], work: t.Callable[[Task], Json], **options: t.Any
) -> None:
    """Run a module: parse its options, do the work, and leave with its result or its error.

    Args:
        argument_spec: the module's own options; project and authentication are added.
        work: does it and returns the arguments of ``exit_json``.
        options: further arguments of ``AnsibleModule``, such as ``mutually_exclusive``.
    """
    module = AnsibleModule(argument_spec={**AUTH_ARGS, **argument_spec}, supports_check_mode=True, **options)
    if not HAS_REQUESTS:
        module.fail_json(msg=missing_required_lib("requests"))
    if not module.params["project"]:
        module.fail_json(
            msg="project is empty. Set the option project, or GCP_PROJECT or GOOGLE_CLOUD_PROJECT."
        )
    session = new_session()
    tokens = TokenSource(AuthOptions.from_params(module.params), session, default_cache_dir())
    client = Client(
        tokens,
        session,
        read_timeout=module.params["request_timeout"],
        absent_when_disabled=module.check_mode,
    )
    wait = Wait.from_params(module.params) if "wait_timeout" in argument_spec else Wait()
    try:
        result = work(Task(module.params, client, module.check_mode, wait))
    except DjangoGcpError as error:
        module.fail_json(**error.as_fail_json())
    except Exception as error:  # a bug: say so without a traceback that could show a secret's value
        module.fail_json(
            msg=f"The module failed unexpectedly: {type(error).__name__}.", exception=_where(error)
        )
    # Nobody asked to see the difference: leave it out of the output and of AWX's database.
    if not module._diff:
        result.pop("diff", None)
    module.exit_json(**result)


def one_result(key: str, outcome: Outcome) -> Json:
    """The result of a module for one resource: ``changed``, the resource under `key`, ``actions`` and ``diff``."""
    return {
        "changed": outcome.changed,
        key: outcome.resource,
        "actions": outcome.actions,
        "diff": outcome.diff,
    }


def many_results(key: str, outcomes: list[Outcome]) -> Json:
    """The result of a module for a list: the resources in the asked order under `key`, each with its own ``changed``."""
    return {
        "changed": any(outcome.changed for outcome in outcomes),
        key: [{**outcome.resource, "changed": outcome.changed} for outcome in outcomes],
        "actions": [action for outcome in outcomes for action in outcome.actions],
        "diff": [outcome.diff for outcome in outcomes if outcome.changed],
    }


def for_each(items: t.Sequence[Item], work: t.Callable[[Item], Result]) -> list[Result]:
    """Do the work for all items, in parallel; results come in the items' order.

    Raises:
        DjangoGcpError: one item failed; the others are done.
        SeveralError: more than one item failed.
    """
    if len(items) < 2:
        return [work(item) for item in items]
    with concurrent.futures.ThreadPoolExecutor(max_workers=min(PARALLEL_REQUESTS, len(items))) as pool:
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
