"""A report on a model's latent codes: each code inferred from images and compared with labels,
known factors, or slant and width."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from jaxtyping import Float
from rich.table import Column, Table
from torch import Tensor

from ..capabilities import Code, HasCodes
from ..data.dataset import Dataset
from ..data.faces import factors as factors_of
from ..errors import DataError, UsageError
from ..model import require
from .cluster_matching import Match, confusion, match
from .disentanglement import (
    DCI,
    dci,
    mean_abs_spearman,
    mutual_information_gap,
    normalized_mutual_information,
    slant_and_width,
    spearman,
)
from .images import phrase


@dataclass(frozen=True)
class CodeReport:
    """Measures of a model's latent codes.

    Arguments:
        data: Name of the data set.
        split: The part of it, or "" if the caller did not say.
        images: Number of images.
        mapped: Other images on which categories were matched to classes; 0 for the same ones.
        drawn: Images generated with chosen codes.
        matches: Each categorical code against the labels, by name.
        nmi: Its normalized mutual information with them.
        information: For each categorical code a lower bound on its mutual information with the
            generated images, $\\log K + E \\log q(c|x)$ (nats), at most log K.
        correlations: For each continuous code its rank correlation with each factor; or, with slant
            and width in place of factors, the mean over classes of its absolute value.
        own: For each continuous code the same mean over the model's own categories, between chosen
            codes and the images generated with them.
        gap: Mutual information gap of all codes, or None without factors.
        dci: Disentanglement, completeness and informativeness of all codes, or None with fewer than
            two factors or codes.
    """

    data: str
    split: str
    images: int
    mapped: int
    drawn: int
    matches: dict[str, Match]
    nmi: dict[str, float]
    information: dict[str, float]
    correlations: dict[str, dict[str, float]]
    own: dict[str, dict[str, float]]
    gap: float | None
    dci: DCI | None

    def as_dict(self) -> dict[str, Any]:
        """Plain values for a record."""
        return asdict(self)

    def notes(self) -> list[str]:
        """The protocol, sentence by sentence."""
        notes = []
        if self.matches:
            where = f"{self.mapped:,} other images" if self.mapped else "the same images"
            notes.append(
                f"Error of categories as a classifier, one-to-one and by majority: matched on "
                f"{where}."
            )
        if self.own:
            notes.append("Slant and width: mean over classes of |rank correlation|.")
        if self.drawn:
            notes.append(
                f"Generated, and the mutual information MI: on {self.drawn:,} images from chosen "
                "codes."
            )
        if self.gap is not None:
            notes.append(f"All codes: mutual information gap {self.gap:.3f}.")
        if self.dci is not None:
            notes.append(
                f"Disentanglement {self.dci.disentanglement:.3f}, completeness "
                f"{self.dci.completeness:.3f}, informativeness {self.dci.informativeness:.3f}."
            )
        return notes

    def table(self) -> Table:
        """One row for each code, with the protocol as title and caption."""
        table = Table(
            Column("code", no_wrap=True),
            title=f"{self.data}: {self.images:,} {phrase(self.split)}",
            title_justify="left",
            padding=(0, 0, 0, 1),
            caption=" ".join(self.notes()),
            caption_justify="left",
        )
        category_columns: list[str] = []
        if self.matches:
            category_columns = ["error,\n1:1", "error,\nmajority", "NMI"]
            if self.information:
                category_columns.append("MI,\nnats")
        factors = list(next(iter(self.correlations.values()), {}))
        generated = [f"{name},\ngenerated" for name in next(iter(self.own.values()), {})]
        for name in (*category_columns, *factors, *generated):
            table.add_column(name)
        for name, result in self.matches.items():
            one_to_one = "-" if result.one_to_one is None else f"{result.one_to_one:.2%}"
            cells = [one_to_one, f"{result.majority:.2%}", f"{self.nmi[name]:.3f}"]
            if self.information:
                cells.append(f"{self.information[name]:.3f}")
            table.add_row(name, *cells)
        for name, correlations in self.correlations.items():
            values = [*correlations.values(), *self.own.get(name, {}).values()]
            cells = ["" for _ in category_columns] + [f"{value:.3f}" for value in values]
            table.add_row(name, *cells)
        return table


def infer_codes(model: Any, data: Dataset, batch: int) -> tuple[Tensor, Tensor | None]:
    """One column for each code, the most probable category or the mean, and the labels."""
    columns, labels = [], []
    for index in torch.arange(len(data)).split(batch):
        x, y = data.batch(index)
        values = [
            value.argmax(1, keepdim=True) if code.kind == "categorical" else value
            for code, value in zip(model.codes(), model.infer(x), strict=True)
        ]
        columns.append(torch.cat([value.double().cpu() for value in values], 1))
        if y is not None:
            labels.append(y.cpu())
    codes = torch.cat(columns)
    if not codes.isfinite().all():
        raise UsageError(
            f"The codes that the model infers from '{data.spec.name}' are not finite: its training "
            "diverged, take earlier weights."
        )
    return codes, torch.cat(labels) if labels else None


@dataclass(frozen=True)
class Generated:
    """Images generated with known codes.

    Arguments:
        continuous: Their continuous codes, (n, codes).
        shapes: Their slant and width, (n, 2).
        groups: Their category by the first categorical code, (n,). The combined categories of
            several codes would be too many.
        information: For each categorical code log K + mean log q(c|x) (nats).
    """

    continuous: Tensor
    shapes: Tensor
    groups: Tensor
    information: dict[str, float]


def generate(model: Any, n: int, batch: int, seed: int) -> Generated:
    """Samples latents from the prior, decodes them, and infers their codes again."""
    z = model.prior(n, generator=torch.Generator().manual_seed(seed))
    codes, shapes = model.codes(), []
    categorical = [(i, code) for i, code in enumerate(codes) if code.kind == "categorical"]
    information = {code.name: math.log(code.size) for _, code in categorical}
    for part in z.split(batch):
        x = model.decode(part)
        shapes.append(slant_and_width(x.cpu()))
        inferred = model.infer(x)
        for i, code in categorical:
            one_hot = part[:, code.start : code.start + code.size]
            q = (inferred[i].double() * one_hot).sum(1)
            information[code.name] += q.clamp_min(1e-30).log().sum().item() / n
    z = z.cpu().double()
    groups = torch.zeros(n, dtype=torch.int64)
    if categorical:
        first = categorical[0][1]
        groups = z[:, first.start : first.start + first.size].argmax(1)
    continuous = z[:, [code.start for code in codes if code.kind == "continuous"]]
    return Generated(continuous, torch.cat(shapes), groups, information)


def describe_codes(
    model: Any,
    data: Dataset,
    factors: Float[Tensor, "n q"] | None = None,
    names: Sequence[str] = (),
    *,
    fit: Dataset | None = None,
    generated: int = 10_000,
    batch: int = 500,
    seed: int = 0,
    split: str = "",
) -> CodeReport:
    """Infers every code from images and compares it with labels, with known factors, or else with
    slant and width.

    Arguments:
        model: A model with latent codes.
        data: Images; those without a label are left out where labels are compared.
        factors: Known factors of each image, in the order of `data`; by default those of a rendered
            data set.
        names: Names of the factors.
        fit: Labeled images on which categories are matched to classes, best the training set; by
            default `data`.
        generated: Images generated with chosen codes, for the mutual information with categories
            and the correlations with slant and width; 0 for none.
        batch: Images at a time.
        seed: Fixes the chosen codes.
        split: Which part of the data set `data` is, to be printed.

    Example:
        >>> import zeuxis
        >>> from zeuxis.gan.infogan import InfoGAN, InfoGANConfig
        >>> data = zeuxis.load_data("mnist", split="test", limit=100)
        >>> model = InfoGAN(InfoGANConfig(width=0.05), data.spec).eval()
        >>> report = describe_codes(model, data, generated=0)
        >>> list(report.matches), list(report.correlations["continuous 1"])
        (['category'], ['slant', 'width'])
    """
    require(model, HasCodes, "report on its latent codes")
    if len(data.spec.shape) != 3 or data.spec.shape != model.spec.shape:
        raise UsageError(
            f"'{data.spec.name}' has examples of shape {data.spec.shape} and the model expects "
            f"images of {model.spec.shape}."
        )
    if not len(data):
        raise DataError(f"'{data.spec.name}' holds no images: give at least one.")
    if factors is None and data.facts.factors is not None:
        factors, names = factors_of(data), data.facts.factor_names
    if factors is not None and len(factors) != len(data):
        raise DataError(
            f"'{data.spec.name}' has {len(data)} images and {len(factors)} rows of factors: give "
            "one row for each image."
        )
    codes = model.codes()
    continuous = [i for i, code in enumerate(codes) if code.kind == "continuous"]
    columns, labels = infer_codes(model, data, batch)
    matches, nmi, mapped = match_categories(model, data, columns, labels, fit, batch)
    images = None
    if generated and (factors is None or len(continuous) < len(codes)):
        images = generate(model, generated, batch, seed)

    correlations, own, gap, dci_result = {}, {}, None, None
    if factors is not None:
        factors = factors.double().cpu()
        names = list(names) or [f"factor {j + 1}" for j in range(factors.shape[1])]
        if continuous:
            table = spearman(columns[:, continuous], factors)
            correlations = with_names(codes, continuous, names, table)
        gap = mutual_information_gap(columns, factors)
        if min(columns.shape[1], factors.shape[1]) > 1:
            dci_result = dci(columns, factors, seed)
    elif continuous:
        names = ["slant", "width"]
        indices = torch.arange(len(data)).split(batch)
        shapes = torch.cat([slant_and_width(data.batch(index)[0]).cpu() for index in indices])
        groups = torch.zeros(len(data), dtype=torch.int64) if labels is None else labels
        labeled = groups >= 0
        table = mean_abs_spearman(columns[:, continuous][labeled], shapes[labeled], groups[labeled])
        correlations = with_names(codes, continuous, names, table)
        if images is not None:
            table = mean_abs_spearman(images.continuous, images.shapes, images.groups)
            own = with_names(codes, continuous, names, table)
    return CodeReport(
        data=data.spec.name,
        split=split or data.facts.split,
        images=len(data),
        mapped=mapped,
        drawn=0 if images is None else generated,
        matches=matches,
        nmi=nmi,
        information={} if images is None else images.information,
        correlations=correlations,
        own=own,
        gap=gap,
        dci=dci_result,
    )


def match_categories(
    model: Any,
    data: Dataset,
    columns: Tensor,
    labels: Tensor | None,
    fit: Dataset | None,
    batch: int,
) -> tuple[dict[str, Match], dict[str, float], int]:
    """Each categorical code against the labels, its normalized mutual information with them, and
    the number of images on which categories were matched to classes."""
    matches: dict[str, Match] = {}
    nmi: dict[str, float] = {}
    mapped, classes = 0, data.spec.classes
    if labels is None or not classes:
        return matches, nmi, mapped
    fit_columns, fit_labels = (None, None) if fit is None else infer_codes(model, fit, batch)
    for i, code in enumerate(model.codes()):
        if code.kind != "categorical":
            continue
        assigned, truth = labeled_only(columns[:, i], labels, data.spec.name)
        fit_counts = None
        if fit_columns is not None and fit_labels is not None:
            fit_pair = labeled_only(fit_columns[:, i], fit_labels, data.spec.name)
            mapped, fit_counts = len(fit_pair[1]), confusion(*fit_pair, code.size, classes)
        matches[code.name] = match(assigned, truth, code.size, classes, fit_counts)
        nmi[code.name] = normalized_mutual_information(assigned, truth)
    return matches, nmi, mapped


def labeled_only(column: Tensor, labels: Tensor, name: str) -> tuple[Tensor, Tensor]:
    """Categories and labels of the examples that have a label."""
    labeled = labels >= 0
    if not labeled.any():
        raise DataError(
            f"No image of '{name}' has a label to compare categories with: give a labeled set."
        )
    return column[labeled].long(), labels[labeled]


def with_names(
    codes: Sequence[Code], rows: list[int], names: Sequence[str], table: Tensor
) -> dict[str, dict[str, float]]:
    """A table of numbers with the names of its rows and columns."""
    return {
        codes[i].name: dict(zip(names, row, strict=True))
        for i, row in zip(rows, table.tolist(), strict=True)
    }
