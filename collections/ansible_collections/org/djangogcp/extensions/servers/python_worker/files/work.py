"""Writes down what it finds, and works until it is told to stop, which it writes down too.

Usage: work.py NAME [fail]
"""

import hashlib
import json
import os
import signal
import sys
from pathlib import Path

name = sys.argv[1]
if "fail" in sys.argv:
    sys.exit("There is no queue of this name.")
found = {
    "folder": str(Path.cwd()),
    "python": sys.prefix,
    "greeting": os.environ.get("GREETING"),
    "secret": hashlib.sha256(os.environ["SECRET_KEY"].encode()).hexdigest(),
    "file": hashlib.sha256(Path("/run/secrets/payments/key.pem").read_bytes()).hexdigest(),
    "held": sorted(path.name for path in Path(os.environ["CREDENTIALS_DIRECTORY"]).iterdir()),
}
try:
    Path("evil.py").write_text("", "utf-8")
except OSError as error:
    found["own folder"] = error.strerror
Path(f"/srv/shop/run/{name}-{os.getpid()}").write_text(json.dumps(found), "utf-8")
print(f"{name} works", flush=True)


def stop(*_signal: object) -> None:
    Path(f"/srv/shop/run/{name}-{os.getpid()}").rename(f"/srv/shop/run/{name}-{os.getpid()}-stopped")
    sys.exit()


signal.signal(signal.SIGTERM, stop)
while True:
    signal.pause()
