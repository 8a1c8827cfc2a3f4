"""A cache of the contents of shards, kept between runs in `$XDG_CACHE_HOME/aptp/shards` (`~/.cache`).

Looking through a shard takes seconds, and there are hundreds. What is kept belongs to a shard of that path,
size and time of change alone; where nothing can be kept or read, shards are looked through again.
"""

import gzip
import hashlib
import json
import os
import zlib
from pathlib import Path
from typing import Any

from runtime.files.publish import write_file

FORM = 1  # of what is kept; a change of it makes everything before unknown


def recall(shard: Path, ending: str) -> list[Any] | None:
    """Return what `keep` was given for this shard and `ending`, or None."""
    try:
        found: list[Any] = json.loads(gzip.decompress(_path(shard, ending).read_bytes()))
    except (OSError, RuntimeError, EOFError, ValueError, zlib.error):
        return None
    return found


def keep(shard: Path, ending: str, rows: list[Any]) -> None:
    """Keep `rows`, which are JSON, of the texts with this `ending` in a shard."""
    try:
        path = _path(shard, ending)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_file(path, gzip.compress(json.dumps(rows).encode(), compresslevel=1))
    except (OSError, RuntimeError):
        return  # a full disk, or a user without a home, costs time and no samples


def _path(shard: Path, ending: str) -> Path:
    found = shard.stat()
    told = json.dumps([FORM, str(shard.resolve()), found.st_size, found.st_mtime_ns, ending])
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return base / "aptp" / "shards" / f"{hashlib.sha256(told.encode()).hexdigest()}.json.gz"
