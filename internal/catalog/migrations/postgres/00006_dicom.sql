-- +goose Up

-- The identifiers of the images that are series of DICOM files. One series may be several
-- images, in several folders.
CREATE TABLE dicom (
    image  bigint PRIMARY KEY,
    study  text NOT NULL,
    series text NOT NULL
);
CREATE INDEX dicom_study ON dicom (study);
CREATE INDEX dicom_series ON dicom (series);
