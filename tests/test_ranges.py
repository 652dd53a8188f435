"""Every numeric setting of the package declares its range, and nothing outside it can be made, from
wherever it comes."""

from __future__ import annotations

import dataclasses
import importlib
import json
import math
import pkgutil
from dataclasses import dataclass
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

import numpy as np
import pytest

import tiny
import zeuxis
from zeuxis.checkpoints.serialization import from_json, to_json
from zeuxis.checkpoints.weights import build
from zeuxis.cli import main
from zeuxis.data.dataset import Spec
from zeuxis.errors import UsageError, ZeuxisError
from zeuxis.ranges import BaseConfig, Range, Rate, Size, checked, converted, hints_of
from zeuxis.registry import built_in, models

pytest.importorskip("gymnasium")


def settings_classes() -> list[type]:
    """Every dataclass of settings in the package."""
    for info in pkgutil.walk_packages(zeuxis.__path__, "zeuxis."):
        if not info.name.endswith("__main__"):
            importlib.import_module(info.name)
    found, todo = [], [BaseConfig]
    while todo:
        kinds = todo.pop().__subclasses__()
        found += [kind for kind in kinds if kind.__module__.startswith("zeuxis.")]
        todo += kinds
    return found


CLASSES = settings_classes()
FIELDS = [(kind, name, hint) for kind in CLASSES for name, hint in hints_of(kind).items()]


def numbers_in(hint: Any, limit: Range | None = None) -> list[tuple[type, Range | None]]:
    """The numeric types inside a type, each with the range that was declared for it."""
    if hint in (int, float):
        return [(hint, limit)]
    if get_origin(hint) is Annotated:
        inner, *more = get_args(hint)
        return numbers_in(inner, next((m for m in more if isinstance(m, Range)), limit))
    if get_origin(hint) in (tuple, Union, UnionType):
        return [found for one in get_args(hint) for found in numbers_in(one, limit)]
    return []


NUMERIC = [(kind, name, hint) for kind, name, hint in FIELDS if numbers_in(hint)]


def test_every_model_algorithm_and_command_has_settings_of_this_kind() -> None:
    configs = {kind.Config for kind in built_in().values()}
    assert all(issubclass(kind, BaseConfig) for kind in configs)
    names = {kind.__name__ for kind in CLASSES}
    assert {
        "TrainingConfig",
        "DataConfig",
        "OnPolicyConfig",
        "TrustRegionConfig",
        "GAILConfig",
        "VIMEConfig",
        "CloningConfig",
    } <= names
    assert len(NUMERIC) > 200


def test_every_command_reads_its_options_into_a_config() -> None:
    for info in pkgutil.iter_modules(importlib.import_module("zeuxis.commands").__path__):
        module = importlib.import_module(f"zeuxis.commands.{info.name}")
        for value in vars(module).values():
            if (
                isinstance(value, type)
                and dataclasses.is_dataclass(value)
                and value.__module__ == module.__name__
                and value.__name__ != "LoadedImages"  # what options lead to, not options
            ):
                assert issubclass(value, BaseConfig), (
                    f"{value.__name__} of {info.name} checks nothing"
                )


@pytest.mark.parametrize(
    ("kind", "name", "hint"), NUMERIC, ids=[f"{k.__name__}.{n}" for k, n, _ in NUMERIC]
)
def test_a_numeric_field_declares_its_range(kind: type, name: str, hint: Any) -> None:
    for number, limit in numbers_in(hint):
        assert limit is not None, f"{kind.__name__}.{name} declares no range"
        assert math.isfinite(limit.low) and math.isfinite(limit.high), (
            f"{kind.__name__}.{name} has an open end"
        )
        assert limit.high < 2**63 and number in (int, float)


@pytest.mark.parametrize(
    ("kind", "name", "hint"), NUMERIC, ids=[f"{k.__name__}.{n}" for k, n, _ in NUMERIC]
)
def test_a_value_outside_is_refused_by_name_and_flag(kind: Any, name: str, hint: Any) -> None:
    ((number, limit), *_) = numbers_in(hint)
    assert limit is not None
    several = tuple in (get_origin(hint), *map(get_origin, get_args(hint)))
    beyond = [limit.low - 1, limit.high * 2 + 1, 10**20, 2**63] + (
        [limit.low] if limit.above else []
    )
    wrong = (
        [number(b) for b in beyond]
        + ([math.nan, math.inf, -math.inf] if number is float else [1.5])
        + ["three", True]
    )
    for value in wrong:
        with pytest.raises(
            UsageError, match=rf"^{kind.flags}{name.replace('_', '-')} must be .*, got "
        ) as error:
            checked(kind, {name: (value,) if several else value})
        assert "\n" not in str(error.value) and len(str(error.value)) < 250


