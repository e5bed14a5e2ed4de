#!/usr/bin/python

# Copyright (c) 2026, The djangogcp contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: summary
short_description: Say what a deploy has deployed
version_added: 0.9.0
description:
  - Tells of all sites of the play, in one block, each one's address, what serves, what was changed, where the superuser's password is,
    how long it took and what to do next. It comes at the end of a deploy and belongs to its roles, whose facts it reads.
  - The same is in the statistic C(djangogcp_out_sites), as M(ansible.builtin.set_stats) sets one. AWX shows it with the job, and hands it to
    the next job of a workflow. In check mode there is none.
  - The value of no secret is in it.
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
  become:
    support: none
  delegation:
    support: none
  platform:
    platforms: all
notes:
  - It has no options.
author:
  - The djangogcp contributors (@djangogcp)
"""

EXAMPLES = r"""
- name: Say what is there now
  org.djangogcp.summary:
  run_once: true
"""

RETURN = r""" # """
