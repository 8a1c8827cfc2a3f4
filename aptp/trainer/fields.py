"""Options of a command line from the fields of a dataclass, so that each field is told of in one place."""

import argparse
from collections.abc import Sequence
from dataclasses import MISSING, field, fields, replace
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

Changed = TypeVar("Changed", bound="DataclassInstance")


def option(
    name: str, about: str, default: Any = MISSING, *, metavar: str = "N", choices: Sequence[str] = ()
) -> Any:
    """Return a field of a dataclass that the command line sets by `name`, an option such as `--rate`."""
    metadata = {"option": name, "help": about, "metavar": metavar, "choices": choices}
    return field(default=default, metadata=metadata)


def add_fields(parser: argparse._ActionsContainer, kind: Any) -> None:
    """Add the option of every field of the dataclass `kind`. What nobody says is None."""
    for each in fields(kind):
        names = {"dest": each.name, "default": None, "help": each.metadata["help"]}
        if each.type is bool:
            names["action"] = argparse.BooleanOptionalAction
        elif each.metadata["choices"]:
            names["choices"] = each.metadata["choices"]
        else:
            names |= {"type": _reader(each.type), "metavar": each.metadata["metavar"]}
        parser.add_argument(each.metadata["option"], **names)


def changed(usual: Changed, arguments: argparse.Namespace) -> Changed:
    """Return the dataclass `usual` with what the command line says of its fields."""
    asked = {each.name: getattr(arguments, each.name) for each in fields(usual)}
    said = {name: value for name, value in asked.items() if value is not None}
    return replace(usual, **said)


def _reader(kind: Any) -> Any:
    return kind if kind in (int, float, str) else _pair


def _pair(text: str) -> tuple[float, float]:
    try:
        first, second = (float(part) for part in text.split(","))
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r}: give two numbers, such as 0.9,0.999") from error
    return first, second
