"""Models from and to the Hugging Face Hub: config.json, safetensors and the model card, no pickle.

`hf:owner/name`, or `hf:owner/name@revision`, stands for a model of the Hub wherever a run folder
does. It is downloaded once into the Hub's cache folder, and from then on opens without a network.
`HF_ENDPOINT`, `HF_TOKEN`, `HF_HUB_CACHE` and `HF_HUB_OFFLINE` mean what they mean to
`huggingface_hub`, which does the work.
"""

from __future__ import annotations

import json
import os
import re
import tempfile
from pathlib import Path
from typing import Any

from ..errors import MissingExtra, UsageError, ZeuxisError
from . import tensor_file
from .run_folder import Run

PREFIX = "hf:"
NAME = re.compile(r"([\w][\w.-]{0,95}/[\w][\w.-]{0,95})(?:@([\w][\w./-]{0,199}))?")
CONFIG, CARD, WEIGHTS = "config.json", "README.md", "model.safetensors"
PICTURES = ("samples.png", "samples/final.png", "film.webp")
DOWNLOADED = [CONFIG, CARD, "best.safetensors", "ema.safetensors", WEIGHTS]
PUBLIC = ("zeuxis", "model", "config", "spec", "class", "recipe", "training")
"""Entries of config.json that are published: not where the data lie, nor the signature."""


def is_hub_name(name: object) -> bool:
    """Whether a text names a model of the Hub.

    Example:
        >>> is_hub_name("hf:someone/digits"), is_hub_name("mnist/dcgan")
        (True, False)
    """
    return isinstance(name, str) and name.startswith(PREFIX)


def parse(name: str) -> tuple[str, str | None]:
    """Repository and revision of a name, with or without `hf:` before it.

    Example:
        >>> parse("hf:someone/digits@v2")
        ('someone/digits', 'v2')

    Raises:
        UsageError: It is no such name.
    """
    match = NAME.fullmatch(name.removeprefix(PREFIX))
    if match is None:
        raise UsageError(
            f"'{name[:120]}' is no name on the Hub: write owner/name, or owner/name@revision."
        )
    return match[1], match[2]


def client(purpose: str) -> Any:
    """The Hub's client.

    Raises:
        MissingExtra: `huggingface_hub` is not installed.
    """
    try:
        from huggingface_hub import HfApi
    except ImportError as error:
        raise MissingExtra("huggingface_hub", "hub", purpose) from error
    return HfApi(endpoint=os.environ.get("HF_ENDPOINT") or None, library_name="zeuxis")


def downloaded(name: str) -> Path:
    """The folder of a model of the Hub, downloaded if it is not here yet.

    Raises:
        ZeuxisError: There is no such model, no network, or no right to read it.
    """
    repository, revision = parse(name)
    api = client(f"Opening '{name}'")
    try:
        folder = api.snapshot_download(
            repository,
            revision=revision,
            allow_patterns=DOWNLOADED,
            cache_dir=os.environ.get("HF_HUB_CACHE") or None,
        )
    except Exception as error:  # of huggingface_hub, its HTTP client, or the disk
        raise ZeuxisError(refusal(error, repository, revision, "read")) from error
    if not Path(folder, CONFIG).is_file():
        raise ZeuxisError(
            f"'{name}' holds no config.json and so no model of zeuxis: zeuxis push writes one."
        )
    return Path(folder)


def push(
    folder: Run, weights: str, repository: str, private: bool = False, message: str = ""
) -> str:
    """Uploads a model: its description, one file of weights, its card and pictures.

    Arguments:
        folder: A run, or a saved model.
        weights: The file of weights, which becomes model.safetensors.
        repository: `owner/name`, made if need be.
        private: Whether a new repository is private.
        message: What the commit says.

    Returns:
        The address of the commit.

    Raises:
        ZeuxisError: No token, no network, or no right to write there.
    """
    repository, revision = parse(repository)
    if revision is not None:
        raise UsageError(f"'{repository}@{revision}': give the name without a revision to push.")
    api = client(f"Pushing to '{repository}'")
    with tempfile.TemporaryDirectory() as place:
        package(folder, weights, Run(place), repository)
        try:
            api.create_repo(repository, private=private, exist_ok=True)
            commit = api.upload_folder(
                repo_id=repository,
                folder_path=place,
                commit_message=message or f"Upload {folder.folder.name} with zeuxis",
            )
        except Exception as error:
            raise ZeuxisError(refusal(error, repository, None, "write")) from error
    return str(getattr(commit, "commit_url", commit))


