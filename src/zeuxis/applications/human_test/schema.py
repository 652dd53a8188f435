"""The tables of a study's SQLite file.

One file holds one study with all its images, so that answers can be replayed and reported without
the model. There is no address, no name and no browser in it. Rows of `answer` are never changed,
which a trigger enforces; they go only when a person withdraws.
"""

from __future__ import annotations

VERSION = 1

TABLES = """
CREATE TABLE schema_version (version INTEGER NOT NULL);

CREATE TABLE study (
    id INTEGER PRIMARY KEY, created TEXT NOT NULL, mode TEXT NOT NULL, model TEXT NOT NULL,
    run_hash TEXT NOT NULL, pool_hash TEXT NOT NULL, data TEXT NOT NULL, split TEXT NOT NULL,
    n INTEGER NOT NULL, ratio REAL NOT NULL, seed INTEGER NOT NULL, binarized INTEGER NOT NULL,
    shape TEXT NOT NULL, rules_json TEXT NOT NULL, config_json TEXT NOT NULL,
    app_version TEXT NOT NULL
);

CREATE TABLE image (
    id INTEGER PRIMARY KEY, pool TEXT NOT NULL, number INTEGER NOT NULL, pixels BLOB NOT NULL,
    UNIQUE (pool, number)
);

CREATE TABLE person (
    id TEXT PRIMARY KEY, number INTEGER NOT NULL UNIQUE, study INTEGER NOT NULL REFERENCES study,
    consent_at TEXT NOT NULL, role TEXT NOT NULL CHECK (role IN ('maker', 'colleague', 'public')),
    age_ok INTEGER NOT NULL CHECK (age_ok = 1), screen TEXT NOT NULL, frame_ms REAL,
    reading_ms REAL, withdrawn_at TEXT
);

CREATE TABLE invitation (token TEXT PRIMARY KEY, person TEXT REFERENCES person);

CREATE TABLE trial (
    id INTEGER PRIMARY KEY, study INTEGER NOT NULL REFERENCES study,
    person TEXT NOT NULL REFERENCES person, phase TEXT NOT NULL, block INTEGER NOT NULL,
    position INTEGER NOT NULL, image_token TEXT NOT NULL UNIQUE,
    kind TEXT NOT NULL CHECK (kind IN ('real', 'generated', 'check', 'repeat')),
    truth TEXT NOT NULL CHECK (truth IN ('real', 'generated')),
    image INTEGER NOT NULL REFERENCES image, image_index INTEGER NOT NULL, shown_at REAL,
    exposure_ms_wanted INTEGER, exposure_ms_seen REAL, UNIQUE (person, position)
);

CREATE TABLE answer (
    id INTEGER PRIMARY KEY, trial INTEGER NOT NULL UNIQUE REFERENCES trial,
    said TEXT NOT NULL CHECK (said IN ('real', 'generated', 'lost')),
    rt_ms REAL NOT NULL, at TEXT NOT NULL, feedback_shown INTEGER NOT NULL
);

CREATE TRIGGER answers_stay BEFORE UPDATE ON answer
BEGIN SELECT RAISE(ABORT, 'answers are not changed'); END;
"""
