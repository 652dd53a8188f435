"""A browser without a screen, and servers that it opens, for the slow tests of the pages."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
PATIENCE = float(os.environ.get("ZEUXIS_BROWSER_SECONDS", "180"))


def driver(width: int = 1280, height: int = 900, dark: bool = False) -> Any:
    """A browser; the test is skipped where there is none."""
    webdriver = pytest.importorskip("selenium.webdriver", reason="a browser test needs Selenium")
    program = shutil.which("chromium") or shutil.which("google-chrome")
    chromedriver = shutil.which("chromedriver")
    if not program or not chromedriver:
        pytest.skip("a browser test needs chromium and chromedriver")
    options = webdriver.ChromeOptions()
    options.binary_location = program
    for flag in [*FLAGS, f"--window-size={width},{height}"]:
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"performance": "ALL"})
    made = webdriver.Chrome(options=options, service=webdriver.ChromeService(chromedriver))
    size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
    made.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
    made.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [scheme]})
    return made


def until(true: Callable[[], Any], what: str = "") -> Any:
    """Waits until something holds; stale elements are looked for again."""
    end, last = time.monotonic() + PATIENCE, None
    while time.monotonic() < end:
        try:
            if found := true():
                return found
        except Exception as error:  # an element that is not there yet, of several types
            last = error
        time.sleep(0.2)
    raise AssertionError(f"{what or 'it'} did not come within {PATIENCE:g} s: {last}")


@contextlib.contextmanager
def served(*words: str, folder: Path) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """`zeuxis` with these words as a process; its address is on the line that begins with Open."""
    with open(folder / "server.log", "w+") as log:
        process = subprocess.Popen(
            [sys.executable, "-u", "-m", "zeuxis", *words], stdout=log, stderr=log, text=True
        )
        try:

            def address() -> str:
                assert process.poll() is None, (folder / "server.log").read_text()
                lines = (folder / "server.log").read_text().splitlines()
                return next(line.split()[1] for line in lines if line.startswith("Open http"))

            yield until(address, "the server"), process
        finally:
            process.terminate()
            process.wait(timeout=30)
