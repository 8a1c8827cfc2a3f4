"""Both interfaces are opened, not constructed, from a path."""

from pathlib import Path

import pytest

from runtime import Pipeline, Runtime
from runtime.errors import UsageError


@pytest.mark.parametrize("interface", [Pipeline, Runtime])
@pytest.mark.parametrize("path", ["bundle", Path("bundle")])
def test_a_path_is_for_open(interface: type[Pipeline] | type[Runtime], path: str | Path) -> None:
    name = interface.__name__
    with pytest.raises(UsageError, match=rf"{name}\('bundle'\): open a bundle with {name}\.open\('bundle'\)"):
        interface(path)  # type: ignore[arg-type]
