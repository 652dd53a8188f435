"""A study's file: makes it, opens it, and runs transactions on it.

The journal is a write-ahead log and every transaction waits for the disk, so a killed server loses
at most the answer that was being sent. Each thread has its own connection; a writer that finds
another at work waits.
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import json
import secrets
import sqlite3
import threading
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

from ...checkpoints.serialization import from_json, to_json
from ...errors import UsageError, ZeuxisError
from ...files import require_regular
from .pictures import Material
from .protocol import Rules, StudyConfig
from .schema import TABLES, VERSION

WAIT = 20.0  # seconds for another writer
TOKEN = 16  # random bytes of a token
MAGIC = b"SQLite format 3\x00"


@dataclasses.dataclass(frozen=True)
class Study:
    """What a study's file says of itself; see `Material` and `StudyConfig`."""

    model: str
    run_hash: str
    pool_hash: str
    data: str
    split: str
    binarized: bool
    created: str
    app_version: str
    shape: tuple[int, ...]
    config: StudyConfig
    rules: Rules


class Store:
    """A study's SQLite file.

    Arguments:
        path: The file, which `create` made.

    Raises:
        UsageError: There is no such file, or it is no study.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        if not self.path.exists():
            raise UsageError(
                f"There is no '{path}': make a study with zeuxis human serve MODEL --out {path}."
            )
        with open(require_regular(self.path), "rb") as file:
            if file.read(len(MAGIC)) != MAGIC:
                raise UsageError(
                    f"'{path}' is no study: give a file that zeuxis human serve made, or a model."
                )
        self.local = threading.local()
        self.sizes_known: dict[str, int] | None = None
        try:
            self.study = self.read_study()
        except (sqlite3.Error, KeyError, TypeError, ValueError) as error:
            raise ZeuxisError(
                f"'{path}' is no study that can be read ({error}): restore it from a copy."
            ) from error

    def connection(self) -> sqlite3.Connection:
        """The connection of this thread."""
        if (known := getattr(self.local, "connection", None)) is None:
            known = connect(self.path)
            self.local.connection = known
        return known

    def close(self) -> None:
        """Closes the connection of this thread."""
        if (known := getattr(self.local, "connection", None)) is not None:
            known.close()
            self.local.connection = None

    @contextlib.contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """All or nothing: what the block writes is on the disk after it, or not at all."""
        connection = self.connection()
        connection.execute("BEGIN IMMEDIATE")
        try:
            yield connection
        except BaseException:
            connection.execute("ROLLBACK")
            raise
        connection.execute("COMMIT")

    def rows(self, query: str, *values: Any) -> list[sqlite3.Row]:
        """The rows that a query finds."""
        return self.connection().execute(query, values).fetchall()

    def read_study(self) -> Study:
        """The study, checked."""
        found = self.rows("SELECT version FROM schema_version")
        if not found or found[0][0] != VERSION:
            raise ValueError(f"it has version {found[0][0] if found else 'none'}, not {VERSION}")
        row = self.rows("SELECT * FROM study")[0]
        shape = tuple(int(side) for side in json.loads(row["shape"]))
        if len(shape) != 3 or not 0 < shape[0] * shape[1] * shape[2] < 1 << 26:
            raise ValueError("its images have no size")
        where = str(self.path)
        return Study(
            row["model"],
            row["run_hash"],
            row["pool_hash"],
            row["data"],
            row["split"],
            bool(row["binarized"]),
            row["created"],
            row["app_version"],
            shape,
            from_json(StudyConfig, json.loads(row["config_json"]), where),
            from_json(Rules, json.loads(row["rules_json"]), where),
        )

    def sizes(self) -> dict[str, int]:
        """Images in each pool."""
        if self.sizes_known is None:
            found = self.rows("SELECT pool, COUNT(*) AS n FROM image GROUP BY pool")
            self.sizes_known = {row["pool"]: row["n"] for row in found}
        return self.sizes_known

    def pixels_of(self, token: str) -> bytes | None:
        """The pixels behind a token, None if there is no such token."""
        found = self.rows(
            "SELECT pixels FROM trial JOIN image ON image.id = trial.image WHERE image_token = ?",
            token,
        )
        return found[0]["pixels"] if found else None

    def pixels(self, pool: str, number: int) -> bytes | None:
        """The pixels of an image of a pool."""
        found = self.rows("SELECT pixels FROM image WHERE pool = ? AND number = ?", pool, number)
        return found[0]["pixels"] if found else None

    def invite(self, n: int) -> list[str]:
        """Makes invitations, each for one session; from then on nobody starts without one."""
        made = [new_token() for _ in range(n)]
        with self.transaction() as connection:
            connection.executemany(
                "INSERT INTO invitation (token) VALUES (?)", [(token,) for token in made]
            )
        return made


def connect(path: Path) -> sqlite3.Connection:
    """A connection whose transactions are explicit and on the disk when they end."""
    connection = sqlite3.connect(path, timeout=WAIT, isolation_level=None)
    connection.row_factory = sqlite3.Row
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA foreign_keys = ON")
    connection.execute("PRAGMA trusted_schema = OFF")
    return connection


def create(
    path: str | Path, material: Material, config: StudyConfig, rules: Rules | None = None
) -> Store:
    """Makes a study's file with all its images.

    Arguments:
        path: The file, which must not exist.
        material: The images.
        config: What each person is asked.
        rules: Who is excluded, fixed here before the first answer.
    """
    path, shape = Path(path), tuple(material.pools["generated"].shape[1:])
    if path.exists():
        raise UsageError(
            f"'{path}' exists: continue it with zeuxis human serve {path}, or give another --out."
        )
    partial = path.with_name(f".{secrets.token_hex(8)}.partial")
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with contextlib.closing(connect(partial)) as connection:
            connection.executescript(TABLES)
            connection.execute("BEGIN")
            connection.execute("INSERT INTO schema_version VALUES (?)", (VERSION,))
            row = {
                "created": now(),
                "mode": config.mode,
                "model": material.model,
                "run_hash": material.weights,
                "pool_hash": material.digest,
                "data": material.data,
                "split": material.split,
                "n": config.images,
                "ratio": 0.5,
                "seed": config.study_seed,
                "binarized": int(material.binarized),
                "shape": json.dumps(shape),
                "rules_json": json.dumps(to_json(rules or Rules())),
                "config_json": json.dumps(to_json(config)),
                "app_version": version("zeuxis"),
            }
            marks = ", ".join("?" * len(row))
            connection.execute(
                f"INSERT INTO study ({', '.join(row)}) VALUES ({marks})", tuple(row.values())
            )
            for pool, x in material.pools.items():
                connection.executemany(
                    "INSERT INTO image (pool, number, pixels) VALUES (?, ?, ?)",
                    ((pool, i, image.numpy().tobytes()) for i, image in enumerate(x)),
                )
            connection.execute("COMMIT")
            connection.execute("PRAGMA journal_mode = DELETE")  # one file, which can be renamed
        partial.rename(path)
    except (OSError, sqlite3.Error) as error:
        raise ZeuxisError(
            f"'{path}' could not be written ({error}): give a writable place with room."
        ) from error
    finally:
        partial.unlink(missing_ok=True)
    return Store(path)


def new_token() -> str:
    """A random name that says nothing."""
    return secrets.token_urlsafe(TOKEN)


def now() -> str:
    """The time as ISO 8601, in UTC."""
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds")
