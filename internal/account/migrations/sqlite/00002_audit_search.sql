-- +goose Up
-- The log is read by time; an equality condition uses the leading column.
DROP INDEX audit_user;
DROP INDEX audit_object;
CREATE INDEX audit_at ON audit (at, n);
CREATE INDEX audit_user ON audit (user_id, at, n);
CREATE INDEX audit_act ON audit (act, at, n);
CREATE INDEX audit_object ON audit (object, at, n);
CREATE INDEX audit_refused ON audit (at, n) WHERE NOT allowed;
