-- +goose Up

-- Rows are never removed, so that the numbers of a lease only increase.
CREATE TABLE leases (
    name       text   PRIMARY KEY,
    holder     text   NOT NULL, -- "" if it was given back
    token      bigint NOT NULL, -- the number of this acquisition
    expires_at bigint NOT NULL  -- by the database's clock
);

CREATE TABLE workers (
    id         text   PRIMARY KEY,
    host       text   NOT NULL,
    pid        bigint NOT NULL,
    version    text   NOT NULL,
    queues     text   NOT NULL, -- JSON: a list of names
    started_at bigint NOT NULL,
    seen_at    bigint NOT NULL  -- by the database's clock
);

-- Images to hash, and those verified longest ago. 6: available.
CREATE INDEX images_unhashed ON images (store, n) WHERE shelf = 6 AND digest IS NULL;
CREATE INDEX images_verified ON images (store, verified_at NULLS FIRST, n) WHERE shelf = 6 AND digest IS NOT NULL;
