r"""Pictures of a generator of points: density of the data in blue, of the model in green.

Training deforms a unit Gaussian until its image covers the data (OpenAI, "Generative Models",
2016). Beside the plane are the latent space with a grid of coordinates, the same grid mapped by the
generator, and the divergence so far (`density_divergence`).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from ..capabilities import CanDecode, CanSample
from ..data.dataset import Dataset
from ..data.densities import Mixture, density_of
from ..errors import UsageError
from ..evaluation.density_divergence import BLUR, CELLS, Divergences, Square, compare, smooth
from ..evaluation.mode_coverage import mode_coverage
from ..model import Model

SIDE = CELLS  # pixels of the plane are the cells of its histograms
PANEL = 240
NIGHT, INK, FAINT = (11, 13, 20), (226, 230, 240), (120, 128, 148)
BLUE, GREEN = (56, 120, 255), (60, 235, 130)
AMBER = (240, 180, 60)


class DensityPicture:
    """Draws a model of points beside the density of its data; remembers the divergence at each
    frame.

    Arguments:
        data: Points in the plane. If their density is not known, it is estimated by a histogram of
            the points.
        total: Images (points) of the whole training.
        samples: Points drawn from the model for its density.
        seed: Fixes their codes, so that only the weights move from frame to frame.

    Example:
        >>> from zeuxis.data.densities import points
        >>> from zeuxis.gan.planar import PlanarConfig, PlanarGAN
        >>> data = points("moons", 1000)
        >>> draw = DensityPicture(data, total=100, samples=2000)
        >>> draw(PlanarGAN(PlanarConfig(), data.spec), images=0).size
        (720, 480)
    """

    def __init__(self, data: Dataset, total: int, samples: int = 100_000, seed: int = 0) -> None:
        if data.spec.shape != (2,):
            raise UsageError(
                f"The density picture shows points in the plane; '{data.spec.name}' has "
                f"shape {data.spec.shape}."
            )
        self.name, self.total, self.samples, self.seed = data.spec.name, total, samples, seed
        self.target = density_of(data)
        if self.target is not None:
            self.square = Square((0.0, 0.0), self.target.extent)
            self.p = self.square.exact(self.target)
        else:
            x = data.all().float()
            low, high = x.amin(0), x.amax(0)
            middle = (low + high) / 2
            extent = 1.15 * max(1e-6, (high - low).max().item() / 2)
            self.square = Square((middle[0].item(), middle[1].item()), extent)
            self.p = self.square.histogram(x)
        self.curve: list[tuple[int, float, float]] = []

    def state(self) -> dict[str, Any]:
        """What a resumed run needs: images, KL and JS of each frame so far."""
        return {"curve": [list(point) for point in self.curve]}

    def restore(self, state: dict[str, Any]) -> None:
        self.curve = [(int(images), float(kl), float(js)) for images, kl, js in state["curve"]]

    def __call__(self, model: Model, images: int) -> Image.Image:
        assert isinstance(model, CanSample)
        x = model.sample(self.samples, generator=torch.Generator().manual_seed(self.seed))
        q = self.square.histogram(x)
        result = compare(self.p, q)
        self.curve = [
            *(point for point in self.curve if point[0] < images),
            (images, result.kl, result.js),
        ]
        inside = q.copy()
        inside[[0, -1]] = inside[:, [0, -1]] = (
            0  # points that lie outside are counted at the edge, and not drawn
        )
        plane = glow(self.p, inside)
        warped = False
        if isinstance(model, CanDecode) and model.prior(1).shape[1:] == (2,):
            warped = True
            lines = [self.square.pixels(model.decode(line)) for line in coordinates()]
            plane = Image.alpha_composite(plane.convert("RGBA"), web(lines, SIDE, 70)).convert(
                "RGB"
            )
        frame = Image.new("RGB", (SIDE + PANEL, SIDE), NIGHT)
        frame.paste(plane, (0, 0))
        self.panel(frame, x, result, images, warped)
        return frame

    def panel(
        self, frame: Image.Image, x: Tensor, result: Divergences, images: int, warped: bool
    ) -> None:
        """Legend, latent space, figures, the falling curve and the clock."""
        draw, left, right = ImageDraw.Draw(frame), SIDE + 18, SIDE + PANEL - 18

        def write(
            x: float,
            y: float,
            text: str,
            size: int,
            color: tuple[int, int, int] = INK,
            anchor: str = "la",
        ) -> None:
            draw.text((x, y), text, fill=color, font=ImageFont.load_default(size), anchor=anchor)

        write(left, 14, self.name, 20)
        for i, (lights, what) in enumerate(
            (((1.0, 0.0), "data"), ((0.0, 1.0), "model"), ((1.0, 1.0), "both"))
        ):
            spot = colors(*np.array(lights).reshape(2, 1, 1))[0, 0]
            draw.ellipse((left + 68 * i, 49, left + 68 * i + 9, 58), fill=tuple(spot.tolist()))
            write(left + 68 * i + 14, 46, what, 12, FAINT)
        y = 76
        if warped:
            side = 150
            space = Square((0.0, 0.0), 2.9, side)
            gauss = (-0.5 * space.centers().square().sum(1)).exp().view(side, side).numpy()
            code = Image.fromarray(colors(np.zeros_like(gauss), 0.85 * gauss**0.7)).convert("RGBA")
            code = Image.alpha_composite(
                code, web([space.pixels(line) for line in coordinates()], side, 110)
            )
            frame.paste(code.convert("RGB"), (left + 27, y))
            write((left + right) / 2, y + side + 4, "latents: a unit Gaussian", 11, FAINT, "ma")
            y += side + 26
        rows = [
            ("KL(data || model)", f"{result.kl:.3f} nats", INK),
            ("Jensen-Shannon", f"{result.js:.3f} nats", AMBER),
        ]
        if isinstance(self.target, Mixture):
            cover = mode_coverage(x[:20_000], self.target.centers, self.target.std)
            rows += [
                ("modes", f"{cover.hit} of {cover.modes}", INK),
                ("within 3 sd of one", f"{cover.good:.1%}", INK),
            ]
        for name, value, color in rows:
            write(left, y, name, 12, FAINT)
            write(right, y, value, 13, color, "ra")
            y += 19
        self.plot(frame, (left, y + 8, right, SIDE - 46))
        done = round((right - left) * min(1.0, images / max(1, self.total)))
        draw.rectangle((left, SIDE - 34, right, SIDE - 32), fill=(40, 45, 60))
        draw.rectangle((left, SIDE - 34, left + done, SIDE - 32), fill=AMBER)
        write(left, SIDE - 26, f"{images:,} points seen", 12)

    def plot(self, frame: Image.Image, box: tuple[int, int, int, int]) -> None:
        """KL (white) and JS (amber) so far over the whole training, on a logarithmic axis in
        nats."""
        left, top, right, bottom = (
            4 * edge for edge in box
        )  # drawn four times as large and reduced, for smooth lines
        sheet = Image.new("RGB", (right - left, bottom - top), NIGHT)
        draw, width, height = ImageDraw.Draw(sheet), sheet.width - 1, sheet.height - 1
        high = 1.3 * max(1.0, *(kl for _, kl, _ in self.curve))
        low = min(0.1, *(js for _, _, js in self.curve)) / 1.3

        def at(images: int, value: float) -> tuple[float, float]:
            return (
                images / max(1, self.total) * width,
                height * np.log(high / value) / np.log(high / low),
            )

        ticks = [t for t in (0.001, 0.01, 0.1, 1.0, 10.0) if low <= t <= high]
        for tick in ticks:
            draw.line([at(0, tick), at(self.total, tick)], fill=(34, 39, 54), width=4)
        for column, color in ((2, AMBER), (1, INK)):
            line = [at(point[0], max(low, point[column])) for point in self.curve]
            if len(line) > 1:
                draw.line(line, fill=color, width=7, joint="curve")
            draw.ellipse(
                (line[-1][0] - 12, line[-1][1] - 12, line[-1][0] + 12, line[-1][1] + 12), fill=color
            )
        frame.paste(
            sheet.resize((box[2] - box[0], box[3] - box[1]), Image.Resampling.LANCZOS), box[:2]
        )
        for tick in ticks:
            height_of = box[1] + at(0, tick)[1] / 4
            ImageDraw.Draw(frame).text(
                (box[0], height_of),
                f"{tick:g}",
                fill=FAINT,
                font=ImageFont.load_default(10),
                anchor="lb",
            )


def coordinates() -> list[Float[Tensor, "n 2"]]:
    """Grid lines of the latent space, half a standard deviation from one to the next."""
    along, lines = torch.linspace(-2.5, 2.5, 401), []
    for value in torch.arange(-2.5, 2.51, 0.5):
        lines += [
            torch.stack([along, torch.full_like(along, value)], 1),
            torch.stack([torch.full_like(along, value), along], 1),
        ]
    return lines


def web(lines: list[np.ndarray], side: int, alpha: int) -> Image.Image:
    """Lines of pixels as a transparent RGBA layer, drawn three times as large and reduced."""
    mask = Image.new("L", (3 * side, 3 * side))
    draw = ImageDraw.Draw(mask)
    for line in lines:
        draw.line(
            [tuple(point) for point in np.clip(3 * line, -3 * side, 6 * side).tolist()],
            fill=255,
            width=3,
            joint="curve",
        )
    layer = Image.new("RGBA", (side, side), (255, 255, 255, 0))
    layer.putalpha(
        mask.resize((side, side), Image.Resampling.LANCZOS).point(
            lambda value: value * alpha // 255
        )
    )
    return layer


def glow(p: np.ndarray, q: np.ndarray) -> Image.Image:
    """Cell probabilities as light, blue and green: logarithmic, so that narrow peaks and a wide fog
    can be seen together."""
    p, q = (smooth(mass, 1.5 * BLUR) for mass in (p, q))
    dark, bright = 0.3 / p.size, max(p.max(), 3 / p.size)
    light = [
        np.clip(np.log1p(mass / dark) / np.log1p(bright / dark), 0, 1) ** 1.2 for mass in (p, q)
    ]
    return Image.fromarray(colors(*light))


def colors(data: np.ndarray, model: np.ndarray) -> np.ndarray:
    """Two lights in [0, 1] over the night, screened, as uint8 RGB."""
    night, blue, green = (np.array(color) / 255 for color in (NIGHT, BLUE, GREEN))
    dark = (1 - night) * (1 - data[..., None] * blue) * (1 - model[..., None] * green)
    return np.round(255 * (1 - dark)).astype(np.uint8)
