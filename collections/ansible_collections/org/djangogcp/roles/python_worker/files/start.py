"""Becomes a process of a release, with its environment and its credentials.

Usage: start.py DESCRIPTION
"""

import json
import os
import sys

with open(sys.argv[1], encoding="utf-8") as file:
    process = json.load(file)
os.environ["PATH"] = f"{process['virtualenv']}/bin:/usr/local/bin:/usr/bin:/bin"
os.environ["LANG"] = "C.UTF-8"
# What it prints is to be in the journal when it happens.
os.environ["PYTHONUNBUFFERED"] = "1"
os.environ.update(process["environment"])
for name in process["credentials_in_environment"]:
    with open(os.path.join(os.environ["CREDENTIALS_DIRECTORY"], name), encoding="utf-8") as file:
        # An editor ends a file with a newline; a secret has none.
        os.environ[name] = file.read().rstrip("\n")
os.chdir(process["folder"])
os.execvp(process["command"][0], process["command"])  # noqa: S606 - the command that a release is to run
