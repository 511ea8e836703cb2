-- +goose Up

-- Uploads into managed stores in buckets, so that every server can continue them. Those into
-- folders have their records there.
CREATE TABLE uploads (
    id      TEXT    PRIMARY KEY,
    store   TEXT    NOT NULL,
    version INTEGER NOT NULL, -- counts the writes of the record
    record  TEXT    NOT NULL
) STRICT;
CREATE INDEX uploads_store ON uploads (store);
