"""A browser, a page in it, and the server behind: what the tests of the page stand on.

Whoever runs these needs playwright and a Chromium. Without them they fail and say what to install.
"""

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.browser.studio import Studio
from tests.browser.wire import serving

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page, Request

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
NO_PLAYWRIGHT = "playwright is not installed: `pip install -e '.[browser]'`, which `make browser` does"
NO_BROWSER = (
    "there is no Chromium: install one (`apt-get install chromium`, or "
    "`python -m playwright install chromium`), or name it: make browser CHROMIUM=/path/to/chromium"
)

OpenPage = Callable[..., "Page"]
Asked = Callable[[], list[dict[str, Any]]]  # the bodies of the requests for images, in order


@pytest.fixture(scope="session")
def browser() -> Iterator["Browser"]:
    """One Chromium for all tests."""
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        pytest.fail(NO_PLAYWRIGHT)
    with sync_playwright() as playwright:
        found = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)
        path = found or playwright.chromium.executable_path
        if not Path(path).exists():
            pytest.fail(NO_BROWSER)
        # Chromium's sandbox does not start for root, which containers often are.
        arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
        browser = playwright.chromium.launch(executable_path=path, args=arguments)
        yield browser
        browser.close()


@pytest.fixture
def opened() -> bool:
    """Whether the server has opened its bundle when it is first asked."""
    return True


@pytest.fixture
def token() -> str | None:
    """The token that the server wants to be shown."""
    return None


@pytest.fixture
def studio(opened: bool) -> Studio:
    """The studio that draws."""
    return Studio(opened)


@pytest.fixture
def origin(studio: Studio, token: str | None) -> Iterator[str]:
    """Where the page is served."""
    with serving(studio, token) as origin:
        yield origin


@pytest.fixture
def expected() -> list[str]:
    """The lines the console may say in this test: a browser notes every status of 400 and above there."""
    return []


@pytest.fixture
def requests() -> list["Request"]:
    """Everything that was asked for, of anybody."""
    return []


@pytest.fixture
def asked(requests: list["Request"]) -> Asked:
    """Return what was asked to be drawn."""
    return lambda: [request.post_data_json for request in requests if request.method == "POST"]


@pytest.fixture
def open_page(
    browser: "Browser", origin: str, expected: list[str], requests: list["Request"]
) -> Iterator[OpenPage]:
    """Opens the page in a window of its own; whatever it asked for or complained of is judged in the end."""
    complaints: list[str] = []
    contexts = []

    def open_page(path: str = "/", **options: object) -> "Page":
        context = browser.new_context(**{"viewport": {"width": 1280, "height": 900}, **options})
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(10_000)
        page.on("request", lambda request: requests.append(request))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("console", lambda line: complaints.append(line.text) if line.type == "error" else None)
        page.goto(origin + path)
        return page

    yield open_page
    urls = [request.url for request in requests]
    for context in contexts:
        context.close()
    assert [url for url in urls if not url.startswith((f"{origin}/", "data:image/"))] == []
    assert [line for line in complaints if not any(part in line for part in expected)] == []


@pytest.fixture
def page(open_page: OpenPage, studio: Studio) -> "Page":
    """The page on a desktop, when it has heard what the server offers."""
    page = open_page()
    studio.wait_for(lambda studio: studio.asked_status > 0)
    return page


@pytest.fixture
def album(tmp_path: Path) -> Path:
    """Where screenshots go: $SCREENSHOTS, if it is set."""
    folder = Path(os.environ.get("SCREENSHOTS") or tmp_path)
    folder.mkdir(parents=True, exist_ok=True)
    return folder
