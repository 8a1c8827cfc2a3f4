"""The moves of a hand at the page, and the places where an eye looks."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

PROMPT = "a purple circle on a black background"


def expect(locator: "Locator") -> Any:
    """Playwright's assertion, which waits."""
    from playwright.sync_api import expect

    return expect(locator)


def ask(page: "Page", prompt: str = PROMPT) -> None:
    page.get_by_label("Prompt", exact=True).fill(prompt)
    page.get_by_role("button", name="Generate").click()


def stage(page: "Page", state: str = "") -> "Locator":
    """The large picture, or that one only in a certain state."""
    return page.locator(f'#stage .picture[data-state="{state}"]' if state else "#stage")


def settings(page: "Page", **values: object) -> None:
    if page.locator("#settings[open]").count() == 0:
        page.get_by_text("Settings").click()
    for name, value in values.items():
        field = page.locator(f"#{name}")
        if field.evaluate("field => field.tagName") == "SELECT":
            field.select_option(str(value))
        else:
            field.fill(str(value))


def side(page: "Page") -> tuple[int, int]:
    """How wide the document is, and how wide the window."""
    return page.evaluate("() => [document.documentElement.scrollWidth, innerWidth]")
