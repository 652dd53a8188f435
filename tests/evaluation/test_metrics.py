"""Scores against closed forms, against a public library on the same features, and their
invariances."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import reduce

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

import tiny
from zeuxis.errors import UsageError
from zeuxis.evaluation.features.feature_network import FeatureNetwork, feature_network, weights_hash
from zeuxis.evaluation.metrics import (
    Statistics,
    density_coverage,
    frechet_distance,
    inception_score,
    kernel_distance,
    merged,
    neighbor_radius,
    neighborhoods,
    precision_recall,
    scores,
    statistics,
)
from zeuxis.evaluation.sample_quality import evaluate


def gaussian(mean: Tensor, covariance: Tensor) -> Statistics:
    return Statistics(mean.double(), covariance.double(), 1000)


def test_score_of_certain_and_of_constant_predictions() -> None:
    certain = 1000 * torch.eye(7).repeat(100, 1)
    assert abs(inception_score(certain, splits=1)[0] - 7) < 1e-9
    assert inception_score(torch.randn(1, 7).repeat(100, 1))[0] == pytest.approx(1, abs=1e-9)


def test_score_of_known_probabilities() -> None:
    p = torch.tensor([[0.9, 0.1], [0.1, 0.9]], dtype=torch.double)
    expected = math.exp(math.log(2) + 0.9 * math.log(0.9) + 0.1 * math.log(0.1))
    assert inception_score(p.log(), splits=1)[0] == pytest.approx(expected, rel=1e-12)


@given(st.integers(0, 2**31), st.integers(1, 6))
@settings(max_examples=25, deadline=None)
def test_distance_of_gaussians_with_commuting_covariances(seed: int, d: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    mean = torch.randn(2, d, generator=generator).double()
    root = torch.rand(2, d, generator=generator).double() + 0.1
    basis = torch.linalg.qr(torch.randn(d, d, generator=generator).double()).Q
    a, b = (gaussian(m, basis * r.square() @ basis.T) for m, r in zip(mean, root, strict=True))
    expected = (mean[0] - mean[1]).square().sum() + (root[0] - root[1]).square().sum()
    assert frechet_distance(a, b) == pytest.approx(expected.item(), rel=1e-6, abs=1e-9)
    assert frechet_distance(a, b) == pytest.approx(frechet_distance(b, a), rel=1e-6, abs=1e-9)
    assert abs(frechet_distance(a, a)) < 1e-6


def test_distance_with_singular_covariances() -> None:
    low = torch.diag(torch.tensor([1.0, 0.0, 0.0]))
    assert frechet_distance(
        gaussian(torch.zeros(3), low), gaussian(torch.zeros(3), 4 * low)
    ) == pytest.approx(1.0, abs=1e-6)


def test_distance_of_sampled_gaussians_comes_to_the_closed_form() -> None:
    x, y = torch.randn(40_000, 3), 1 + 2 * torch.randn(40_000, 3)
    assert frechet_distance(statistics(x), statistics(y)) == pytest.approx(
        3 * 1 + 3 * (2 - 1) ** 2, rel=0.03
    )


def test_statistics_are_unbiased_and_order_does_not_matter() -> None:
    x = torch.randn(50, 4)
    found = statistics(x)
    torch.testing.assert_close(found.covariance, torch.cov(x.double().T))
    torch.testing.assert_close(found.mean, x.double().mean(0))
    torch.testing.assert_close(statistics(x[torch.randperm(50)]).covariance, found.covariance)


@given(st.lists(st.integers(2, 40), min_size=2, max_size=5), st.floats(-1e4, 1e4))
@settings(max_examples=25, deadline=None)
def test_statistics_of_parts_are_those_of_the_whole(sizes: list[int], offset: float) -> None:
    x = (
        torch.randn(sum(sizes), 3, generator=torch.Generator().manual_seed(len(sizes))).double()
        + offset
    )
    found, whole = reduce(merged, map(statistics, x.split(sizes))), statistics(x)
    assert found.n == whole.n
    torch.testing.assert_close(found.mean, whole.mean)
    torch.testing.assert_close(found.covariance, whole.covariance, rtol=1e-6, atol=1e-6)


def test_kernel_distance_of_one_distribution_is_zero_within_its_error() -> None:
    found = torch.tensor(
        [kernel_distance(*torch.randn(2, 200, 16), size=200)[0] for _ in range(60)]
    )  # independent sets
    error = found.std() / math.sqrt(60)
    assert abs(found.mean()) < 3 * error
    assert error < 0.01  # the estimate that keeps i = j would be off by 0.08
    x, y = torch.randn(2, 3000, 16)
    assert kernel_distance(x, y + 1, subsets=20, size=500)[0] > 0.5


def test_kernel_distance_against_the_double_sum() -> None:
    x, y = torch.randn(6, 3).double(), torch.randn(6, 3).double() + 0.5
    k = lambda a, b: (a @ b / 3 + 1) ** 3  # noqa: E731
    pairs = [(i, j) for i in range(6) for j in range(6)]
    within = sum(k(x[i], x[j]) + k(y[i], y[j]) for i, j in pairs if i != j) / 30
    expected = within - 2 * sum(k(x[i], y[j]) for i, j in pairs) / 36
    assert kernel_distance(x, y, size=6)[0] == pytest.approx(expected.item(), rel=1e-10)


def test_precision_and_recall_of_like_and_of_distant_sets() -> None:
    x = torch.randn(200, 5)
    assert precision_recall(x, x) == (1.0, 1.0)
    assert precision_recall(x, x + 1000) == (0.0, 0.0)
    few = x[:20].repeat(10, 1) + 1e-3 * torch.randn(
        200, 5
    )  # a collapsed generator: precise, with little recall
    precision, recall = precision_recall(x, few)
    assert precision > 0.9
    assert recall < 0.3
    density, coverage = density_coverage(x, x)
    assert 0.8 < density < 1.3
    assert coverage == 1.0
    assert density_coverage(x, x + 1000) == (0.0, 0.0)


def test_radius_is_the_kth_neighbor_and_blocks_do_not_matter() -> None:
    x = torch.tensor([[0.0], [1.0], [3.0], [7.0]])
    assert neighbor_radius(x, 2).tolist() == pytest.approx([3.0, 2.0, 3.0, 6.0])
    y = torch.randn(100, 4)
    torch.testing.assert_close(neighbor_radius(y, 3, block=7), neighbor_radius(y, 3))
    z = torch.randn(90, 4)
    assert precision_recall(y, z, block=11) == precision_recall(y, z)
    assert density_coverage(y, z, block=11) == density_coverage(y, z)


def test_neighborhoods_by_hand() -> None:
    real, fake = torch.tensor([[0.0], [1.0], [2.0], [10.0]]), torch.tensor([[0.5], [3.5], [30.0]])
    # Nearest neighbors: real balls reach 1, 1, 1, 8; fake balls reach 3, 3, 26.5. In the balls of
    # 0, 1 lies 0.5; of 10, 3.5.
    precision, recall, density, coverage = neighborhoods(real, fake, 1, 1)
    assert (precision, recall) == (pytest.approx(2 / 3), 1.0)  # 10 lies within 26.5 of 30
    assert (density, coverage) == (pytest.approx(3 / 3), pytest.approx(3 / 4))


def test_neighborhoods_are_what_their_papers_define() -> None:
    """By loops over all pairs, with different numbers of neighbors for precision and for
    density."""
    real, fake = torch.randn(30, 3).double(), 0.7 * torch.randn(40, 3).double() + 0.3
    within = lambda a, b, radius: bool((a - b).norm() <= radius)  # noqa: E731

    def radii(points: Tensor, k: int) -> list[float]:
        return [
            sorted(float((a - b).norm()) for b in points)[k] for a in points
        ]  # the nearest is the point itself

    for k, wide in ((1, 5), (3, 5), (4, 2)):
        near, far, around = radii(real, k), radii(real, wide), radii(fake, k)
        precision = (
            sum(any(within(f, r, d) for r, d in zip(real, near, strict=True)) for f in fake) / 40
        )
        recall = (
            sum(any(within(r, f, d) for f, d in zip(fake, around, strict=True)) for r in real) / 30
        )
        density = sum(within(f, r, d) for f in fake for r, d in zip(real, far, strict=True)) / (
            wide * 40
        )
        coverage = (
            sum(any(within(f, r, d) for f in fake) for r, d in zip(real, far, strict=True)) / 30
        )
        assert neighborhoods(real, fake, k, wide) == pytest.approx(
            (precision, recall, density, coverage)
        )


@given(st.integers(0, 1000), st.floats(-1e5, 1e5))
@settings(max_examples=20, deadline=None)
def test_neighborhoods_stay_when_both_sets_are_moved_or_shuffled(seed: int, offset: float) -> None:
    generator = torch.Generator().manual_seed(seed)
    x, y = torch.randn(2, 60, 4, generator=generator).double()
    found, order = neighborhoods(x, y, 3, 5), torch.randperm(60, generator=generator)
    assert neighborhoods(x + offset, y + offset, 3, 5) == pytest.approx(found, abs=1e-12)
    assert neighborhoods(x[order], y, 3, 5) == pytest.approx(found, abs=1e-12)
    assert neighborhoods(x, y[order], 3, 5) == pytest.approx(found, abs=1e-12)


def test_copies_of_a_point_lie_in_each_others_balls_of_radius_zero() -> None:
    x = (
        torch.randn(30, 64).repeat(6, 1) + 50
    )  # each point six times: balls of the third neighbor have radius 0
    assert precision_recall(x, x) == (1.0, 1.0)
    assert precision_recall(x, x + 1e-2) == (0.0, 0.0)


@given(
    st.integers(2, 40),
    st.integers(1, 24),
    st.integers(0, 1000),
    st.sampled_from([1e-20, 1.0, 1e6]),
    st.sampled_from(["all", "flat", "copies"]),
)
@settings(max_examples=40, deadline=None)
def test_a_set_has_no_distance_from_itself_and_no_set_a_negative_one(
    n: int, d: int, seed: int, scale: float, kind: str
) -> None:
    generator = torch.Generator().manual_seed(seed)
    x = (
        scale
        * torch.randn(n, d, generator=generator)
        * (torch.arange(d) % 3 > 0 if kind == "flat" else 1)
    )
    x = x[:1].repeat(n, 1) if kind == "copies" else x
    other = x[torch.randperm(n, generator=generator)]
    assert frechet_distance(statistics(x), statistics(x)) == 0
    assert 0 <= frechet_distance(statistics(x), statistics(other)) <= 1e-25 * scale**2
    assert (
        frechet_distance(
            statistics(x), statistics(x + scale * torch.randn(n, d, generator=generator))
        )
        >= 0
    )


def test_frechet_distance_of_few_images_in_many_dimensions() -> None:
    """Of sets that span other directions the roots' product is 0: the distance is the sum of all
    variances and of the means' squares."""
    x, y = torch.zeros(20, 60), torch.zeros(25, 60)
    x[:, :15], y[:, 30:50] = torch.randn(20, 15), torch.randn(25, 20)
    a, b = statistics(x), statistics(y)
    expected = (
        (a.mean - b.mean).square().sum() + a.covariance.trace() + b.covariance.trace()
    ).item()
    turn = torch.linalg.qr(torch.randn(60, 60).double())[0]
    assert frechet_distance(a, b) == pytest.approx(expected, rel=1e-12)
    assert frechet_distance(
        statistics(x @ turn.float()), statistics(y @ turn.float())
    ) == pytest.approx(expected, rel=1e-5)
    line = torch.randn(9, 1) @ torch.randn(1, 60)  # of rank 1: known in closed form
    assert frechet_distance(statistics(line), statistics(3 * line)) == pytest.approx(
        (4 * statistics(line).mean.square().sum() + 4 * statistics(line).covariance.trace()).item(),
        rel=1e-6,
    )


