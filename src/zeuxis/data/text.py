"""A text file as a data set: examples are pieces of equal length, characters are numbers.

The alphabet is the set of characters in the text in the order of their code points, and a character
is its index there. So an example is uint8 of shape (length,), and `Spec.class_names` is the
alphabet. The last twentieth of the text is the test part.

Source: Karpathy, char-rnn, 2015, which has the same split.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from jaxtyping import UInt8
from torch import Tensor

from ..errors import DataError, UsageError
from .dataset import Dataset, Spec
from .facts import Facts
from .reading import as_text, contents, first_line, shown

LENGTH = 128
ENDINGS = (".txt", ".text", ".md")


def text(
    path: Path,
    split: Literal["train", "test"] = "train",
    length: int | None = None,
    limit: int | None = None,
) -> Dataset:
    """Reads a text file in UTF-8.

    Arguments:
        path: The file.
        split: The first nineteen twentieths of the text, or the rest.
        length: Characters of an example, by default 128.
        limit: Use only the first examples.

    Raises:
        DataError: The file is not a text, has more than 256 different characters, or is too short.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = (book := Path(folder, "book.txt")).write_text("to be, or not to be; " * 20)
        ...     data = text(book, length=21)
        >>> (
        ...     data.spec.shape,
        ...     "".join(data.spec.class_names),
        ...     spelled(data.x, data.spec.class_names)[0],
        ... )
        ((21,), ' ,;benort', 'to be, or not to be; ')
    """
    length = LENGTH if length is None else length
    try:
        written = as_text(contents(path))
    except (OSError, UnicodeError) as error:
        raise DataError(
            f"'{shown(path)}' cannot be read as text ({first_line(error)}): give a text "
            "file in UTF-8."
        ) from error
    alphabet = sorted(set(written))
    if len(alphabet) > 256:
        raise DataError(
            f"'{shown(path)}' has {len(alphabet):,} different characters, more than 256: "
            "replace the rarest."
        )
    numbers = codes(written, alphabet)
    border = len(numbers) * 19 // 20
    part = numbers[:border] if split == "train" else numbers[border:]
    pieces = len(part) // length
    if pieces < 1 or len(alphabet) < 2:
        short = (
            f"'{shown(path)}' has {len(part):,} characters for {split}, "
            f"{len(alphabet)} of them different"
        )
        raise DataError(
            f"{short}, and a piece takes {length}: give a longer text, or a smaller --size."
        )
    x = part[: pieces * length].view(pieces, length)[:limit]
    return Dataset(
        Spec(shown(path.stem), (length,), 0, tuple(alphabet)), x, facts=Facts(part=split)
    )


def codes(written: str, alphabet: Sequence[str]) -> UInt8[Tensor, " characters"]:
    """The number of each character.

    Raises:
        UsageError: A character is not in the alphabet.

    Example:
        >>> codes("abba", "ab").tolist()
        [0, 1, 1, 0]
    """
    index = {character: i for i, character in enumerate(alphabet)}
    unknown = sorted(set(written) - index.keys())
    if unknown:
        known = "".join(alphabet)
        raise UsageError(
            f"The character {unknown[0]!r} does not occur in the text that was learned, "
            f"whose characters are {known!r}."
        )
    numbers = np.fromiter((index[character] for character in written), np.uint8, len(written))
    return torch.from_numpy(numbers)


def spelled(x: UInt8[Tensor, "n characters"], alphabet: Sequence[str]) -> list[str]:
    """The strings of rows of numbers.

    Example:
        >>> spelled(torch.tensor([[0, 1, 1, 0]], dtype=torch.uint8), "ab")
        ['abba']
    """
    return ["".join(alphabet[i] for i in row) for row in x.tolist()]
