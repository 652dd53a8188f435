"""PixelCNN, gated PixelCNN, PixelCNN++ and PixelRNN: each published figure with its network, and
smaller machines.

The papers of 2016 give neither a step size nor the length of a training; those here are ours, with
the papers' batches of 16. PixelRNNs of digits depart from the papers' RMSProp and batches: Muon and
batches of 64, by which they learn faster, by images and by the hour; so do the PixelCNNs with a
first kernel as large as a digit. The papers' digits are the static set of Larochelle, for which
`mnist-static` stands (another draw of the same law). Samples are drawn number by number, so films
have fewer frames than elsewhere.
"""

from __future__ import annotations

from dataclasses import replace

from ..autoregressive.pixelcnn import PixelCNNConfig
from ..autoregressive.pixelcnnpp import PixelCNNPPConfig
from ..autoregressive.pixelrnn import PixelRNNConfig
from ..training.config import TrainingConfig
from . import Recipe

RNN, GATED, PLUS = (
    "van den Oord et al. 2016 (PixelRNN)",
    "van den Oord et al. 2016 (PixelCNN decoders)",
    "Salimans et al. 2017",
)
DIGITS = TrainingConfig(
    images=9_000_000,
    batch=16,
    average=60_000,
    schedule="linear",
    decay_from=0.3,
    log_every=60_000,
    film=40,
)
FAST = PixelRNNConfig(channels=16, layers=7, lr=5e-3, optimizer="muon")
STATIC = replace(DIGITS, images=1_500_000, batch=64, decay_from=0.5)
COLOR = TrainingConfig(
    images=10_000_000,
    batch=16,
    average=100_000,
    schedule="linear",
    decay_from=0.3,
    log_every=50_000,
    film=10,
)
LAPTOP = TrainingConfig(
    images=600_000, batch=32, average=10_000, schedule="linear", decay_from=0.5, film=20
)
WHOLE = TrainingConfig(
    images=600_000,
    batch=64,
    average=60_000,
    average_limit=0.1,
    schedule="linear",
    decay_from=0.5,
    log_every=20_000,
    film=20,
)
# The released code's averages keep 0.9995 a step: half of it is gone after 1,386 steps of 128
# images.
LONG = TrainingConfig(
    images=250_000_000,
    batch=128,
    average=177_000,
    schedule="linear",
    decay_from=0.0,
    log_every=50_000,
    film=20,
)
UNSURE = "step size and length are ours; for GPUs"

