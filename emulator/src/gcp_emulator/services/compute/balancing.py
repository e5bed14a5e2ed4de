"""Load balancers, from forwarding rules to backends, as they are stored. No request is served by them.

Sources: https://cloud.google.com/compute/docs/reference/rest/v1 (fields and defaults), https://cloud.google.com/load-balancing/docs/ssl-policies-concepts
(features of profiles), and the recordings that facts.yaml names.
"""

from __future__ import annotations

import hashlib

from cryptography import x509

from gcp_emulator.engine import clock
from gcp_emulator.engine.errors import Json, invalid_argument
from gcp_emulator.engine.service import Call
from gcp_emulator.services.compute.kinds import Kind
from gcp_emulator.services.compute.networks import external_address

# ---------------------------------------------------------------- health checks

#: The port of each type of health check, and its field.
_CHECKS = {
    "HTTP": ("httpHealthCheck", 80),
    "HTTPS": ("httpsHealthCheck", 443),
    "HTTP2": ("http2HealthCheck", 443),
    "TCP": ("tcpHealthCheck", 80),
    "SSL": ("sslHealthCheck", 443),
    "GRPC": ("grpcHealthCheck", 0),
}


def _complete_health_check(call: Call, path: str, check: Json, before: Json | None) -> Json:
    kind = check["type"]
    if kind not in _CHECKS:
        return check
    name, port = _CHECKS[kind]
    details = dict(check.get(name, {}))
    if kind != "GRPC":
        details.setdefault("proxyHeader", "NONE")
        if not {"port", "portName", "portSpecification"} & set(details):
            details["port"] = port
    if kind.startswith("HTTP"):
        details.setdefault("requestPath", "/")
    return check | {name: details}


_INTERVALS = {"checkIntervalSec": 5, "timeoutSec": 5, "healthyThreshold": 2, "unhealthyThreshold": 2}
HEALTH_CHECKS = Kind(
    schema="HealthCheck",
    collection="healthChecks",
    methods=("healthChecks", "regionHealthChecks"),
    noun="health check",
    required=("name", "type"),
    defaults=_INTERVALS,
    complete=_complete_health_check,
)
HTTP_HEALTH_CHECKS = Kind(
    schema="HttpHealthCheck",
    collection="httpHealthChecks",
    methods=("httpHealthChecks",),
    noun="HTTP health check",
    defaults={**_INTERVALS, "port": 80, "proxyHeader": "NONE", "requestPath": "/"},
)

# ---------------------------------------------------------------- backends


def _complete_backend_service(call: Call, path: str, service: Json, before: Json | None) -> Json:
    if "iap" in service:
        # The secret is kept by its digest.
        secret = service["iap"].pop("oauth2ClientSecret", None)
        if secret is not None:
            service["iap"]["oauth2ClientSecretSha256"] = hashlib.sha256(secret.encode()).hexdigest()
    if service.get("protocol") in ("HTTP", "HTTPS", "HTTP2"):
        service.setdefault("port", 80)
        service.setdefault("portName", "http")
    return service


BACKEND_SERVICES = Kind(
    schema="BackendService",
    collection="backendServices",
    methods=("backendServices", "regionBackendServices"),
    noun="backend service",
    defaults={
        "affinityCookieTtlSec": 0,
        "description": "",
        "loadBalancingScheme": "EXTERNAL",
        "sessionAffinity": "NONE",
        "timeoutSec": 30,
    },
    refers=frozenset({"edgeSecurityPolicy", "group", "healthChecks", "network", "securityPolicy"}),
    complete=_complete_backend_service,
)
BACKEND_BUCKETS = Kind(
    schema="BackendBucket",
    collection="backendBuckets",
    methods=("backendBuckets",),
    noun="backend bucket",
    required=("name", "bucketName"),
    refers=frozenset({"edgeSecurityPolicy"}),
)


def _complete_endpoint_group(call: Call, path: str, group: Json, before: Json | None) -> Json:
    targets = [name for name in ("appEngine", "cloudFunction", "cloudRun") if name in group]
    if group["networkEndpointType"] == "SERVERLESS" and len(targets) != 1:
        raise invalid_argument(
            "Invalid value for field 'resource': exactly one of cloudRun, cloudFunction and appEngine has to be given for SERVERLESS.",
            reason="invalid",
        )
    return group | {"size": 0}


ENDPOINT_GROUPS = Kind(
    schema="NetworkEndpointGroup",
    collection="networkEndpointGroups",
    methods=("networkEndpointGroups", "regionNetworkEndpointGroups", "globalNetworkEndpointGroups"),
    noun="network endpoint group",
    required=("name", "networkEndpointType"),
    refers=frozenset({"network", "subnetwork"}),
    complete=_complete_endpoint_group,
    operation_types={
        f"regionNetworkEndpointGroups.{verb}": f"compute.regionNetworkEndpointGroups.{verb}"
        for verb in ("insert", "delete")
    },
)

# ---------------------------------------------------------------- URL maps and proxies

