# Copyright (c) 2026, The djangogcp contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE to the collection: this file may change in any release.

"""Whose a resource is. What a site makes carries its mark; what carries none, or another site's, is not changed in silence.

One decision for all resources (docs/decisions/0020): labels where Google has them, words in the description of a service
account, and for what can carry neither (databases and SQL users) a claim in the annotations of one of the site's secrets,
which is written before the thing is made (`_claims.py`). The reconcile engine asks here before it changes or deletes anything.
"""

from __future__ import annotations

import dataclasses
import re
import typing as t

from ansible_collections.org.djangogcp.plugins.module_utils._differences import Difference
from ansible_collections.org.djangogcp.plugins.module_utils._errors import DjangoGcpError
from ansible_collections.org.djangogcp.plugins.module_utils._shapes import Json, filled

MANAGER = "djangogcp"
#: The keys of a mark, in labels and in descriptions. Sites may not set these labels themselves.
KEYS = ("managed-by", "site", "region", "purpose")

#: The purposes of buckets that the roles make: uploads are private and keep older versions, static files are public.
UPLOADS, PUBLIC_FILES = "media", "static"

_WORDS = re.compile(rf"\bmanaged-by={MANAGER}\b((?: [a-z]+=[a-z0-9_-]+)*)")


@dataclasses.dataclass(frozen=True)
class Mark:
    """Who made a resource, and what for.

    Attributes:
        site: the name of the site; "" for what all sites of a project share.
        region: the region of the site: sites with one name in two regions are two sites.
        purpose: what the resource holds, for instance "media"; "" where that is no question. It never changes.
        evident: what it holds by its settings, whatever its mark says; "" when they do not tell.
    """

    site: str = ""
    region: str = ""
    purpose: str = ""
    evident: str = ""

    @property
    def labels(self) -> dict[str, str]:
        """The mark as labels."""
        values = {"managed-by": MANAGER, "site": self.site, "region": self.region, "purpose": self.purpose}
        return {key: value for key, value in values.items() if value}

    @classmethod
    def from_labels(cls, labels: t.Mapping[str, t.Any]) -> Mark | None:
        """The mark that labels are, None when they are none."""
        if labels.get("managed-by") != MANAGER:
            return None
        return cls(*(str(labels.get(key, "")) for key in KEYS[1:]))

    def __str__(self) -> str:
        """The mark in words."""
        if not self.site:
            return "the sites of this project together"
        return f"the site {self.site}" + (f" in {self.region}" if self.region else "")


def bucket_owner(bucket: t.Mapping[str, t.Any]) -> Mark | None:
    """The mark of a bucket, in Ansible shape, with what its settings say it holds: anybody may edit a label.

    A label that says "static" makes no bucket public that is private and keeps versions, as one of uploads does; and one that
    says "media" is believed unless the bucket is neither.
    """
    mark = Mark.from_labels(bucket.get("labels") or {})
    if mark is None or mark.purpose not in ("", UPLOADS, PUBLIC_FILES):
        return mark
    signs = (bucket.get("public_access_prevention") == "enforced", bool(bucket.get("versioning")))
    holds_uploads = any(signs) if mark.purpose == UPLOADS else all(signs)
    return dataclasses.replace(mark, evident=UPLOADS if holds_uploads else "")


class MarkPlace(t.Protocol):
    """Where resources of a kind carry their mark; works on the Ansible shape of a resource."""

    def read(self, resource: t.Mapping[str, t.Any]) -> Mark | None:
        """The mark of a resource, None when it has none."""

    def write(self, asked: t.Mapping[str, t.Any], mark: Mark, actual: t.Mapping[str, t.Any]) -> Json:
        """What is asked of a resource, with the mark. What it has beside the mark stays when nothing else is asked.

        Args:
            asked: the Ansible shape.
            mark: the mark.
            actual: the Ansible shape of what is there; {} when it is to be made.
        """


@dataclasses.dataclass(frozen=True)
class LabelsPlace:
    """Marks in labels.

    Attributes:
        field: the name of the labels' row.
    """

    field: str = "labels"

    def read(self, resource: t.Mapping[str, t.Any]) -> Mark | None:
        return Mark.from_labels(resource.get(self.field) or {})

    def write(self, asked: t.Mapping[str, t.Any], mark: Mark, actual: t.Mapping[str, t.Any]) -> Json:
        labels = asked.get(self.field)
        if labels is None:
            there = actual.get(self.field) or {}
            labels = {key: value for key, value in there.items() if key not in KEYS}
        return {**asked, self.field: {**labels, **mark.labels}}


