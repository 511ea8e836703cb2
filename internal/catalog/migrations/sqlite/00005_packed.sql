-- +goose Up

-- Where the images were that have been packed into another store: their stores list them
-- still.
CREATE TABLE packed (
    store INTEGER NOT NULL, -- the former one
    path  BLOB NOT NULL,
    image INTEGER NOT NULL,
    PRIMARY KEY (store, path)
) WITHOUT ROWID;
CREATE INDEX packed_image ON packed (image);
