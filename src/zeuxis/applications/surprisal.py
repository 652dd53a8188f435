r"""Where an image surprises a model: the bits that each pixel costs given all before it, as a
picture of heat.

A model that knows each number's law given those before it splits an image's cost over its pixels,

$$ -\log_2 p(x) = \sum_{r,c} \Big( - \sum_k \log_2 p(x_{k,r,c} | x \text{ before}) \Big) , $$

so that one sees what it found hard: edges and beginnings cost much, what follows from the pixels
above and to the left next to nothing. A good compressor would spend just as many bits there. The
split depends on the order: a pixel is hot if it could not be told from those before it, whether or
not it can be told from those behind it.

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
from ..visual.grid import to_image

# From nothing to the most: black, purple, red, orange, light yellow, each brighter than the one
# before.
HEAT = torch.tensor(
    [[0, 0, 4], [87, 16, 110], [188, 55, 84], [249, 142, 9], [252, 255, 164]], dtype=torch.float32
)


@torch.no_grad()
def surprise(
    model: CanAutoregress,
    x: UInt8[Tensor, "n channels height width"],
    y: Int[Tensor, " n"] | None = None,
) -> Float[Tensor, "n height width"]:
    """Bits that each pixel costs, all its channels together.

    Arguments:
        model: Knows each number's law.
        x: Images of the values that the model knows.
        y: Classes of a conditional model.

    Example:
        >>> from zeuxis.autoregressive.pixelcnn import PixelCNN, PixelCNNConfig
        >>> from zeuxis.data.dataset import Spec
        >>> model = PixelCNN(PixelCNNConfig(channels=4, layers=1), Spec("tiny", (1, 5, 5))).eval()
        >>> bits = surprise(model, x := model.sample(2))
        >>> torch.allclose(bits.sum((1, 2)) * math.log(2), -model.log_prob(x).nats, atol=1e-4)
        True
    """
    found = []
    for i, part in enumerate(x.split(4)):  # the laws of a color image take megabytes
        laws = model.conditionals(part, None if y is None else y[4 * i : 4 * i + 4])
        v = to_levels(part, model.levels).to(laws.device)
        found.append(-laws.gather(4, v[..., None])[..., 0].sum(1).cpu() / math.log(2))
    return torch.cat(found)


def heat(bits: Float[Tensor, "height width"], most: float) -> UInt8[Tensor, "3 height width"]:
    """Bits as colors, from black for 0 to light yellow for `most` and above.

    Example:
        >>> heat(torch.tensor([[0.0, 2.0]]), 2.0)[:, 0].T.tolist()
        [[0, 0, 4], [252, 255, 164]]
    """
    place = (bits / most).clamp(0, 1) * (len(HEAT) - 1)
    low = place.floor().long().clamp(max=len(HEAT) - 2)
    share = (place - low)[..., None]
    return (HEAT[low] * (1 - share) + HEAT[low + 1] * share).round().byte().permute(2, 0, 1)


def sheet(
    x: UInt8[Tensor, "n channels height width"],
    bits: Float[Tensor, "n height width"],
    names: Sequence[str] = (),
    most: float = 0.0,
) -> Image.Image:
    """Each image with its heat beside it and its bits beneath, and a scale at the foot.

    Arguments:
        x: The images.
        bits: What each pixel costs.
        names: A word for each image.
        most: Bits of a pixel at the end of the scale; 0 takes the largest there are.
    """
    most, (n, _, height, width) = most or max(float(bits.max()), 1e-3), x.shape
    factor, gap, strip, foot = max(1, -(-160 // width)), 6, 18, 44
    columns = min(n, max(1, math.isqrt(n)))
    wide, tall = 2 * width * factor + 3 * gap, height * factor + strip + gap
    picture = Image.new("RGB", (columns * wide, -(-n // columns) * tall + foot), (16, 16, 16))
    draw, font = ImageDraw.Draw(picture), ImageFont.load_default(11)
    for i in range(n):
        left, top = i % columns * wide + gap, i // columns * tall + gap
        for j, one in enumerate((to_image(x[i]).convert("RGB"), to_image(heat(bits[i], most)))):
            large = one.resize((width * factor, height * factor), Image.Resampling.NEAREST)
            picture.paste(large, (left + j * (width * factor + gap), top))
        said = f"{bits[i].mean():.3f} bits a pixel, {bits[i].sum():,.0f} in all"
        text = f"{names[i]}: {said}" if names and len(names[i]) < 24 else said
        draw.text((left, top + height * factor + 2), text, fill=(220, 220, 220), font=font)
    bar = heat(torch.linspace(0, most, length := picture.width - 2 * gap).expand(12, -1), most)
    top = picture.height - foot + 8
    picture.paste(to_image(bar), (gap, top))
    for share in (0, 0.25, 0.5, 0.75, 1):
        text = f"{share * most:.2g}" + (" bits" if share == 1 else "")
        at = gap + share * length - share * draw.textlength(text, font=font)
        draw.text((at, top + 14), text, fill=(220, 220, 220), font=font)
    return picture
