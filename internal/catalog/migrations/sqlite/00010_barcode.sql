-- +goose Up

-- The text of the barcode, by which an image is found if it has up to 500 bytes.
ALTER TABLE images ADD COLUMN barcode TEXT;
UPDATE images SET barcode = (SELECT json_extract(d.fields, '$.Barcode') FROM descriptions d WHERE d.n = images.n)
    WHERE n IN (SELECT n FROM descriptions WHERE instr(fields, '"Barcode"') > 0);
UPDATE images SET barcode = NULL WHERE length(CAST(barcode AS BLOB)) > 500;
CREATE INDEX images_barcode ON images (barcode) WHERE barcode IS NOT NULL;
