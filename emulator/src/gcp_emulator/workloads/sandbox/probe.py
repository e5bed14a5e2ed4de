"""``python -m gcp_emulator.workloads.sandbox.probe``: says, with exit status 1, why no application can be run on this machine."""

from __future__ import annotations

import sys

from gcp_emulator.workloads.sandbox.bubblewrap import probe
from gcp_emulator.workloads.sandbox.process import SandboxUnavailable


def main() -> int:
    """Tries it; returns the exit status."""
    try:
        probe()
    except SandboxUnavailable as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
