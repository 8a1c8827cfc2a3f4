"""The OpenAPI document, written by hand: tests hold `openapi.json` against routes, parser and replies."""

import json
from pathlib import Path
from typing import Any

FILE = Path(__file__).with_name("openapi.json")


def document(version: str) -> dict[str, Any]:
    """The document of this version of the software."""
    described: dict[str, Any] = json.loads(FILE.read_text("utf-8"))
    described["info"]["version"] = version
    return described
