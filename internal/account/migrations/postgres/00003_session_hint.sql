-- +goose Up
-- Sealed with the session's secret: what logs its user out where they have logged in.
ALTER TABLE sessions ADD COLUMN hint BYTEA;
