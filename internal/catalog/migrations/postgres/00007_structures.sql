-- +goose Up

-- What opening a slide needs of its file, so that a slide in a bucket is opened without reading
-- it. All of it can be made again: any row may be deleted at any time.
CREATE TABLE structures (
    image    bigint  PRIMARY KEY,
    revision text    NOT NULL,
    format   integer NOT NULL,
    bytes    bigint  NOT NULL, -- with the levels
    used_at  bigint  NOT NULL, -- by the database's clock, within a day
    token    bytea   NOT NULL, -- names the object in its store
    record   bytea   NOT NULL
);
CREATE INDEX structures_used ON structures (used_at);

-- The tile table of each level.
CREATE TABLE structure_levels (
    image  bigint  NOT NULL,
    level  integer NOT NULL,
    places bytea   NOT NULL,
    PRIMARY KEY (image, level)
);

-- They are compressed already.
ALTER TABLE structures ALTER COLUMN record SET STORAGE EXTERNAL;
ALTER TABLE structure_levels ALTER COLUMN places SET STORAGE EXTERNAL;
