# Copyright (c) 2026, The djangogcp contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE to the collection: this file may change in any release.

"""What is wrong with a site, by what was read of it: one pure function for each check.

What a module could not read is its ``msg`` in the place of its result. It says which permission is missing and which role has it.
"""

from __future__ import annotations

import datetime
import re
import typing as t

from ansible_collections.org.djangogcp.plugins.plugin_utils._symptoms import PAGE, symptom_of

Json = dict[str, t.Any]
Facts = t.Mapping[str, t.Any]

OK, WARNING, PROBLEM, UNREAD = "ok", "warning", "problem", "not looked at"
_SHOWN_LINES = 10
_SHOWN_CHANGES = 5
_CERTIFICATE_DAYS = 14
_UNAVAILABLE = 503
#: What stands in the place of a log that cannot be read (`_logs.unreadable`).
_NO_LOG = "(the log cannot be shown: "
#: What must not be shown of a log: the password in an address, and the value of what is called like a secret.
_SECRETS = (
    (re.compile(r"(?P<before>\w+://[^\s:/@]*:)[^\s@]+(?=@)"), r"\g<before>***"),
    (
        re.compile(
            r"(?i)(?P<before>\b[\w-]*(?:password|passwd|secret|token|api[_-]?key|secret[_-]?key)\w*['\"]?\s*[:=]\s*['\"]?)[^\s'\",]{4,}"
        ),
        r"\g<before>***",
    ),
)


class Finding(t.NamedTuple):
    """What a check has found.

    Attributes:
        check: which check.
        state: one of `OK`, `WARNING`, `PROBLEM` and `UNREAD`.
        text: what is so, in a line.
        cause: why; "" where the text says it.
        cure: the one command or setting; several lines where several roles are missing.
        page: the heading of the page about it.
        lines: the end of a log.
    """

    check: str
    state: str
    text: str
    cause: str = ""
    cure: str = ""
    page: str = ""
    lines: tuple[str, ...] = ()

    def as_dict(self) -> Json:
        """As JSON has it."""
        found = {**self._asdict(), "lines": list(self.lines)}
        found["page"] = f"{PAGE}#{self.page}" if self.page else ""
        return found


def without_secrets(lines: t.Iterable[str]) -> list[str]:
    """Lines of a log without what looks like a secret."""
    found = []
    for line in lines:
        for pattern, by in _SECRETS:
            line = pattern.sub(by, line)
        found.append(line)
    return found


def explained(facts: Facts, check: str, text: str, lines: t.Sequence[str] = ()) -> Finding:
    """A problem with the cause and the cure that the table of symptoms has for what is printed."""
    shown = without_secrets(lines)
    found = symptom_of(text, "\n".join(line for line in shown if not line.startswith(_NO_LOG)))
    if found is None:
        return Finding(
            check, PROBLEM, text, page="google-cloud-refuses-it", lines=tuple(shown[-_SHOWN_LINES:])
        )
    row, what = found
    names = {**facts["site"], "what": what or "see below"}
    cause = re.sub(r" \(see below\)", "", row.cause.format_map(names)).replace("see below", "it")
    return Finding(
        check, PROBLEM, text, cause, row.cure.format_map(names), row.page, tuple(shown[-_SHOWN_LINES:])
    )


def unread(check: str, messages: t.Iterable[str]) -> list[Finding]:
    """What could not be looked at, and why. Of several that a module tells at once the first stands for all."""
    found = []
    for message in dict.fromkeys(messages):
        first, *more = message.splitlines() or [""]
        text = f"{first} And {len(more)} more like it." if more else first
        found.append(Finding(check, UNREAD, text, page="a-permission-is-missing"))
    return found


def _why_unread(result: t.Mapping[str, t.Any], key: str) -> list[str]:
    """Why a module has not read something; [] if it has."""
    return [] if key in result else [str(result.get("msg") or "it was not asked for")]


