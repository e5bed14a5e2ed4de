"""``python -m gcp_emulator`` is ``gcp-emulator``."""

from __future__ import annotations

import sys

from gcp_emulator.cli import main

sys.exit(main())
