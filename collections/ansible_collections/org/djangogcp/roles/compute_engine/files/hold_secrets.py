"""Writes secrets into files that only their owner reads. Standard input: an object of JSON, by path the text."""

import json
import os
import sys

os.umask(0o077)
for path, text in json.load(sys.stdin).items():
    new = f"{path}.new"
    with open(new, "w") as file:
        file.write(text)
    os.replace(new, path)
