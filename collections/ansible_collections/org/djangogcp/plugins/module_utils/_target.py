# Copyright (c) 2026, The djangogcp contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE to the collection: this file may change in any release.

"""Where requests go: to Google Cloud or to an emulator of it, and through a proxy that may have stopped."""

from __future__ import annotations

import contextlib
import os
import re
import urllib.parse

with contextlib.suppress(ImportError):  # run_module tells it with Ansible's own words
    import requests.utils

# Set in an environment that leads to the emulator, to its address.
_ADDRESS = "GCP_EMULATOR_ADDRESS"
# What the emulator answers in the header Server, and Google never does.
SERVER = "gcp-emulator"
_LOOPBACK = re.compile(r"localhost|127\.\d+\.\d+\.\d+|::1")
# Python's words for a certificate of an authority that is not the one that was named (the text of OpenSSL's error 20, X509_verify_cert_error_string).
_FOREIGN = "CERTIFICATE_VERIFY_FAILED"
_REFUSED = re.compile(r"Connection refused|ConnectionRefusedError|\[Errno (111|61)\]")


def lost_way(error: BaseException, url: str) -> str:
    """What to do when a request failed because the proxy of this machine that it has to go through is not the one that was meant:
    nothing listens there, or another emulator does; "" when it failed of anything else. A refused connection to another machine may
    be a proxy that is being restarted.
    """
    proxy = requests.utils.select_proxy(url, requests.utils.get_environ_proxies(url)) or ""
    place = urllib.parse.urlsplit(proxy if "//" in proxy else f"//{proxy}")
    address = f"{place.hostname}:{place.port}"
    is_rehearsal = os.environ.get(_ADDRESS) == address
    # google-auth says the cause in words only.
    text = f"{error!r} {error.__context__!r}"
    if is_rehearsal and _FOREIGN in text:
        return (
            f"This shell leads to the rehearsal at {address}, where another emulator answers now: its certificate is not the "
            'rehearsal\'s. Lead the shell to it again: eval "$(make -s env)" (or leave it: rehearsal_off).'
        )
    if "Unable to connect to proxy" not in text or not _REFUSED.search(text):
        return ""
    if not _LOOPBACK.fullmatch(place.hostname or ""):
        return ""
    if is_rehearsal:
        return f"This shell leads to the rehearsal at {address}, and it is stopped: make rehearse (or leave it: rehearsal_off)."
    return (
        f"Nothing listens at {address}, where HTTPS_PROXY leads. If that is the rehearsal, it is stopped: make rehearse. "
        "Otherwise start that proxy, or unset HTTPS_PROXY."
    )


def innermost(error: BaseException) -> str:
    """The words of the cause at the bottom, which requests and urllib3 wrap into tuples and objects."""
    cause = error
    while True:
        inner = [
            one
            for one in (getattr(cause, "reason", None), *reversed(cause.args))
            if isinstance(one, BaseException)
        ]
        if not inner:
            break
        cause = inner[0]
    # The first argument is the text; google-auth adds the whole answer, others an object's name.
    words = next((one for one in cause.args if isinstance(one, str)), str(cause))
    return re.sub(r"^(<[^>]*>|\w+\(host=[^)]*\)): ", "", words) or type(cause).__name__