@dataclasses.dataclass(frozen=True)
class DescriptionPlace:
    """Marks in a description, for what has no labels: ``managed-by=djangogcp site=polls region=europe-west1``.

    Attributes:
        field: the name of the description's row.
        is_fixed: whether Google cannot change it: a mark stays as it was made, also under a former name of the site.
    """

    field: str = "description"
    is_fixed: bool = False

    def read(self, resource: t.Mapping[str, t.Any]) -> Mark | None:
        found = _WORDS.search(str(resource.get(self.field) or ""))
        if found is None:
            return None
        return Mark.from_labels(
            {"managed-by": MANAGER, **dict(word.split("=") for word in found.group(1).split())}
        )

    def write(self, asked: t.Mapping[str, t.Any], mark: Mark, actual: t.Mapping[str, t.Any]) -> Json:
        found = self.read(actual)
        mark = found if self.is_fixed and found is not None else mark
        if asked.get(self.field) is None and found == mark:
            return dict(asked)
        words = " ".join(f"{key}={value}" for key, value in mark.labels.items())
        text = str(asked.get(self.field) or "")
        return {**asked, self.field: f"{text} ({words})" if text else words}


@dataclasses.dataclass(frozen=True)
class Ownership:
    """For whom a task works, and what it may do with what is not theirs.

    Attributes:
        mark: the mark of what is made.
        former_sites: former names of the site; what carries one of them is the site's, and gets its new name.
        sharing_sites: other sites that ask for the same in the same run, of something that sites share; None for what is not shared.
            What one of them has made may be changed, and stays its.
        adopt: resources that may be used although they carry no mark or another's, each as "bucket NAME", "SQL instance NAME"...
        explicit: the options (dotted for nested ones) that a person has set, of which an adopted or shared resource becomes what is
            asked; None for all. The others are defaults of roles.
        owner: tells the owner from the Ansible shape of a resource that carries no mark itself; None for the spec's own place.
        claim: the command that writes the site's claim on a resource that carries no mark itself; "" for the others.
        is_adoptable: whether it can be used as it is: not an SQL user, whose password nobody tells.
    """

    mark: Mark
    former_sites: tuple[str, ...] = ()
    sharing_sites: tuple[str, ...] | None = None
    adopt: tuple[str, ...] = ()
    explicit: tuple[str, ...] | None = None
    owner: t.Callable[[t.Mapping[str, t.Any]], Mark | None] | None = None
    claim: str = ""
    is_adoptable: bool = True

    @classmethod
    def from_params(
        cls,
        params: t.Mapping[str, t.Any],
        purpose: str | None = None,
        owner: t.Callable[[t.Mapping[str, t.Any]], Mark | None] | None = None,
    ) -> Ownership | None:
        """Pick the options ``mark``, ``adopt`` and ``explicit`` out of a module's parameters; None without a mark."""
        mark = params.get("mark")
        if mark is None:
            return None
        sharing, explicit = mark.get("sharing_sites"), params.get("explicit")
        return cls(
            Mark(mark.get("site") or "", mark.get("region") or "", purpose or ""),
            tuple(mark.get("former_sites") or ()),
            None if sharing is None else tuple(sharing),
            tuple(params.get("adopt") or ()),
            None if explicit is None else tuple(explicit),
            owner,
        )

    @property
    def names(self) -> tuple[str, ...]:
        """The names that the site has and had."""
        return (self.mark.site, *self.former_sites)

    def is_own(self, owner: Mark | None) -> bool:
        """Whether the owner is the site itself, perhaps by a former name."""
        return (
            owner is not None
            and owner.site in self.names
            and owner.region == self.mark.region
            and self.holds_the_same(owner)
        )

    def holds_the_same(self, owner: Mark) -> bool:
        """Whether a resource is for what the task wants it for, by its mark and by its settings."""
        return owner.purpose == self.mark.purpose and owner.evident in ("", self.mark.purpose)

    def may_change(self, owner: Mark | None) -> bool:
        """Whether what the owner has made may be made what is asked: it is the site's, or of one that asks for the same."""
        return self.is_own(owner) or (owner is not None and owner.site in (self.sharing_sites or ()))

    def may_use(self, owner: Mark | None) -> bool:
        """Whether what the owner has made may be used as it is: another site has made something that sites share."""
        return owner is not None and self.sharing_sites is not None

    def adopts(self, label: str, owner: Mark | None) -> bool:
        """Whether a person has said that this resource is to be used. What holds something else cannot be."""
        is_otherwise_used = owner is not None and not self.holds_the_same(owner)
        return self.is_adoptable and label in self.adopt and not is_otherwise_used

    def mark_for(self, owner: Mark | None) -> Mark:
        """The mark that something gets that the owner has made: its own, but for what another site has made and shares."""
        return self.mark if owner is None or self.is_own(owner) else owner


