"""Conditions on columns and settings as a command line gives them, separated by commas:
`captions=vlm_caption+original_caption,watermark_class_id==1,aesthetic_score>=5`.
"""

import operator
import re
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any

from runtime.errors import UsageError, nearest

RELATIONS: dict[str, Callable[[Any, Any], Any]] = {
    ">=": operator.ge,
    "<=": operator.le,
    "==": operator.eq,
    "!=": operator.ne,
    ">": operator.gt,
    "<": operator.lt,
}
FORM = re.compile(rf"\s*(\w+)\s*({'|'.join(RELATIONS)})\s*([^\s=<>!].*?)\s*")

SETTING = re.compile(r"\s*(\w+)\s*=\s*([^\s=].*?)\s*")


@dataclass(frozen=True, slots=True)
class Condition:
    """A comparison: `column` stands in `relation` to `value`, both as they were written."""

    column: str
    relation: str
    value: str

    def of(self, operand: Any, value: float | str) -> Any:
        """Return the relation of `operand`, whatever compares, to `value`."""
        return RELATIONS[self.relation](operand, value)


def parse(text: str) -> tuple[Condition, ...]:
    """Parse the conditions in a list of them, separated by commas; all have to hold. Raises UsageError."""
    found = []
    for clause in text.split(",") if text else ():
        match = FORM.fullmatch(clause)
        if not match:
            raise UsageError(
                f"'{clause}' is no condition: write COLUMN, one of {' '.join(RELATIONS)}, and a value, "
                "such as aesthetic_score>=5"
            )
        found.append(Condition(*match.groups()))
    return tuple(found)


def settings(text: str, known: Collection[str]) -> tuple[dict[str, str], str]:
    """Return the settings (`name=value`) in a list of clauses, and the other clauses. Raises UsageError for
    a name that is not `known`.
    """
    found, others = {}, []
    for clause in text.split(",") if text else ():
        match = SETTING.fullmatch(clause)
        if not match:
            others.append(clause)
        elif match[1] not in known:
            raise UsageError(
                f"'{clause}': there is no setting '{match[1]}'{nearest(match[1], known)}; "
                f"use {', '.join(known)}, and == for a condition"
            )
        else:
            found[match[1]] = match[2]
    return found, ",".join(others)
