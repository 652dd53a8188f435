r"""Surprisal: the bits that each pixel costs given all pixels before it, as a heat map.

An autoregressive model splits the surprisal of an image over its pixels,

$$ -\log_2 p(x) = \sum_{r,c} \Big( - \sum_k \log_2 p(x_{k,r,c} | x_{<(r,c,k)}) \Big) . $$

The map shows what the model finds hard: edges and beginnings of strokes cost much, what follows
from the pixels above and to the left almost nothing. A good compressor spends as many bits there.
The split depends on the order: a pixel is hot if the pixels before it do not predict it, even where
those after it would.

Source: Shannon, "A Mathematical Theory of Communication", 1948; the order is that of van den Oord
et al., "Pixel Recurrent Neural Networks", 2016.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from jaxtyping import Float, Int, UInt8
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from ..autoregressive.sampling import to_levels
from ..capabilities import CanAutoregress
from ..visual.grid import PAPER, TEXT, enlarged, to_image

# Black, purple, red, orange, light yellow: each is brighter than the one before.
COLORS = torch.tensor(
    [[0, 0, 4], [87, 16, 110], [188, 55, 84], [249, 142, 9], [252, 255, 164]], dtype=torch.float32
)
BATCH = 4  # images; the log-probabilities of one color image take megabytes
GAP, CAPTION, SCALE = 6, 18, 44  # pixels: between images, below each, and of the color scale


@torch.no_grad()
def surprisal(
    model: CanAutoregress,
    x: UInt8[Tensor, "n channels height width"],
    y: Int[Tensor, " n"] | None = None,
) -> Float[Tensor, "n height width"]:
    """Bits of each pixel, all its channels together.

    Arguments:
        model: Any autoregressive model.
        x: Images, of two values only for a model of binary images.
        y: Classes, for a conditional model.

    Example:
        >>> from zeuxis.autoregressive.pixelcnn import PixelCNN, PixelCNNConfig
        >>> from zeuxis.data.dataset import Spec
        >>> model = PixelCNN(PixelCNNConfig(channels=4, layers=1), Spec("tiny", (1, 5, 5))).eval()
        >>> bits = surprisal(model, x := model.sample(2))
        >>> torch.allclose(bits.sum((1, 2)) * math.log(2), -model.log_prob(x).nats, atol=1e-4)
        True
    """
    parts = []
    for i, part in enumerate(x.split(BATCH)):
        labels = None if y is None else y[BATCH * i : BATCH * (i + 1)]
        log_probs = model.conditionals(part, labels)
        levels = to_levels(part, model.levels).to(log_probs.device)
        nats = -log_probs.gather(4, levels[..., None])[..., 0].sum(1)
        parts.append(nats.cpu() / math.log(2))
    return torch.cat(parts)


def heat(bits: Float[Tensor, "height width"], max_bits: float) -> UInt8[Tensor, "3 height width"]:
    """Bits as colors, from black for 0 to light yellow for `max_bits` and above.

    Example:
        >>> heat(torch.tensor([[0.0, 2.0]]), 2.0)[:, 0].T.tolist()
        [[0, 0, 4], [252, 255, 164]]
    """
    position = (bits / max_bits).clamp(0, 1) * (len(COLORS) - 1)
    low = position.floor().long().clamp(max=len(COLORS) - 2)
    t = (position - low)[..., None]
    return (COLORS[low] * (1 - t) + COLORS[low + 1] * t).round().byte().permute(2, 0, 1)


def surprisal_sheet(
    x: UInt8[Tensor, "n channels height width"],
    bits: Float[Tensor, "n height width"],
    names: Sequence[str] = (),
    max_bits: float = 0.0,
) -> Image.Image:
    """Each image next to its heat map, its bits below, and a color scale at the bottom.

    Arguments:
        x: The images.
        bits: The surprisal of each pixel.
        names: A name for each image.
        max_bits: Bits at the hot end of the scale; 0 takes the largest value.
    """
    max_bits = max_bits or max(float(bits.max()), 1e-3)
    n, _, height, width = x.shape
    factor = max(1, -(-160 // width))
    columns = min(n, max(1, math.isqrt(n)))
    cell_width = 2 * width * factor + 3 * GAP
    cell_height = height * factor + CAPTION + GAP
    rows = -(-n // columns)
    sheet = Image.new("RGB", (columns * cell_width, rows * cell_height + SCALE), PAPER)
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(11)
    for i in range(n):
        left, top = i % columns * cell_width + GAP, i // columns * cell_height + GAP
        for j, image in enumerate((x[i], heat(bits[i], max_bits))):
            sheet.paste(enlarged(image, 160), (left + j * (width * factor + GAP), top))
        text = f"{bits[i].mean():.3f} bits per pixel, {bits[i].sum():,.0f} in all"
        if names and len(names[i]) < 24:
            text = f"{names[i]}: {text}"
        draw.text((left, top + height * factor + 2), text, fill=TEXT, font=font)
    length, top = sheet.width - 2 * GAP, sheet.height - SCALE + 8
    scale = heat(torch.linspace(0, max_bits, length).expand(12, -1), max_bits)
    sheet.paste(to_image(scale), (GAP, top))
    for share in (0, 0.25, 0.5, 0.75, 1):
        text = f"{share * max_bits:.2g}" + (" bits" if share == 1 else "")
        x_text = GAP + share * length - share * draw.textlength(text, font=font)
        draw.text((x_text, top + 14), text, fill=TEXT, font=font)
    return sheet
