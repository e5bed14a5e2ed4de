# Copyright (c) 2026, The djangogcp contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE to the collection: this fragment may change in any release.

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options:
  mark:
    description:
      - For whom the task works. What is made carries this mark; what is there without it was made by somebody else, and is refused
        before anything of it is changed, and left alone with O(ignore:state=absent).
      - Resources with labels carry it there (C(managed-by), C(site), C(region), C(purpose)), a service account in its description, a
        database or an SQL user as a claim in the annotations of a secret of the site.
      - Without this option nobody is asked whose a resource is.
    type: dict
    suboptions:
      site:
        description: The name of the site. Not set for what the sites of a project share.
        type: str
      region:
        description: The region of the site.
        type: str
      former_sites:
        description: Former names of the site. What carries one of them gets the new name.
        type: list
        elements: str
        default: []
      sharing_sites:
        description:
          - Other sites that share what is asked for and ask for the same. What one of them has made may be changed; what any other site
            has made may be used, and only what O(explicit) names is compared. Nothing is shared if not set.
        type: list
        elements: str
  adopt:
    description:
      - What may be used although somebody else made it, each as messages name it, for instance V(bucket my-uploads) or V(SQL instance
        company-db). Of it only what O(explicit) names is changed, what it has beside that is kept, and it is never deleted.
    type: list
    elements: str
    default: []
  explicit:
    description:
      - The options that a person has set, with dots for nested ones. All of them if not set.
    type: list
    elements: str
"""
