"""An attack: what it needs, what it would gain, and a try of it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path


class GotThrough(Exception):
    """The attack did what it was made for."""


@dataclass(frozen=True, slots=True)
class Attack:
    """A try in an empty folder: `run` returns how it was held off. Raises `GotThrough` where it was not."""

    name: str
    needs: str
    gains: str
    run: Callable[[Path], str]


ATTACKS: dict[str, Attack] = {}


def attack(needs: str, gains: str) -> Callable[[Callable[[Path], str]], Callable[[Path], str]]:
    """Register a function as the attack of its name."""

    def register(run: Callable[[Path], str]) -> Callable[[Path], str]:
        name = run.__name__.replace("_", "-")
        ATTACKS[name] = Attack(name, needs, gains, run)
        return run

    return register


class Refusal:
    """How an attack was refused; `told` is empty until it was."""

    told = ""


@contextmanager
def refused(*kinds: type[BaseException]) -> Iterator[Refusal]:
    """Catch the refusal that the block has to end with. Raises `GotThrough` where it ends well."""
    found = Refusal()
    try:
        yield found
    except kinds as error:
        found.told = f"{type(error).__name__}: {error}"
        return
    raise GotThrough("nothing was refused")
