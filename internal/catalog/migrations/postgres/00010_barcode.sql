-- +goose Up

-- The text of the barcode, by which an image is found if it has up to 500 bytes. PostgreSQL
-- stores no zero byte: images whose description has one are found after their next change.
ALTER TABLE images ADD COLUMN barcode text;
UPDATE images SET barcode = d.fields::json ->> 'Barcode' FROM descriptions d
    WHERE d.n = images.n AND strpos(d.fields, '"Barcode"') > 0 AND strpos(d.fields, '\u0000') = 0;
UPDATE images SET barcode = NULL WHERE octet_length(barcode) > 500;
CREATE INDEX images_barcode ON images (barcode) WHERE barcode IS NOT NULL;
