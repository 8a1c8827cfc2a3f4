"""Every test that the interpreter runs of the forward kernel, as a GPU runs it."""

import pytest

from tests.kernels.attention.test_forward import *  # noqa: F403

pytestmark = pytest.mark.gpu
