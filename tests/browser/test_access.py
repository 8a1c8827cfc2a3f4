"""The page by keyboard, by ear, on a phone; and pictures of it."""

import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.browser.conftest import OpenPage
from tests.browser.hand import PROMPT, ask, expect, settings, side, stage
from tests.browser.studio import Studio

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = pytest.mark.browser


def test_everything_can_be_done_from_the_keyboard(page: "Page", studio: Studio) -> None:
    expect(page.get_by_label("Prompt", exact=True)).to_be_focused()
    page.keyboard.type(PROMPT)
    page.keyboard.press("Control+Enter")
    expect(stage(page, "finished")).to_be_visible()
    expect(page.get_by_label("Prompt", exact=True)).to_be_focused()
    for _ in range(page.locator("#examples button").count() + 2):
        page.keyboard.press("Tab")
    expect(page.get_by_role("button", name="Compare all codes")).to_be_focused()
    studio.hold(5)
    page.keyboard.press("Enter")
    expect(page.locator("#comparison .frame")).to_have_count(5)
    expect(page.get_by_role("button", name="Cancel")).to_be_focused()
    page.keyboard.press("Enter")
    studio.wait_for(lambda studio: studio.cancellations == 5)
    expect(page.get_by_role("button", name="Compare all codes")).to_be_focused()
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    expect(page.get_by_label("Seed", exact=True)).to_be_focused()


def test_progress_is_announced(page: "Page", studio: Studio) -> None:
    announcer = page.locator("#announcer")
    expect(announcer).to_have_attribute("aria-live", "polite")
    studio.hold(0)
    ask(page)
    expect(announcer).to_have_text("Expert 2 draws it")
    studio.hold(7)
    expect(announcer).to_have_text("Step 7 of 25")
    studio.release()
    expect(announcer).to_have_text(re.compile("^Done: Expert 2, "))


def test_every_control_has_a_name(page: "Page") -> None:
    settings(page)
    unlabelled = "fields => fields.filter((field) => !field.labels.length).map((field) => field.id)"
    assert page.locator("input, select, textarea").evaluate_all(unlabelled) == []
    assert "" not in [text.strip() for text in page.locator("button").all_text_contents()]


def test_nothing_is_wider_than_a_phone(open_page: OpenPage, studio: Studio, expected: list[str]) -> None:
    expected.append("429")
    page = open_page(viewport={"width": 360, "height": 740}, is_mobile=True, has_touch=True)
    studio.wait_for(lambda studio: studio.asked_status > 0)
    assert side(page) == [360, 360]
    settings(page, seed=9007199254740991)
    ask(page, "pneumonoultramicroscopicsilicovolcanoconiosis" * 8)
    expect(stage(page, "finished")).to_be_visible()
    assert side(page) == [360, 360]
    page.get_by_role("button", name="Compare all codes").click()
    expect(page.locator('#comparison [data-state="finished"]')).to_have_count(5)
    assert side(page) == [360, 360]
    studio.refuse("too_many_requests_" * 20, seconds=3)
    page.get_by_role("button", name="Generate").click()
    expect(page.locator("#stage .failure")).to_be_visible()
    assert side(page) == [360, 360]


def test_screenshots(open_page: OpenPage, studio: Studio, album: Path) -> None:
    """Desktop in both schemes, a phone, and a comparison: to be looked at."""
    page = open_page("/#seed=7", device_scale_factor=2)
    studio.hold(16)
    ask(page)
    expect(page.locator("#stage .state")).to_have_text("Step 16 of 25")
    page.screenshot(path=album / "desktop-drawing.png")
    studio.release()
    expect(stage(page, "finished")).to_be_visible()
    page.screenshot(path=album / "desktop-light.png")
    page.get_by_role("button", name="Compare all codes").click()
    expect(page.locator('#comparison [data-state="finished"]')).to_have_count(5)
    page.screenshot(path=album / "compare.png", full_page=True)
    page.emulate_media(color_scheme="dark")
    page.screenshot(path=album / "desktop-dark.png", full_page=True)
    small = {"viewport": {"width": 360, "height": 740}, "is_mobile": True, "device_scale_factor": 3}
    phone = open_page("/#seed=7", **small)
    ask(phone)
    expect(stage(phone, "finished")).to_be_visible()
    phone.screenshot(path=album / "phone.png", full_page=True)
    names = {"desktop-drawing", "desktop-light", "desktop-dark", "compare", "phone"}
    assert {path.stem for path in album.glob("*.png")} >= names