def permissions(facts: Facts) -> list[Finding]:
    """Whether who asks may deploy. A site is none the worse for it."""
    project = facts["project"]
    if "caller" not in project:
        return unread("permissions", _why_unread(project, "caller"))
    caller, name = project["caller"], facts["site"]["project"]
    if not project["permissions_tested"]:
        return unread(
            "permissions",
            [f"The Resource Manager API is off in {name}: it is not known what {caller['email']} may do."],
        )
    missing = project["missing_permissions"]
    if not missing:
        return [Finding("permissions", OK, f"{caller['email']} may deploy")]
    roles = list(dict.fromkeys(one["role"] for one in missing))
    command = "gcloud projects add-iam-policy-binding {} --member={} --role={}"
    return [
        Finding(
            "permissions",
            WARNING,
            f"{caller['email']} may not deploy to {name}",
            f"{', '.join(one['permission'] for one in missing)} {'is' if len(missing) == 1 else 'are'} missing.",
            "\n".join(command.format(name, caller["member"], role) for role in roles),
            "a-permission-is-missing",
        )
    ]


def policies(facts: Facts) -> list[Finding]:
    """Whether policies of the organization forbid what the site is made of."""
    found = facts["policies"]
    if found.get("unread"):
        return unread("policies", [found["unread"]])
    result = []
    for problem in found["problems"]:
        cause, _word, cure = problem.partition(" Set ")
        result.append(
            Finding(
                "policies",
                PROBLEM,
                cause,
                "That is a policy of the organization, and no deploy passes it.",
                f"Set {cure}",
                "a-policy-of-the-organization-forbids-it",
            )
        )
    return result or [Finding("policies", OK, "no policy of an organization forbids it")]


def lock(facts: Facts) -> list[Finding]:
    """Whether somebody releases the site, or has left the lock of a release."""
    found, site = facts["lock"], facts["site"]
    if "held" not in found:
        return unread("lock", _why_unread(found, "held"))
    held = found["held"]
    if held is None:
        return [Finding("lock", OK, f"nobody releases {site['site']}")]
    cure = f"ansible-playbook org.djangogcp.unlock --limit {site['host']}"
    until = datetime.datetime.strptime(held["until"], "%Y-%m-%d %H:%M:%S UTC") if held["until"] else None
    is_over = until is not None and until.replace(tzinfo=datetime.UTC).timestamp() <= facts["now"]
    return [
        Finding(
            "lock",
            WARNING,
            f"{held['owner']} on {held['host']} holds the lock since {held['since']}, for {held['reason']}",
            f"Its time was over at {held['until']}: it was left over, and the next release takes it."
            if is_over
            else "A release is going on, or was killed without giving it back: no other one begins.",
            cure if is_over else f"Wait for it; if it is certain that it is gone: {cure}",
            "the-lock-is-held",
        )
    ]


def last_failure(facts: Facts) -> list[Finding]:
    """The last thing that has failed after what serves was released."""
    records, site = facts["records"], facts["site"]
    found = unread("last release", [*_why_unread(records, "records"), *facts["failures"].get("unread", [])])
    listed = records.get("records") or []
    released = next((one for one in listed if one["result"] == "released"), {})
    stopped = listed[0] if listed and listed[0]["result"] == "failed" else {}
    since = _moment(released.get("ended"))
    failures = [one for one in facts["failures"].get("failures", []) if _moment(one["time"]) > since]
    last = max(failures, key=lambda one: _moment(one["time"]), default=None)
    if last is not None and _moment(last["time"]) >= _moment(stopped.get("began")):
        what = {"revision": "did not start", "execution": "has failed", "build": "has failed"}[last["kind"]]
        name = f"{last['kind']} {last['name']} of {last['of']}"
        number = f"release {stopped['number']} stopped at {stopped['step']}: " if stopped else ""
        return [
            *found,
            explained(facts, "last release", f"{number}{name} {what}: {last['message']}", last["lines"]),
        ]
    if not stopped:
        number = released.get("number")
        return [
            *found,
            *(
                []
                if found
                else [
                    Finding(
                        "last release",
                        OK,
                        f"release {number} is the last one" if number else "nothing has failed",
                    )
                ]
            ),
        ]
    text = (
        f"release {stopped['number']} stopped at {stopped['step']}, {stopped['ended']}, by {stopped['who']}"
    )
    tried = [
        f"{page['path']} {page['problem']}" for page in facts.get("tried_out", []) if page.get("problem")
    ]
    if tried:
        return [
            *found,
            explained(facts, "last release", f"{text}: {'; '.join(tried)}", [*facts.get("log", []), *tried]),
        ]
    cure = f"ansible-playbook deploy.yml --limit {site['host']}"
    return [
        *found,
        Finding(
            "last release",
            PROBLEM,
            text,
            "Nothing of it is left that tells why.",
            f"Run again: {cure}",
            "a-command-has-failed",
        ),
    ]


