-- +goose Up
-- Times are microseconds since 1970. A task's number is that of river_job.
CREATE TABLE task_progress (
    task BIGINT PRIMARY KEY,
    done BIGINT NOT NULL,
    total BIGINT, -- NULL if unknown
    unit TEXT NOT NULL,
    updated_at BIGINT NOT NULL
);

CREATE TABLE task_log (
    task BIGINT NOT NULL,
    n BIGINT NOT NULL, -- of the line, from 1
    at BIGINT NOT NULL,
    line TEXT NOT NULL,
    PRIMARY KEY (task, n)
);

CREATE TABLE schedules (
    store TEXT NOT NULL,
    kind TEXT NOT NULL,
    schedule TEXT NOT NULL, -- and its time zone, for which the next column was written
    last_enqueued BIGINT NOT NULL,
    PRIMARY KEY (store, kind)
);
