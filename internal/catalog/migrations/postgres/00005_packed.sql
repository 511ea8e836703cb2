-- +goose Up

-- Where the images were that have been packed into another store: their stores list them
-- still.
CREATE TABLE packed (
    store bigint NOT NULL, -- the former one
    path  bytea NOT NULL,
    image bigint NOT NULL,
    PRIMARY KEY (store, path)
);
CREATE INDEX packed_image ON packed (image);
