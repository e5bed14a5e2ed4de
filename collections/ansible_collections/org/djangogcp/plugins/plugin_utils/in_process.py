# Copyright (c) 2026, The djangogcp contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE to the collection: this file may change in any release.

"""The action of the module that a link to this file in ``plugins/action`` is called like. Ansible reads the file anew for each link, so
everything that they have in common is in `_in_process`.
"""

from __future__ import annotations

from ansible_collections.org.djangogcp.plugins.plugin_utils._in_process import InProcess, module_of


class ActionModule(InProcess):
    """Runs that module in the process of its task."""

    module = module_of(__name__)
