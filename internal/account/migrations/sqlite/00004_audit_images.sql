-- +goose Up
-- The images whose labels and names an entry of the audit log is about. Each is found by the
-- image, so an entry about a whole page of a list does not hide it.
CREATE TABLE audit_images (
    image TEXT NOT NULL,
    n INTEGER NOT NULL REFERENCES audit (n),
    at BIGINT NOT NULL, -- when it was shown: later than the entry for the next pages of a list
    PRIMARY KEY (image, n)
) WITHOUT ROWID;
CREATE INDEX audit_images_n ON audit_images (n, at, image);

-- +goose StatementBegin
CREATE TRIGGER audit_images_update BEFORE UPDATE ON audit_images BEGIN
    SELECT RAISE(ABORT, 'the audit log is only ever added to');
END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER audit_images_delete BEFORE DELETE ON audit_images BEGIN
    SELECT RAISE(ABORT, 'the audit log is only ever added to');
END;
-- +goose StatementEnd
-- INSERT OR REPLACE would delete without a word.
-- +goose StatementBegin
CREATE TRIGGER audit_images_replace BEFORE INSERT ON audit_images WHEN EXISTS (SELECT 1 FROM audit_images WHERE image = NEW.image AND n = NEW.n) BEGIN
    SELECT RAISE(ABORT, 'the audit log is only ever added to');
END;
-- +goose StatementEnd
