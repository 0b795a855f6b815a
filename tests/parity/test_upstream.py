"""Ours against a user's own checkouts of upstream code; skipped where none is given."""

import os

import pytest
from parity.run import PACKAGES, compared
from parity.upstream import REPOSITORIES, why_not


def check(name):
    part = compared(name)
    assert part.rows
    assert [row for row in part.rows if not row.holds] == []


@pytest.mark.parametrize("name", REPOSITORIES)
def test_ours_is_upstreams(name):
    if reason := why_not(REPOSITORIES[name]):
        pytest.skip(reason)
    check(name)


def test_ours_is_that_of_packages():
    if not os.environ.get("FSIG_UPSTREAM_PACKAGES"):
        pytest.skip("FSIG_UPSTREAM_PACKAGES is not set: 1 compares with the installed packages")
    check(PACKAGES)
