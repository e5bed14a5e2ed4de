"""TLS between a client and a server of the same process, without a network."""

from __future__ import annotations

import ssl
from pathlib import Path


def shake_hands(context: ssl.SSLContext, trusted: Path, host: str) -> None:
    """A handshake of a client that trusts the certificates of a file with a server of this context. SSLCertVerificationError when it does not
    trust the server."""
    trusting = ssl.create_default_context(cafile=str(trusted))
    trusting.verify_flags |= ssl.VERIFY_X509_STRICT
    to_client, to_server = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = trusting.wrap_bio(to_client, to_server, server_hostname=host)
    server = context.wrap_bio(to_server, to_client, server_side=True)
    ended: set[ssl.SSLObject] = set()
    while len(ended) < 2:
        for side in (client, server):
            try:
                side.do_handshake()
                ended.add(side)
            except ssl.SSLWantReadError:
                continue
