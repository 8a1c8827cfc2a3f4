from collections.abc import Iterator

import pytest

from tests.kernels.interpreter import repair


@pytest.fixture(autouse=True, scope="package")
def interpreter() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        repair(patch)
        yield
