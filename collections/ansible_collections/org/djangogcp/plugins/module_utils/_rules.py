# Copyright (c) 2026, The djangogcp contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE to the collection: this file may change in any release.

"""What Google Cloud accepts as a value, and how a message says that something else was given. Pure functions, no network.

Each rule names the page of cloud.google.com that it comes from. A rule refuses what Google would refuse later, after other
things have changed; it refuses nothing else.
"""

from __future__ import annotations

import difflib
import fractions
import ipaddress
import re
import typing as t
import unicodedata

#: The most characters of a value that a message shows.
_SHOWN = 100


class Rule(t.NamedTuple):
    """What a value must match: *test* of it, and *expected* in words. A secret is never shown.

    Of a dictionary with free keys, *entry* tests one key and its value, so that a message can name the wrong one.
    """

    expected: str
    test: t.Callable[[t.Any], bool]
    is_secret: bool = False
    entry: t.Callable[[t.Any, t.Any], bool] | None = None


def pattern(expected: str, regex: str, *, limit: int = 253) -> Rule:
    """A string that a regular expression matches as a whole; ``\\\\d`` and ``\\\\w`` mean ASCII."""
    compiled = re.compile(regex, re.ASCII)
    return Rule(
        expected,
        lambda value: (
            isinstance(value, str) and len(value) <= limit and compiled.fullmatch(value) is not None
        ),
    )


def between(low: int, high: int) -> Rule:
    """An integer; one in quotes is as good."""
    return Rule(
        f"an integer from {low} to {high}", lambda value: _is_whole(value) and low <= int(value) <= high
    )


def text(limit: int) -> Rule:
    """Any text of one or more lines that is not too long and that JSON, C and PostgreSQL can hold."""
    return Rule(
        f"a string of at most {limit} characters, without control characters",
        lambda value: isinstance(value, str) and len(value) <= limit and _CONTROL.search(value) is None,
    )


def _is_regular_expression(value: t.Any) -> bool:
    try:
        re.compile(value)
    except (re.error, TypeError):
        return False
    return True


def line(limit: int) -> Rule:
    """As `text`, on one line."""
    return Rule(
        f"one line of at most {limit} characters",
        lambda value: isinstance(value, str) and len(value) <= limit and value.isprintable(),
    )


def each_entry(
    expected: str, keys: t.Callable[[str], bool], values: t.Callable[[t.Any], bool], most: int
) -> Rule:
    """A dictionary, by its keys and values."""

    def entry(key: t.Any, item: t.Any) -> bool:
        return isinstance(key, str) and keys(key) and values(item)

    return Rule(
        expected,
        lambda value: (
            isinstance(value, t.Mapping)
            and len(value) <= most
            and all(entry(key, item) for key, item in value.items())
        ),
        entry=entry,
    )


def nearest(word: str, words: t.Iterable[str]) -> str | None:
    """The entry of *words* that *word* is most likely a misspelling of, or None."""
    return next(iter(difflib.get_close_matches(word[:_SHOWN], sorted(words), n=1, cutoff=0.6)), None)


def problem(
    name: str, value: t.Any, expected: str, suggestion: str | None = None, *, is_secret: bool = False
) -> str:
    """The sentences about a wrong value: what, where, what was expected, and the nearest right spelling."""
    what = f"{name} has a wrong value" if is_secret else f"{name} is {shown(value)}"
    return f"{what}: expected {expected}.{_did_you_mean(suggestion)}"


def unknown(name: str, expected: str, known: t.Iterable[str], prefix: str = "") -> str:
    """The sentences about a name that means nothing here."""
    suggestion = nearest(name, known)
    return f"{prefix}{one_line(name)} is unknown: expected {expected}.{_did_you_mean(suggestion and prefix + suggestion)}"


