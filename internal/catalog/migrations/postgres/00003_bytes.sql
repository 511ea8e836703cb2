-- +goose Up

-- Total size of the files of a store, so that a quota need not read every row.
ALTER TABLE counts ADD COLUMN bytes BIGINT NOT NULL DEFAULT 0;
UPDATE counts SET bytes = (SELECT COALESCE(SUM(size), 0) FROM images WHERE images.store = counts.store AND images.shelf = counts.shelf);