def test_scores_of_degenerate_sets() -> None:
    same, varied = torch.full((30, 8), 3.3), torch.randn(30, 8)
    assert inception_score(same, splits=3) == (pytest.approx(1.0), pytest.approx(0.0))
    assert neighborhoods(same, same, 3, 5)[:2] == (1.0, 1.0)
    assert neighborhoods(same, varied, 3, 5) == (0.0, 0.0, 0.0, 0.0)
    assert neighborhoods(varied, same + 100, 3, 5) == (0.0, 0.0, 0.0, 0.0)
    assert kernel_distance(same, same, size=30)[0] == pytest.approx(0, abs=1e-9)
    expected = (statistics(varied).mean - 3.3).square().sum() + statistics(
        varied
    ).covariance.trace()
    assert frechet_distance(statistics(same), statistics(varied)) == pytest.approx(
        expected.item(), rel=1e-6
    )
    assert frechet_distance(statistics(same[:2]), statistics(same)) == 0


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda x, bad: statistics(bad), "not finite"),
        (lambda x, bad: inception_score(bad), "not finite"),
        (lambda x, bad: kernel_distance(x, bad, size=5), "not finite"),
        (lambda x, bad: kernel_distance(bad, x, size=5), "not finite"),
        (lambda x, bad: precision_recall(x, bad), "not finite"),
        (lambda x, bad: precision_recall(bad, x), "not finite"),
        (lambda x, bad: frechet_distance(statistics(x), statistics(x[:, :3])), "do not compare"),
        (lambda x, bad: inception_score(x, splits=0), "at least 1"),
        (lambda x, bad: kernel_distance(x, x, subsets=0, size=5), "at least 1"),
        (lambda x, bad: precision_recall(x, x, k=0), "from 1"),
        (lambda x, bad: statistics(x[:0]), "at least 2"),
        (lambda x, bad: precision_recall(x, x[:0]), "need more than 3"),
    ],
)
def test_what_cannot_be_scored_is_one_sentence(
    call: Callable[[Tensor, Tensor], object], said: str
) -> None:
    x = torch.randn(20, 6)
    for value in (torch.nan, torch.inf):
        bad = x.clone()
        bad[3, 2] = value
        with pytest.raises(UsageError, match=said):
            call(x, bad)


