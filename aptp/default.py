"""The small trained checkpoint that comes with this package, for builds that name none, and some prompts of
its training.
"""

from pathlib import Path

from runtime.errors import CheckpointError

FOLDER = Path(__file__).parent / "weights" / "tiny"
PROMPTS = FOLDER.with_name("tiny.prompts.txt")  # beside it, for its index lists what is in it


def default_checkpoint() -> Path:
    """Its folder. Raises CheckpointError where the package was installed without it."""
    if not (FOLDER / "aptp.json").exists():
        raise CheckpointError(f"{FOLDER} is missing: install aptp again, or give a --checkpoint")
    return FOLDER


def default_prompts() -> list[str]:
    """Return captions of its training, of every tier, none of which `aptp.evaluate` draws."""
    return PROMPTS.read_text(encoding="utf-8").splitlines()
