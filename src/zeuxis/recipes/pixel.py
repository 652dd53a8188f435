"""PixelCNN, gated PixelCNN, PixelCNN++ and PixelRNN: the published networks, and smaller ones.

The papers of 2016 state neither step sizes nor lengths of training. Those here are ours, with the
papers' batches of 16. PixelRNNs of digits, and PixelCNNs whose first kernel spans the whole image,
use Muon and batches of 64 instead of RMSProp: they learn faster by images and by the hour. The
papers binarized the digits once (Larochelle's set); `mnist-static` does the same with other random
numbers. Samples are drawn pixel by pixel, so films have few frames.
"""

from __future__ import annotations

from dataclasses import replace

from ..autoregressive.pixelcnn import PixelCNNConfig
from ..autoregressive.pixelcnnpp import PixelCNNPPConfig
from ..autoregressive.pixelrnn import PixelRNNConfig
from ..training.config import TrainingConfig
from . import Recipe

CNN = PixelCNNConfig()
GATED = replace(CNN, architecture="gated")
WHOLE = replace(CNN, first_kernel=55, layers=7, lr=5e-3, optimizer="muon")
PLUS = PixelCNNPPConfig()
RNN = PixelRNNConfig()
MUON = replace(RNN, channels=16, layers=7, lr=5e-3, optimizer="muon")

LINEAR = TrainingConfig(schedule="linear", batch=16, decay_from=0.3)
DIGITS = replace(LINEAR, images=9_000_000, average=60_000, log_every=60_000, film=40)
FRESH = replace(DIGITS, images=27_000_000, batch=256)
STATIC = replace(DIGITS, images=1_500_000, batch=64, decay_from=0.5)
SPAN = replace(STATIC, images=600_000, average_limit=0.1, log_every=20_000, film=20)
COLOR = replace(LINEAR, images=10_000_000, average=100_000, log_every=50_000, film=10)
LAPTOP = TrainingConfig(
    images=600_000, batch=32, average=10_000, schedule="linear", decay_from=0.5, film=20
)
SHORT = replace(LAPTOP, images=500_000, film=5)
# The released average keeps 0.9995 of itself at a step: its half-life is 1,386 steps of 128 images.
LONG = replace(COLOR, images=250_000_000, batch=128, average=177_000, decay_from=0.0, film=20)

OURS = "step size and length are ours; for GPUs"
OPTIMIZER = "optimizer, batch, step size and length are ours"
SMALL = "for machines without a GPU"
RNN_PAPER = "van den Oord et al. 2016 (PixelRNN), "
GATED_PAPER = "van den Oord et al. 2016 (PixelCNN decoders), "
PLUS_PAPER = "Salimans et al. 2017, "


def row(
    name: str,
    config: PixelCNNConfig | PixelCNNPPConfig | PixelRNNConfig,
    training: TrainingConfig,
    note: str,
    source: str = "",
    target: str = "",
) -> tuple[str, Recipe]:
    """A recipe by its name `model/data-variant`; images of CIFAR-10 have 32 pixels."""
    model, rest = name.split("/")
    data = "mnist-static" if rest.startswith("mnist-static") else rest.split("-")[0]
    size = 32 if data == "cifar10" else None
    return name, Recipe(
        model, data, config, training, size, source=source, target=target, note=note
    )


# fmt: off
RECIPES = dict([
    row("pixelcnn/mnist-static", CNN, DIGITS, OURS,
        RNN_PAPER + "table 1 and section 5.5, which give no size for digits: that of CIFAR-10, "
        "heads of 32", "81.30 nats"),
    row("pixelcnn/mnist", CNN, FRESH,
        "binarized again in each epoch, which regularizes: another implementation reaches 81.45 "
        "nats with this network; for GPUs"),
    row("pixelcnn/mnist-gated", replace(GATED, channels=64, layers=10), FRESH,
        "another implementation of the gated network reaches 81.50 nats; for GPUs"),
    row("pixelcnn/mnist-static-whole", replace(WHOLE, channels=48), SPAN,
        "not the paper's: the first kernel spans the whole image, so narrow blocks suffice"),
    row("pixelcnn/mnist-static-whole-gated",
        replace(WHOLE, architecture="gated", channels=32), SPAN,
        "the gated network with a first kernel that spans the whole image"),
    row("pixelcnn/mnist-small", replace(CNN, channels=32, layers=7), LAPTOP,
        f"78,000 weights, {SMALL}"),
    row("pixelcnn/mnist-conditional-small",
        replace(GATED, conditional=True, channels=24, layers=6), LAPTOP,
        f"conditional on the digit, {SMALL}"),
    row("pixelcnn/cifar10", CNN, COLOR, OURS,
        RNN_PAPER + "section 5.6: 15 layers of 128 channels, heads of 1,024, batches of 16",
        "3.14 bits/dim"),
    row("pixelcnn/cifar10-gated", replace(GATED, layers=20, kernel=5), COLOR, OURS,
        GATED_PAPER + "table 1; 20 layers and 5x5 kernels are stated for ImageNet only, and the "
        "width is ours", "3.03 bits/dim"),
    row("pixelcnn/cifar10-small", replace(CNN, channels=48, layers=8, head_channels=128), SHORT,
        f"322,000 weights, {SMALL}"),
    row("pixelcnnpp/cifar10", PLUS, LONG,
        "five days on the authors' 8 GPUs; the step size falls linearly instead of by a factor of "
        "1 - 5e-6 a step",
        PLUS_PAPER + "section 3.1 and the released code: 5,000 epochs, batches of 128 over 8 GPUs",
        "2.92 bits/dim"),
    row("pixelcnnpp/cifar10-conditional", replace(PLUS, conditional=True), LONG,
        "conditional on the class; `zeuxis likelihood` evaluates the mixture of all classes",
        PLUS_PAPER + "section 3.2", "2.94 bits/dim"),
    row("pixelcnnpp/cifar10-small", replace(PLUS, channels=32, blocks=2, mixtures=5, dropout=0.0),
        replace(SHORT, images=300_000), "a million weights, too few to gain from dropout"),
    row("pixelcnnpp/mnist-small", replace(PLUS, channels=24, blocks=1, mixtures=5, dropout=0.0),
        LAPTOP, f"digits with all 256 gray levels, {SMALL}"),
    row("pixelrnn/mnist-static", MUON, STATIC, OPTIMIZER,
        RNN_PAPER + "section 5.5: Diagonal BiLSTM, 7 layers of 16 units", "79.20 nats"),
    row("pixelrnn/mnist-static-wide", replace(MUON, channels=32, layers=1), STATIC, OPTIMIZER,
        RNN_PAPER + "section 5.5: Diagonal BiLSTM, one layer of 32 units", "80.75 nats"),
    row("pixelrnn/mnist-static-row", replace(MUON, architecture="row"), STATIC, OPTIMIZER,
        RNN_PAPER + "section 5.5: Row LSTM; the size is that of the Diagonal BiLSTM",
        "80.54 nats"),
    row("pixelrnn/mnist-small", replace(RNN, channels=16, layers=3), LAPTOP,
        f"30,000 weights, {SMALL}"),
    row("pixelrnn/cifar10", RNN, COLOR, OURS,
        RNN_PAPER + "section 5.6: Diagonal BiLSTM, 12 layers of 128 units, heads of 1,024",
        "3.00 bits/dim"),
    row("pixelrnn/cifar10-row", replace(RNN, architecture="row"), COLOR, OURS,
        RNN_PAPER + "section 5.6: Row LSTM, 12 layers of 128 units", "3.07 bits/dim"),
])
# fmt: on
