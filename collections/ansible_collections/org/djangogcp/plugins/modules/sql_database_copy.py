#!/usr/bin/python

# Copyright (c) 2026, The djangogcp contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: sql_database_copy
short_description: Copy a Cloud SQL database into an empty one
version_added: 0.9.0
description:
  - Exports a database of an instance to a bucket, imports it into another one of the same instance, which is empty, and deletes what is in the bucket.
  - PostgreSQL only. What is copied belongs to O(import_user); rights are not copied.
  - The service account of the instance has to be allowed to write and read the bucket. A grant of a moment ago is waited for.
extends_documentation_fragment:
  - org.djangogcp._auth
  - org.djangogcp._attributes
  - org.djangogcp._attributes.actiongroup_gcp
attributes:
  diff_mode:
    support: none
  idempotent:
    support: full
    details: A database that is not empty is left as it is.
options:
  instance:
    description: The name of the instance.
    type: str
    required: true
  source:
    description: The name of the database that is copied.
    type: str
    required: true
  target:
    description: The name of the database that it is copied into.
    type: str
    required: true
  import_user:
    description: The user of PostgreSQL to whom all of it belongs then.
    type: str
    required: true
  bucket:
    description: The bucket through which it goes.
    type: str
    required: true
  timeout_seconds:
    description: How long to wait at most, for both together. What was started goes on in Google Cloud.
    type: int
    default: 3600
seealso:
  - module: org.djangogcp.sql_database
author:
  - The djangogcp contributors (@djangogcp)
"""

EXAMPLES = r"""
- name: Fill the database of a preview
  org.djangogcp.sql_database_copy:
    project: my-project
    instance: djangogcp
    source: polls
    target: polls_pr1
    import_user: polls_pr1_migrator
    bucket: my-project-polls-pr1-releases
"""

RETURN = r"""
actions:
  description: What was done, or would be done in check mode.
  returned: success
  type: list
  elements: str
  sample: [copy database polls of SQL instance djangogcp into polls_pr1]
"""

import functools
import typing as t

from ansible_collections.org.djangogcp.plugins.module_utils import _rules as rules
from ansible_collections.org.djangogcp.plugins.module_utils._client import Call, Json
from ansible_collections.org.djangogcp.plugins.module_utils._errors import ApiError
from ansible_collections.org.djangogcp.plugins.module_utils._granted import EFFECT_SECONDS
from ansible_collections.org.djangogcp.plugins.module_utils._module import Task, run_module
from ansible_collections.org.djangogcp.plugins.module_utils._operations import sql_operation, while_busy
from ansible_collections.org.djangogcp.plugins.module_utils._retry import Deadline
from ansible_collections.org.djangogcp.plugins.module_utils._services.sqladmin import API, execute_sql
from ansible_collections.org.djangogcp.plugins.module_utils._services.storage import delete_object

ARGUMENT_SPEC = {
    "instance": {"type": "str", "required": True},
    "source": {"type": "str", "required": True},
    "target": {"type": "str", "required": True},
    "import_user": {"type": "str", "required": True},
    "bucket": {"type": "str", "required": True},
    "timeout_seconds": {"type": "int", "default": 3600},
}
#: What Google accepts.
RULES = {
    "instance": rules.SQL_INSTANCE,
    "source": rules.SQL_DATABASE,
    "target": rules.SQL_DATABASE,
    "import_user": rules.SQL_USER,
    "bucket": rules.BUCKET,
    "timeout_seconds": rules.between(1, 86400),
}
#: Anything that somebody has made in it, but not what an extension has.
_CONTENT = """
SELECT 1 FROM pg_class WHERE relkind IN ('r', 'p', 'S', 'v', 'm')
AND relnamespace IN (SELECT oid FROM pg_namespace WHERE nspname !~ '^pg_' AND nspname <> 'information_schema')
AND NOT EXISTS (SELECT FROM pg_depend WHERE pg_depend.objid = pg_class.oid AND pg_depend.deptype = 'e') LIMIT 1
"""
#: What Cloud SQL says while its account may not use the bucket: https://stackoverflow.com/questions/50255432.
_NO_RIGHT = "required permissions for the bucket"
_RETRY_SECONDS = 5.0


def check(params: Json) -> list[str]:
    """A database that would be copied into itself."""
    if params["source"] == params["target"]:
        return [f"target is {rules.shown(params['target'])}: expected another database than source."]
    return []


def work(task: Task) -> dict[str, t.Any]:
    """Export, import and delete what was exported.

    Sources: sqladmin v1, instances.export, instances.import (ExportContext, ImportContext). A file that is there lets an export fail, so what a
    run left that was ended goes first.
    """
    instance, source, target = (task.params[name] for name in ("instance", "source", "target"))
    if not is_empty(task):
        return {"changed": False, "actions": []}
    actions = [f"copy database {source} of SQL instance {instance} into {target}"]
    if task.check_mode:
        return {"changed": True, "actions": actions}
    name = f"copies/{target}.sql.gz"
    place = {"fileType": "SQL", "uri": f"gs://{task.params['bucket']}/{name}"}
    deadline = Deadline(task.params["timeout_seconds"], task.client.clock)
    try:
        delete(task, name)
        exporting = Call(f"export database {source} of SQL instance {instance}", "cloudsql.instances.export")
        transfer(task, "export", exporting, {"exportContext": {**place, "databases": [source]}}, deadline)
        importing = Call(
            f"import into database {target} of SQL instance {instance}", "cloudsql.instances.import"
        )
        asked = {**place, "database": target, "importUser": task.params["import_user"]}
        transfer(task, "import", importing, {"importContext": asked}, deadline)
    finally:
        # It is all that the site knows of its users.
        delete(task, name)
    return {"changed": True, "actions": actions}


def is_empty(task: Task) -> bool:
    """Whether nothing is in the database that is copied into, or in check mode whether it is not there."""
    instance, target = task.params["instance"], task.params["target"]
    doing = f"look what is in database {target} of SQL instance {instance}"
    try:
        results = execute_sql(task.client, task.project, instance, target, _CONTENT, doing, repeatable=True)
    except ApiError as error:
        if task.check_mode and (error.is_absent or error.status == 400):
            return True
        raise
    return not any(results)


def transfer(task: Task, verb: str, call: Call, body: Json, deadline: Deadline) -> None:
    """Start an export or import, as soon as the account of the instance may use the bucket, and wait for its end."""
    url = f"{API}/projects/{task.project}/instances/{task.params['instance']}/{verb}"
    start = functools.partial(task.client.request, "POST", url, call, body=body)
    granted = Deadline(min(EFFECT_SECONDS, deadline.remaining), task.client.clock)
    while True:
        try:
            operation = while_busy(start, deadline)
            break
        except ApiError as error:
            if _NO_RIGHT not in error.message or not granted.sleep(_RETRY_SECONDS):
                raise
    sql_operation(task.client, API, operation, deadline, call)


def delete(task: Task, name: str) -> None:
    """Delete what was exported, if it is there."""
    bucket = task.params["bucket"]
    delete_object(task.client, Call(f"delete gs://{bucket}/{name}", "storage.objects.delete"), bucket, name)


def main() -> None:
    """Run the module."""
    run_module(ARGUMENT_SPEC, work, rules=RULES, check=check)


if __name__ == "__main__":
    main()
