"""The page at `/`, its files below `/page/`, all from one folder; nothing of it may reach another server."""

from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response
from starlette.staticfiles import StaticFiles

FOLDER = Path(__file__).with_name("web")
INDEX = "index.html"

_HEADERS = {
    "content-security-policy": (
        "default-src 'self'; img-src 'self' data: blob:; object-src 'none'; base-uri 'none'; "
        "form-action 'self'; frame-ancestors 'none'"
    ),
    "cache-control": "no-cache",  # asked for every time, answered with 304: no old script with a new page
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
}


class Page(StaticFiles):
    """The files of a folder, none outside it."""

    def __init__(self, folder: Path = FOLDER) -> None:
        super().__init__(directory=folder, check_dir=False)

    async def check_config(self) -> None:
        """Demand nothing: a server without its page is a server still, and answers 404."""

    async def get_response(self, path: str, scope: dict[str, object]) -> Response:  # type: ignore[override]
        response = await super().get_response(path, scope)
        response.headers.update(_HEADERS)
        return response

    async def index(self, request: Request) -> Response:
        """Return the page itself. Raises `HTTPException` where it is not installed."""
        return await self.get_response(INDEX, request.scope)  # type: ignore[arg-type]
