"""Which faults a deploy survives, and at which it may stop."""

#: It goes on as if nothing had been. Each is put at every method once.
TRANSIENT = [
    "unauthenticated",
    "rate_limited",
    "internal_error",
    "unavailable",
    "html",
    "reset_before",
    "reset_after",
    "truncated",
    "stall",
    "unknown_account",
    "too_many_operations",
]
#: A command may have begun and must not begin twice: at this method a deploy may stop for any fault after which nobody knows.
NEVER_REPEATED = "run.projects.locations.jobs.run"
UNKNOWN = {"internal_error", "unavailable", "html", "reset_before"}
#: It may stop with a message, and the next run goes on from there. Each is put at every call, one after the other.
FATAL = [
    "forbidden",
    "not_found",
    "conflict",
    "precondition_failed",
    "operation_fails",
    "operation_hangs",
    "grant_pending",
    "build_out_of_memory",
    "build_disk_full",
    "disk_full",
]
#: What stops a second release. Each is put where it hurts once.
RELEASE = [
    {"method": "run.projects.locations.services.patch", "kind": "revision_crashes"},
    {"method": "run.projects.locations.services.patch", "kind": "operation_fails"},
    {"method": "run.projects.locations.services.patch", "kind": "forbidden"},
    {"method": "run.projects.locations.jobs.run", "kind": "operation_fails"},
    {"method": "cloudbuild.projects.locations.builds.create", "kind": "build_out_of_memory"},
    {"method": "cloudbuild.projects.locations.builds.create", "kind": "build_disk_full"},
]
