"""The page's memory: what it keeps, what it hears of the server, and when it asks."""

from typing import TYPE_CHECKING

import pytest

from tests.browser.conftest import OpenPage
from tests.browser.hand import ask, expect, settings, stage
from tests.browser.studio import Studio

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = pytest.mark.browser

HIDE = """hidden => {
  Object.defineProperty(document, 'hidden', { value: hidden, configurable: true });
  document.dispatchEvent(new Event('visibilitychange'));
}"""


def test_a_reload_keeps_prompt_and_settings(page: "Page") -> None:
    settings(page, seed=42, guidance=3)
    page.get_by_label("Prompt", exact=True).fill("größer & anders = #1")
    page.wait_for_url("**/*gr%C3%B6%C3%9Fer*seed=42*")
    page.reload()
    expect(page.get_by_label("Prompt", exact=True)).to_have_value("größer & anders = #1")
    expect(page.locator("#digest")).to_contain_text("seed 42, 25 steps, guidance 3")


def test_what_is_typed_quickly_is_noted_once(open_page: OpenPage) -> None:
    page = open_page()
    page.clock.install(time=0)
    page.reload()
    expect(page.locator("#digest")).not_to_be_empty()
    page.clock.pause_at(3600)
    page.evaluate("""() => {
      window.notes = 0;
      const note = history.replaceState.bind(history);
      history.replaceState = (...entry) => { window.notes += 1; note(...entry); };
    }""")
    page.get_by_label("Prompt", exact=True).press_sequentially("a prompt of many letters")
    page.clock.run_for(1000)
    assert page.evaluate("() => window.notes") == 1
    page.wait_for_url("**/*a+prompt+of+many+letters*")


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
    page.evaluate(HIDE, True)
    asked = studio.asked_status
    page.clock.run_for(10_000)
    assert studio.asked_status == asked
    page.evaluate(HIDE, False)
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


def test_another_bundle_is_noticed_by_who_comes_back(page: "Page", studio: Studio) -> None:
    page.evaluate(HIDE, True)
    studio.renew()
    page.evaluate(HIDE, False)
    expect(page.locator("#banner")).to_contain_text("another bundle")


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