class ForeignError(DjangoGcpError):
    """A resource is there that somebody else has made.

    Attributes:
        label: the resource in words.
        reason: why it is not used, with what of it is not as asked.
        cure: what to do.

    Args:
        label: the resource in words.
        owner: the site that has made it; None when it carries no mark.
        ownership: for whom the task works.
        differences: what of it is not as asked.
    """

    def __init__(
        self, label: str, owner: Mark | None, ownership: Ownership, differences: t.Sequence[Difference]
    ) -> None:
        self.label = label
        self.reason, self.cure = _refusal(label, owner, ownership)
        if differences:
            texts = "; ".join(difference_text(one) for one in differences)
            self.reason += f" It differs from what is asked: {texts}."
        super().__init__(f"Failed to use {label}: {self.reason} Nothing of it was changed. {self.cure}")

    def as_fail_json(self) -> dict[str, t.Any]:
        return {"msg": self.message, "foreign": [self.as_dict()]}

    def as_dict(self) -> dict[str, str]:
        """The error as a playbook takes it apart."""
        return {"resource": self.label, "reason": self.reason, "cure": self.cure}


def _refusal(label: str, owner: Mark | None, ownership: Ownership) -> tuple[str, str]:
    """Why a resource is not used, and what to do."""
    mark = ownership.mark
    rename = "Choose another name."
    adopt = (
        "To use what is there as it is, list it in djangogcp_adopt (the option adopt of a module), by the name that messages "
        "give it: then only what the inventory itself sets of it is changed, and it is never deleted."
    )
    if owner is None:
        reason = "somebody else made it, it carries no mark of this collection."
        back = f"Only if this site made it and {_way_back(ownership)}"
        return reason, " ".join([rename, *([adopt] if ownership.is_adoptable else []), back])
    if not ownership.holds_the_same(owner):
        return _otherwise_used(label, owner, ownership)
    if ownership.sharing_sites is not None:
        cure = f"Change it where {owner} is described and deploy that, or take the variables out here. If that site is no more: {adopt}"
        return f"{owner} describes it, and this site says something else.", cure
    if owner.site == mark.site:
        return (
            f"it belongs to {owner}, and this is {mark}: two sites of a project cannot have one name.",
            rename,
        )
    if not owner.site:
        return f"it belongs to {owner}.", f"{rename} Only if this site made it and {_way_back(ownership)}"
    return (
        f"it belongs to {owner}.",
        f"{rename} If {owner.site} is the former name of this site, set djangogcp_former_site to it.",
    )


def _way_back(ownership: Ownership) -> str:
    """How a mark is restored that was removed by hand. What a bucket holds is not told by who asks for it."""
    if ownership.claim:
        return f"its claim was removed: {ownership.claim}"
    words = " ".join(
        f"{key}={value}" for key, value in dataclasses.replace(ownership.mark, purpose="").labels.items()
    )
    return f"its mark was removed or changed, set that back, as labels or in the description of a service account: {words}"


def _otherwise_used(label: str, owner: Mark, ownership: Ownership) -> tuple[str, str]:
    """Why a resource of another purpose is not used. The way back of a label leads to what is evident: never from private to public."""
    rename = "Choose another name."
    right = owner.evident or ownership.mark.purpose
    is_of_site = owner.site in ownership.names and owner.region == ownership.mark.region
    if not (is_of_site and right) or owner.purpose == right:
        return f"it holds the {owner.purpose or 'something else'} of {owner}, and that never changes.", rename
    says = f"its label purpose says {owner.purpose}" if owner.purpose else "it has lost its label purpose"
    but = (
        f"it is private and keeps versions, as what holds the {right} does"
        if owner.evident
        else f"this site keeps its {right} in it"
    )
    back = (
        f"gcloud storage buckets update gs://{label.removeprefix('bucket ')} --update-labels=purpose={right}"
    )
    return (
        f"it belongs to {owner}, and {says}, but {but}: what a bucket holds never changes.",
        f"If somebody changed the label, set it back: {back}. Otherwise choose another name.",
    )


def difference_text(difference: Difference) -> str:
    """A difference in words. Containers are only named: their environment may hold secrets."""
    if difference.field.name == "containers":
        return f"{difference.name} differs"
    return f"{difference.name} is {_shown(difference.before)}, asked {_shown(difference.after)}"


def _shown(value: t.Any) -> str:
    return "not set" if value in (None, "", [], {}) else repr(filled(value))
