import { expect, test } from "vitest";

import { plainReason } from "./state";

test.each([
  ["the file is incomplete: it ends 3.2 GB early, having 700000 bytes, while item 12 lies at bytes 1 to 2; copy it again (TIFF tag TileOffsets, at byte 1918928)", "The file is incomplete: it ends 3.2 GB early; copy it again."],
  ["level 0: the file has no tile of its largest level (at byte 8)", "The file has no tile of its largest level."],
  ["level 2, tile at byte 999: the tile is damaged", "The tile is damaged."],
  ["the file is incomplete or damaged: directory 1 should be at byte 9902758, but the file ends at byte 7971535 (at byte 7128110)", "The file is incomplete or damaged."],
  ["not a TIFF: it begins with 6e 6f 74 20 (at byte 0)", "Not a TIFF."],
  ["This TIFF has no pyramid.", "This TIFF has no pyramid."],
  ["", ""],
])("plain reason of %s", (reason, want) => expect(plainReason(reason)).toBe(want));