def traffic(facts: Facts) -> list[Finding]:
    """Whether what serves is what was deployed last, all of it, and visitors get it."""
    site, serving = facts["site"], facts["serving"]
    found = unread("traffic", facts.get("unread", []))
    command = "ansible-playbook org.djangogcp.{} --limit " + site["host"]
    if facts.get("moved"):
        moved = facts["moved"]
        found.append(
            Finding(
                "traffic",
                WARNING,
                f"{moved['serving']} serves, and {moved['deployed']} was deployed last",
                "Somebody has moved the traffic, for instance to roll back; a deploy is refused until it is told what to do.",
                f"To deploy a change: -e djangogcp_roll_forward_from={moved['serving']}; to go back to what was deployed: {moved['cure']}",
                "somebody-has-moved-the-traffic",
            )
        )
    if facts.get("standing"):
        canary = facts["standing"]
        found.append(
            Finding(
                "traffic",
                WARNING,
                f"{canary['revision']} has {canary['percent']} % of the traffic",
                "The run that watched it as a canary was ended.",
                f"All to it: {command.format('promote')}; back: {command.format('promote')} -e promote_to=old",
                "a-canary-was-bad",
            )
        )
    if facts.get("maintenance"):
        cure = f"{command.format('maintenance')} -e maintenance=off"
        cause = "It was put into maintenance, which no deploy ends."
        found.append(
            Finding(
                "traffic",
                WARNING,
                f"{site['site']} is in maintenance: visitors get 503",
                cause,
                cure,
                "maintenance-is-refused",
            )
        )
    unknown = [one["revision"] for one in serving if one["release"] is None]
    if unknown and "records" in facts["records"]:
        cause = "It was deployed by hand, or before there were records: nobody can roll back to it."
        text = f"{', '.join(unknown)} serves, and has no record"
        found.append(
            Finding(
                "traffic",
                WARNING,
                text,
                cause,
                f"ansible-playbook deploy.yml --limit {site['host']}",
                "what-serves-has-no-record",
            )
        )
    if not serving and not found:
        cure = f"ansible-playbook deploy.yml --limit {site['host']}"
        found.append(
            Finding(
                "traffic",
                WARNING,
                f"nothing of {site['site']} was released yet",
                cure=cure,
                page="nothing-is-deployed",
            )
        )
    shares = ", ".join(
        one["revision"] + (f" (release {one['release']})" if one["release"] is not None else "")
        for one in serving
    )
    return found or [Finding("traffic", OK, f"{shares} serves")]


def pages(facts: Facts) -> list[Finding]:
    """Whether the site answers."""
    failed = [one for one in facts.get("pages", []) if one.get("problem")]
    # What a site in maintenance answers to visitors is what was asked for.
    if facts.get("maintenance"):
        failed = [one for one in failed if one.get("status") != _UNAVAILABLE]
    if failed:
        says = "; ".join(f"{one['path']} {one['problem']}" for one in failed)
        log = facts.get("log", [])
        return [explained(facts, "pages", says, log)]
    asked = [str(one["path"]) for one in facts.get("pages", [])]
    return (
        [Finding("pages", OK, f"{', '.join(asked)} {'answers' if len(asked) == 1 else 'answer'}")]
        if asked
        else []
    )


