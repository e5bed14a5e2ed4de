# Copyright (c) 2026, The djangogcp contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A ProxyCommand of OpenSSH: through Identity-Aware Proxy to a virtual machine, without gcloud.

Run by its path, with the Python that runs Ansible:

    ssh -o ProxyCommand='PYTHON .../plugins/plugin_utils/iap_proxy_command.py --project P --zone Z --instance I --port %p' ...
"""

from __future__ import annotations

import sys
from pathlib import Path


def main() -> int:
    """Find the collection that this file is of, and run what it has."""
    # Not resolved: the folder of a collection may be a link.
    sys.path[0] = str(Path(__file__).absolute().parents[5])
    from ansible_collections.org.djangogcp.plugins.module_utils import _iap

    return _iap.main(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
