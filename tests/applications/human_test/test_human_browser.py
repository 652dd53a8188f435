"""The human test in a real browser: from consent to report, by keys alone, through a killed
server."""

from __future__ import annotations

import signal
import socket
from pathlib import Path
from typing import Any

import pytest

import human
from browser import driver, served, until
from zeuxis.applications.human_test.report import report
from zeuxis.applications.human_test.store import Store

pytestmark = pytest.mark.slow


def one(page: Any, name: str) -> Any:
    """An element by its id."""
    return page.find_element("id", name)


def press(page: Any, *keys: str) -> None:
    """Keys that go to whatever has the focus."""
    for key in keys:
        page.switch_to.active_element.send_keys(key)


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def consent(page: Any, address: str) -> None:
    """The first page by keys alone: Tab, Space and Enter."""
    page.get(address)
    until(lambda: one(page, "data").text, "the first page")
    for name in ("age", "agree"):
        for _ in range(10):
            press(page, "\ue004")
            if page.switch_to.active_element.get_attribute("id") == name:
                break
        press(page, " ")
    press(page, "\ue004", "\ue007")


def answer_all(page: Any, keys: str) -> None:
    """Answers image after image by keys until the end."""
    count = 0

    def done() -> bool:
        nonlocal count
        if one(page, "end").is_displayed():
            return True
        if one(page, "go").is_displayed():
            press(page, "\ue007")
        elif one(page, "real").is_enabled() and one(page, "test").is_displayed():
            one(page, "progress")
            page.find_element("tag name", "body").send_keys(keys[count % len(keys)])
            count += 1
        return False

    until(done, "the end")


def test_from_consent_to_report_by_keys_alone(tmp_path: Path) -> None:
    store = human.study(tmp_path, practice="b/model")
    page = driver()
    try:
        with served("human", "serve", str(store.path), "--port", "0", folder=tmp_path) as (
            address,
            _,
        ):
            page.get(address)
            until(lambda: one(page, "data").text)
            one(page, "start").click()  # without consent
            until(lambda: "both boxes" in one(page, "notice").text, "the sentence")
            consent(page, address)
            answer_all(page, "fjj")
            assert "of 20 answers were right" in one(page, "result").text
            urls = [line["message"] for line in page.get_log("performance")]
            others = [u for u in urls if '"url":"http' in u and "127.0.0.1" not in u]
            assert not others
    finally:
        page.quit()
    assert report(Store(store.path))["finished"] == 1


def test_a_killed_server_costs_nothing_and_the_page_goes_on(tmp_path: Path) -> None:
    store, port, page = human.study(tmp_path), str(free_port()), driver(390, 844)
    try:
        words = ("human", "serve", str(store.path), "--port", port)
        with served(*words, folder=tmp_path) as (address, process):
            consent(page, address)
            until(lambda: one(page, "go").is_displayed())
            press(page, "\ue007")
            until(lambda: one(page, "real").is_enabled() and one(page, "test").is_displayed())
            process.send_signal(signal.SIGKILL)
            process.wait()
            page.find_element("tag name", "body").send_keys("f")
            until(lambda: "does not answer" in one(page, "notice").text, "the sentence")
        assert not store.rows("SELECT * FROM answer")
        with served(*words, folder=tmp_path) as (address, _):
            until(lambda: len(store.rows("SELECT * FROM answer")) == 1, "the answer again")
            page.get(address)  # a page that was closed goes on where it was
            answer_all(page, "jf")
        assert len(store.rows("SELECT * FROM answer")) == 22
    finally:
        page.quit()


@pytest.mark.parametrize("mode", ["grid", "feedback"])
def test_other_modes_tell_the_truth_after_an_answer(tmp_path: Path, mode: str) -> None:
    store, page = human.study(tmp_path, mode=mode), driver()
    try:
        with served("human", "serve", str(store.path), "--port", "0", folder=tmp_path) as (
            address,
            _,
        ):
            consent(page, address)
            until(lambda: one(page, "go").is_displayed())
            press(page, "\ue007")
            if mode == "feedback":
                until(lambda: one(page, "real").is_enabled() and one(page, "test").is_displayed())
                page.find_element("tag name", "body").send_keys("f")
                until(lambda: "it is" in one(page, "feedback").text, "the truth")
            else:
                until(lambda: len(page.find_elements("css selector", "#grid button")) == 20)
                press(page, " ")  # marks the first image
                one(page, "submit").click()
                until(lambda: "of 20 wrong" in one(page, "feedback").text, "the truth")
    finally:
        page.quit()
