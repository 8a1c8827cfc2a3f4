"""The moves of somebody at the page: asks, watches, compares, cancels."""

from typing import TYPE_CHECKING

import pytest

from tests.browser.conftest import Asked
from tests.browser.hand import PROMPT, ask, expect, settings, stage
from tests.browser.studio import Studio

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = pytest.mark.browser


def test_a_request_is_told_from_the_queue_to_the_image(page: "Page", studio: Studio) -> None:
    studio.hold(-1)
    ask(page)
    expect(stage(page, "waiting")).to_contain_text("Queued, 3 before it")
    studio.hold(0)
    expect(page.locator("#stage .who")).to_contain_text("Expert 2")
    expect(page.locator("#stage .cost")).to_contain_text("80 % of the dense cost")
    expect(page.locator('#stage [data-fact="margin"]')).to_contain_text("0.0123")
    studio.hold(10)
    expect(page.locator("#stage .state")).to_have_text("Step 10 of 25")
    expect(stage(page).get_by_role("progressbar")).to_have_attribute("aria-valuenow", "10")
    preview = stage(page, "preview").get_by_role("img").get_attribute("src")
    studio.release()
    image = stage(page, "finished").get_by_role("img", name=PROMPT)
    expect(image).to_be_visible()
    assert image.get_attribute("src") != preview
    assert image.evaluate("image => [image.naturalWidth, image.naturalHeight]") == [64, 64]


def test_what_is_set_is_what_is_asked_for(page: "Page", asked: Asked) -> None:
    settings(page, seed=42, steps=20, guidance=3.5, width=96, height=64, code=1, solver="euler")
    settings(page, negative_prompt="stripes")
    ask(page)
    expect(stage(page, "finished")).to_be_visible()
    (body,) = asked()
    assert body == {
        "prompt": PROMPT,
        "negative_prompt": "stripes",
        "seed": 42,
        "steps": 20,
        "guidance": 3.5,
        "size": "96x64",
        "solver": "euler",
        "code": 1,
        "n": 1,
        "stream": True,
        "partial_images": 12,
    }


def test_an_image_is_downloaded_under_a_name_that_tells_what_it_is(page: "Page") -> None:
    settings(page, seed=7)
    ask(page)
    with page.expect_download() as download:
        stage(page).get_by_role("link", name="Download").click()
    assert download.value.suggested_filename == "a-purple-circle-on-a-black-background-seed7-2.png"


def test_what_is_odd_about_a_choice_is_said(page: "Page", studio: Studio) -> None:
    studio.choose(out_of_distribution=True, distance=2.5)
    ask(page)
    expect(page.locator("#stage .notes")).to_contain_text("unlike those of the training")


def test_a_comparison_asks_every_expert_once_and_the_router_first(
    page: "Page", studio: Studio, asked: Asked
) -> None:
    page.get_by_label("Prompt", exact=True).fill(PROMPT)
    studio.hold(0)
    page.get_by_role("button", name="Compare all codes").click()
    cards = page.locator("#comparison .frame")
    expect(cards).to_have_count(5)
    expect(cards.first).to_contain_text("Expert 2")
    expect(cards.locator(".mark:visible")).to_have_count(1)
    expect(cards.first.locator(".mark")).to_be_visible()
    studio.release()
    expect(cards.locator('[data-state="finished"]')).to_have_count(5)
    first, *others = asked()
    assert "code" not in first
    assert sorted(str(body["code"]) for body in others) == ["0", "1", "3", "dense"]
    assert {(body["prompt"], body["seed"]) for body in others} == {(first["prompt"], first["seed"])}


@pytest.mark.parametrize("how", ["button", "Escape"])
def test_cancelling_closes_the_stream_and_keeps_what_was_seen(page: "Page", studio: Studio, how: str) -> None:
    studio.hold(10)
    ask(page)
    expect(page.locator("#stage .state")).to_have_text("Step 10 of 25")
    if how == "button":
        page.get_by_role("button", name="Cancel").click()
    else:
        page.keyboard.press("Escape")
    studio.wait_for(lambda studio: studio.cancellations == 1)
    expect(page.locator("#stage .state")).to_have_text("Cancelled after step 10 of 25")
    expect(stage(page, "stopped").get_by_role("img")).to_be_visible()
    expect(page.get_by_label("Prompt", exact=True)).to_have_value(PROMPT)


def test_cancelling_a_comparison_closes_all_streams(page: "Page", studio: Studio) -> None:
    studio.hold(10)
    page.get_by_label("Prompt", exact=True).fill(PROMPT)
    page.get_by_role("button", name="Compare all codes").click()
    expect(page.locator("#comparison .state", has_text="Step 10 of 25")).to_have_count(5)
    page.keyboard.press("Escape")
    studio.wait_for(lambda studio: studio.cancellations == 5)
    expect(page.locator("#comparison .state", has_text="Cancelled after step 10")).to_have_count(5)
