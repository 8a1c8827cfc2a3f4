"""The small trained checkpoint that comes with this package, for builds that name none."""

from pathlib import Path

from runtime.errors import CheckpointError

FOLDER = Path(__file__).parent / "weights" / "tiny"


def default_checkpoint() -> Path:
    """Its folder. Raises CheckpointError where the package was installed without it."""
    if not (FOLDER / "aptp.json").exists():
        raise CheckpointError(f"{FOLDER} is missing: install aptp again, or give a --checkpoint")
    return FOLDER
