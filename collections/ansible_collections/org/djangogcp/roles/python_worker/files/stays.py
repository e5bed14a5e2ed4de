"""Fails when the process that systemd has just started ends within some seconds.

Usage: stays.py SECONDS, with the process in MAINPID
"""

import os
import sys
import time

until = time.monotonic() + float(sys.argv[1])
while time.monotonic() < until:
    try:
        os.kill(int(os.environ["MAINPID"]), 0)
    except ProcessLookupError:
        sys.exit(f"It ended within {sys.argv[1]} seconds of its start.")
    time.sleep(0.1)
