import { expect, test } from "vitest";

import type { ListedImage } from "../api/client";
import { formatArea, formatBytes, formatPixels } from "../format";
import { merge } from "./merge";
import { queryOf, searchOf } from "./query";

const slides = (ids: string): ListedImage[] => [...ids].map((id) => ({ id }) as ListedImage);
const ids = (items: ListedImage[]): string => items.map((item) => item.id).join("");

for (const [name, before, page, all, want, fresh] of [
  ["nothing new", "abcdef", "abc", false, "abcdef", 0],
  ["one new", "abcdef", "xab", false, "xabcdef", 1],
  ["two new", "abcdef", "xya", false, "xyabcdef", 2],
  ["one gone", "abcdef", "abd", false, "abdef", 0],
  ["the whole list, one gone", "abc", "ac", true, "ac", 0],
  ["the whole list, one new", "abc", "abcd", true, "abcd", 1],
  ["one moved to the front", "abcdef", "eab", false, "eabcdf", 0],
  ["two gone", "abcdef", "ade", false, "adef", 0],
  ["one new, one gone", "abcdef", "xac", false, "xacdef", 1],
  ["all new", "abc", "xyz", false, "xyzabc", 3],
  ["empty before", "", "ab", false, "ab", 2],
] as const) {
  test(`refreshes the list: ${name}`, () => {
    const got = merge(slides(before), slides(page), all);
    expect([ids(got.items), got.fresh]).toEqual([want, fresh]);
  });
}

test("query in the address", () => {
  for (const search of ["", "?q=a%26b", "?q=x&store=s1&state=broken&sort=size"]) expect(searchOf(queryOf(search))).toBe(search);
  expect(searchOf(queryOf("?sort=created"))).toBe("");
});

for (const [bytes, want] of [[0, "0 bytes"], [999, "999 bytes"], [1000, "1 kB"], [1536, "1.5 kB"], [198_180_864, "198 MB"], [999_950_000, "1 GB"], [3_412_998_144, "3.4 GB"], [10_250_000_000, "10.3 GB"], [2e12, "2 TB"]] as const) {
  test(`${bytes} bytes are ${want}`, () => expect(formatBytes(bytes)).toBe(want));
}

test("formats sizes", () => {
  expect(formatPixels(101376, 76800)).toBe("101,376 × 76,800 px");
  expect(formatArea(101376, 76800, 0.25, 0.25)).toBe("25.3 × 19.2 mm");
  expect(formatArea(512, 512, 0.25, 0.25)).toBe("0.13 × 0.13 mm");
});
