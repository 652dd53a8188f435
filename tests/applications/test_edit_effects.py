"""What edits change, on a model whose latents are the attributes themselves."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

import tiny
from zeuxis.applications.directions import Directions
from zeuxis.applications.edit_effects import edit_effects, fit_reader
from zeuxis.cli import main
from zeuxis.data.attributes import Attributes
from zeuxis.errors import UsageError

NAMES = ("left", "right")


class Halves:
    """Two latents are the brightness of the left and the right half of an image."""

    name = "halves"
    spec = tiny.images(1, side=16).spec
    device = torch.device("cpu")
    config = None
    conditional = False

    def decode(self, z: Tensor) -> Tensor:
        gray = (128 + 30 * z).clamp(0, 255).byte()
        return gray[:, None, None, :].repeat_interleave(8, 3).expand(-1, 1, 16, 16).contiguous()

    def encode(self, x: Tensor) -> Tensor:
        return (x[:, 0, 0, ::8].float() - 128) / 30

    def prior(self, n: int, *, generator: torch.Generator | None = None) -> Tensor:
        return torch.randn(n, 2, generator=generator)


def samples(n: int, seed: int) -> tuple[Tensor, Attributes]:
    z = Halves().prior(n, generator=torch.Generator().manual_seed(seed))
    return Halves().decode(z), Attributes(NAMES, ("number", "number"), z.double())


def directions(vectors: list[list[float]]) -> Directions:
    n = len(vectors)
    return Directions(
        NAMES[:n], ("number",) * n, torch.tensor(vectors), (1.0,) * n, ((9, 0),) * n, (1.0,) * n
    )


def test_an_edit_moves_its_attribute_and_a_mixed_one_moves_both() -> None:
    x, known = samples(1_000, 0)
    readable = fit_reader(x, known, steps=150, batch=64)
    assert min(readable.r2) > 0.95
    edited, _ = samples(200, 1)
    effects = edit_effects(Halves(), edited, directions([[1.0, 0.0], [0.5, 1.0]]), readable, NAMES)
    torch.testing.assert_close(
        effects.slopes, torch.tensor([[1.0, 0.0], [0.5, 1.0]]), atol=0.1, rtol=0
    )
    assert effects.drift[0] < 0.15 < 0.35 < effects.drift[1] < 0.65
    assert effects.as_dict()["effects"]["right"]["own"] == pytest.approx(1.0, abs=0.1)


@pytest.mark.slow
def test_a_reader_of_noise_says_that_it_reads_nothing() -> None:
    x, known = samples(1_000, 2)
    shuffled = Attributes(NAMES, known.kinds, known.values[torch.randperm(1_000)])
    assert max(fit_reader(x, shuffled, steps=100).r2) < 0.2


def test_what_cannot_be_read_is_refused() -> None:
    x, known = samples(600, 3)
    readable = fit_reader(x, known, steps=1)
    with pytest.raises(UsageError, match="not among those that are read"):
        edit_effects(Halves(), x, directions([[1.0, 0.0]]), readable, ("right", "up"))
    with pytest.raises(UsageError, match="positive number of steps"):
        edit_effects(Halves(), x, directions([[1.0, 0.0]]), readable, NAMES, amount=0.0)
    with pytest.raises(UsageError, match="needs 500"):
        fit_reader(x[:10], known.take(torch.arange(10)))


def test_the_command_refuses_to_edit_every_image(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    argv = ["attributes", "mnist/vae", "--n", "300", "--effects", "300"]
    out = ["--out", str(tmp_path / "a.png"), "--file", str(tmp_path / "a.safetensors")]
    assert main([*argv, *out]) == 2
    assert "leaves none of the" in capsys.readouterr().err
