"""The variables that point any Google client at the emulator."""

from __future__ import annotations

import shlex
from pathlib import Path


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


def shell(values: dict[str, str]) -> str:
    """The variables as a file for ``.`` in a POSIX shell."""
    return "".join(f"export {name}={shlex.quote(value)}\n" for name, value in values.items())