def shown(value: t.Any) -> str:
    """A value on one line and not too long."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    return f"'{one_line(value)}'" if isinstance(value, str) else one_line(str(value))


def one_line(value: str) -> str:
    """A string on one line and not too long."""
    start = "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode() for char in value[:_SHOWN]
    )
    return start if len(value) <= _SHOWN else f"{start}... ({len(value)} characters)"


def _did_you_mean(suggestion: str | None) -> str:
    return f" Did you mean {suggestion}?" if suggestion else ""


def _is_whole(value: t.Any) -> bool:
    return not isinstance(value, bool) and re.fullmatch(r"-?\d{1,18}", str(value), re.ASCII) is not None


def is_number(value: t.Any) -> bool:
    """Whether a value is a decimal number; one in quotes is as good."""
    return (
        not isinstance(value, bool)
        and re.fullmatch(r"-?\d{1,18}(\.\d{1,18})?", str(value), re.ASCII) is not None
    )


_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]")
_HALF_PAIR = re.compile("[\ud800-\udfff]")
_LABEL = r"[a-z]([a-z0-9-]*[a-z0-9])?"
_HOST = r"[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)+"


def _is_label(value: t.Any, *, is_key: bool) -> bool:
    if not isinstance(value, str) or len(value) > 63 or (is_key and not value):
        return False
    letters = all(char in "_-" or unicodedata.category(char) in ("Ll", "Lo", "Nd") for char in value)
    return letters and (not is_key or value[0].isalpha())


def _is_ip_address(value: t.Any) -> bool:
    # One with a zone (fe80::1%eth0) is in no URL.
    if not isinstance(value, str) or "%" in value:
        return False
    try:
        ipaddress.ip_address(value)
    except ValueError:
        return False
    return True


def _is_sql_name(value: t.Any, limit: int) -> bool:
    return (
        isinstance(value, str)
        and value.isprintable()
        and bool(value.strip())
        and len(value.encode("utf-8", "replace")) <= limit
    )


def _is_environment_value(value: t.Any) -> bool:
    if value is None or isinstance(value, t.Mapping | list | tuple):
        return False
    return len(str(value)) <= 32768 and "\0" not in str(value)


def is_environment_name(name: str) -> bool:
    """Run, "Configure environment variables", "Reserved environment variables"; the contract of a container."""
    return (
        re.fullmatch(r"[A-Za-z_][A-Za-z0-9_.-]*", name) is not None
        and name not in _RESERVED
        and not name.startswith(("X_GOOGLE_", "CLOUD_RUN_"))
    )


_RESERVED = frozenset({"PORT", "K_SERVICE", "K_REVISION", "K_CONFIGURATION"})

# ------------------------------------------------------------------ projects, places, labels

#: Resource Manager, "Creating and managing projects".
PROJECT_ID = pattern(
    "a project id: 6 to 30 lower case letters, digits and hyphens, beginning with a letter",
    r"[a-z][a-z0-9-]{4,28}[a-z0-9]",
)
#: As PROJECT_ID; also the number, and ids with a domain, which older projects have.
PROJECT = pattern(PROJECT_ID.expected, r"([a-z0-9.-]+:)?[a-z][a-z0-9-]{4,28}[a-z0-9]|\d{6,20}")
#: Run, "Cloud Run locations"; multi-regions such as europe have none of digits and hyphens.
LOCATION = pattern("a location such as europe-west1", r"[a-z]+(-[a-z0-9]+)*", limit=40)
#: Of a mark, which is in labels.
SITE = pattern(
    "the name of a site: lower case letters, digits and hyphens", r"[a-z][a-z0-9-]*[a-z0-9]", limit=63
)
PURPOSE = pattern("a word of lower case letters such as media", r"[a-z]+", limit=63)
#: As messages name it.
ADOPTED = pattern(
    "a resource by the name that messages give it, such as bucket my-uploads or SQL instance company-db",
    r"(address|bucket|firewall rule|instance|job|network|repository|router|secret|service|service account|SQL database|SQL instance"
    r"|subnetwork|worker pool) [A-Za-z0-9][\w.@-]*",
)
OPTION_NAME = pattern("the name of an option, with dots for nested ones", r"[a-z]\w*(\.[a-z]\w*)*")
RESOURCE_NAME = pattern("the name of a resource", r"[A-Za-z0-9][\w.@-]*")
#: Resource Manager, "Requirements for labels".
LABELS = each_entry(
    "at most 64 labels: keys of at most 63 lower case letters, digits, hyphens and underscores that begin with a letter, and values"
    " of the same characters, in quotes where they look like a number",
    lambda key: _is_label(key, is_key=True),
    lambda value: _is_label(value, is_key=False),
    64,
)
#: Secret Manager, "Add annotations", and Run's of Knative: any text by a name of one line.
ANNOTATIONS = each_entry(
    "texts by names of at most 127 characters",
    lambda key: re.fullmatch(r"[A-Za-z0-9]([A-Za-z0-9./_-]{0,125}[A-Za-z0-9])?", key) is not None,
    lambda value: isinstance(value, str) and len(value) <= 16384,
    100,
)
#: Service Usage, "Enabling and disabling services".
API = pattern("the name of an API such as run.googleapis.com", _HOST)
HOST = pattern("a host name such as www.example.com", _HOST)
WAIT_SECONDS = between(0, 1_000_000)

# ------------------------------------------------------------------ IAM

#: IAM, "Create service accounts".
SERVICE_ACCOUNT_ID = pattern(
    "6 to 30 lower case letters, digits and hyphens, beginning with a letter", r"[a-z][a-z0-9-]{4,28}[a-z0-9]"
)
_SERVICE_ACCOUNT = r"[a-z0-9][a-z0-9.-]*@[a-z0-9][a-z0-9.:-]*\.gserviceaccount\.com"
SERVICE_ACCOUNT = pattern("the e-mail address of a service account", _SERVICE_ACCOUNT)
#: gcloud, "auth/impersonate_service_account": the last one acts, and each is reached through the one before it.
SERVICE_ACCOUNTS = pattern(
    f"{SERVICE_ACCOUNT.expected}, or several with commas between them",
    f"{_SERVICE_ACCOUNT}(,{_SERVICE_ACCOUNT})*",
    limit=2000,
)
#: Of a machine: the address of its account, or the word for it in the metadata server's paths.
METADATA_ACCOUNT = pattern(
    f"{SERVICE_ACCOUNT.expected}, or default", r"default|[a-z0-9][a-z0-9.-]*@[a-z0-9][a-z0-9.:-]*", limit=253
)
ACCESS_TOKEN = Rule(
    "an access token, which has no spaces and letters of ASCII only",
    lambda value: re.fullmatch(r"[\x21-\x7e]{1,16384}", value) is not None,
    is_secret=True,
)
SCOPE = pattern(
    "a scope of OAuth such as https://www.googleapis.com/auth/cloud-platform", r"[A-Za-z0-9:/._-]+"
)
#: IAM, "Understanding roles".
ROLE = pattern(
    "a role such as roles/run.invoker or projects/PROJECT/roles/ROLE",
    r"((projects|organizations)/[a-z0-9.:-]+/)?roles/[A-Za-z0-9_.]+",
)
#: IAM, "Principal identifiers"; of GKE: "Workload Identity Federation for GKE", serviceAccount:PROJECT.svc.id.goog[NAMESPACE/ACCOUNT].
MEMBER = pattern(
    "a member such as user:you@example.com, serviceAccount:EMAIL, group:EMAIL, domain:DOMAIN or allUsers",
    r"allUsers|allAuthenticatedUsers|(user|serviceAccount|group):[^\s@:]+@[^\s@]+|domain:[^\s@:]+"
    r"|serviceAccount:[a-z0-9.:-]+\.svc\.id\.goog\[[a-z0-9-]+/[a-z0-9.-]+\]"
    r"|project(Owner|Editor|Viewer):[a-z0-9.:-]+|principal(Set|Hierarchy)?://[^\s]+|deleted:[^\s]+",
    limit=1000,
)
RESOURCE_NAME = pattern("the name of a resource", r"[A-Za-z0-9][A-Za-z0-9._@:-]*", limit=255)
#: RFC 4253, 6.6, as OpenSSH writes it: the type, the key in Base64, a comment.
SSH_PUBLIC_KEY = pattern(
    "an SSH public key such as ssh-ed25519 AAAA...",
    r"[a-z][a-z0-9@.-]* AAAA[A-Za-z0-9+/]+={0,2}( [^\x00-\x1f\x7f]*)?\n?",
    limit=16384,
)
ACCOUNT = pattern("the e-mail address of a user or service account", r"[^\s@:/]+@[A-Za-z0-9][A-Za-z0-9.:-]*")
#: From a minute to a year; OS Login sets no bounds.
KEY_SECONDS = between(60, 31_536_000)
# orgpolicy:v2, projects.policies: without "constraints/"; custom ones begin with custom.
#: Compute Engine, "Naming resources": a label.
_NETWORK_NAME = r"[a-z]([-a-z0-9]{0,61}[a-z0-9])?"
NETWORK = pattern(
    "the name of a network, or projects/PROJECT/global/networks/NETWORK",
    rf"(projects/[a-z0-9.:-]+/global/networks/)?{_NETWORK_NAME}",
    limit=200,
)
SUBNETWORK = pattern(
    "the name of a subnetwork, or projects/PROJECT/regions/REGION/subnetworks/SUBNETWORK",
    rf"(projects/[a-z0-9.:-]+/regions/[a-z0-9-]+/subnetworks/)?{_NETWORK_NAME}",
    limit=200,
)
NETWORK_NAME = ROUTER = FIREWALL = ADDRESS = NAT = pattern(
    "1 to 63 lower case letters, digits and hyphens, beginning with a letter", _NETWORK_NAME, limit=63
)
ADDRESS_PATH = pattern(
    "projects/PROJECT/regions/REGION/addresses/ADDRESS",
    rf"projects/[a-z0-9.:-]+/regions/[a-z0-9-]+/addresses/{_NETWORK_NAME}",
    limit=200,
)
#: https://cloud.google.com/compute/docs/reference/rest/v1/instances, initializeParams.
BOOT_IMAGE = pattern(
    "projects/PROJECT/global/images/IMAGE, or projects/PROJECT/global/images/family/FAMILY",
    rf"projects/[a-z0-9.:-]+/global/images/(family/)?{_NETWORK_NAME}",
    limit=200,
)
BOOT_DISK_GB = between(10, 65536)
#: A file where Ansible runs, as it stands in an argument of ssh: nothing that a shell takes for something else.
FILE = pattern(
    "a file, by a path of letters, digits and . _ @ + -",
    r"(?!(.*/)?\.\.(/|$))~?/?[A-Za-z0-9._@+-]+(/[A-Za-z0-9._@+-]+)*",
    limit=1000,
)
REGION = pattern("a region such as europe-west1", r"[a-z]+-[a-z]+\d+", limit=40)
SUBNETWORK_PATH = pattern(
    "projects/PROJECT/regions/REGION/subnetworks/SUBNETWORK",
    rf"projects/[a-z0-9.:-]+/regions/[a-z0-9-]+/subnetworks/{_NETWORK_NAME}",
    limit=200,
)
ZONE = pattern("a zone such as europe-west1-b", r"[a-z]+-[a-z]+\d+-[a-z]", limit=40)
INSTANCE = NETWORK_NAME
INSTANCE_MACHINE_TYPE = pattern("a machine type such as e2-small", r"[a-z]\d?[a-z0-9-]*", limit=63)
DISK_TYPE = pattern("a type of disk such as pd-balanced", r"[a-z]+(-[a-z]+)+", limit=63)
DISK_IMAGE = pattern(
    "projects/PROJECT/global/images/IMAGE, or .../images/family/FAMILY",
    rf"projects/[a-z0-9.:-]+/global/images/(family/)?{_NETWORK_NAME}",
    limit=200,
)
INSTANCE_SCOPE = pattern(
    "a scope such as https://www.googleapis.com/auth/cloud-platform",
    r"https://www\.googleapis\.com/auth/[a-z]+([._-][a-z]+)*",
    limit=200,
)
EXTERNAL_ADDRESS = pattern("an IPv4 address, or ephemeral", r"ephemeral|(\d{1,3}\.){3}\d{1,3}", limit=20)
#: https://cloud.google.com/compute/docs/metadata/setting-custom-metadata#limitations
METADATA = each_entry(
    "texts of at most 262144 bytes by keys of letters, digits, hyphens and underscores",
    lambda key: re.fullmatch(r"[A-Za-z0-9_-]{1,128}", key) is not None,
    lambda value: isinstance(value, str) and len(value) <= 262144,
    1000,
)
NETWORK_TAG = pattern(
    "a network tag: 1 to 63 lower case letters, digits and hyphens", _NETWORK_NAME, limit=63
)
FIREWALL_PRIORITY = between(0, 65535)
IP_PROTOCOL = pattern("tcp, udp, icmp, esp, ah, sctp, ipip, all or a number", r"[a-z]+|\d{1,3}", limit=4)
PORTS = pattern("a port such as 443, or a range such as 8000-8080", r"\d{1,5}(-\d{1,5})?", limit=11)
NAT_PORTS = between(2, 65536)
CONSTRAINT = pattern(
    "a constraint such as gcp.resourceLocations", r"[A-Za-z][A-Za-z0-9]*(\.[A-Za-z0-9]+)+", limit=200
)
PERMISSION = pattern("a permission such as run.services.get", r"[a-z][a-zA-Z0-9]*(\.[a-zA-Z0-9]+){2,4}")

# ------------------------------------------------------------------ Secret Manager, Cloud Storage, Artifact Registry, Cloud Build

#: Secret Manager, "Create a secret".
SECRET_ID = pattern("1 to 255 letters, digits, hyphens and underscores", r"[A-Za-z0-9_-]{1,255}", limit=255)
SECRET_IDS = each_entry(
    "names of secrets by keys of the template",
    lambda key: re.fullmatch(r"\w{1,100}", key) is not None,
    SECRET_ID.test,
    100,
)
SECRET_VERSIONS = each_entry(
    "numbers of versions by names of secrets",
    SECRET_ID.test,
    lambda value: re.fullmatch(r"[1-9]\d{0,17}", str(value)) is not None,
    100,
)
#: Secret Manager, "Quotas and limits": 64 KiB.
SECRET_VALUE = Rule(
    "a string of at most 65536 bytes of UTF-8",
    lambda value: _HALF_PAIR.search(value) is None and len(value.encode()) <= 65536,
    is_secret=True,
)
ALPHABET = Rule(
    "at least two different characters",
    lambda value: len(set(value)) > 1 and _HALF_PAIR.search(value) is None,
)
#: Storage, "About Cloud Storage buckets", "Bucket names".
BUCKET = pattern(
    "3 to 63 lower case letters, digits, hyphens, underscores and dots, beginning and ending with a letter or digit, and neither"
    " an IP address nor with google in it",
    r"(?!goog)(?!.*g(oo|00)gle)(?!.*(\.\.|-\.|\.-))(?!\d+\.\d+\.\d+\.\d+$)[a-z0-9][a-z0-9._-]{1,61}[a-z0-9]",
)
#: Storage, "Bucket locations"; they are told in upper case.
BUCKET_LOCATION = pattern("a location such as europe-west1 or EU", r"[A-Za-z]+(-[A-Za-z0-9]+)*", limit=40)
#: Storage, "Soft delete".
SOFT_DELETE_SECONDS = Rule(
    "0, or 604800 (7 days) to 7776000 (90 days)", lambda value: value == 0 or 604800 <= value <= 7776000
)
#: Storage, "About Cloud Storage objects", "Object names", of which this is what needs no quotes anywhere.
OBJECT = pattern("a name of letters, digits, ., _, - and /", r"[A-Za-z0-9_][A-Za-z0-9._/-]*", limit=200)
GENERATION = pattern("the generation of an object, a number in quotes", r"[0-9]{1,19}")
DIGEST = pattern("a digest in hexadecimal", r"[0-9a-f]{8,128}")
LOCK_SECONDS = between(1, 1_000_000)
DAYS = between(0, 36500)
CACHE_SECONDS = between(0, 2**31 - 1)
DATE = pattern("a date such as 2026-12-31", r"\d{4}-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])")
HTTP_METHOD = pattern("an HTTP method in capitals, or *", r"\*|[A-Z]{3,7}")
#: Artifact Registry, "Create standard repositories".
REPOSITORY = pattern(
    "at most 63 lower case letters, digits and hyphens, beginning with a letter and not ending with a hyphen",
    _LABEL,
    limit=63,
)
#: Artifact Registry, "Repository and image names".
IMAGE_NAME = pattern(
    "LOCATION-docker.pkg.dev/PROJECT/REPOSITORY/NAME without tag and digest",
    r"[a-z0-9-]+-docker\.pkg\.dev/[a-z0-9.:-]+/[a-z0-9-]+/[a-z0-9]+([._/-]+[a-z0-9]+)*",
    limit=400,
)
#: Run, "Deploying container images".
IMAGE = pattern(
    "the address of an image",
    r"[a-z0-9][a-z0-9.-]*(:\d+)?(/[a-z0-9._-]+)+(:[\w.-]{1,128})?(@sha256:[0-9a-f]{64})?",
    limit=600,
)
#: Build, "Build configuration file schema", "timeout".
BUILD_SECONDS = between(1, 86400)
#: A part of a tag, which has at most 128 characters (distribution/reference).
REBUILD = pattern("1 to 64 letters, digits, ., _ and -", r"[A-Za-z0-9_.-]{1,64}", limit=64)
MACHINE_TYPE = pattern("a machine type of Cloud Build such as E2_HIGHCPU_8", r"[A-Z][A-Z0-9_]+")
#: Debian policy manual, "Package", with what apt-get(8) takes behind it. A name that ends with a hyphen would be removed.
DEBIAN_PACKAGE = pattern(
    "the name of a package of Debian such as libpq5, or NAME=VERSION",
    r"[a-z0-9][a-z0-9+.-]*[a-z0-9+](=[A-Za-z0-9.+:~-]+)?",
)
BUILD_ID = pattern("the id of a build", r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")

# ------------------------------------------------------------------ Cloud Run

#: Run, "Deploying container images"; "Create jobs".
SERVICE = pattern(
    "at most 49 lower case letters, digits and hyphens, beginning with a letter and not ending with a hyphen",
    _LABEL,
    limit=49,
)
JOB = WORKER_POOL = SERVICE
SETTLE_SECONDS = between(0, 600)
REVISION = pattern(
    "at most 63 lower case letters, digits and hyphens, beginning with a letter and not ending with a hyphen",
    _LABEL,
    limit=63,
)
#: Run, "Rollbacks, gradual rollouts": together with the service's name it is a DNS label.
TAG = pattern(
    "at most 46 lower case letters, digits and hyphens, beginning with a letter and not ending with a hyphen",
    _LABEL,
    limit=46,
)
ENVIRONMENT_NAME = Rule(
    "a name of letters, digits, _, . and - that does not begin with a digit, and none that Cloud Run sets itself (PORT, K_*,"
    " CLOUD_RUN_*, X_GOOGLE_*)",
    lambda value: isinstance(value, str) and is_environment_name(value),
)
ENVIRONMENT_VALUE = Rule("a string of at most 32768 characters", _is_environment_value)
ENVIRONMENT = each_entry(
    "texts, numbers or booleans of at most 32768 characters by " + ENVIRONMENT_NAME.expected,
    is_environment_name,
    _is_environment_value,
    1000,
)
#: The names of files in a volume: Kubernetes, KeyToPath ("may not start with the string '..'").
_FILE_PATH = re.compile(r"(/(?!\.(\.|/|\Z))[A-Za-z0-9._-]{1,255}){2,}", re.ASCII)


def is_site_secret(value: t.Any) -> bool:
    """The name of a secret, alone or with the path of the file that holds it."""
    if not isinstance(value, t.Mapping):
        return isinstance(value, str) and SECRET_ID.test(value)
    name, path = value.get("name"), value.get("path")
    if value.keys() != {"name", "path"} or not isinstance(name, str) or not isinstance(path, str):
        return False
    return SECRET_ID.test(name) and len(path) <= 1024 and _FILE_PATH.fullmatch(path) is not None


#: What a site asks for of secrets that it does not make.
SITE_SECRETS = each_entry(
    "names of secrets of Secret Manager, or {name: NAME, path: /FOLDER/FILE} with an absolute path of letters, digits, ., _ and -, by "
    + ENVIRONMENT_NAME.expected,
    is_environment_name,
    is_site_secret,
    100,
)
#: Run, "Build environment variables"; buildpacks have names of their own.
BUILD_VARIABLES = each_entry(
    "texts of at most 32768 characters by names of variables",
    lambda key: re.fullmatch(r"[A-Za-z_][A-Za-z0-9_.-]*", key) is not None,
    lambda value: isinstance(value, str) and _is_environment_value(value),
    1000,
)
NOTHING = Rule("{}", lambda value: value == {})
#: Run, "Configure CPU limits".
CPU = pattern(
    "1, 2, 4, 6, 8 or a part of one from 0.08 on such as 0.5",
    r"[12468]|[12468]000m|0?\.(0[89]|[1-9]\d?|[1-9])|1\.0|([89]\d|\d{3})m",
)
#: Run, "Configure memory limits": 128 MiB to 32 GiB.
MEMORY = Rule(
    "a size from 128Mi to 32Gi such as 512Mi or 2Gi",
    lambda value: 128 * 2**20 <= memory_bytes(value) <= 32 * 2**30,
)
LIMITS = Rule(
    f"cpu ({CPU.expected}) and memory ({MEMORY.expected})",
    lambda value: (
        set(value) <= {"cpu", "memory", "nvidia.com/gpu"}
        and ("cpu" not in value or CPU.test(str(value["cpu"])))
        and ("memory" not in value or MEMORY.test(value["memory"]))
    ),
)
#: Run, "Set request timeout"; "Set task timeout".
REQUEST_TIMEOUT = Rule("seconds such as 300s, from 1s to 3600s", lambda value: 1 <= _seconds(value) <= 3600)
TASK_TIMEOUT = Rule("seconds such as 600s, from 1s to 604800s", lambda value: 1 <= _seconds(value) <= 604800)
REQUEST_SECONDS = between(1, 3600)
TASK_SECONDS = between(1, 604800)
CONCURRENCY = between(1, 1000)
INSTANCES = between(0, 10000)
PORT = between(1, 65535)
PERCENT = between(0, 100)
#: All the traffic is for nobody who is tried out with a part of it.
CANARY_PERCENT = between(0, 99)
CANARY_SECONDS = between(1, 86400)
#: The largest page of Cloud Logging (entries.list, pageSize), of which one is read.
CANARY_REQUESTS = between(1, 1000)
MILLISECONDS = between(0, 3_600_000)
RATIO = Rule("a number from 0 to 1", lambda value: is_number(value) and 0 <= float(value) <= 1)
#: Run, "Configure secrets": bits of a file's mode.
FILE_MODE = Rule(
    "the bits of a file mode as an integer, 0 to 511; 0444 without quotes is one",
    lambda value: _is_whole(value) and str(int(value)) == str(value) and 0 <= int(value) <= 0o777,
)
PROBE_SECONDS = between(1, 3600)
COUNT = between(0, 10000)
#: http is what a site on this machine speaks.
SITE_URL = pattern(
    "an address that begins with https://", r"https?://[^\s\x00-\x1f\x7f-\U0010ffff]+", limit=2048
)
#: RFC 9110, "Field Names" and "Field Values". Host is the address's own.
HTTP_HEADERS = each_entry(
    "values on one line, of visible ASCII characters and with no space at either end, by names of headers other than Host",
    lambda key: re.fullmatch(r"(?!(?i:host)\Z)[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}", key) is not None,
    lambda value: (
        isinstance(value, str)
        and len(value) <= 8192
        and re.fullmatch(r"([\x21-\x7e]([\x20-\x7e\t]*[\x21-\x7e])?)?", value) is not None
    ),
    100,
)
IP_ADDRESS = Rule("an IP address such as 203.0.113.5", _is_ip_address)
HTTP_PATH = pattern("a path that begins with /", r"/[^\s]*", limit=2048)
MOUNT_PATH = pattern("an absolute path without a colon", r"/[^:\x00\s]+", limit=1024)
SECRET_VERSION = pattern("a version number, an alias or latest", r"[1-9]\d{0,17}|[A-Za-z][\w-]{0,62}")
#: What Python's re takes.
REGULAR_EXPRESSION = Rule("a regular expression", _is_regular_expression)
ARGUMENT = Rule(
    "a string without a NUL character",
    lambda value: isinstance(value, str) and "\0" not in value and len(value) <= 131072,
)
#: SQL, "Connect from Cloud Run".
CONNECTION = pattern(
    "PROJECT:REGION:INSTANCE", r"([a-z0-9.-]+:)?[a-z][a-z0-9-]+:[a-z]+-[a-z]+\d+:[a-z][a-z0-9-]*"
)

# ------------------------------------------------------------------ Cloud SQL

#: SQL, "Instance settings", "Instance ID": together with the project's id it has at most 98 characters.
SQL_INSTANCE = pattern(
    "at most 91 lower case letters, digits and hyphens, beginning with a letter and not ending with a hyphen",
    _LABEL,
    limit=91,
)
#: SQL, "Create a read replica"; it is told with its project.
SQL_PRIMARY = pattern("the name of an instance, or PROJECT:INSTANCE", rf"([a-z0-9.:-]+:)?{_LABEL}", limit=160)
#: PostgreSQL, "Identifiers and Key Words": 63 bytes.
SQL_DATABASE = Rule(
    "a name of at most 63 bytes without control characters", lambda value: _is_sql_name(value, 63)
)
SQL_USER = Rule(
    "a name of at most 63 bytes without control characters, or an e-mail address",
    lambda value: _is_sql_name(value, 255 if "@" in str(value) else 63),
)
#: SQL, "Database versions".
SQL_VERSION = pattern(
    "a version of PostgreSQL or MySQL such as POSTGRES_17 or MYSQL_8_4",
    r"POSTGRES_(9_6|1\d|[2-9]\d)|MYSQL_\d{1,2}_\d{1,2}(_\d{1,3})?",
)
#: SQL, "Machine series overview".
SQL_TIER = pattern(
    "a machine such as db-f1-micro, db-custom-2-7680 or db-perf-optimized-N-2",
    r"db-(f1-micro|g1-small|custom-\d{1,3}-\d{1,7}|[a-z0-9]+-[a-z]+(-[A-Z])?-\d{1,3})",
)
#: SQL, "Configure database flags".
SQL_FLAGS = each_entry(
    "texts, numbers or booleans by names of flags such as max_connections",
    lambda key: re.fullmatch(r"[a-z][a-z0-9_.]{0,99}", key) is not None,
    lambda value: (
        value is not None
        and not isinstance(value, (t.Mapping, list))
        and len(str(value)) <= 1000
        and _CONTROL.search(str(value)) is None
    ),
    200,
)
#: SQL, "Instance settings", "Storage capacity".
#: MySQL, "Specifying Account Names": an address, a network, a name, with % for any text.
SQL_HOST = pattern(
    "a host of MySQL such as 10.0.0.5 or %",
    r"(%|[A-Za-z0-9_-]+%?)(\.(%|[A-Za-z0-9_-]+%?))*(/\d{1,3}(\.\d{1,3}){3})?|[0-9a-fA-F]*:[0-9a-fA-F:.]*",
    limit=255,
)
#: google.protobuf.Duration in JSON.
DURATION = pattern("seconds such as 2592000s", r"\d{1,12}s")
DISK_GB = between(10, 65536)
TIME_OF_DAY = pattern("a time such as 03:00, in quotes", r"([01]\d|2[0-3]):[0-5]\d")
RETAINED_BACKUPS = between(1, 365)
#: sqladmin v1, BackupRun.id (int64).
BACKUP_ID = pattern("the id of a backup, a number in quotes", r"[1-9]\d{0,18}")
LOG_DAYS = between(1, 35)
#: https://cloud.google.com/logging/quotas: "Length of a Logging query language query".
LOG_FILTER = Rule(
    "a query of Cloud Logging of 1 to 20000 characters",
    lambda value: isinstance(value, str) and value.strip() != "" and text(20000).test(value),
)
WEEKDAY = between(1, 7)
HOUR = between(0, 23)
NETWORK_RANGE = pattern(
    "an IP address or range in CIDR notation such as 203.0.113.0/24", r"[0-9a-fA-F.:]+(/\d{1,3})?", limit=50
)
#: PostgreSQL, "Character Set Support"; "Collation Support".
CHARSET = pattern("a character set such as UTF8", r"[A-Za-z0-9_]+", limit=63)
COLLATION = pattern("a collation such as en_US.UTF8", r"[\w.@-]+", limit=63)

_UNITS = {"": 1, "k": 10**3, "K": 10**3, "M": 10**6, "G": 10**9, "Ki": 2**10, "Mi": 2**20, "Gi": 2**30}


def quantity(value: t.Any) -> str:
    """The one form that equal quantities share: "1" of "1000m", "536870912" of "512Mi". What is no quantity stays as it is.

    Source: https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/quantity/
    """
    found = re.fullmatch(r"(\d{0,12}(?:\.\d{1,6})?)(m|[kKMG]i?|)", str(value), re.ASCII)
    if not found or not found.group(1) or found.group(2) not in {"m", *_UNITS}:
        return str(value)
    unit = fractions.Fraction(1, 1000) if found.group(2) == "m" else _UNITS[found.group(2)]
    return str(fractions.Fraction(found.group(1)) * unit)


def duration(value: t.Any) -> str:
    """The one form that equal durations share: "3s" of "3.0s" and "3.000s". What is no duration stays as it is.

    Source: https://protobuf.dev/programming-guides/json/ (Duration): any number of fractional digits is taken, and 0, 3, 6 or 9 are told.
    """
    found = re.fullmatch(r"(\d{1,12})(?:\.(\d{1,9}))?s", str(value), re.ASCII)
    if not found:
        return str(value)
    fraction = (found.group(2) or "").rstrip("0")
    return f"{int(found.group(1))}{'.' if fraction else ''}{fraction}s"


def memory_bytes(value: t.Any) -> float:
    """The bytes of a size such as 512Mi; -1 if it is none."""
    found = (
        re.fullmatch(r"(\d{1,12}(?:\.\d{1,6})?)([kKMG]i?|)", value, re.ASCII)
        if isinstance(value, str)
        else None
    )
    return float(found.group(1)) * _UNITS[found.group(2)] if found and found.group(2) in _UNITS else -1


def is_as_new(have: str, wanted: str) -> bool:
    """Whether a database version such as POSTGRES_17 is another one or a later one of the same product and edition."""
    (product, release), (wanted_product, wanted_release) = _version(have), _version(wanted)
    return product == wanted_product and release >= wanted_release


def _version(value: str) -> tuple[list[str], list[int]]:
    words = value.split("_")
    return [word for word in words if not word.isdecimal()], [int(word) for word in words if word.isdecimal()]


def _seconds(value: t.Any) -> float:
    """The seconds of a duration in Google's JSON; -1 if it is none."""
    found = re.fullmatch(r"(\d{1,9}(?:\.\d{1,9})?)s", value, re.ASCII) if isinstance(value, str) else None
    return float(found.group(1)) if found else -1
