"""The studio in a real browser: each tab does its main act, and a wrong upload gets a sentence."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

pytest.importorskip("gradio", reason="the studio needs Gradio: pip install 'zeuxis[studio]'")

from browser import driver, served, until

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Any, str, Path]]:
    """A browser on the studio of an empty folder of runs."""
    page, folder = driver(), tmp_path_factory.mktemp("studio")
    try:
        words = ("studio", str(folder / "runs"), "--port", "0")
        with served(*words, folder=folder) as (address, _):
            page.get(address)
            until(lambda: page.find_elements("css selector", "[role=tab]"), "the tabs")
            yield page, address, folder
    finally:
        page.quit()


def tab(page: Any, name: str) -> None:
    """Opens a tab."""
    found = page.find_elements("xpath", f"//button[@role='tab'][contains(., '{name}')]")
    if not found:  # those that do not fit are in a menu
        page.find_element("css selector", ".overflow-menu button").click()
        found = page.find_elements("xpath", f"//button[contains(., '{name}')]")
    page.execute_script("arguments[0].click()", found[0])


def click(page: Any, name: str) -> None:
    page.execute_script("arguments[0].click()", until(lambda: page.find_element("id", name)))


def source(page: Any, name: str) -> str:
    """The address of the image in a part, empty without one."""
    images = page.find_elements("css selector", f"#{name} img")
    return images[0].get_attribute("src") if images else ""


def text(page: Any, name: str) -> str:
    return str(page.find_element("id", name).get_attribute("textContent"))


def test_models_draw_samples_and_show_the_command(studio: tuple[Any, str, Path]) -> None:
    page, _, _ = studio
    tab(page, "Models")
    click(page, "models-draw")
    until(lambda: source(page, "models-samples-0") and source(page, "models-samples-1"))


def test_explore_changes_with_a_slider(studio: tuple[Any, str, Path]) -> None:
    page, _, _ = studio
    tab(page, "Explore")
    before = until(lambda: source(page, "explore-picture"), "the samples")
    box = page.find_element("css selector", "#explore-code-0 input[type=number]")
    box.send_keys("\ue009a\ue000", "3\ue007")  # by the keyboard
    until(lambda: source(page, "explore-picture") not in ("", before), "other samples")
    click(page, "explore-sheet-draw")
    until(lambda: source(page, "explore-sheet"), "the numbered samples")
    click(page, "explore-add")
    until(lambda: source(page, "explore-sum"), "the arithmetic")


def test_restore_fills_a_hole(studio: tuple[Any, str, Path]) -> None:
    page, _, _ = studio
    tab(page, "Restore and edit")
    click(page, "restore-middle")
    until(lambda: page.find_elements("css selector", "#restore-paint canvas"), "the image")
    click(page, "restore-go")
    until(lambda: source(page, "restore-after") and source(page, "restore-classical"))


def test_a_wrong_upload_gets_one_sentence(studio: tuple[Any, str, Path]) -> None:
    page, _, folder = studio
    tab(page, "Surprise and compression")
    wrong = folder / "wrong.png"
    wrong.write_text("no image")
    place = page.find_element("css selector", "#surprise-upload input[type=file]")
    place.send_keys(str(wrong))
    until(lambda: source(page, "surprise-upload"), "the upload")
    click(page, "surprise-go")
    said = until(lambda: page.find_elements("css selector", ".toast-body"), "the sentence")
    assert "cannot be decoded (it is no PNG" in said[0].text
    said[0].find_element("css selector", "button").click()


def test_surprise_is_shown(studio: tuple[Any, str, Path]) -> None:
    page, _, folder = studio
    tab(page, "Surprise and compression")
    right = folder / "right.png"
    Image.new("L", (28, 28), 200).save(right)
    for remove in page.find_elements("css selector", "#surprise-upload [aria-label^=Remove]"):
        remove.click()
    until(lambda: page.find_element("css selector", "#surprise-upload input[type=file]"))
    page.find_element("css selector", "#surprise-upload input[type=file]").send_keys(str(right))
    until(lambda: source(page, "surprise-upload"), "the upload")
    click(page, "surprise-go")
    until(lambda: source(page, "surprise-heat"), "the heat map")


def test_learn_trains_and_the_training_survives_the_page(studio: tuple[Any, str, Path]) -> None:
    page, address, folder = studio
    tab(page, "Learn")
    click(page, "learn-start")
    until(lambda: list((folder / "runs").glob("*/config.json")), "the run folder")
    page.get(address)
    until(lambda: page.find_elements("css selector", "[role=tab]"), "the tabs")
    tab(page, "Learn")
    until(lambda: "Running" in text(page, "learn-status"), "the status")
    click(page, "learn-stop")
    until(lambda: "Ended" in text(page, "learn-status"), "the end")


def test_policies_say_what_is_missing(studio: tuple[Any, str, Path]) -> None:
    page, _, _ = studio
    tab(page, "Policies")
    click(page, "policies-play")
    until(
        lambda: any(
            "no policy here yet" in one.text
            for one in page.find_elements("css selector", ".toast-body")
        ),
        "the sentence",
    )


def test_a_study_is_made_and_opens(studio: tuple[Any, str, Path]) -> None:
    page, _, _ = studio
    tab(page, "Human test")
    for name, value in (("human-pool", "100"), ("human-n", "10")):
        box = page.find_element("css selector", f"#{name} input[type=number]")
        box.send_keys("\ue009a\ue000", f"{value}\ue007")
    click(page, "human-make")
    until(lambda: page.find_elements("css selector", "#human-link a"), "the link")
    link = page.find_element("css selector", "#human-link a").get_attribute("href")
    assert re.fullmatch(r"http://127\.0\.0\.1:\d+/", link)
    page.get(link)
    until(lambda: "mnist" in page.find_element("id", "data").text, "the test")
