"""Principal components as features: known axes, repeatable, and few images."""

from __future__ import annotations

import pytest
import torch

from zeuxis.errors import UsageError
from zeuxis.evaluation.features.principal import principal_components


def test_images_that_vary_along_one_axis_have_one_feature() -> None:
    brightness = torch.arange(0, 200, 10, dtype=torch.uint8)
    x = brightness[:, None, None, None].expand(20, 1, 4, 4).contiguous()
    features, logits = principal_components(x, 3).features(x)
    assert logits.shape == (20, 1)
    variances = features.var(0)
    assert variances[0] > 0.1 and variances[1:].max() < 1e-9


def test_features_repeat_and_name_their_axes() -> None:
    x = torch.randint(0, 256, (30, 3, 8, 8), generator=torch.Generator().manual_seed(0)).byte()
    one, other = principal_components(x, 4), principal_components(x[:29], 4)
    assert one.hash == principal_components(x, 4).hash != other.hash
    torch.testing.assert_close(one.features(x)[0][:5], one.features(x[:5])[0])


def test_two_images_are_too_few() -> None:
    with pytest.raises(UsageError, match="at least 3 images"):
        principal_components(torch.zeros(2, 1, 4, 4, dtype=torch.uint8))
