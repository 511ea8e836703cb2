-- +goose Up

-- Uploads into managed stores in buckets, so that every server can continue them. Those into
-- folders have their records there.
CREATE TABLE uploads (
    id      text   PRIMARY KEY,
    store   text   NOT NULL,
    version bigint NOT NULL, -- counts the writes of the record
    record  text   NOT NULL
);
CREATE INDEX uploads_store ON uploads (store);
