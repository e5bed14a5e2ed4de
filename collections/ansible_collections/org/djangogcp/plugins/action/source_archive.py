# Copyright (c) 2026, The djangogcp contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Packs a Django project as a build would. Calls nobody."""

from __future__ import annotations

import typing as t
from pathlib import Path

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase
from ansible_collections.org.djangogcp.plugins.module_utils._source import SourceError, pack


class ActionModule(ActionBase):
    """Writes where Ansible runs, whatever host the task is for."""

    _requires_connection = False

    def run(self, tmp: str | None = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        result: dict[str, t.Any] = super().run(tmp, task_vars)
        _spec, options = self.validate_argument_spec(
            argument_spec={
                "source_dir": {"type": "path", "required": True},
                "extra_files": {"type": "dict", "default": {}},
                "dest": {"type": "path", "required": True},
            }
        )
        dest = Path(options["dest"])
        try:
            # Ansible marks values with where they come from.
            extra = {str(name): str(text) for name, text in options["extra_files"].items()}
            archive = pack(str(options["source_dir"]), extra)
            changed = not dest.exists() or dest.read_bytes() != archive.content
            if changed and not self._task.check_mode:
                dest.write_bytes(archive.content)
        except SourceError as error:
            raise AnsibleActionFail(error.message) from None
        except OSError as error:
            raise AnsibleActionFail(
                f"Failed to write the archive {dest}: {error.strerror}. Choose another dest."
            ) from None
        return {**result, "changed": changed, "digest": archive.digest, "files": len(archive.files)}
