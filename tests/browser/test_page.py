"""What somebody does at the page: draws, watches, compares, cancels, meets errors, comes back."""

import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from .conftest import Asked, OpenPage
from .studio import Studio

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

pytestmark = pytest.mark.browser

PROMPT = "a purple circle on a black background"


def expect(locator: "Locator"):  # type: ignore[no-untyped-def]
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
        "model": "aptp",
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
    studio.choose(unfamiliar=True, distance=2.5)
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


def test_a_comparison_goes_on_where_the_routed_code_is_not_there(
    page: "Page", studio: Studio, expected: list[str]
) -> None:
    expected.append("503")
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


def test_no_prompt_is_no_request(page: "Page", asked: Asked) -> None:
    page.get_by_role("button", name="Generate").click()
    expect(page.locator("#prompt-problem")).to_contain_text("Type a prompt")
    assert asked() == []


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
    page.get_by_text("Settings").click()
    nameless = """controls => controls
      .filter((control) => !(control.labels?.length || control.textContent.trim()))
      .map((control) => control.outerHTML)"""
    assert page.locator("input, select, textarea, button").evaluate_all(nameless) == []


def test_a_reload_keeps_prompt_and_settings(page: "Page") -> None:
    settings(page, seed=42, guidance=3)
    page.get_by_label("Prompt", exact=True).fill("größer & anders = #1")
    page.reload()
    expect(page.get_by_label("Prompt", exact=True)).to_have_value("größer & anders = #1")
    expect(page.locator("#digest")).to_contain_text("seed 42, 25 steps, guidance 3")


def test_going_back_brings_the_earlier_prompt_and_its_image(page: "Page") -> None:
    settings(page, seed=42)
    ask(page, "a red square")
    first = stage(page, "finished").get_by_role("img", name="a red square")
    expect(first).to_be_visible()
    settings(page, seed=43)
    ask(page, "a cyan circle")
    expect(stage(page, "finished").get_by_role("img", name="a cyan circle")).to_be_visible()
    page.go_back()
    expect(page.get_by_label("Prompt", exact=True)).to_have_value("a red square")
    expect(page.get_by_label("Seed", exact=True)).to_have_value("42")
    expect(first).to_be_visible()


def test_occupancy_is_asked_for_once_a_second_and_not_while_hidden(
    open_page: OpenPage, studio: Studio
) -> None:
    page = open_page()
    studio.wait_for(lambda studio: studio.asked_status >= 1)
    page.clock.install()
    page.reload()
    page.clock.run_for(100)
    studio.wait_for(lambda studio: studio.asked_status >= 2)
    expect(page.locator("#pulse")).to_have_text("live")
    see = "hidden => { Object.defineProperty(document, 'hidden', {value: hidden, configurable: true});"
    see += " document.dispatchEvent(new Event('visibilitychange')); }"
    page.evaluate(see, True)
    asked = studio.asked_status
    page.clock.run_for(10_000)
    assert studio.asked_status == asked
    page.evaluate(see, False)
    page.clock.run_for(100)
    studio.wait_for(lambda studio: studio.asked_status == asked + 1)


def test_occupancy_tells_queue_batch_and_experts(page: "Page", studio: Studio) -> None:
    studio.hold(3)
    ask(page)
    occupancy = page.locator("#occupancy")
    expect(occupancy.locator('[data-meter="running"]')).to_contain_text("1 of 8")
    expect(occupancy.locator('[data-meter="batch"]')).to_contain_text("1 of 8, expert 2")
    expect(occupancy.locator(".seats .taken")).to_have_count(1)
    expect(occupancy.locator("tbody tr")).to_have_count(5)


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
    studio.refuse("too-many-requests-" * 20, seconds=3)
    page.get_by_role("button", name="Generate").click()
    expect(page.locator("#stage .failure")).to_be_visible()
    assert side(page) == [360, 360]


def test_events_may_be_cut_anywhere(page: "Page") -> None:
    read = """async text => {
      const { events } = await import('/page/events.js');
      const bytes = new TextEncoder().encode(text);
      const body = new ReadableStream({ start(stream) {
        for (const byte of bytes) stream.enqueue(new Uint8Array([byte]));
        stream.close();
      } });
      const found = [];
      for await (const event of events(body)) found.push(event);
      return found;
    }"""
    first = ': alive\r\n\r\nevent: a\r\ndata: {"type": "größer",\r\ndata: "n": 1}\r\n\r\n'
    sent = first + 'data:{"type":"b"}\n\ndata: {"cut":'
    assert page.evaluate(read, sent) == [{"type": "größer", "n": 1}, {"type": "b"}]


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
