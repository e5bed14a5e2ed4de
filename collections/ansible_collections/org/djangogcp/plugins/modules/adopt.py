#!/usr/bin/python

# Copyright (c) 2026, The djangogcp contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: adopt
short_description: Read a Django project, and write an inventory for it
version_added: 0.9.0
description:
  - Says what was found in the folder of a Django project, what a deploy makes of it, what is missing and what is done about it, and what it costs a
    month by Google's list prices. Writes an inventory of a few lines, which deploys as it is.
  - Nobody is asked, neither Google nor an emulator, and nothing of the project is run or changed.
  - What is there already is never overwritten. An inventory that says the same is left alone.
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
    support: full
  become:
    support: none
  delegation:
    support: none
  platform:
    platforms: all
options:
  source_dir:
    description:
      - The folder of the project, on the control node. It holds C(manage.py), or a folder of it does.
    type: path
    required: true
  inventory_dir:
    description:
      - The folder of the inventory, which is made. C(inventories/SITE) in the working directory if not set.
    type: path
  site:
    description:
      - The name of the site. If not set, that of the folder of the project.
    type: str
  project_id:
    description:
      - The project of Google Cloud. If not set, the inventory has that of a rehearsal, which nobody can own.
    type: str
  region:
    description:
      - The region.
    type: str
    default: us-central1
  superuser_email:
    description:
      - The e-mail address of the superuser that the first deploy makes.
    type: str
    default: admin@example.com
  database_tier:
    description:
      - The tier of the database instance. If not set, it is not in the inventory, and the one of P(org.djangogcp.preflight#role).
    type: str
  min_instances:
    description:
      - The instances of the service that are kept without requests. If not set, it is not in the inventory, and none is.
    type: int
  patch:
    description:
      - Whether the lines by which the project's own settings read the environment are written as a patch for C(git apply), as
        C(INVENTORY_DIR.patch) beside the inventory, for who prefers them to the overlay. In check mode they are shown.
    type: bool
    default: false
author:
  - The djangogcp contributors (@djangogcp)
"""

EXAMPLES = r"""
- name: Write an inventory for a project
  org.djangogcp.adopt:
    source_dir: /srv/shop
    inventory_dir: /srv/inventories/shop
    project_id: my-project
    region: europe-west1
    superuser_email: you@example.com
"""

RETURN = r"""
report:
  description: What was told, line by line.
  returned: success
  type: list
  elements: str
site:
  description: The name of the site.
  returned: success
  type: str
inventory:
  description: The file of the inventory.
  returned: success
  type: str
patch:
  description: The file of the patch, empty if there is none.
  returned: success
  type: str
problems:
  description: What a deploy would refuse of the project.
  returned: success
  type: list
  elements: str
"""
