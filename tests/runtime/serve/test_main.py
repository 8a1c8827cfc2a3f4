"""The module as a program."""

import importlib.util

import pytest

from runtime.errors import EnvironmentMismatch
from runtime.serve import __main__


def test_what_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr(__main__, "find_spec", lambda name: None if name == "uvicorn" else found(name))
    with pytest.raises(EnvironmentMismatch, match=r"needs uvicorn; .*aptp\[serve\]"):
        __main__.main()
