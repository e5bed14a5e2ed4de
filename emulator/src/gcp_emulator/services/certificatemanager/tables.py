"""Certificates, authorizations by DNS, and which certificate a load balancer shows for which name, as they are stored.

Source: https://cloud.google.com/certificate-manager/docs/reference/certificate-manager/rest (fields), .../docs/domain-authorization (the record of
an authorization), and the recordings that facts.yaml names.
"""

from __future__ import annotations

from gcp_emulator.engine.errors import Json, invalid_argument
from gcp_emulator.engine.service import Call
from gcp_emulator.engine.tables import Table

_TYPE = "type.googleapis.com/google.cloud.certificatemanager.v1."
_ID = r"[a-z]([a-z0-9-]{0,61}[a-z0-9])?"
_KINDS = ("managed", "managedIdentity", "selfManaged")


def _complete_authorization(call: Call, name: str, authorization: Json) -> Json:
    """What the owner of the domain has to put into its zone."""
    record = {
        "data": "authorize.certificatemanager.goog.",
        "name": f"_acme-challenge.{authorization['domain']}.",
        "type": "CNAME",
    }
    return {"type": "FIXED_RECORD", **authorization, "dnsResourceRecord": record}


def _complete_certificate(call: Call, name: str, certificate: Json) -> Json:
    kinds = [kind for kind in _KINDS if kind in certificate]
    if len(kinds) != 1:
        raise invalid_argument("Exactly one of managed, managedIdentity and selfManaged has to be set.")
    if managed := certificate.get("managed"):
        for authorization in managed.get("dnsAuthorizations", []):
            AUTHORIZATIONS.require(call.context, call.context.projects.canonical(authorization))
    return certificate


def _show_certificate(call: Call, name: str, certificate: Json) -> Json:
    """One of Google's with its state, and one of one's own without the key, which the document says is only taken in."""
    if managed := certificate.get("managed"):
        attempts = [{"domain": domain, "state": "AUTHORIZED"} for domain in managed.get("domains", [])]
        return certificate | {"managed": managed | {"state": "ACTIVE", "authorizationAttemptInfo": attempts}}
    if own := certificate.get("selfManaged"):
        return certificate | {
            "selfManaged": {key: value for key, value in own.items() if key != "pemPrivateKey"}
        }
    return certificate


def _complete_entry(call: Call, name: str, entry: Json) -> Json:
    if ("hostname" in entry) == ("matcher" in entry):
        raise invalid_argument("Exactly one of hostname and matcher has to be set.")
    for certificate in entry.get("certificates", []):
        CERTIFICATES.require(call.context, call.context.projects.canonical(certificate))
    return entry | {"state": "ACTIVE"}


def _table(message: str, kind: str, word: str, **more: object) -> Table:
    """What all kinds have in common. The texts are recorded."""
    return Table(
        message=("certificatemanager", "v1", message),
        methods=(f"certificatemanager.projects.locations.{kind}",),
        id=_ID,
        id_from=f"query:{word}Id",
        operation=_TYPE + message,
        metadata=_TYPE + "OperationMetadata",
        missing=f'{word} "{{name}}" not found',
        taken=f'{word} "{{name}}" already exists',
        **more,  # type: ignore[arg-type]
    )


AUTHORIZATIONS = _table(
    "DnsAuthorization",
    "dnsAuthorizations",
    "dnsAuthorization",
    required=("domain",),
    immutable=frozenset({"domain", "type"}),
    complete=_complete_authorization,
)
CERTIFICATES = _table(
    "Certificate",
    "certificates",
    "certificate",
    immutable=frozenset({"scope", "managed", "managedIdentity"}),
    complete=_complete_certificate,
    show=_show_certificate,
)
MAPS = _table("CertificateMap", "certificateMaps", "certificateMap")
ENTRIES = _table(
    "CertificateMapEntry",
    "certificateMaps.certificateMapEntries",
    "certificateMapEntry",
    immutable=frozenset({"hostname", "matcher"}),
    within=MAPS,
    complete=_complete_entry,
)
TABLES = (AUTHORIZATIONS, CERTIFICATES, MAPS, ENTRIES)
