# Copyright (c) 2026, The djangogcp contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = """
name: container
short_description: Run tasks in a container by docker exec
description:
  - For the scenarios only, so that the collection needs no other collection to be tested.
author: The djangogcp contributors
options:
  container:
    description: The name of the container.
    vars:
      - name: molecule_container
extends_documentation_fragment:
  - connection_pipelining
"""

import shlex

from ansible.errors import AnsibleError
from ansible.plugins.connection.local import Connection as LocalConnection


class Connection(LocalConnection):
    """Everything that would run on the controller runs in the container, as root."""

    transport = "container"

    def exec_command(
        self, cmd: str, in_data: bytes | None = None, sudoable: bool = True
    ) -> tuple[int, bytes, bytes]:
        words = ["docker", "exec", "--interactive", self.get_option("container"), "/bin/sh", "-c", cmd]
        return super().exec_command(shlex.join(words), in_data=in_data, sudoable=sudoable)

    def put_file(self, in_path: str, out_path: str) -> None:
        # Not docker cp: it does not see what is mounted in the container, as /tmp and /run are.
        with open(in_path, "rb") as file:
            code, _printed, error = self.exec_command(f"cat > {shlex.quote(out_path)}", in_data=file.read())
        if code:
            raise AnsibleError(
                f"Failed to copy {in_path} to {out_path} in the container: {error.decode(errors='replace')}"
            )

    def fetch_file(self, in_path: str, out_path: str) -> None:
        code, content, error = self.exec_command(f"cat {shlex.quote(in_path)}")
        if code:
            raise AnsibleError(
                f"Failed to fetch {in_path} from the container: {error.decode(errors='replace')}"
            )
        with open(out_path, "wb") as file:
            file.write(content)