def test_too_few_samples_are_refused() -> None:
    for call in (
        lambda: inception_score(torch.randn(5, 3)),
        lambda: statistics(torch.randn(1, 3)),
        lambda: kernel_distance(torch.randn(5, 3), torch.randn(9, 3), size=6),
        lambda: precision_recall(torch.randn(3, 3), torch.randn(9, 3)),
    ):
        with pytest.raises(UsageError):
            call()


class Identity(nn.Module):
    """A feature extractor that gives back what it is given, for comparing with another library on
    the same features."""

    num_features = 6

    def forward(self, x: Tensor) -> Tensor:
        return x


def test_the_same_numbers_as_a_public_library() -> None:
    pytest.importorskip("torchmetrics")
    from torchmetrics.image.fid import FrechetInceptionDistance
    from torchmetrics.image.inception import InceptionScore
    from torchmetrics.image.kid import KernelInceptionDistance

    generator = torch.Generator().manual_seed(1)
    real = torch.randn(400, 6, generator=generator)
    fake = 0.5 + 1.5 * torch.randn(300, 6, generator=generator) @ torch.randn(
        6, 6, generator=generator
    )

    theirs = FrechetInceptionDistance(feature=Identity(), input_img_size=(6,))
    theirs.set_dtype(torch.float64)
    for part, is_real in ((real, True), (fake, False)):
        theirs.update(part.double(), real=is_real)
    assert frechet_distance(statistics(real), statistics(fake)) == pytest.approx(
        theirs.compute().item(), rel=1e-4
    )

    theirs = KernelInceptionDistance(feature=Identity(), subsets=1, subset_size=300)
    for part, is_real in ((real[:300], True), (fake, False)):
        theirs.update(part, real=is_real)
    assert kernel_distance(real[:300], fake, size=300)[0] == pytest.approx(
        theirs.compute()[0].item(), rel=1e-4
    )

    theirs = InceptionScore(feature=Identity(), splits=1)
    theirs.update(fake)
    assert inception_score(fake, splits=1)[0] == pytest.approx(theirs.compute()[0].item(), rel=1e-4)


