"""Tries settings by gunicorn's own rules: they come as JSON, and what is wrong with them is the last line."""

import json
import sys

from gunicorn.config import Config

settings = json.loads(sys.argv[1])
config = Config()
for name, value in settings.items():
    if name not in config.settings:
        sys.exit(f"{name} is not a setting of gunicorn's")
    try:
        config.set(name, value)
    except (TypeError, ValueError) as error:
        sys.exit(f"{name} cannot be {json.dumps(value)}: {error}")
try:
    _imported = config.worker_class
except Exception as error:  # whatever the import of somebody's class raises
    sys.exit(f"worker_class cannot be {settings['worker_class']}: {str(error).strip().splitlines()[-1]}")
