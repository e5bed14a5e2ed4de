# Copyright (c) 2026, The djangogcp contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

DOCUMENTATION = r"""
name: secret_volumes
author: The djangogcp contributors (@djangogcp)
version_added: 0.9.0
short_description: Files with secrets as Cloud Run's containers have them
description:
  - Private to the role cloud_run. Makes a volume of each folder, with files that are pinned to the number of a version.
options:
  _input:
    description: The names of the secrets by the path of a file. The files of a folder hold one secret.
    type: dict
    required: true
  versions:
    description: The numbers of the versions by secret.
    type: dict
    required: true
"""

EXAMPLES = r"""
- name: Show the volumes of a container
  ansible.builtin.debug:
    msg: "{{ {'/run/secrets/smtp/password': 'smtp-password'} | org.djangogcp.secret_volumes({'smtp-password': '2'}) }}"
"""

RETURN = r"""
_value:
  description: The C(volumes) of a revision or a task, and the C(mounts) of its container.
  type: dict
  sample:
    volumes:
      - name: secret-1
        secret:
          secret: smtp-password
          items:
            - path: password
              version: "2"
    mounts:
      - name: secret-1
        mount_path: /run/secrets/smtp
"""

import itertools
import posixpath
import typing as t


def secret_volumes(
    files: t.Mapping[str, str], versions: t.Mapping[str, str]
) -> dict[str, list[dict[str, t.Any]]]:
    """Volumes and mounts, sorted by folder. See DOCUMENTATION."""
    volumes, mounts = [], []
    folders = itertools.groupby(sorted(files, key=posixpath.split), key=posixpath.dirname)
    for number, (folder, paths) in enumerate(folders, 1):
        name, here = f"secret-{number}", list(paths)
        secret = files[here[0]]
        items = [{"path": posixpath.basename(path), "version": str(versions[secret])} for path in here]
        volumes.append({"name": name, "secret": {"secret": secret, "items": items}})
        mounts.append({"name": name, "mount_path": folder})
    return {"volumes": volumes, "mounts": mounts}


class FilterModule:
    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"secret_volumes": secret_volumes}
