"""A cache of the contents of shards, kept between runs in `$XDG_CACHE_HOME/aptp/shards` (`~/.cache`).

Looking through a shard takes seconds, and there are hundreds. What is kept belongs to a shard of that path,
size and time of change alone; where nothing can be kept, read or trusted, shards are looked through again.
"""

import gzip
import hashlib
import json
import zlib
from pathlib import Path
from typing import Any

from runtime.errors import CacheFailure
from runtime.files.cache_folder import check_folder, default_folder, make_folder
from runtime.files.publish import write_file
from runtime.files.source import read_source

_MOST = 64 << 20  # bytes of what is kept of a shard
FORM = 2  # of what is kept; a change of it makes everything before unknown


def recall(shard: Path, ending: str) -> list[Any] | None:
    """Return what `keep` was given for this shard and `ending`, or None."""
    try:
        path = _path(shard, ending)
        check_folder(path.parents[1])
        found: list[Any] = json.loads(gzip.decompress(read_source(path, _MOST)))
    except (OSError, CacheFailure, EOFError, ValueError, RecursionError, zlib.error):
        return None
    return found


def keep(shard: Path, ending: str, rows: list[Any]) -> None:
    """Keep `rows`, which are JSON, of the texts with this `ending` in a shard."""
    try:
        path = _path(shard, ending)
        for folder in (path.parents[1], path.parent):
            make_folder(folder)
        write_file(path, gzip.compress(json.dumps(rows).encode(), compresslevel=1))
    except (OSError, CacheFailure):
        return  # a full disk, or a user without a home, costs time and no samples


def _path(shard: Path, ending: str) -> Path:
    found = shard.stat()
    told = json.dumps([FORM, str(shard.resolve()), found.st_size, found.st_mtime_ns, ending])
    cache = default_folder()
    if cache is None:
        raise CacheFailure("this user has no home folder for a cache")
    return cache / "shards" / f"{hashlib.sha256(told.encode()).hexdigest()}.json.gz"
