"""Conditions as they are written."""

import pytest

from aptp.data.conditions import Condition, parse, settings
from runtime.errors import UsageError


def test_what_can_be_written():
    assert parse("") == ()
    assert parse("aesthetic_score>=5, subreddit != pics ,width<10") == (
        Condition("aesthetic_score", ">=", "5"),
        Condition("subreddit", "!=", "pics"),
        Condition("width", "<", "10"),
    )


@pytest.mark.parametrize(
    ("relation", "holds"),
    [
        (">=", (False, True, True)),
        (">", (False, False, True)),
        ("==", (False, True, False)),
        ("!=", (True, False, True)),
        ("<=", (True, True, False)),
        ("<", (True, False, False)),
    ],
)
def test_relations(relation, holds):
    condition = Condition("x", relation, "2")
    assert tuple(condition.of(operand, 2.0) for operand in (1, 2, 3)) == holds


@pytest.mark.parametrize("text", ["aesthetic_score", "a=5", ">=5", "a>=", "a>=5,", "a or b>=5"])
def test_what_cannot(text):
    with pytest.raises(UsageError, match="is no condition: write COLUMN"):
        parse(text)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", ({}, "")),
        ("captions=a+b", ({"captions": "a+b"}, "")),
        (" captions = a ,x==1,y>=2", ({"captions": "a"}, "x==1,y>=2")),
        ("x==1", ({}, "x==1")),
    ],
)
def test_settings_are_told_from_conditions(text, found):
    assert settings(text, ("captions",)) == found


def test_a_setting_that_is_none():
    with pytest.raises(UsageError, match=r"'caption=a': there is no setting 'caption' \(did you mean"):
        settings("x>1,caption=a", ("captions",))
