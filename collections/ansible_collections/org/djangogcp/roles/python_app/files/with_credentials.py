"""Becomes a program that finds credentials of systemd in its environment.

Usage: with_credentials.py NAME,... PROGRAM ARGUMENT...
"""

import os
import sys

for name in filter(None, sys.argv[1].split(",")):
    with open(os.path.join(os.environ["CREDENTIALS_DIRECTORY"], name)) as file:
        # An editor ends a file with a newline; a secret has none.
        os.environ[name] = file.read().rstrip("\n")
os.execvp(sys.argv[2], sys.argv[2:])  # noqa: S606 - the command that a release is to run
