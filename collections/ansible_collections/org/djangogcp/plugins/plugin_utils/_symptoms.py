# Copyright (c) 2026, The djangogcp contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE to the collection: this file may change in any release.

"""What a message or the end of a log says is wrong: a table from what is printed to the cause, the cure and the heading of a page.

Sources of what others print: Django's exceptions and its ``django.core.handlers``; psycopg and libpq ("SQLSTATE", PostgreSQL's message catalogue);
PyMySQL and mysqlclient; pip; Cloud Run's conditions (https://cloud.google.com/run/docs/troubleshooting); Cloud SQL's connectors
(https://cloud.google.com/sql/docs/postgres/debugging-connectivity). What this collection prints is held to the table by a test.
"""

from __future__ import annotations

import re
import typing as t

PAGE = "https://github.com/djangogcp/djangogcp/blob/main/docs/when-it-goes-wrong.md"
_DEPLOY = "ansible-playbook deploy.yml --limit {host}"
_AGAIN = f"Run again: {_DEPLOY}"


class Symptom(t.NamedTuple):
    """A row.

    Attributes:
        page: the heading of the page, as its address has it.
        pattern: what is printed. The group ``what`` names what it is about.
        cause: why, in a sentence. ``{what}``, ``{site}``, ``{host}``, ``{project}``, ``{region}`` and ``{instance}`` are filled in.
        cure: the one command, or the one setting.
    """

    page: str
    pattern: re.Pattern[str]
    cause: str
    cure: str


def _row(page: str, pattern: str, cause: str, cure: str) -> Symptom:
    return Symptom(page, re.compile(pattern), cause, cure)


