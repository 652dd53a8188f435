"""Which data a run learns from, how it finds them again, and whether its folder may say so.

`config.json` keeps the absolute place of the data, a fingerprint of their pixels and labels, and a
signature with a key that lies in the user's own cache folder. A folder that somebody else wrote has
no such signature: what it names is not looked for, neither on this machine nor on the Hub, unless
it is a built-in set that lies here already.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import hmac
import json
import os
import secrets
from pathlib import Path
from typing import Any

from .. import files
from ..data.built_in import BUILT_IN, MADE, local_folder
from ..data.cache import cache_folder
from ..data.config import DataConfig
from ..data.dataset import Dataset, Spec
from ..data.densities import DENSITIES
from ..errors import DataError, UsageError, ZeuxisError
from .serialization import from_json

KEY = "own-runs.key"
REMOTE_TRACKERS = ("wandb", "trackio")


def own_data_config(about: dict[str, Any], where: str) -> DataConfig:
    """The data that a run's `config.json` names, where it may be followed.

    Arguments:
        about: What `config.json` holds.
        where: The file, for error sentences.

    Raises:
        UsageError: The folder was written elsewhere and names no built-in set that lies here.
    """
    spec = from_json(Spec, about.get("spec"), where)
    config = from_json(DataConfig, about.get("data", {"data": spec.name}), where)
    if not is_own(about) and (not lies_here(config.data) or config.labels):
        raise UsageError(
            f"'{Path(where).parent}' names the data '{config.data[:200]}' and was not made "
            "by you on this machine, so they are not looked for: give them with --data, as a "
            "place, a Hub id or a built-in name."
        )
    if config.size not in (None, *spec.shape[-1:]):
        raise ZeuxisError(
            f"{where} brings images to {config.size} pixels, and its examples have "
            f"the shape {spec.shape}: it is damaged."
        )
    return config


def lies_here(name: str) -> bool:
    """Whether a name stands for a built-in set that needs no network."""
    here = name in BUILT_IN and local_folder(name) is not None
    return here or name in (*MADE, *DENSITIES)


def require_same(about: dict[str, Any], data: Dataset, run: str) -> Dataset:
    """The data themselves, by the run's name for them, if they are those that the run began with.

    Arguments:
        about: What `config.json` holds; without a fingerprint in it only shape and classes are
            compared.
        data: What was loaded or given.
        run: The folder.

    Raises:
        DataError: Other examples, labels or classes.
    """
    spec = from_json(Spec, about.get("spec"), f"{run}/config.json")
    same = (spec.shape, spec.classes, spec.class_names) == (
        data.spec.shape,
        data.spec.classes,
        data.spec.class_names,
    )
    kept = about.get("fingerprint")
    if not same or (kept is not None and kept != data.fingerprint()):
        held = about.get("held_out")
        count = held.get("of") if isinstance(held, dict) else None
        before = described(spec, count if isinstance(count, int) else None)
        now = described(data.spec, len(data))
        change = f"it had {before}, these are {now}"
        if before == now:
            change = f"{now} again, with other pixels or labels"
        raise DataError(
            f"These are not the data that '{run}' began with: {change}. Give the same ones with "
            f"--data PLACE, or begin a new run from its weights with --training.start {run}."
        )
    return dataclasses.replace(data, spec=dataclasses.replace(data.spec, name=spec.name))


def described(spec: Spec, count: int | None) -> str:
    """Number, shape and classes of examples."""
    number = "examples" if count is None else f"{count:,} examples"
    classes = f" of {spec.classes:,} classes" if spec.classes else ""
    if spec.class_names:
        names = [str(name)[:30] for name in spec.class_names[:6]]
        names += ["..."] * (len(spec.class_names) > 6)
        classes = f" of the classes {', '.join(names)}"
    return f"{number} of shape {spec.shape}{classes}"


def signed(about: dict[str, Any]) -> dict[str, Any]:
    """The same with the signature that makes a run the user's; without a place to keep a key, as it
    is."""
    secret = key()
    return about if secret is None else about | {"signature": signature(about, secret)}


def is_own(about: dict[str, Any]) -> bool:
    """Whether what `config.json` names outside its folder was put there by this user."""
    signed_with, secret = about.get("signature"), key()
    if not isinstance(signed_with, str) or secret is None:
        return False
    expected = signature(about, secret)
    return hmac.compare_digest(signed_with.encode("utf-8", "replace"), expected.encode())


def signature(about: dict[str, Any], secret: bytes) -> str:
    """HMAC-SHA-256 over everything that reaches outside the folder: data, first weights,
    demonstrations, a tracking service."""
    training = about.get("training")
    training = training if isinstance(training, dict) else {}
    outward = [about.get("data"), training.get("start", ""), training.get("track", "")]
    if "algorithm" in about:  # a policy's
        outward += [about.get("env"), about.get("demos")]
    return hmac.new(
        secret, json.dumps(outward, sort_keys=True).encode(), hashlib.sha256
    ).hexdigest()


def key() -> bytes | None:
    """This user's secret, made when it is first needed; None where nothing can be kept."""
    try:
        path = cache_folder() / KEY
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            partial = path.with_name(f".{secrets.token_hex(8)}.partial")
            descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            try:
                os.write(descriptor, secrets.token_bytes(32))
                with contextlib.suppress(FileExistsError):  # another training was first
                    os.link(partial, path)
            finally:
                os.close(descriptor)
                partial.unlink()
        secret = files.require_regular(path).read_bytes()
        return secret if len(secret) == 32 else None
    except (OSError, RuntimeError, ZeuxisError):
        return None  # no home, a read-only one, or one without hard links
