"""The small checkpoint that `export.build` uses when none is given.

Its weights are random until a trained one ships: the checkpoint is made on first use, the same bytes for
one version of this software and of torch, and kept in the cache.
"""

from __future__ import annotations

import os
from pathlib import Path

import torch

from aptp.create import create
from aptp.errors import StorageError
from aptp.version import __version__


def default_checkpoint(cache: Path | None = None) -> Path:
    """The folder of the default checkpoint, below ``cache`` (default: the user's cache folder); made if it
    is not there.
    """
    folder = (cache or _cache()) / "checkpoints" / f"tiny-{__version__}-torch{torch.__version__}"
    if not (folder / "aptp.json").is_file():
        try:
            create(folder, preset="tiny")
        except StorageError:
            # Another process may have published it meanwhile.
            if not (folder / "aptp.json").is_file():
                raise
    return folder


def _cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "aptp"
