# Copyright (c) 2026, The djangogcp contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import io
import tarfile

import pytest
from ansible_collections.org.djangogcp.plugins.module_utils._source import SourceError
from ansible_collections.org.djangogcp.plugins.modules.cloudbuild_build import packed


def built_by(folder, dockerfile):
    """The Dockerfile in the source that is built."""
    with tarfile.open(fileobj=io.BytesIO(packed(str(folder), dockerfile).content)) as tar:
        return tar.extractfile("Dockerfile").read().decode()


def test_a_dockerfile_of_the_project_is_built_unless_another_is_given(tmp_path):
    (tmp_path / "Dockerfile").write_text("FROM own")
    assert built_by(tmp_path, None) == "FROM own"
    assert built_by(tmp_path, "FROM given") == "FROM given"


def test_a_project_without_a_dockerfile_is_built_by_the_one_that_is_given(tmp_path):
    assert built_by(tmp_path, "FROM given") == "FROM given"
    with pytest.raises(SourceError, match="it has no Dockerfile"):
        packed(str(tmp_path), None)
