"""char-rnn on a user's text."""

from __future__ import annotations

from dataclasses import replace

from ..autoregressive.char_rnn import CharRNNConfig
from ..training.config import TrainingConfig
from . import Recipe

TEXT = Recipe(
    model="char-rnn",
    data="book.txt",
    config=CharRNNConfig(),
    training=TrainingConfig(
        images=400_000,
        batch=50,
        clip=5.0,
        schedule="linear",
        decay_from=0.2,
        average=5_000,
        log_every=20_000,
        film=0,
    ),
    source=(
        "Karpathy's char-rnn, defaults: 2 layers of 128 units, RMSProp 0.002, "
        "batches of 50 pieces, clipping at 5"
    ),
    note="give your own text with --data; 50 passes over a megabyte",
)

RECIPES = {
    "char-rnn/text": TEXT,
    "char-rnn/text-large": replace(
        TEXT,
        config=CharRNNConfig(hidden_dim=512, layers=3, dropout=0.5),
        training=replace(TEXT.training, images=800_000),
        source=(
            "Karpathy's char-rnn, its advice on sizes: as many weights as characters, and dropout"
        ),
        note="5 million weights, for texts of some megabytes and a GPU",
    ),
}