RECIPES = {
    "pixelcnn/mnist-static": Recipe(
        model="pixelcnn",
        data="mnist-static",
        config=PixelCNNConfig(),
        training=DIGITS,
        source=(
            f"{RNN}, table 1 and section 5.5; the paper does not state this network's "
            "size on digits: that of CIFAR-10, heads of 32"
        ),
        target="81.30 nats",
        note=UNSURE,
    ),
    "pixelcnn/mnist": Recipe(
        model="pixelcnn",
        data="mnist",
        config=PixelCNNConfig(),
        training=replace(DIGITS, images=27_000_000, batch=256),
        note=(
            "pixels drawn anew each time, which regularizes: with this network another "
            "implementation reaches 81.45 nats; for GPUs"
        ),
    ),
    "pixelcnn/mnist-gated": Recipe(
        model="pixelcnn",
        data="mnist",
        config=PixelCNNConfig(architecture="gated", channels=64, layers=10),
        training=replace(DIGITS, images=27_000_000, batch=256),
        note="another implementation of the gated network reaches 81.50 nats; for GPUs",
    ),
    "pixelcnn/mnist-static-whole": Recipe(
        model="pixelcnn",
        data="mnist-static",
        config=PixelCNNConfig(channels=48, layers=7, first_kernel=55, lr=5e-3, optimizer="muon"),
        training=WHOLE,
        note=(
            "not the paper's: a first kernel that reaches the whole image, by which "
            "narrow blocks suffice"
        ),
    ),
    "pixelcnn/mnist-static-whole-gated": Recipe(
        model="pixelcnn",
        data="mnist-static",
        config=PixelCNNConfig(
            architecture="gated", channels=32, layers=7, first_kernel=55, lr=5e-3, optimizer="muon"
        ),
        training=WHOLE,
        note="the same for the gated network",
    ),
    "pixelcnn/mnist-small": Recipe(
        model="pixelcnn",
        data="mnist",
        config=PixelCNNConfig(channels=32, layers=7),
        training=LAPTOP,
        note="78,000 weights, for machines without a GPU",
    ),
    "pixelcnn/mnist-conditional-small": Recipe(
        model="pixelcnn",
        data="mnist",
        config=PixelCNNConfig(architecture="gated", conditional=True, channels=24, layers=6),
        training=LAPTOP,
        note="knows the digit it draws, for machines without a GPU",
    ),
    "pixelcnn/cifar10": Recipe(
        model="pixelcnn",
        data="cifar10",
        config=PixelCNNConfig(),
        training=COLOR,
        size=32,
        source=f"{RNN}, section 5.6: 15 layers of 128 maps, heads of 1,024, batches of 16",
        target="3.14 bits/dim",
        note=UNSURE,
    ),
    "pixelcnn/cifar10-gated": Recipe(
        model="pixelcnn",
        data="cifar10",
        config=PixelCNNConfig(architecture="gated", layers=20, kernel=5),
        training=COLOR,
        size=32,
        source=(
            f"{GATED}, table 1; the paper states 20 layers and 5x5 kernels for "
            "ImageNet alone, and the width here is ours"
        ),
        target="3.03 bits/dim",
        note=UNSURE,
    ),
    "pixelcnn/cifar10-small": Recipe(
        model="pixelcnn",
        data="cifar10",
        config=PixelCNNConfig(channels=48, layers=8, head_channels=128),
        training=replace(LAPTOP, images=500_000, film=5),
        size=32,
        note="322,000 weights, for machines without a GPU",
    ),
    "pixelcnnpp/cifar10": Recipe(
        model="pixelcnnpp",
        data="cifar10",
        config=PixelCNNPPConfig(),
        training=LONG,
        size=32,
        source=(
            f"{PLUS}, section 3.1 and the released code: 5,000 epochs, batches of 128 over 8 GPUs"
        ),
        target="2.92 bits/dim",
        note=(
            "five days on the authors' 8 GPUs; the step size falls along a line instead "
            "of by 5e-6 of itself a step"
        ),
    ),
    "pixelcnnpp/cifar10-conditional": Recipe(
        model="pixelcnnpp",
        data="cifar10",
        config=PixelCNNPPConfig(conditional=True),
        training=LONG,
        size=32,
        source=f"{PLUS}, section 3.2",
        target="2.94 bits/dim",
        note="given the class; `zeuxis likelihood` judges the mixture of all classes",
    ),
    "pixelcnnpp/cifar10-small": Recipe(
        model="pixelcnnpp",
        data="cifar10",
        config=PixelCNNPPConfig(channels=32, blocks=2, mixtures=5, dropout=0.0),
        training=replace(LAPTOP, images=300_000, film=5),
        size=32,
        note="a million weights, too few for dropout to pay",
    ),
    "pixelcnnpp/mnist-small": Recipe(
        model="pixelcnnpp",
        data="mnist",
        config=PixelCNNPPConfig(channels=24, blocks=1, mixtures=5, dropout=0.0),
        training=LAPTOP,
        note="the digits in all their 256 grays, for machines without a GPU",
    ),
    "pixelrnn/mnist-static": Recipe(
        model="pixelrnn",
        data="mnist-static",
        config=FAST,
        training=STATIC,
        source=f"{RNN}, section 5.5: Diagonal BiLSTM, 7 layers of 16 units",
        target="79.20 nats",
        note="optimizer, batch, step size and length are ours",
    ),
    "pixelrnn/mnist-static-wide": Recipe(
        model="pixelrnn",
        data="mnist-static",
        config=replace(FAST, channels=32, layers=1),
        training=STATIC,
        source=f"{RNN}, section 5.5: Diagonal BiLSTM, one layer of 32 units",
        target="80.75 nats",
        note="optimizer, batch, step size and length are ours",
    ),
    "pixelrnn/mnist-static-row": Recipe(
        model="pixelrnn",
        data="mnist-static",
        config=replace(FAST, architecture="row"),
        training=STATIC,
        source=f"{RNN}, section 5.5: Row LSTM; the size is that of the Diagonal BiLSTM",
        target="80.54 nats",
        note="optimizer, batch, step size and length are ours",
    ),
    "pixelrnn/mnist-small": Recipe(
        model="pixelrnn",
        data="mnist",
        config=PixelRNNConfig(channels=16, layers=3),
        training=LAPTOP,
        note="30,000 weights, for machines without a GPU",
    ),
    "pixelrnn/cifar10": Recipe(
        model="pixelrnn",
        data="cifar10",
        config=PixelRNNConfig(),
        training=COLOR,
        size=32,
        source=f"{RNN}, section 5.6: Diagonal BiLSTM, 12 layers of 128 units, heads of 1,024",
        target="3.00 bits/dim",
        note=UNSURE,
    ),
    "pixelrnn/cifar10-row": Recipe(
        model="pixelrnn",
        data="cifar10",
        config=PixelRNNConfig(architecture="row"),
        training=COLOR,
        size=32,
        source=f"{RNN}, section 5.6: Row LSTM, 12 layers of 128 units",
        target="3.07 bits/dim",
        note=UNSURE,
    ),
}