URL_MAPS = Kind(
    schema="UrlMap",
    collection="urlMaps",
    methods=("urlMaps", "regionUrlMaps"),
    noun="URL map",
    refers=frozenset({"backendService", "defaultService", "errorService", "service"}),
    at_once=frozenset(f"urlMaps.{verb}" for verb in ("insert", "update", "delete")),
)
TARGET_HTTP_PROXIES = Kind(
    schema="TargetHttpProxy",
    collection="targetHttpProxies",
    methods=("targetHttpProxies", "regionTargetHttpProxies"),
    noun="target HTTP proxy",
    required=("name", "urlMap"),
    refers=frozenset({"urlMap"}),
    as_written=frozenset({"urlMap"}),
    setters=frozenset({"setUrlMap"}),
    at_once=frozenset(f"targetHttpProxies.{verb}" for verb in ("insert", "setUrlMap", "delete")),
)
TARGET_HTTPS_PROXIES = Kind(
    schema="TargetHttpsProxy",
    collection="targetHttpsProxies",
    methods=("targetHttpsProxies", "regionTargetHttpsProxies"),
    noun="target HTTPS proxy",
    required=("name", "urlMap"),
    defaults={"quicOverride": "NONE", "tlsEarlyData": "DISABLED"},
    refers=frozenset({"serverTlsPolicy", "sslCertificates", "sslPolicy", "urlMap"}),
    setters=frozenset(
        {"setCertificateMap", "setQuicOverride", "setSslCertificates", "setSslPolicy", "setUrlMap"}
    ),
)
TARGET_TCP_PROXIES = Kind(
    schema="TargetTcpProxy",
    collection="targetTcpProxies",
    methods=("targetTcpProxies", "regionTargetTcpProxies"),
    noun="target TCP proxy",
    required=("name", "service"),
    defaults={"proxyHeader": "NONE"},
    refers=frozenset({"service"}),
    as_written=frozenset({"service"}),
    setters=frozenset({"setBackendService", "setProxyHeader"}),
)

# ---------------------------------------------------------------- certificates and policies


def _complete_certificate(call: Call, path: str, certificate: Json, before: Json | None) -> Json:
    """The private key is never told again."""
    certificate.pop("privateKey", None)
    managed = certificate.get("managed")
    if managed is not None:
        if not managed.get("domains"):
            raise invalid_argument(
                "Required field 'resource.managed.domains' not specified", reason="required"
            )
        waiting = dict.fromkeys(managed["domains"], "PROVISIONING")
        return certificate | {
            "type": "MANAGED",
            "managed": managed | {"status": "PROVISIONING", "domainStatus": waiting},
        }
    text = (certificate.get("selfManaged") or {}).get("certificate") or certificate.get("certificate", "")
    try:
        found = x509.load_pem_x509_certificate(text.encode())
    except ValueError:
        raise invalid_argument(
            "Invalid value for field 'resource.certificate': the SSL certificate could not be parsed.",
            reason="invalid",
        ) from None
    return certificate | {
        "type": "SELF_MANAGED",
        "certificate": text,
        "selfManaged": {"certificate": text},
        "expireTime": clock.timestamp(found.not_valid_after_utc),
    }


SSL_CERTIFICATES = Kind(
    schema="SslCertificate",
    collection="sslCertificates",
    methods=("sslCertificates", "regionSslCertificates"),
    noun="SSL certificate",
    complete=_complete_certificate,
)

_RESTRICTED = tuple(
    f"TLS_ECDHE_{key}_WITH_{cipher}"
    for key in ("ECDSA", "RSA")
    for cipher in ("AES_128_GCM_SHA256", "AES_256_GCM_SHA384", "CHACHA20_POLY1305_SHA256")
)
_MODERN = (
    *_RESTRICTED,
    *(f"TLS_ECDHE_{key}_WITH_AES_{size}_CBC_SHA" for key in ("ECDSA", "RSA") for size in (128, 256)),
)
_COMPATIBLE = (
    *_MODERN,
    "TLS_RSA_WITH_3DES_EDE_CBC_SHA",
    *(
        f"TLS_RSA_WITH_AES_{cipher}"
        for cipher in ("128_CBC_SHA", "128_GCM_SHA256", "256_CBC_SHA", "256_GCM_SHA384")
    ),
)
_PROFILES = {"COMPATIBLE": _COMPATIBLE, "MODERN": _MODERN, "RESTRICTED": _RESTRICTED}


def _complete_ssl_policy(call: Call, path: str, policy: Json, before: Json | None) -> Json:
    features = _PROFILES.get(policy["profile"]) or tuple(policy.get("customFeatures", ()))
    return policy | {"enabledFeatures": sorted(features)}


SSL_POLICIES = Kind(
    schema="SslPolicy",
    collection="sslPolicies",
    methods=("sslPolicies", "regionSslPolicies"),
    noun="SSL policy",
    defaults={"minTlsVersion": "TLS_1_0", "profile": "COMPATIBLE"},
    complete=_complete_ssl_policy,
    operation_types={"patch": "compute.sslPolicies.patch"},
)


