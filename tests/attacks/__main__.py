"""`python -m tests.attacks [NAME …]`: try the attacks on this machine, and say how each was held off."""

import sys
import tempfile
from pathlib import Path

from tests.attacks.attack import GotThrough
from tests.attacks.catalogue import ATTACKS


def main(names: list[str]) -> int:
    """Try `names`, or all; return how many got through."""
    through = 0
    for one in [ATTACKS[name] for name in names] if names else list(ATTACKS.values()):
        with tempfile.TemporaryDirectory() as work:
            try:
                sys.stdout.write(f"held         {one.name}: {one.run(Path(work))[:160]}\n")
            except GotThrough as reason:
                through += 1
                sys.stdout.write(f"GOT THROUGH  {one.name}: {reason}\n")
    return through


if __name__ == "__main__":
    sys.exit(min(main(sys.argv[1:]), 1))
