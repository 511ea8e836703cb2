-- +goose Up

-- When an image was moved to another store: its former file may be removed some time later.
-- 0 for those that were packed earlier, and for files that were removed.
ALTER TABLE packed ADD COLUMN moved_at bigint NOT NULL DEFAULT 0;
