-- +goose Up

-- The case of an image, and what distinguishes it there, as they are in its description.
ALTER TABLE images ADD COLUMN accession TEXT;
ALTER TABLE images ADD COLUMN part TEXT;
ALTER TABLE images ADD COLUMN block TEXT;
ALTER TABLE images ADD COLUMN stain TEXT;
CREATE INDEX images_accession ON images (accession, store, shelf) WHERE accession IS NOT NULL;

-- The cases that have images in lists. A row is calculated from its images whenever one of them
-- changes.
CREATE TABLE cases (
    key       TEXT    PRIMARY KEY, -- number of the store, a slash, and the accession number
    store     INTEGER NOT NULL,
    accession TEXT    NOT NULL,
    name      TEXT    NOT NULL, -- of the case, as it is sorted by
    words     TEXT    NOT NULL, -- what a search looks through
    images    INTEGER NOT NULL,
    newest    INTEGER NOT NULL  -- number of its newest image
) STRICT;
CREATE INDEX cases_accession ON cases (accession);
CREATE INDEX cases_newest ON cases (newest, words);
CREATE INDEX cases_name ON cases (name, key);
CREATE INDEX cases_store_newest ON cases (store, newest, words);
CREATE INDEX cases_store_name ON cases (store, name, key);
