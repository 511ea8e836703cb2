-- +goose Up

-- The case of an image, and what distinguishes it there, as they are in its description.
ALTER TABLE images ADD COLUMN accession text COLLATE "C", ADD COLUMN part text COLLATE "C", ADD COLUMN block text COLLATE "C", ADD COLUMN stain text COLLATE "C";
CREATE INDEX images_accession ON images (accession, store, shelf, n) WHERE accession IS NOT NULL;

-- The cases that have images in lists. A row is calculated from its images whenever one of them
-- changes.
CREATE TABLE cases (
    store     bigint NOT NULL,
    images    bigint NOT NULL,
    newest    bigint NOT NULL, -- number of its newest image
    key       text   COLLATE "C" PRIMARY KEY, -- number of the store, a slash, and the accession number
    accession text   COLLATE "C" NOT NULL,
    name      text   COLLATE "C" NOT NULL, -- of the case, as it is sorted by
    words     text   COLLATE "C" NOT NULL  -- what a search looks through
);
CREATE INDEX cases_accession ON cases (accession);
CREATE INDEX cases_newest ON cases (newest, words);
CREATE INDEX cases_name ON cases (name, key);
CREATE INDEX cases_store_newest ON cases (store, newest, words);
CREATE INDEX cases_store_name ON cases (store, name, key);
