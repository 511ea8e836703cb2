-- +goose Up
-- The images whose labels and names an entry of the audit log is about. Each is found by the
-- image, so an entry about a whole page of a list does not hide it.
CREATE TABLE audit_images (
    image TEXT NOT NULL,
    n BIGINT NOT NULL REFERENCES audit (n),
    at BIGINT NOT NULL, -- when it was shown: later than the entry for the next pages of a list
    PRIMARY KEY (image, n)
);
CREATE INDEX audit_images_n ON audit_images (n, at, image);
CREATE TRIGGER audit_images_kept BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_images
    FOR EACH STATEMENT EXECUTE FUNCTION ptiffstore_audit_kept();
