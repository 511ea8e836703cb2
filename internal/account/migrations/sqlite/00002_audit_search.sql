-- +goose Up
-- By time, as it is read; what is asked for beside it stands before.
DROP INDEX audit_user;
DROP INDEX audit_object;
CREATE INDEX audit_at ON audit (at, n);
CREATE INDEX audit_user ON audit (user_id, at, n);
CREATE INDEX audit_act ON audit (act, at, n);
CREATE INDEX audit_object ON audit (object, at, n);
CREATE INDEX audit_refused ON audit (at, n) WHERE NOT allowed;
