# Copyright (c) 2026, The djangogcp contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE to the collection: this fragment may change in any release.

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
attributes:
  check_mode:
    description: Can run in C(check_mode) and tell what it would change; the result carries what would be there.
    support: full
  diff_mode:
    description: Returns what changed, or would change, for what was asked. Secrets are masked.
    support: full
  idempotent:
    description: A second run with the same options changes nothing.
    support: full
"""

    INFO = r"""
attributes:
  check_mode:
    description: Can run in C(check_mode), since it changes nothing.
    support: full
  diff_mode:
    description: Returns what changed.
    support: N/A
    details: It changes nothing.
  idempotent:
    description: A second run with the same options changes nothing.
    support: full
"""

    ACTIONGROUP_GCP = r"""
attributes:
  action_group:
    description: Use C(group/org.djangogcp.gcp) in C(module_defaults) to set the project and the credentials once.
    support: full
    membership:
      - org.djangogcp.gcp
"""