def certificates(facts: Facts) -> list[Finding]:
    """Whether the site's own host names lead to it, with a certificate that goes on."""
    found = []
    for one in facts["certificates"].get("certificates", []):
        host, days = one["host"], one["days_left"]
        if one["problem"]:
            cause = "The name does not lead to the site, or what answers there has no certificate for it."
            cure = (
                f"dig +short {host} CNAME {host} A  # has to be what the load balancer or domain mapping says"
            )
            found.append(
                Finding(
                    "certificates", PROBLEM, f"{host} {one['problem']}", cause, cure, "a-certificate-is-wrong"
                )
            )
        elif days < _CERTIFICATE_DAYS:
            cause = (
                "Nothing has renewed it: Google does so 30 days before the end where the name leads to it."
            )
            cure = f"dig +short {host} CAA  # must allow pki.goog, and the name has to lead to Google"
            found.append(
                Finding(
                    "certificates",
                    WARNING,
                    f"the certificate of {host} ends in {days} days",
                    cause,
                    cure,
                    "a-certificate-is-wrong",
                )
            )
        else:
            found.append(Finding("certificates", OK, f"the certificate of {host} is good for {days} days"))
    return [
        *unread("certificates", [facts["certificates"]["msg"]] if "msg" in facts["certificates"] else []),
        *found,
    ]


def database(facts: Facts) -> list[Finding]:
    """Whether the instance runs, can grow, is backed up, and has a connection for everybody."""
    result, site = facts["instance"], facts["site"]
    connections = [
        Finding("database", WARNING, *_cause_and_cure(one, " Lower "), page="too-many-connections")
        for one in facts["connections"]
    ]
    if "instances" not in result:
        return [*unread("database", _why_unread(result, "instances")), *connections]
    name, project = site["instance"], site["project"]
    patch = f"gcloud sql instances patch {name} --project={project}"
    provision = f"ansible-playbook playbooks/provision.yml --limit {site['host']}"
    page = "the-database-does-not-answer"
    if not result["instances"]:
        return [
            Finding(
                "database",
                PROBLEM,
                f"there is no SQL instance {name}",
                "It was never made, or was deleted.",
                provision,
                page,
            ),
            *connections,
        ]
    instance = result["instances"][0]
    if instance.get("activation_policy") == "NEVER":
        cure = f"{patch} --activation-policy=ALWAYS"
        return [
            Finding(
                "database",
                PROBLEM,
                f"the SQL instance {name} is stopped",
                "Somebody has stopped it (activation policy NEVER).",
                cure,
                page,
            )
        ]
    state = instance.get("state")
    if state != "RUNNABLE":
        cause, cure = _STATES.get(str(state), ("", ""))
        cure = (cure or "gcloud sql operations list --instance={instance} --project={project}").format_map(
            site
        )
        return [
            Finding("database", PROBLEM, f"the SQL instance {name} is {state}", cause, cure, page),
            *connections,
        ]
    found = []
    if not (instance.get("backup_configuration") or {}).get("enabled"):
        cause = "Backups are off: what is lost is lost."
        found.append(
            Finding(
                "database",
                WARNING,
                f"the SQL instance {name} has no backups",
                cause,
                f"{patch} --backup-start-time=03:00",
                "there-are-no-backups",
            )
        )
    limit, size = instance.get("storage_auto_resize_limit") or 0, instance.get("data_disk_size_gb") or 0
    if not instance.get("storage_auto_resize") or 0 < limit <= size:
        cause = (
            "A full disk stops the database."
            if not limit
            else f"It has reached its limit of {limit} GB; a full disk stops the database."
        )
        cure = f"{patch} --storage-auto-increase" + (" --storage-auto-increase-limit=0" if limit else "")
        found.append(
            Finding(
                "database",
                WARNING,
                f"the disk of {name} ({size} GB) does not grow by itself",
                cause,
                cure,
                "the-disk-does-not-grow",
            )
        )
    return [*found, *connections] or [
        Finding("database", OK, f"the SQL instance {name} runs, is backed up and grows")
    ]


