#!/usr/bin/env python
"""Django's command line. `manage.py test` uses settings of its own, so that it needs nothing set."""

from __future__ import annotations

import os
import sys


def main() -> None:
    testing = sys.argv[1:2] == ["test"]
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings_test" if testing else "config.settings")

    from django.core.management import execute_from_command_line

    execute_from_command_line(sys.argv)


if __name__ == "__main__":
    main()
