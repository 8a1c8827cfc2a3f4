"""The identity of a part: what makes it."""

import pytest

from export.build import plan
from runtime.errors import Refused


def test_the_identity_of_our_source_needs_all_of_it(monkeypatch):
    before = plan.software()
    monkeypatch.setattr(plan, "SOURCES", (*plan.SOURCES, "aptp/moved/*.py"))
    with pytest.raises(Refused, match=r"aptp/moved/\*.py: there is no such source"):
        plan.software()
    monkeypatch.setattr(plan, "SOURCES", plan.SOURCES[:-2])
    assert plan.software()["source"] != before["source"]
