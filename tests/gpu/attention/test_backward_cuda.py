"""Every test that the interpreter runs of the backward kernels, as a GPU runs it."""

import pytest

from tests.kernels.attention.test_backward import *  # noqa: F403

pytestmark = pytest.mark.gpu