def _complete_security_policy(call: Call, path: str, policy: Json, before: Json | None) -> Json:
    everything = {"versionedExpr": "SRC_IPS_V1", "config": {"srcIpRanges": ["*"]}}
    rules = policy.get("rules") or [
        {"action": "allow", "description": "default rule", "match": everything, "priority": 2**31 - 1}
    ]
    filled = {"kind": "compute#securityPolicyRule", "description": "", "preview": False}
    return policy | {
        "rules": sorted((filled | rule for rule in rules), key=lambda rule: rule.get("priority", 0))
    }


SECURITY_POLICIES = Kind(
    schema="SecurityPolicy",
    collection="securityPolicies",
    methods=("securityPolicies", "regionSecurityPolicies"),
    noun="security policy",
    defaults={"type": "CLOUD_ARMOR"},
    complete=_complete_security_policy,
)

# ---------------------------------------------------------------- forwarding rules


def _complete_forwarding_rule(call: Call, path: str, rule: Json, before: Json | None) -> Json:
    _, project, _, place, *_ = path.split("/")
    ports = rule.get("portRange")
    if ports and "-" not in ports:
        rule["portRange"] = f"{ports}-{ports}"
    if rule.get("allowGlobalAccess") is False:
        del rule["allowGlobalAccess"]
    if not rule.get("loadBalancingScheme"):
        # What reaches Google's APIs or a service of somebody else has none.
        rule.pop("loadBalancingScheme", None)
    is_bundle = rule.get("target") in ("all-apis", "vpc-sc")
    if "target" in rule and "loadBalancingScheme" not in rule and not is_bundle:
        rule["loadBalancingScheme"] = "EXTERNAL"
    if is_bundle:
        rule.setdefault("pscConnectionId", str(int(rule["id"]) % 10**12))
        registration = {
            "namespace": f"goog-psc-{rule['network'].rpartition('/')[2]}-{rule['id']}",
            "serviceDirectoryRegion": "us-central1",
        }
        rule.setdefault("serviceDirectoryRegistrations", [registration])
    if label := rule.get("serviceLabel"):
        rule["serviceName"] = f"{label}.{rule['name']}.il4.{place}.lb.{project}.internal"
    rule.setdefault("IPAddress", external_address(call.context))
    return rule


def _forwarding_operation(verb: str, rule: Json) -> str:
    """Rules to Google's APIs have operations of their own (recorded: computeforwardingrule--globalcomputeforwardingrulepscgoogleapis-direct)."""
    own = {"insert": "createPSCServiceEndpoint", "delete": "deletePscForwardingRule"}
    return own.get(verb, "") if rule.get("target") in ("all-apis", "vpc-sc") else ""


FORWARDING_RULES = Kind(
    schema="ForwardingRule",
    collection="forwardingRules",
    methods=("forwardingRules", "globalForwardingRules"),
    noun="forwarding rule",
    defaults={"IPProtocol": "TCP", "networkTier": "PREMIUM"},
    refers=frozenset({"IPAddress", "backendService", "network", "subnetwork", "target"}),
    complete=_complete_forwarding_rule,
    setters=frozenset({"setTarget"}),
    operation_types={"setTarget": "SetTarget"},
    operation_type_of=_forwarding_operation,
    progress=100,
)

# ---------------------------------------------------------------- gateways and firewalls


def _complete_firewall(call: Call, path: str, firewall: Json, before: Json | None) -> Json:
    project = call.params["project"]
    firewall.setdefault("network", f"projects/{project}/global/networks/default")
    if firewall["direction"] == "INGRESS" and not {
        "sourceRanges",
        "sourceTags",
        "sourceServiceAccounts",
    } & set(firewall):
        firewall["sourceRanges"] = ["0.0.0.0/0"]
    return firewall


FIREWALLS = Kind(
    schema="Firewall",
    collection="firewalls",
    methods=("firewalls",),
    noun="firewall",
    defaults={
        "description": "",
        "direction": "INGRESS",
        "disabled": False,
        "logConfig": {"enable": False},
        "priority": 1000,
    },
    refers=frozenset({"network"}),
    complete=_complete_firewall,
)
TARGET_VPN_GATEWAYS = Kind(
    schema="TargetVpnGateway",
    collection="targetVpnGateways",
    methods=("targetVpnGateways",),
    noun="target VPN gateway",
    required=("name", "network"),
    defaults={"status": "READY"},
    refers=frozenset({"network"}),
    as_written=frozenset({"network"}),
    at_once=frozenset({"insert", "delete", "setLabels"}),
)

KINDS = (
    HEALTH_CHECKS,
    HTTP_HEALTH_CHECKS,
    BACKEND_SERVICES,
    BACKEND_BUCKETS,
    ENDPOINT_GROUPS,
    URL_MAPS,
    TARGET_HTTP_PROXIES,
    TARGET_HTTPS_PROXIES,
    TARGET_TCP_PROXIES,
    SSL_CERTIFICATES,
    SSL_POLICIES,
    SECURITY_POLICIES,
    FORWARDING_RULES,
    FIREWALLS,
    TARGET_VPN_GATEWAYS,
)
