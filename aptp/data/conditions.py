"""Conditions on columns as a command line gives them: `watermark_class_id==1,aesthetic_score>=5`."""

import operator
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from runtime.errors import UsageError

RELATIONS: dict[str, Callable[[Any, Any], Any]] = {
    ">=": operator.ge,
    "<=": operator.le,
    "==": operator.eq,
    "!=": operator.ne,
    ">": operator.gt,
    "<": operator.lt,
}
FORM = re.compile(rf"\s*(\w+)\s*({'|'.join(RELATIONS)})\s*([^\s=<>!].*?)\s*")


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
