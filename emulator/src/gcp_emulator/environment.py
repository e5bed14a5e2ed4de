"""The variables that point any Google client at the emulator."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path

ADDRESS = "GCP_EMULATOR_ADDRESS"
"""The variable that says of an environment that it leads to an emulator, and to which."""
_NAMES = "GCP_EMULATOR_VARIABLES"
_OLD = "GCP_EMULATOR_OLD_"


def proxy_variables(port: int, certificates: Path) -> dict[str, str]:
    """Variable -> value of what leads any client through a proxy on this machine whose certificates are in the file ``certificates``. Some
    machines preset the CA variables for the system's bundle, so every one is set."""
    proxy = f"http://127.0.0.1:{port}"
    bundle = str(certificates)
    return {
        "HTTPS_PROXY": proxy,
        "https_proxy": proxy,
        "NO_PROXY": "",
        "no_proxy": "",
        "REQUESTS_CA_BUNDLE": bundle,
        "CURL_CA_BUNDLE": bundle,
        "SSL_CERT_FILE": bundle,
        "HTTPLIB2_CA_CERTS": bundle,
        "GRPC_DEFAULT_SSL_ROOTS_FILE_PATH": bundle,
        "NODE_EXTRA_CA_CERTS": bundle,
        "CLOUDSDK_CORE_CUSTOM_CA_CERTS_FILE": bundle,
        "CLOUDSDK_PROXY_TYPE": "http",
        "CLOUDSDK_PROXY_ADDRESS": "127.0.0.1",
        "CLOUDSDK_PROXY_PORT": str(port),
    }


def variables(state: Path, port: int, project: str, credentials: Path | None) -> dict[str, str]:
    """Variable -> value of what makes any client one of the emulator on this port: the way there, the project, who calls."""
    values = {
        **proxy_variables(port, state / "ca" / "bundle.pem"),
        ADDRESS: f"127.0.0.1:{port}",
        "CLOUDSDK_CONFIG": str(state / "gcloud"),
        "CLOUDSDK_CORE_PROJECT": project,
        "CLOUDSDK_CORE_DISABLE_PROMPTS": "1",
        "CLOUDSDK_CORE_DISABLE_USAGE_REPORTING": "1",
        "GOOGLE_CLOUD_PROJECT": project,
        "GCP_PROJECT": project,
        "GCP_AUTH_KIND": "application",
    }
    if credentials is not None:
        values["GOOGLE_APPLICATION_CREDENTIALS"] = str(credentials)
        values["CLOUDSDK_AUTH_CREDENTIAL_FILE_OVERRIDE"] = str(credentials)
    return values


def shell(values: dict[str, str], off: str) -> str:
    """The variables as text for ``.`` or ``eval`` in a POSIX shell. The function ``off``, which it defines, gives every variable the value
    back that it had before; so does reading such a text again, first."""
    names = " ".join(values)
    exports = "".join(f"export {name}={_quoted(name, value)}\n" for name, value in values.items())
    return f"""\
{off}() {{
    [ -n "${{{_NAMES}+set}}" ] || return 0
    for _name in {names}; do
        if eval "[ -n \\"\\${{{_OLD}$_name+set}}\\" ]"; then
            eval "export $_name=\\"\\${_OLD}$_name\\""
            unset "{_OLD}$_name"
        else
            unset "$_name"
        fi
    done
    unset _name {_NAMES}
}}
{off}
for _name in {names}; do
    if eval "[ -n \\"\\${{$_name+set}}\\" ]"; then eval "export {_OLD}$_name=\\"\\$$_name\\""; fi
done
unset _name
{exports}export {_NAMES}={shlex.quote(names)}
"""


def _quoted(name: str, value: str) -> str:
    """The value, in which ``PATH`` keeps what it held: it ends with a colon then."""
    return f'{shlex.quote(value)}"$PATH"' if name == "PATH" else shlex.quote(value)


def without(environment: Mapping[str, str]) -> dict[str, str]:
    """An environment as it was before a text of `shell` was read."""
    values = dict(environment)
    for name in values.pop(_NAMES, "").split():
        values.pop(name, None)
        if (old := values.pop(_OLD + name, None)) is not None:
            values[name] = old
    return values
