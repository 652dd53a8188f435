"""The report of likelihoods: its figures and its protocol stand in the table together."""

from __future__ import annotations

from rich.console import Console

from zeuxis.evaluation.likelihood_report import Figure, Likelihood


def test_the_table_has_figures_and_protocol() -> None:
    known = {
        "weights": "ema.safetensors (averaged)",
        "split": "test",
        "images": 1000,
        "total": 10_000,
        "size": 784,
        "seed": 3,
    }
    pixels = {
        "binarization": "dynamic",
        "binarization_seed": 3,
        "exact": False,
        "nats": Figure(-79.1, 0.05),
    }
    codes = {
        "distortion": Figure(60.0, 0.1),
        "rate": Figure(19.1, 0.02),
        "k": 128,
        "weighted": Figure(-78.0, 0.06),
    }
    found = Likelihood(
        "vae", data="mnist", **known, **pixels, **codes, effective=9.4, active=17, units=32
    )
    console = Console(width=200, record=True, file=open("/dev/null", "w"))
    console.print(found.table())
    text = " ".join(console.export_text().split())
    numbers = ("-79.100", "0.050", "0.1456", "0.0351", "17 of 32", "9.4")
    for words in (
        "1,000 of 10,000 test images of 784 dimensions",
        "ELBO",
        "IWAE-128",
        "rate",
        *numbers,
    ):
        assert words in text, words
    assert "Weights: ema.safetensors (averaged)." in text and "seed 3" in text
