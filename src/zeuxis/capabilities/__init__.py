"""What a model can do: protocols of methods that it has or has not, and what these give.

An application asks a model for a capability (`zeuxis.model.require`), never for a kind, so that a
new model gets every command whose methods it has.
"""

from __future__ import annotations

from typing import Generic, Protocol

from .objects import HasObjects, Objects
from .protocols import (
    ELBO,
    CanAutoregress,
    CanBitsBack,
    CanClassify,
    CanComplete,
    CanDecode,
    CanEncode,
    CanFeature,
    CanFineTune,
    CanLogProb,
    CanPropose,
    CanRender,
    CanSample,
    Chosen,
    Code,
    HasCodes,
    HasConditionalELBO,
    HasCritic,
    HasELBO,
    HasPixelLikelihood,
    HasPosterior,
    HasVelocity,
    IsModel,
    LogProb,
    Proposal,
)
from .steps import HasGlimpses, HasSteps, Steps, Window

__all__ = [
    "ALL",
    "ELBO",
    "CanAutoregress",
    "CanBitsBack",
    "CanClassify",
    "CanComplete",
    "CanDecode",
    "CanEncode",
    "CanFeature",
    "CanFineTune",
    "CanLogProb",
    "CanPropose",
    "CanRender",
    "CanSample",
    "Chosen",
    "Code",
    "HasCodes",
    "HasConditionalELBO",
    "HasCritic",
    "HasELBO",
    "HasGlimpses",
    "HasObjects",
    "HasPixelLikelihood",
    "HasPosterior",
    "HasSteps",
    "HasVelocity",
    "IsModel",
    "LogProb",
    "Objects",
    "Proposal",
    "Steps",
    "Window",
    "has",
]

ALL: dict[str, type] = {
    "sample": CanSample,
    "decode": CanDecode,
    "render": CanRender,
    "critic": HasCritic,
    "pixel_likelihood": HasPixelLikelihood,
    "propose": CanPropose,
    "encode": CanEncode,
    "posterior": HasPosterior,
    "log_prob": CanLogProb,
    "elbo": HasELBO,
    "bits_back": CanBitsBack,
    "classify": CanClassify,
    "complete": CanComplete,
    "predict": HasConditionalELBO,
    "features": CanFeature,
    "trunk": CanFineTune,
    "autoregress": CanAutoregress,
    "codes": HasCodes,
    "velocity": HasVelocity,
    "objects": HasObjects,
    "steps": HasSteps,
    "glimpses": HasGlimpses,
}
"""Every capability by the word that tables show for it."""


def has(kind: type, capability: type) -> bool:
    """Whether models of this kind have every method of a capability."""
    return all(
        hasattr(kind, name)
        for part in capability.__mro__
        if part not in (IsModel, Protocol, Generic, object)
        for name in vars(part)
        if not name.startswith("_")
    )
