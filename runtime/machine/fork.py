"""Forks: threads do not follow them, so what a process opened is of no use in its children.

A child is refused by name, where it would wait for threads that are not there. And it never tears down what
it inherited: the libraries below would wait for their own threads, and the child would not end.
"""

import ctypes
import os
from typing import Any
from weakref import WeakSet

from runtime.errors import Forked

_forks = 0  # between the first process and this one
_inherited: WeakSet[Any] = WeakSet()


class Home:
    """The process in which a thing was made."""

    __slots__ = ("_forks",)

    def __init__(self) -> None:
        self._forks = _forks

    @property
    def is_left(self) -> bool:
        """Whether this is a child that was forked since."""
        return self._forks != _forks

    def check(self) -> None:
        """Refuse to go on in a child. Raises `Forked`."""
        if self.is_left:
            raise Forked(
                "the bundle was opened before this process was forked, and its threads stayed behind; open "
                "it in every child (after the fork), or start children by multiprocessing's 'spawn'"
            )


def keep(thing: object) -> None:
    """Let no child tear down a thing that has threads of its own."""
    _inherited.add(thing)


def _forked() -> None:
    global _forks
    _forks += 1
    for thing in list(_inherited):
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(thing))  # for good: not even the child's end lets go


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked)
