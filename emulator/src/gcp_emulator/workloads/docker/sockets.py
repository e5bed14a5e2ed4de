"""Sockets that a container is shown in a folder."""

from __future__ import annotations

import os
import socket
from pathlib import Path


def listen(
    folder: Path, name: str, kind: socket.SocketKind = socket.SOCK_STREAM, backlog: int = 128
) -> socket.socket:
    """Listens at ``folder/name``, where nobody may listen yet, also where that path is longer than the 107 bytes of a socket's address.

    Whoever sees the folder may connect: the container's root may be nobody in particular outside.
    """
    listener = socket.socket(socket.AF_UNIX, kind)
    handle = os.open(folder, os.O_PATH | os.O_DIRECTORY)
    try:
        listener.bind(f"/proc/self/fd/{handle}/{name}")
        (folder / name).chmod(0o666)
        listener.setblocking(False)
        listener.listen(backlog)
    except BaseException:
        listener.close()
        raise
    finally:
        os.close(handle)
    return listener