def test_a_range_says_what_it_takes() -> None:
    assert str(Range(0, 1)) == "from 0 to 1"
    assert str(Range(0, 1, below=True)) == "at least 0 and below 1"
    assert str(Range(0.5, 1, above=True)) == "above 0.5 and at most 1"
    assert str(Range(0, 1e9, above=True).nearest(-1)) == "above 0"
    assert str(Range(1, 10**15).nearest(10**16)) == "at most 1,000,000,000,000,000"
    assert (
        1 not in Range(0, 1, below=True)
        and 0 not in Range(0, 1, above=True)
        and math.nan not in Range(0, 1)
    )


def test_values_are_brought_to_their_type() -> None:
    values = {"channels": [np.int64(4), 8], "lr": np.float32(0.5), "hidden_dim": np.int32(3)}
    result = checked(models()["vae"].Config, values)
    assert (
        result == {"channels": (4, 8), "lr": 0.5, "hidden_dim": 3}
        and type(result["hidden_dim"]) is int
        and type(result["lr"]) is float
    )
    assert checked(zeuxis.TrainingConfig, {"start": Path("a") / "b"}) == {"start": "a/b"}
    assert converted(None, Annotated[int, Range(1, 2)] | None) is None


def test_python_refuses_what_the_command_line_refuses(capsys: pytest.CaptureFixture) -> None:
    with pytest.raises(UsageError) as error:
        zeuxis.TrainingConfig(batch=0)
    assert main(["train", "vae", "--limit", "64", "--training.batch", "0"]) == 2
    assert str(error.value) in capsys.readouterr().err
    with pytest.raises(UsageError, match="--training.clip must be a finite number, got nan"):
        dataclasses.replace(zeuxis.TrainingConfig(), clip=math.nan)
    with pytest.raises(UsageError, match="--training.precision must be one of auto, .*, got 'fp7'"):
        checked(zeuxis.TrainingConfig, {"precision": "fp7"})
    with pytest.raises(UsageError, match="--training.images must be at least 1, got 0"):
        zeuxis.train("vae", tiny.data_for("vae"), images=0)
    with pytest.raises(UsageError, match="--training.compile must be True or False, got 'yes'"):
        checked(zeuxis.TrainingConfig, {"compile": "yes"})


def test_json_refuses_it_too_and_names_the_file() -> None:
    values = to_json(zeuxis.TrainingConfig())
    for key, value in (
        ("batch", 0),
        ("clip", math.nan),
        ("images", 2**63),
        ("seed", 10**20),
        ("film", "many"),
        ("device", 3),
    ):
        with pytest.raises(ZeuxisError, match=rf"^here/config.json .*--training.{key} must be "):
            from_json(zeuxis.TrainingConfig, values | {key: value}, "here/config.json")
    with pytest.raises(ZeuxisError, match="no whole Spec"):
        from_json(Spec, {"name": "x"}, "here")


def test_settings_that_check_nothing_themselves_are_checked_before_a_model_is_built() -> None:
    @dataclass(frozen=True)
    class PlainConfig:
        width: Size = 4
        lr: Rate = 1e-3
        free: float = 0.0

    for wrong in ({"width": 0}, {"lr": math.nan}, {"free": math.inf}):
        with pytest.raises(UsageError, match=rf"--model.{next(iter(wrong))} must be "):
            checked(PlainConfig, vars(PlainConfig(**wrong)))
    with pytest.raises(UsageError, match="takes settings of the type VAEConfig"):
        build("vae", PlainConfig(), Spec("tiny", (1, 28, 28)))


def test_a_file_cannot_ask_for_an_image_that_takes_hours_to_draw(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="at most 16,384 pixels a side"):
        Spec("tall", (1, 65_536, 8))
    assert Spec("text", (100_000,)).size == 100_000
    folder = zeuxis.save(tiny.model("pixelrnn"), tmp_path / "model")
    about = json.loads((folder / "config.json").read_text())
    about["spec"]["shape"][1] = 65_536
    (folder / "config.json").write_text(json.dumps(about))
    with pytest.raises(ZeuxisError, match="at most 16,384 pixels a side"):
        zeuxis.load(folder)