#: Of a state of an instance the cause and the cure. Source: sqladmin v1, SqlInstanceState.
_STATES = {
    "SUSPENDED": (
        "Its project has no open billing account, or it was suspended.",
        "gcloud billing projects describe {project}",
    ),
    "MAINTENANCE": ("Cloud SQL maintains it, which takes a few minutes.", "Wait."),
    "PENDING_CREATE": ("It is being made, which takes about ten minutes.", "Wait."),
    "FAILED": (
        "It could not be made.",
        "gcloud sql operations list --instance={instance} --project={project}",
    ),
}


def _not_enabled(facts: Facts) -> list[tuple[str, str, str]]:
    """Of the versions of secrets that what serves reads those that cannot be read: secret, number and state."""
    app = facts["served"].get("app") or {}
    states = {
        secret["name"]: {one["version"]: one["state"] for one in secret["versions"]}
        for secret in facts["secrets"].get("secrets", [])
    }
    pinned = {(name, str(number)) for name, number in (app.get("secret_versions") or {}).items()}
    # The key before the one that signs is named with its number.
    named = [str(one).partition(":") for one in (app.get("secrets") or {}).values()]
    pinned |= {(name, number) for name, colon, number in named if colon and ":" not in number}
    found = [(name, number, states.get(name, {}).get(number, "GONE")) for name, number in sorted(pinned)]
    return [one for one in found if one[2] != "ENABLED"]


def secrets(facts: Facts) -> list[Finding]:
    """Whether the versions of secrets that what serves reads can be read, and which ones are due for a rotation."""
    result, site = facts["secrets"], facts["site"]
    if "secrets" not in result:
        return unread("secrets", _why_unread(result, "secrets"))
    found = []
    for name, number, state in _not_enabled(facts):
        cure = (
            f"gcloud secrets versions enable {number} --secret={name} --project={site['project']}"
            if state == "DISABLED"
            else f"ansible-playbook deploy.yml --limit {site['host']}"
        )
        cause = "Instances that run go on; one that starts, and each job, fails."
        text = f"version {number} of secret {name}, which what serves reads, is {state.lower()}"
        found.append(Finding("secrets", PROBLEM, text, cause, cure, "a-secret-cannot-be-read"))
    due = facts.get("due") or {}
    if due.get("words"):
        cure = f"ansible-playbook org.djangogcp.rotate --limit {site['host']} -e rotate=due"
        cause = "It is older than djangogcp_rotation_days says."
        found.append(
            Finding(
                "secrets",
                WARNING,
                f"{', '.join(due['words'])} {'is' if len(due['words']) == 1 else 'are'} due for a rotation",
                cause,
                cure,
                "a-secret-is-due",
            )
        )
    found += [
        Finding("secrets", WARNING, *_cause_and_cure(one, " Add a version: "), page="a-secret-is-due")
        for one in due.get("notes", [])
    ]
    if found:
        return found
    count = len((facts["served"].get("app") or {}).get("secret_versions") or {})
    text = f"what serves can read its {count} secrets" if count else "no release says which secrets are read"
    return [Finding("secrets", OK, text)]


