"""Prompts from files: UTF-8 text, one prompt a line, empty lines left out."""

from pathlib import Path

from runtime.errors import UsageError


def read_prompts(path: str | Path) -> list[str]:
    """The prompts of the file that `--prompts` names, maybe none. Raises `UsageError`."""
    try:
        lines = Path(path).read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"--prompts {path}: cannot be read as UTF-8 text: {error}") from error
    return [line for line in lines if line.strip()]