def package(source: Run, weights: str, target: Run, repository: str) -> None:
    """Writes what is published of a model into a folder."""
    about = source.read_config()
    if "algorithm" in about:
        raise UsageError(f"'{source}' is a policy: zeuxis push takes models of images and texts.")
    tensors, _ = tensor_file.read(source.path(weights))  # refuses what is damaged
    public = {key: about[key] for key in PUBLIC if key in about}
    if isinstance(training := public.get("training"), dict):
        public["training"] = {k: v for k, v in training.items() if k not in ("start", "track")}
    target.write_tensors(WEIGHTS, tensors)
    target.write_json(CONFIG, public)
    for name in PICTURES:
        if source.path(name).is_file() and not source.path(name).is_symlink():
            target.write(name, source.path(name).read_bytes())
    target.write(CARD, card(public, repository, target))


def card(about: dict[str, Any], repository: str, target: Run) -> str:
    """The model card: metadata that the Hub searches, how to open the model, and its settings."""
    spec: dict[str, Any] = about["spec"] if isinstance(about.get("spec"), dict) else {}
    image = len(spec.get("shape", ())) == 3
    metadata: dict[str, Any] = {
        "library_name": "zeuxis",
        "tags": ["zeuxis", str(about.get("model"))],
    }
    if image:
        metadata["pipeline_tag"] = "unconditional-image-generation"
    lines = [f"{key}: {json.dumps(value)}" for key, value in metadata.items()]
    pictures = [f"![]({name})" for name in PICTURES if target.path(name).exists()]
    data = re.sub(r"[^\w .-]", "", str(spec.get("name", "")))[:60]
    settings = json.dumps(about.get("config", {}), indent=2)
    return "\n".join(
        [
            "---", *lines, "---", "",
            f"# {repository}", "",
            f"{about.get('model')}, trained on {data or 'data'} with zeuxis "
            f"{about.get('zeuxis', '')}.", "",
            *pictures, "",
            "```python", "import zeuxis", "", f'model = zeuxis.load("hf:{repository}")',
            *(["images = model.sample(16)"] if image else []), "```", "",
            "```json", settings, "```", "",
            "The data's own license and limits hold for what was learned from them.", "",
        ]
    )  # fmt: skip


def refusal(error: Exception, repository: str, revision: str | None, verb: str) -> str:
    """One sentence for what the Hub or the network says."""
    from huggingface_hub import errors

    name = f"'{repository}'"
    status = getattr(getattr(error, "response", None), "status_code", None)
    if isinstance(error, errors.LocalTokenNotFoundError):
        return f"{name} needs a token of the Hub, and there is none: run hf auth login."
    if isinstance(error, errors.GatedRepoError):
        return f"{name} is gated: accept its terms on the Hub with the account of your token."
    if isinstance(error, errors.RevisionNotFoundError):
        return f"{name} has no revision '{revision}': leave it out, or name a branch or commit."
    if verb == "write" and status in (401, 403):
        return (
            f"The Hub does not let you write to {name}: run hf auth login with a token that may, "
            "or give a name under your own account."
        )
    if isinstance(error, errors.RepositoryNotFoundError):
        return (
            f"There is no {name} on the Hub, or it is private and your token may not read it: "
            "check the name, or run hf auth login."
        )
    if status:
        return f"The Hub refused to {verb} {name} (status {status}): try again later."
    reason = getattr(error, "strerror", None)
    if isinstance(error, OSError) and reason and not isinstance(error, ConnectionError):
        return f"{name} could not be kept here ({reason}): make room, or set HF_HUB_CACHE."
    if isinstance(error, LookupError | TypeError | AttributeError):
        return f"The answer of the Hub for {name} could not be read ({type(error).__name__})."
    then = "and it is not in the cache here" if verb == "read" else "and nothing was uploaded"
    return (
        f"The Hub cannot be reached, {then} ({type(error).__name__}): connect, then repeat this "
        f"for {name}."
    )
