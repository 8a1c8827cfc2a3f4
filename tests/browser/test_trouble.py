"""The page in trouble: it says what is wrong, and nothing is lost by it."""

from typing import TYPE_CHECKING

import pytest

from tests.browser.conftest import Asked, OpenPage
from tests.browser.hand import PROMPT, ask, expect, settings, stage
from tests.browser.studio import Studio

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = pytest.mark.browser


def test_a_comparison_goes_on_where_the_routed_code_is_not_there(
    page: "Page", studio: Studio, expected: list[str]
) -> None:
    expected.append("404")
    studio.lack("there is no expert for code 2")
    page.get_by_label("Prompt", exact=True).fill(PROMPT)
    page.get_by_role("button", name="Compare all codes").click()
    cards = page.locator("#comparison .frame")
    expect(cards.first).to_contain_text("there is no expert for code 2")
    expect(cards.locator('[data-state="finished"]')).to_have_count(5)


def test_a_comparison_that_is_refused_asks_nothing_more(
    page: "Page", studio: Studio, asked: Asked, expected: list[str]
) -> None:
    expected.append("429")
    studio.refuse("64 requests wait already", seconds=3)
    page.get_by_label("Prompt", exact=True).fill(PROMPT)
    page.get_by_role("button", name="Compare all codes").click()
    expect(page.locator("#comparison .failure")).to_contain_text("64 requests wait already")
    expect(page.get_by_role("button", name="Compare all codes")).to_be_visible()
    assert len(asked()) == 1


def test_a_refusal_is_told_in_words_and_tried_again(
    page: "Page", studio: Studio, expected: list[str]
) -> None:
    expected.append("429")
    studio.refuse("64 requests wait already", seconds=3)
    with page.expect_response("**/v1/images/generations") as answer:
        ask(page)
    failure = page.locator("#stage .failure")
    expect(failure).to_contain_text("64 requests wait already")
    expect(failure).to_contain_text("room in 3 seconds")
    expect(failure).to_contain_text(answer.value.headers["x-request-id"])
    failure.get_by_role("button", name="Try again").click()
    expect(stage(page, "finished")).to_be_visible()
    expect(failure).to_be_hidden()


def test_an_image_is_not_lost_to_a_later_failure(page: "Page", studio: Studio) -> None:
    ask(page, "a red square")
    expect(stage(page, "finished")).to_be_visible()
    studio.fail("expert 2: gave a result that is not finite", at=1)
    ask(page, "a cyan circle")
    expect(page.locator("#stage .failure")).to_be_visible()
    page.locator("#earlier").get_by_role("button", name="a red square").click()
    expect(stage(page, "finished").get_by_role("img", name="a red square")).to_be_visible()
    expect(page.get_by_label("Prompt", exact=True)).to_have_value("a red square")


def test_a_failure_on_the_way_is_told_beside_what_was_seen(page: "Page", studio: Studio) -> None:
    studio.fail("expert 2: gave a result that is not finite", at=14)
    ask(page)
    expect(page.locator("#stage .failure")).to_contain_text("not finite")
    expect(stage(page, "stopped").get_by_role("img")).to_be_visible()


def test_a_broken_connection_is_told(page: "Page", studio: Studio) -> None:
    studio.drop(at=14)
    ask(page)
    expect(page.locator("#stage .failure")).to_contain_text("before the image was finished")


def test_what_is_wrong_with_a_field_is_said_beside_it(
    page: "Page", studio: Studio, expected: list[str]
) -> None:
    expected.append("400")
    studio.object_to("solver", "is not offered any more")
    ask(page)
    expect(page.locator("#solver-problem")).to_contain_text("is not offered any more")
    expect(page.get_by_label("Solver")).to_be_focused()
    expect(page.get_by_label("Solver")).to_have_attribute("aria-invalid", "true")


def test_a_step_count_that_a_solver_lacks_is_refused_here(page: "Page", asked: Asked) -> None:
    settings(page, solver="euler", steps=21)
    ask(page)
    expect(page.locator("#steps-problem")).to_contain_text("euler has no schedule of 21 steps")
    assert asked() == []


def test_a_prompt_that_is_too_long_is_not_cut(page: "Page", asked: Asked) -> None:
    ask(page, "ö" * 10_001)
    expect(page.locator("#prompt-problem")).to_contain_text("10001 characters; the server takes 10000")
    assert asked() == []


def test_no_prompt_is_no_request(page: "Page", asked: Asked) -> None:
    page.get_by_role("button", name="Generate").click()
    expect(page.locator("#prompt-problem")).to_contain_text("Type a prompt")
    assert asked() == []


@pytest.mark.parametrize("token", ["open-sesame-open-sesame"])
def test_a_token_is_asked_for(open_page: OpenPage, token: str, expected: list[str]) -> None:
    expected.append("401")
    page = open_page()
    page.get_by_label("This server asks for a token").fill("wrong")
    page.get_by_role("button", name="Go on").click()
    expect(page.locator("#banner")).to_contain_text("token")
    page.get_by_label("This server asks for a token").fill(token)
    page.keyboard.press("Enter")
    expect(page.locator("#entrance")).to_be_hidden()
    ask(page)
    expect(stage(page, "finished")).to_be_visible()


@pytest.mark.parametrize("opened", [False])
def test_a_server_that_is_opening_is_waited_for(
    open_page: OpenPage, studio: Studio, expected: list[str]
) -> None:
    expected.append("503")
    page = open_page(f"/#prompt={PROMPT.replace(' ', '+')}")
    expect(page.locator("#banner")).to_contain_text("getting ready")
    studio.open()
    expect(page.locator("#banner")).to_be_hidden()
    page.get_by_role("button", name="Generate").click()
    expect(stage(page, "finished")).to_be_visible()


def test_a_server_that_drains_says_so(page: "Page", studio: Studio) -> None:
    studio.draining = True
    expect(page.locator("#banner")).to_contain_text("shutting down")
