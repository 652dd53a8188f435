"""The contents of a file without its pixels: how many images it holds, their names and shapes.

A file may come from anyone, so all of it is checked before anything is decoded. A name is refused
if it would leave the folder, control a terminal, or meet another name on some system (`names`).
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ..errors import DataError
from .container import Block, Header, sections
from .image_sources import numbered
from .names import clash, fault

INSTEAD = "Add --numbers (numbers=True) to have its images numbered instead of named"


@dataclass(frozen=True)
class Contents:
    """The descriptions in a file.

    Arguments:
        header: Its header.
        blocks: Its blocks.
        numbers: Whether its images are numbered instead of named.
    """

    header: Header
    blocks: list[Block]
    numbers: bool = False

    def names(self) -> Iterator[str]:
        """The name of each image."""
        total = self.header.images
        for block in self.blocks:
            if self.numbers or not block.names:
                prefix = "" if self.numbers else self.header.prefix
                yield from (
                    numbered(prefix, i, total) for i in range(block.first, block.first + len(block))
                )
            else:
                yield from block.names

    def shapes(self) -> set[tuple[int, ...]]:
        """The shapes of the images."""
        return {run[1:] for block in self.blocks for run in block.shapes}


def survey(path: str | Path, *, numbers: bool = False, large: bool = False) -> Contents:
    """Reads the descriptions in a file and checks every byte.

    Arguments:
        path: The file.
        numbers: Number the images instead of checking their names.
        large: Accept a file with far more pixels than its size makes likely.

    Raises:
        DataError: It is damaged, has another format, claims too much, or has unsafe names.
    """
    found = [about for about, _ in sections(path, large)]
    header, blocks = found[0], [about for about in found if isinstance(about, Block)]
    assert isinstance(header, Header)
    if header.images != sum(map(len, blocks)):
        raise DataError(
            f"'{path}' is damaged (its parts disagree on the number of images): fetch or "
            "copy it again."
        )
    contents = Contents(header, blocks, numbers)
    if numbers:
        return contents
    for name in itertools.chain([f"{header.prefix}0.png"], *(block.names for block in blocks)):
        if wrong := fault(name):
            raise DataError(
                f"'{path}' is damaged or not to be trusted: its name {name!r} {wrong}. {INSTEAD}."
            )
    if any(block.names for block in blocks) and (name := clash(contents.names())):
        raise DataError(
            f"'{path}' calls two images {name!r}, or what some systems take for the "
            f"same. {INSTEAD}."
        )
    return contents
