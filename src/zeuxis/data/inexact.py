"""Images with inexact pixels, which likelihoods leave out.

The pixels of such an image were decoded from another, lossy copy. A parquet file marks it by a
`path` that begins with `recovered-from-`, as in `recovered-from-jpeg`. For any other set a text
file lists such images: one number a line, counted from 0; lines that begin with # are comments.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from ..errors import DataError
from .dataset import Dataset
from .reading import as_text, contents, first_line

MARK = "recovered-from-"


def marked(paths: list[Path], column: str) -> list[int]:
    """Rows of parquet files whose image is marked as recovered from a lossy copy.

    Arguments:
        paths: The files; rows are counted over all of them.
        column: The column of images.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows, before = [], 0
    for path in paths:
        file = pq.ParquetFile(path)
        kind = file.schema_arrow.field(column).type
        if (
            pa.types.is_struct(kind)
            and kind.get_field_index("path") >= 0
            and pa.types.is_string(kind.field("path").type)
        ):
            batches = file.iter_batches(1024, columns=[f"{column}.path"])
            names = (
                name for batch in batches for name in batch.column(0).field("path").to_pylist()
            )
            rows += [
                before + row
                for row, name in enumerate(names)
                if name is not None and name.startswith(MARK)
            ]
        before += file.metadata.num_rows
    return rows


def listed(path: str | Path, count: int) -> list[int]:
    """Reads image numbers from a text file.

    Arguments:
        path: The file, one number a line.
        count: Images in the set.

    Raises:
        DataError: The file cannot be read, or a line is no number of an image of the set.
    """
    try:
        lines = as_text(contents(path)).splitlines()
    except (OSError, UnicodeError) as error:
        reason = (
            "it is no UTF-8 text"
            if isinstance(error, UnicodeError)
            else getattr(error, "strerror", None) or first_line(error)
        )
        raise DataError(
            f"The list '{path}' cannot be read ({reason}): give a text file with an "
            "image number a line."
        ) from error
    rows = []
    for number, line in enumerate(lines, 1):
        text = line.strip()
        if not text or text.startswith("#"):
            continue
        if not (text.isascii() and text.isdigit() and len(text) < 16 and int(text) < count):
            raise DataError(
                f"Line {number} of '{path}' is '{text[:40]}', expected the number of one "
                f"of the {count:,} images, from 0 to {count - 1}."
            )
        rows.append(int(text))
    return rows


def exact_positions(data: Dataset, exclude: list[int] | None = None) -> Tensor:
    """Positions of a data set's images that are not marked as inexact, nor excluded.

    Arguments:
        data: Images, perhaps with `facts.inexact`, row numbers of `data.x`.
        exclude: Further rows of `data.x` to leave out.

    Example:
        >>> from zeuxis import Spec
        >>> from zeuxis.data.facts import Facts
        >>> x = torch.zeros(5, 1, 2, 2, dtype=torch.uint8)
        >>> exact_positions(
        ...     Dataset(Spec("five", (1, 2, 2)), x, facts=Facts(inexact=(3,))), [0]
        ... ).tolist()
        [1, 2, 4]
    """
    left_out = [*data.facts.inexact, *(exclude or [])]
    rows = torch.arange(len(data)) if data.rows is None else data.rows.cpu()
    return (~torch.isin(rows, torch.tensor(left_out, dtype=torch.int64))).nonzero()[:, 0]
