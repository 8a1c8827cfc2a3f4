"""All attacks, in the order of the README: each module registers its own when it is imported."""

from tests.attacks import files, http, manifests
from tests.attacks.attack import ATTACKS

MODULES = (files, http, manifests)
__all__ = ["ATTACKS", "MODULES"]
