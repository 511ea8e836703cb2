-- +goose Up

-- The id of the image in another application, by which it is found.
ALTER TABLE images ADD COLUMN external_id text;
UPDATE images SET external_id = d.fields::json ->> 'ExternalID' FROM descriptions d
    WHERE d.n = images.n AND strpos(d.fields, '"ExternalID"') > 0;
CREATE INDEX images_external_id ON images (external_id) WHERE external_id IS NOT NULL;
-- A search finds it, as words of images do that are written from now on.
UPDATE images SET words = words || chr(10) || chr(10) || lower(external_id) WHERE external_id IS NOT NULL;