def test_scores_do_not_depend_on_the_order_of_images() -> None:
    real, fake, logits = torch.randn(300, 6), torch.randn(300, 6), torch.randn(300, 10)
    order = torch.randperm(300)
    a, b = scores(real, fake, logits), scores(real[order], fake[order], logits[order])
    for name in ("frechet", "precision", "recall", "density", "coverage"):
        assert getattr(a, name) == pytest.approx(getattr(b, name), rel=1e-6)


def test_evaluate_states_its_protocol() -> None:
    network = tiny.model("classifier", width=4).eval()
    net = FeatureNetwork("tiny", weights_hash(network), network.features_and_logits, 1)
    data = tiny.images(200)
    quality = evaluate(tiny.model("dcgan").eval(), data, n=100, network=net)
    assert (quality.n_real, quality.n_fake, quality.n_floor, quality.network) == (
        100,
        100,
        100,
        "tiny",
    )
    assert quality.floor is not None
    assert quality.floor.frechet < quality.fake.frechet
    assert quality.as_dict()["fake"]["frechet"] == quality.fake.frechet
    title = str(quality.table().title)
    assert net.hash in title
    assert "100 samples" in title
    again = evaluate(tiny.model("dcgan").eval(), data, n=100, network=net)
    assert again == quality


def test_a_missing_network_says_how_to_get_one() -> None:
    with pytest.raises(UsageError, match="zeuxis train classifier --data bricks"):
        feature_network(None, "bricks")
    with pytest.raises(UsageError, match="inception-2015=FILE"):
        feature_network("inception-2015")
    with pytest.raises(UsageError, match="neither a folder nor a model"):
        feature_network("unheard-of")


@pytest.mark.parametrize("images", [2_000, pytest.param(10_000, marks=pytest.mark.slow)])
def test_the_shipped_network_knows_digits(images: int) -> None:
    from zeuxis.data import load_data

    data = load_data("mnist", split="test", limit=images)
    _, logits = feature_network("mnist/classifier").features(data.all())
    assert (logits.argmax(1) == data.labels).double().mean() >= 0.995
