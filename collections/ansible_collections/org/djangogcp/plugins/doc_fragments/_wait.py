# Copyright (c) 2026, The djangogcp contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE to the collection: this fragment may change in any release.

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options:
  wait:
    description:
      - Whether to wait until Google Cloud has finished. If V(false), the result tells what was asked for.
    type: bool
    default: true
  wait_timeout:
    description:
      - How long to wait at most, in seconds. What was started goes on in Google Cloud; the same task run again waits for it.
      - A task that fails because this time is over returns RV(ignore:timed_out=true), so that C(until) can tell it from others.
    type: int
    default: 600
"""
