"""Asks for pages as a web server's workers do, until /run/enough exists, and tells in /run/visited what came.

A worker reads the upstream's file once a second, so that some ask at the old socket for a while.
"""

import collections
import http.client
import json
import os
import re
import socket
import threading
import time

seen = collections.Counter()
lock = threading.Lock()


class Connection(http.client.HTTPConnection):
    """A connection to a socket of this machine."""

    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=30)
        self.path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


def upstream() -> str:
    with open("/etc/gunicorn/shop/upstream.conf") as file:
        return re.search(r"unix:(\S+)", file.read())[1]


def visit(path: str) -> None:
    read, where = 0.0, ""
    while not os.path.exists("/run/enough"):
        if time.monotonic() - read > 1:
            read, where = time.monotonic(), upstream()
        try:
            connection = Connection(where)
            connection.request("GET", path, headers={"Host": "shop.example"})
            answer = connection.getresponse()
            what = f"{answer.status} {json.loads(answer.read())['release']}"
            connection.close()
        except Exception as error:  # whatever a visitor would see
            what = f"{type(error).__name__}: {error}"
        with lock:
            seen[what] += 1
        time.sleep(0.02)


# Pages that are quick, and one that is being made whenever something is stopped.
threads = [threading.Thread(target=visit, args=(path,)) for path in ("/", "/", "/?seconds=2")]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
with open("/run/visited.new", "w") as file:
    json.dump(seen, file)
os.rename("/run/visited.new", "/run/visited")