#: What stands in messages and in logs. The first row that matches counts: what is special comes before what is general.
PRINTED: tuple[Symptom, ...] = (
    # The project's own code, in the words of Python, Django and the database.
    _row(
        "no-instance-would-start",
        r"no instance of the new image would start",
        "The page that says when an instance can serve fails in the new image.",
        f"Mend what the message tells, or set djangogcp_startup_path to a page that answers, and deploy again: {_DEPLOY}",
    ),
    _row(
        "a-package-of-debian-is-missing",
        r"(?P<what>[\w.+-]+\.so[\w.]*): cannot open shared object file|The image lacks|Could not find the (?P<gdal>GDAL) library",
        "The image lacks a package of Debian ({what}).",
        "Name it in djangogcp_system_packages and deploy again.",
    ),
    _row(
        "a-module-of-python-is-missing",
        r"(?:ModuleNotFoundError|ImportError): No module named '?(?P<what>[\w.]+)",
        "The image has no module {what}: no requirement installs it, or the name is wrong.",
        "Add its package to the requirements of the project and deploy again.",
    ),
    _row(
        "a-host-is-not-allowed",
        r"DisallowedHost|Invalid HTTP_HOST header: '(?P<what>[^']+)'|400 is what Django answers",
        "Django does not accept the host that it is asked with ({what}).",
        "Add the host to djangogcp_domains, or let the settings read ALLOWED_HOSTS of the environment, and deploy again.",
    ),
    _row(
        "a-form-is-refused",
        r"CSRF verification failed|Origin checking failed - (?P<what>\S+)|refuses \(403\)|CSRF_TRUSTED_ORIGINS",
        "Django refuses forms, because it does not know the address that they are sent from ({what}).",
        "Add the host to djangogcp_domains, or let the settings read CSRF_TRUSTED_ORIGINS of the environment, and deploy again.",
    ),
    _row(
        "a-static-file-is-missing",
        r"Missing staticfiles manifest entry for '(?P<what>[^']+)'|links the style sheet",
        "A page names a static file that collectstatic did not find ({what}).",
        "Add the file, or correct its name in the template or style sheet, and deploy again.",
    ),
    _row(
        "too-many-connections",
        r"remaining connection slots|too many (?:connections|clients)|The connections to the database instance",
        "The database has no connection left.",
        "Lower djangogcp_max_instances or djangogcp_threads, or raise djangogcp_database_tier, and deploy again.",
    ),
    _row(
        "the-database-refuses-the-password",
        r"password authentication failed for user \"?(?P<what>[\w.@-]+)|Access denied for user '?(?P<mysql>[\w.@-]+)",
        "The database does not take the password of {what}: somebody has changed it, or the user is gone.",
        _AGAIN,
    ),
    _row(
        "a-migration-may-not-run",
        r"permission denied to create extension \"(?P<what>[^\"]+)\"|SUPER privilege and binary logging is enabled",
        "The user that migrates may not do what the migration asks for ({what}).",
        "Add the extension to djangogcp_database_extensions (MySQL: log_bin_trust_function_creators to djangogcp_database_flags) and deploy again.",
    ),
    _row(
        "a-migration-is-destructive",
        r"migrations of this release are destructive|\"refused\": true",
        "A migration drops, renames, rewrites or tightens what the code that serves may use.",
        f"Release code that does without it first; to migrate now: {_DEPLOY} -e djangogcp_allow_destructive_migrations=true",
    ),
    _row(
        "a-table-is-in-use",
        r"LockNotAvailable|canceling statement due to (?:lock|statement) timeout|Lock wait timeout exceeded|seconds for the table",
        "A migration waited too long for a table that somebody uses.",
        f"End what uses it (the message names it), and run again: {_DEPLOY}",
    ),
    _row(
        "a-migration-has-failed",
        r"Applying (?P<what>[\w.]+)\.\.\.(?! *(?:OK|FAKED))",
        "The migration {what} did not come to its end.",
        "Fix it and deploy again; what it did to the database before is still there unless it ran in a transaction.",
    ),
    _row(
        "the-database-is-behind-the-code",
        r"(?:relation|column) \"?(?P<what>[\w.]+)\"? does not exist|no such (?:table|column): (?P<sqlite>[\w.]+)"
        r"|Table '(?P<mysql>[^']+)' doesn't exist|Unknown column '(?P<column>[^']+)'|Undefined(?:Table|Column)",
        "The code asks for {what}, which the database does not have: a migration is missing, or was not committed.",
        "Run manage.py makemigrations, commit what it makes, and deploy again.",
    ),
    _row(
        "settings-are-not-complete",
        r"ImproperlyConfigured: (?P<what>[^\n]+)|KeyError: '(?P<key>[A-Z][A-Z0-9_]+)'|UndefinedValueError: (?P<decouple>\w+)",
        "Django's settings are not complete: {what}",
        "Give the variable with djangogcp_environment, or djangogcp_secrets if it is secret, and deploy again.",
    ),
    _row(
        "the-database-does-not-answer",
        r"Cloud SQL (?:connection|instance) .*(?:failed|not running|stopped)|could not connect to server|connection to server .* failed"
        r"|OperationalError.*(?:onnect|No such file)|Can't connect to .*MySQL|:3307 failed|the database system is (?:starting|shutting)"
        r"|server closed the connection|(?:instance|it) is (?:stopped|not running)",
        "The database does not answer.",
        "gcloud sql instances describe {instance} --project={project} --format='value(state,settings.activationPolicy)'",
    ),
    # What Cloud Run, Cloud Build and Secret Manager say of what they start.
    _row(
        "a-secret-cannot-be-read",
        r"[Pp]ermission denied on secret:? '?(?P<what>[\w/.-]+)"
        r"|[Ss]ecret (?:Version )?\[?'?(?P<version>[\w/.-]+)\]?'? (?:was not found|is in (?:DISABLED|DESTROYED) state)"
        r"|secret (?P<own>\S+) (?:\(djangogcp_secrets\)|in project \S+ (?:has|does)|is adopted)|SECRETS_ACCESS_CHECK_FAILED|There is no secret",
        "A secret cannot be read ({what}): its version is disabled or gone, or the account of the site may not.",
        _AGAIN,
    ),
    _row(
        "memory-is-not-enough",
        r"[Mm]emory limit of (?P<what>\d+ \w+) exceeded|exceeded (?:its |the )?memory|Container called exit\(137\)|status: 137|SIGKILL|Out of memory",
        "It used more memory than it has ({what}).",
        "Raise djangogcp_memory, or lower djangogcp_workers, and deploy again.",
    ),
    _row(
        "the-image-is-not-there",
        r"Image '(?P<what>[^']+)' not found|image (?P<gone>\S+) is gone|manifest unknown|MANIFEST_UNKNOWN",
        "The image is gone ({what}).",
        f"Build it again: {_DEPLOY} -e djangogcp_rebuild=$(date +%F)",
    ),
    _row(
        "an-account-may-not-be-used",
        r"iam\.serviceaccounts?\.actAs|iam\.serviceAccounts\.actAs|Permission 'iam\.serviceAccounts",
        "Who deploys may not use the service account that the site runs as.",
        "gcloud projects add-iam-policy-binding {project} --member=MEMBER --role=roles/iam.serviceAccountUser",
    ),
    _row(
        "a-probe-is-not-answered",
        r"(?:startup|liveness) probe",
        "The page of a probe did not answer below 400.",
        "Set djangogcp_startup_path (and djangogcp_liveness_path) to a page that there is, or to nothing, and deploy again.",
    ),
    _row(
        "a-container-does-not-listen",
        r"could not start successfully",
        "Its instances do not start: a secret, the database or the code is in their way.",
        "First what is told of secrets, the database and the last release; if all of it is well: ansible-playbook org.djangogcp.logs --limit {host}",
    ),
    _row(
        "a-container-does-not-listen",
        r"Failed to (?:serve|start) \S+ (?:as|of) ",
        "What was started on the machine has ended, or does not answer.",
        "What it printed last says why: mend that, and deploy again.",
    ),
    _row(
        "a-container-does-not-listen",
        r"failed to start and listen on the port|[Cc]ontainer failed to start|its container ended within",
        "The container ended, or does not listen on the port that PORT says.",
        "What it printed last says why; if it only listens elsewhere, set djangogcp_port, and deploy again.",
    ),
    _row(
        "a-package-cannot-be-installed",
        r"(?m)after connection broken by .*/(?P<what>[\w.-]+)/$",
        "The index of Python's packages does not answer, which is asked for {what}.",
        f"Run again when it does: {_DEPLOY}",
    ),
    _row(
        "a-package-cannot-be-installed",
        r"No matching distribution found for (?P<what>\S+)|Could not find a version that satisfies the requirement (?P<version>\S+)|ResolutionImpossible",
        "pip finds no version of {what} for the Python of the image.",
        "Correct the requirement, or set djangogcp_python_version, and deploy again.",
    ),
    _row(
        "a-package-cannot-be-installed",
        r"Failed to install the packages (?P<what>.+?) of Debian",
        "Debian's packages ({what}) cannot be installed on the machine: its mirror does not answer, or there is none of that name.",
        f"See what the message says of the mirror, and run again: {_DEPLOY}",
    ),
    # What forbids it.
    _row(
        "a-policy-of-the-organization-forbids-it",
        r"constraints/(?P<what>[\w.]+)|policies of its organization|permitted customer|[Pp]ublic access prevention|\b(?P<named>(?:gcp|iam|run|sql|storage)\."
        r"(?:managed\.)?[a-z]+[A-Z]\w+) (?:forbids|and|does not allow)|organization policy",
        "A policy of the organization forbids it ({what}).",
        "Set the variable that the message names, or have the policy changed for the project.",
    ),
    _row(
        "billing-is-off",
        r"BILLING_DISABLED|[Bb]illing (?:account|is disabled|to be enabled)|accountDisabled",
        "The project has no open billing account.",
        "gcloud billing projects link {project} --billing-account=ACCOUNT",
    ),
    _row(
        "an-api-is-off",
        r"SERVICE_DISABLED|accessNotConfigured|API has not been used in project|it is disabled",
        "An API of Google Cloud is not enabled in the project.",
        "ansible-playbook playbooks/provision.yml --limit {host}",
    ),
    _row(
        "a-zone-has-no-machine-left",
        r"ZONE_RESOURCE_POOL_EXHAUSTED|does not have enough resources available",
        "The zone has none of the machines left that it is asked for.",
        f"Set compute_engine_zone to another zone of {{region}}, or compute_engine_machine_type to another one: {_DEPLOY}",
    ),
    _row(
        "a-quota-is-used-up",
        r"[Qq]uota (?:exceeded|metric (?P<what>'[^']+')|(?P<named>'[^']+') exceeded)|higher quota|RESOURCE_EXHAUSTED|RATE_LIMIT_EXCEEDED"
        r"|rateLimitExceeded|quotaExceeded|HTTP 429",
        "A quota of the project is used up ({what}).",
        "Wait, or ask for more: https://console.cloud.google.com/iam-admin/quotas?project={project}",
    ),
    _row(
        "a-permission-is-missing",
        r"(?P<what>\b[a-z]+(?:\.[a-zA-Z]+){2,3}) is missing|Permission '?(?P<denied>[\w.]+)'? (?:was )?denied|may not deploy to the project|PERMISSION_DENIED"
        r"|does not have (?P<storage>[a-z.]+[a-zA-Z]+) access|HTTP 403|tell an e-mail address|the caller may not see it|may not act as them"
        r"|Cloud SQL does not revoke|as a user who may",
        "Somebody lacks a permission ({what}).",
        "gcloud projects add-iam-policy-binding {project} --member=MEMBER --role=ROLE",
    ),
)
#: What stands in messages alone, above all in those of this collection: in a log their words would mean anything.
SAID: tuple[Symptom, ...] = (
    _row(
        "a-disk-is-full",
        r"The disk of the machine (?P<what>\S+) .*is full",
        "The disk of the machine {what} has no room for another release.",
        "Delete there what nobody needs, or give it a larger disk as the message says, and deploy again.",
    ),
    _row(
        "a-certificate-is-wrong",
        r"The certificate (?P<what>\S+) \(compute_engine_certificate",
        "The certificate that the machine is given cannot serve the host names of the site ({what}).",
        f"Put there one that can, with its key: {_DEPLOY}",
    ),
    _row(
        "a-machine-is-not-reached",
        r"(?:Failed to open a|Failed to go on with the|Lost the) tunnel to|has published none|The machine \S+ .*does not (?:run|let in)",
        "There is no way to a virtual machine, it does not run, or nobody knows its host keys.",
        "Do what the end of the message says, and connect again.",
    ),
    _row(
        "the-lock-is-held",
        r"[Tt]he lock .* is held by|give back the lock|take the lock",
        "Another release of the site is going on, or was ended without giving its lock back.",
        "Wait for it; if it is gone: ansible-playbook org.djangogcp.unlock --limit {host}",
    ),
    _row(
        "somebody-has-moved-the-traffic",
        r"gave all the traffic to|has given its traffic to|somebody has moved\s+the traffic",
        "Another revision serves than the one that was deployed last: somebody has moved the traffic.",
        f"To deploy a change all the same: {_DEPLOY} -e djangogcp_roll_forward_from=REVISION",
    ),
    _row(
        "a-canary-was-bad",
        r"is bad with \d+ % of the traffic|has taken out what this would deploy|no traffic any more|a part of the traffic|no canary has a part",
        "What would be deployed was taken out, by a rollback or because a canary was bad.",
        "ansible-playbook org.djangogcp.promote --limit {host}",
    ),
    _row(
        "it-was-made-by-somebody-else",
        r"somebody else (?:made|makes|else's)|is not used(?: for uploads)?[:.]|is not run:|made it|belongs? to (?:the site|another)|carries no mark|is taken"
        r"|exists in another project|another site",
        "What the site would use was made by somebody else.",
        "Choose another name, or name it in djangogcp_adopt, as the message shows it.",
    ),
    _row(
        "a-release-cannot-be-gone-back-to",
        r"cannot be rolled back like this|cannot be promoted|nothing to promote|There is no release|has no release \S+ any more|no canary to take back",
        "That release cannot be had back.",
        "ansible-playbook org.djangogcp.releases --limit {host}",
    ),
    _row(
        "what-serves-has-no-record",
        r"has no record|What serves is two releases|was released for another site",
        "Nobody knows what serves was made of: it was deployed by hand, or before there were records.",
        _AGAIN,
    ),
    _row(
        "a-rotation-is-refused",
        r"rotate is ",
        "There is nothing to rotate under that name.",
        "ansible-playbook org.djangogcp.rotate --limit {host} -e rotate=due",
    ),
    _row(
        "a-preview-is-refused",
        r"preview is '|djangogcp_preview_(?:variables|database) (?:has|is)|is no preview of|a preview of it would make|a preview has a name of its own"
        r"|expected the name of a preview",
        "There is no such preview, or it cannot be made by that name.",
        "ansible-playbook org.djangogcp.previews --limit {host} lists those that there are; the message says what it expected.",
    ),
    _row(
        "nothing-is-pruned",
        r"is not pruned",
        "It is not known who serves, or something is somebody else's: nothing was deleted.",
        "ansible-playbook playbooks/status.yml --limit {host} tells who serves and whose everything is.",
    ),
    _row(
        "maintenance-is-refused",
        r"maintenance is |would answer visitors with 503",
        "The site cannot be put into maintenance like this.",
        "ansible-playbook org.djangogcp.maintenance --limit {host} -e maintenance=on",
    ),
    _row(
        "destroy-is-refused",
        r"destroy_(?:confirm|instance|data)|cannot be (?:destroyed|deleted)|go with its database|deletion[ _]protection",
        "What is asked to be deleted is protected, not confirmed, or used by somebody else.",
        "ansible-playbook org.djangogcp.destroy --limit {host} -e destroy_confirm={site}",
    ),
    _row(
        "it-is-another-cloud",
        r"is described for",
        "The variables are meant for another cloud than the one that answers.",
        "Leave the rehearsal with rehearsal_off, or enter it with . .rehearsal/env",
    ),
    _row(
        "the-network-is-not-ready",
        r"no (?:private|public) address|private services access|subnetwork|Couldn't find free blocks|Service Networking",
        "The database and the site do not reach each other through the network.",
        "gcloud services vpc-peerings list --network=NETWORK --project={project}",
    ),
    _row(
        "nothing-is-deployed",
        r"Nothing is deployed under the name|Nothing was installed on the machine|Nothing (?:of \S+ )?(?:was|has been) (?:released|deployed) yet",
        "The site was never deployed here, or was taken down.",
        _DEPLOY,
    ),
    _row(
        "there-are-no-credentials",
        r"credentials|access[_ ]token|Log in again|UNAUTHENTICATED|invalid_grant|auth_kind",
        "Nobody is logged in, or the login has ended.",
        "gcloud auth application-default login",
    ),
    _row(
        "a-build-has-failed",
        r"Failed to build|Failed to make release|build \S+ ended with|It ended with (?:FAILURE|TIMEOUT|INTERNAL_ERROR|CANCELLED|EXPIRED)|the name of an image",
        "The image could not be built, or the release not be installed.",
        "The end of the log says why; fix the source and deploy again.",
    ),
    _row(
        "the-source-cannot-be-packed",
        r"Failed to (?:pack|read) the (?:source|folder)|Dockerfile|it is not a folder|cannot read|is not UTF-8|leads out of it"
        r"|neither a file nor a link|alone has more than"
        r"|it holds more than|the pattern .* is wrong",
        "The folder of the project holds something that cannot be packed.",
        "List it in .dockerignore and deploy again.",
    ),
    _row(
        "it-took-too-long",
        r"timeout was reached|not (?:finished|ready) after|did not end within|timed out|DEADLINE_EXCEEDED|WORKER TIMEOUT",
        "It was given up after its time.",
        "Raise djangogcp_job_timeout_seconds (a request: djangogcp_request_timeout_seconds) and deploy again.",
    ),
    _row(
        "somebody-else-was-first",
        r"Somebody else (?:may have|has) deployed|[Ss]omebody else changed it|conditionNotMet|ABORTED",
        "Two runs changed the same thing at the same time.",
        _AGAIN,
    ),
    _row(
        "the-connection-broke",
        r"the connection to \S+ broke|unknown whether|not known whether|Cannot read the CA certificates|answered something that is not JSON|answered HTTP",
        "Google Cloud did not answer, or its answer was lost on the way.",
        _AGAIN,
    ),
    _row(
        "it-cannot-be-changed",
        r"Google Cloud cannot change|an update does not change",
        "Google Cloud does not change that of what there is already.",
        "Set it back to what it was, or choose another name.",
    ),
    _row(
        "a-command-has-failed",
        r"ended with exit code|exited with an error|Failed to run job|Failed to run .+ of release|non-zero exit|The container exited",
        "A command ended with an error.",
        "The end of its output says why; fix it and deploy again.",
    ),
    _row(
        "a-page-does-not-answer",
        r"Failed to try \S+ out|[Aa]nswered \d{3}|could not be reached|cannot be reached|does not contain|without its styles|it is broken",
        "A page does not answer as it must.",
        "ansible-playbook org.djangogcp.logs --limit {host} -e log_severity=error",
    ),
    _row(
        "a-project-cannot-be-adopted",
        r"source_dir is the folder|inventory_dir=|read together with the inventory|the settings of \S+ cannot be read|\S+ cannot be read: ",
        "The folder is no Django project that can be read, or its inventory is there already.",
        "ansible-playbook playbooks/adopt.yml -e source_dir=FOLDER -e inventory_dir=FOLDER",
    ),
    _row(
        "a-variable-is-refused",
        r"as (?:it is|they are) described|expected |is not set|is empty|is set:|not among|No site was matched|does not exist|no such bucket"
        r"|more than once|made of one another|Take it out|Keep one of them|Name one|Add it|keeps no log in Cloud Logging"
        r"|needs a length|has the key|nothing else serves|Set boot_image|nginx refuses",
        "A variable or an option is missing, misspelt or out of range.",
        "Set it as the message says.",
    ),
    _row(
        "google-cloud-refuses-it",
        r"^Failed to ",
        "Google Cloud refuses it, for the reason that the message gives.",
        _AGAIN,
    ),
)


SYMPTOMS = PRINTED + SAID


def symptom_of(text: str, log: str = "") -> tuple[Symptom, str] | None:
    """The first row that a message or the log behind it matches, and what it is about, "" if that is not told; None when no row does.

    Of what is printed several times the last counts: a log ends with what went wrong.
    """
    for row in SYMPTOMS:
        found = list(row.pattern.finditer(f"{text}\n{log}" if row in PRINTED else text))
        if found:
            named = (value for value in found[-1].groupdict().values() if value)
            return row, next(named, "").strip()
    return None
