#!/usr/bin/python

# Copyright (c) 2026, The djangogcp contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: source_archive
short_description: Pack a Django project as a build would
version_added: 0.9.0
description:
  - Writes an archive of a project's folder on the machine that runs Ansible, for servers that install it themselves.
  - What M(org.djangogcp.cloudbuild_build) never uploads is not in it. Nothing is asked of Google Cloud.
extends_documentation_fragment:
  - ansible.builtin.action_common_attributes
  - ansible.builtin.action_common_attributes.conn
  - ansible.builtin.action_common_attributes.flow
attributes:
  action:
    support: full
  async:
    support: none
  bypass_host_loop:
    support: none
  check_mode:
    support: full
  connection:
    support: none
  diff_mode:
    support: none
    details: What is in an archive is not compared.
  become:
    support: none
  delegation:
    support: none
  platform:
    platforms: all
options:
  source_dir:
    description:
      - The folder of the project.
    type: path
    required: true
  extra_files:
    description:
      - Files that are packed beside those of O(source_dir), by their names relative to it, each with its text.
    type: dict
    default: {}
  dest:
    description:
      - The file to write, C(.tar.gz). It takes the place of one that is there.
    type: path
    required: true
seealso:
  - module: org.djangogcp.cloudbuild_build
author:
  - The djangogcp contributors (@djangogcp)
"""

EXAMPLES = r"""
- name: Pack the project
  org.djangogcp.source_archive:
    source_dir: /srv/polls
    dest: /tmp/polls.tar.gz
"""

RETURN = r"""
digest:
  description: What tells the source from others, over the names, modes and contents of its files.
  returned: success
  type: str
  sample: 2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae
files:
  description: How many files are in it.
  returned: success
  type: int
  sample: 42
"""
