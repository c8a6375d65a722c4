"""Human Pick on the real page: by mouse, by keyboard, in several tabs, in none. Screenshots are in tests/output."""

import json

import pytest

from .page import Page
from .panels import Panel, picking, queue

SAVED = "() => app.nodeOutputs[13]?.images"
BLOCK = "10"


@pytest.fixture(autouse=True)
def stopping(client):
    """Whatever still asks when the test ends is cancelled."""
    yield
    client.interrupt()


def asked(page):
    """The dialog, once it is there with all its pictures."""
    dialog = page.tab.locator(".ns-picker")
    dialog.wait_for(timeout=200_000)
    page.tab.wait_for_function("() => [...document.querySelectorAll('.ns-choice img')].every(i => i.naturalWidth)")
    return dialog


def chosen(page):
    """Numbers of the images that are marked."""
    return page.tab.evaluate("() => [...document.querySelectorAll('.ns-choice')].flatMap((f, n) => "
                             "f.matches('.ns-picked') ? [n] : [])")  # fmt: skip


def ended(page):
    page.tab.locator(".ns-picker").wait_for(state="detached")
    page.tab.wait_for_function(SAVED, timeout=200_000)


def scores(page):
    panel = Panel(page, BLOCK)
    panel.wait_until("budget spent")
    return panel.board()["lanes"][0]["values"]


def test_by_mouse(page):
    page.load(picking())
    queue(page)
    dialog = asked(page)
    choices = dialog.locator(".ns-choice")
    assert choices.count() == 5 and dialog.locator(".ns-confirm").is_disabled()
    assert "Which picture shows the prompt best?" in dialog.inner_text() and "min left" in dialog.inner_text()
    choices.nth(1).click()
    choices.nth(3).click()
    assert chosen(page) == [3]
    page.screenshot("picker by mouse", fit=False)
    dialog.locator(".ns-confirm").click()
    ended(page)
    assert scores(page) == [0, 0, 0, 1, 0] and not page.errors and not page.alerts()


def test_a_double_click_answers_at_once_and_the_best_so_far_stands_by(page):
    page.load(picking(images=3))
    queue(page)
    asked(page).locator(".ns-choice").nth(2).dblclick()
    ended(page)
    page.tab.evaluate("() => { app.graph.getNodeById(8).widgets[0].value = 5; app.queuePrompt(0) }")
    dialog = asked(page)
    assert dialog.locator(".ns-choice").count() == 3 and dialog.locator(".ns-standing").count() == 1
    page.screenshot("picker with the best so far", fit=False)
    dialog.locator(".ns-none").click()
    dialog.wait_for(state="detached")
    page.tab.wait_for_function("id => app.graph.getNodeById(id).noiseSearchPanel.spots.length === 5", arg=BLOCK)
    assert scores(page) == [0, 0, 1, 0, 0] and not page.errors


def test_by_keyboard(page):
    page.load(picking())
    queue(page)
    dialog = asked(page)
    page.tab.keyboard.press("Enter")  # nothing is chosen yet
    assert dialog.is_visible()
    page.tab.keyboard.press("4")
    page.tab.keyboard.press("ArrowLeft")
    page.tab.keyboard.press("Space")
    assert chosen(page) == [2]
    page.tab.keyboard.press("Enter")
    ended(page)
    assert scores(page) == [0, 0, 1, 0, 0] and not page.errors


def test_a_ranking(page):
    page.load(picking(way="rank"))
    queue(page)
    dialog = asked(page)
    for key in "53214":
        page.tab.keyboard.press(key)
    page.tab.keyboard.press("4")  # again: out
    marks = dialog.locator(".ns-mark").all_inner_texts()
    assert marks == ["4", "3", "2", "", "1"]
    page.screenshot("picker ranking", fit=False)
    page.tab.keyboard.press("Enter")
    ended(page)
    assert scores(page) == [1, 2, 3, 0, 4]  # four places above the one left out


def test_ratings(page):
    page.load(picking(images=3, way="rate 1 to 10"))
    queue(page)
    dialog = asked(page)
    assert dialog.locator(".ns-confirm").inner_text() == "3 to rate" and dialog.locator(".ns-none").count() == 0
    for key in ("7", "0", "3"):  # each goes on to the next image
        page.tab.keyboard.press(key)
    page.screenshot("picker rating", fit=False)
    dialog.locator(".ns-confirm").click()
    ended(page)
    assert scores(page) == [7, 10, 3]


def test_the_first_of_two_tabs_answers(page, browser, server):
    other = Page(browser, server.url)
    page.load(picking())
    queue(page)
    asked(page)
    dialog = asked(other)
    dialog.locator(".ns-choice").nth(0).dblclick()
    for each in (page, other):
        each.tab.locator(".ns-picker").wait_for(state="detached")
    ended(page)
    assert scores(page) == [1, 0, 0, 0, 0] and not page.errors and not other.errors
    other.close()


def test_a_page_that_is_opened_later_shows_the_question(page, browser, server):
    first = Page(browser, server.url)
    first.load(picking())
    prompt = queue(first)
    asked(first)
    first.close()
    page.tab.reload()
    dialog = asked(page)
    dialog.locator(".ns-choice").nth(1).click()
    page.tab.keyboard.press("Enter")
    dialog.wait_for(state="detached")
    page.tab.wait_for_function(
        "async id => (await (await fetch(`/history/${id}`)).json())[id]?.status.status_str === 'success'", arg=prompt
    )


def test_it_can_be_put_away_to_look_at_the_graph(page):
    page.load(picking())
    queue(page)
    dialog = asked(page)
    page.tab.keyboard.press("Escape")
    dialog.wait_for(state="detached")
    page.screenshot("picker put away", fit=False)
    page.tab.locator(".ns-reminder").click()
    asked(page).locator(".ns-choice").nth(0).dblclick()
    ended(page)
    assert page.tab.locator(".ns-reminder").count() == 0


def test_stop_while_it_asks(page):
    page.load(picking())
    queue(page)
    asked(page)
    page.tab.keyboard.press("Escape")
    panel = Panel(page, BLOCK)
    panel.of(".ns-stop").click()
    page.tab.locator(".ns-reminder").wait_for(state="detached")
    ended(page)
    panel.wait_until("stopped")
    assert panel.board()["lanes"][0]["values"] == [0] * 5


def test_when_time_is_up_the_dialog_goes(page):
    page.load(picking(time_limit=15.0))
    queue(page)
    page.tab.locator(".ns-picker").wait_for(timeout=200_000)
    ended(page)
    assert scores(page) == [0] * 5
    report = page.tab.evaluate("() => JSON.stringify(app.nodeOutputs)")
    assert "nobody answered: 1." in json.loads(report)["14"]["text"][0]


def test_a_cancel_closes_it(page, client):
    page.load(picking())
    queue(page)
    asked(page)
    client.interrupt()
    page.tab.locator(".ns-picker").wait_for(state="detached")
    assert page.tab.locator(".ns-reminder").count() == 0
