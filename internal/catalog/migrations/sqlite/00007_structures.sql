-- +goose Up

-- What opening a slide needs of its file, so that a slide in a bucket is opened without reading
-- it. All of it can be made again: any row may be deleted at any time.
CREATE TABLE structures (
    image    INTEGER PRIMARY KEY,
    revision TEXT    NOT NULL,
    format   INTEGER NOT NULL,
    bytes    INTEGER NOT NULL, -- with the levels
    used_at  INTEGER NOT NULL, -- by the database's clock, within a day
    token    BLOB    NOT NULL, -- names the object in its store
    record   BLOB    NOT NULL
) STRICT;
CREATE INDEX structures_used ON structures (used_at);

-- The tile table of each level.
CREATE TABLE structure_levels (
    image  INTEGER NOT NULL,
    level  INTEGER NOT NULL,
    places BLOB    NOT NULL,
    PRIMARY KEY (image, level)
) STRICT;
