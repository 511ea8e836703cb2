import { expect, test } from "vitest";

import { correctable, correctionIn, formatCorrection, profileSegments, withProfile } from "./colors";

const bytes = async (blob: Blob): Promise<number[]> => [...new Uint8Array(await blob.arrayBuffer())];

test("the profile comes behind the start of a JPEG and its JFIF segment", async () => {
  const segments = profileSegments(new Uint8Array([1, 2, 3]).buffer);
  const app2 = [0xff, 0xe2, 0, 19, ...new TextEncoder().encode("ICC_PROFILE\0"), 1, 1, 1, 2, 3];
  expect(await bytes(segments)).toEqual(app2);
  expect(await bytes(await withProfile(new Blob([new Uint8Array([0xff, 0xd8, 0xff, 0xdb, 0, 3, 9])]), segments))).toEqual([0xff, 0xd8, ...app2, 0xff, 0xdb, 0, 3, 9]);
  expect(await bytes(await withProfile(new Blob([new Uint8Array([0xff, 0xd8, 0xff, 0xe0, 0, 4, 7, 7, 0xff, 0xdb])]), segments))).toEqual([0xff, 0xd8, 0xff, 0xe0, 0, 4, 7, 7, ...app2, 0xff, 0xdb]);
  expect(await bytes(await withProfile(new Blob(["not a JPEG"]), segments))).toEqual([...new TextEncoder().encode("not a JPEG")]);
});

test("a large profile takes several segments", async () => {
  const all = await bytes(profileSegments(new ArrayBuffer(65_520)));
  expect(all.length).toBe(65_520 + 2 * 18);
  expect(all.slice(0, 4)).toEqual([0xff, 0xe2, 0xff, 0xff]);
  expect(all.slice(16, 18)).toEqual([1, 2]);
  expect(all.slice(65_537, 65_541)).toEqual([0xff, 0xe2, 0, 17]);
});

test("the choice in an address", () => {
  for (const [on, byDefault, text] of [[true, false, "icc=1"], [true, true, "icc=1"], [false, false, ""], [false, true, "icc=0"]] as const) {
    expect(formatCorrection(on, byDefault)).toBe(text);
  }
  expect(["#x=1&icc=1", "#icc=0", "#x=1", "#icc=2"].map(correctionIn)).toEqual([true, false, null, null]);
});

test("what can be corrected", () => {
  const profile = { name: "", class: "scnr", space: "RGB", version: "2.0.0", size: 1, srgb: false, usable: true, in_tiles: false };
  expect(correctable({ profile })).toBe(profile);
  for (const image of [null, {}, { profile: null }, { profile: { ...profile, srgb: true } }, { profile: { ...profile, usable: false } }]) expect(correctable(image)).toBeNull();
});