def drift(facts: Facts) -> list[Finding]:
    """What of the site is not as it is declared."""
    result, site = facts["drift"], facts["site"]
    if result.get("unread"):
        return unread("drift", [result["unread"]])
    # A deploy would make another value, which is no cure of one that somebody disabled.
    known = tuple(f" to secret {name}" for name, _number, _state in _not_enabled(facts))
    actions = [one for one in result["actions"] if not one.endswith(known)]
    if not actions:
        return [Finding("drift", OK, "all that the site needs is as it is declared")]
    # That nothing is there is told by who serves: nobody has changed it.
    if facts["records"].get("records") == [] and not facts["serving"]:
        return []
    shown = [
        *actions[:_SHOWN_CHANGES],
        *([f"and {len(actions) - _SHOWN_CHANGES} more"] if len(actions) > _SHOWN_CHANGES else []),
    ]
    # What an account may no longer do stops what starts next; anything else can wait.
    state = PROBLEM if any(one.startswith("grant ") for one in actions) else WARNING
    cause = f"Somebody has changed it by hand, or the variables. A deploy would: {'; '.join(shown)}."
    cure = f"ansible-playbook playbooks/provision.yml --limit {site['host']}"
    return [
        Finding(
            "drift",
            state,
            f"{len(actions)} of what the site needs {'is' if len(actions) == 1 else 'are'} not as declared",
            cause,
            cure,
            "it-is-not-as-declared",
        )
    ]


def asked(facts: Facts) -> list[Finding]:
    """What a message means that a person has."""
    return [explained(facts, "message", facts["error"])] if facts.get("error") else []


CHECKS: tuple[t.Callable[[Facts], list[Finding]], ...] = (
    asked,
    last_failure,
    # What keeps instances from starting comes before the pages that they do not answer.
    database,
    secrets,
    pages,
    traffic,
    lock,
    certificates,
    policies,
    drift,
    permissions,
)
_FIRST = (PROBLEM, WARNING, UNREAD, OK)


def findings(facts: Facts) -> list[Finding]:
    """What all checks have found, what is worst first."""
    found = [one for check in CHECKS for one in check(facts)]
    return sorted(found, key=lambda one: _FIRST.index(one.state))


def told(facts: Facts) -> Json:
    """What doctor tells: `summary`, the counts, the findings, and the lines that show them."""
    found = findings(facts)
    site = facts["site"]
    counts = {state: len([one for one in found if one.state == state]) for state in _FIRST}
    parts = [
        f"{counts[state]} {state}{'s' if state in (PROBLEM, WARNING) and counts[state] != 1 else ''}"
        for state in (PROBLEM, WARNING, UNREAD)
        if counts[state]
    ]
    if not counts[PROBLEM] + counts[WARNING]:
        parts.insert(0, "all is well")
    summary = f"{site['site']} in {site['project']}, {site['region']}: {', '.join(parts)}"
    return {
        "site": site["site"],
        "summary": summary,
        "problems": counts[PROBLEM],
        "warnings": counts[WARNING],
        "not_looked_at": counts[UNREAD],
        "findings": [one.as_dict() for one in found],
        "lines": [summary, *(line for one in found for line in _lines(one))],
    }


def _lines(one: Finding) -> list[str]:
    found = [f"{one.state}: {one.check}: {' '.join(one.text.split())}"]
    found += [f"    | {line}" for line in one.lines]
    if one.cause:
        found.append(f"    cause: {one.cause}")
    found += [f"    cure: {line}" for line in one.cure.splitlines()]
    if one.page and one.state != UNREAD:
        found.append(f"    page: {PAGE}#{one.page}")
    return found


def _cause_and_cure(text: str, word: str) -> tuple[str, str, str]:
    """A sentence of another filter, as the text, no cause, and the cure that begins with a word."""
    what, _word, cure = text.partition(word)
    return what, "", f"{word.strip()} {cure}" if cure else ""


def _moment(text: t.Any) -> float:
    """A moment as Google or a record tells it, in seconds; 0 for none."""
    whole = str(text or "").rstrip("Z").partition(".")[0]
    return datetime.datetime.fromisoformat(f"{whole}+00:00").timestamp() if whole else 0.0
