import { expect, test } from "vitest";

import { retryDelay } from "./retry";

for (const [name, status, attempt, retryAfter, want] of [
  ["a damaged tile, once more", 502, 1, null, 400],
  ["a damaged tile, at last", 502, 3, null, null],
  ["no such tile", 404, 1, null, null],
  ["not allowed", 403, 1, null, null],
  ["no answer", 0, 1, null, 400],
  ["no answer again", 0, 3, null, 1600],
  ["no answer, at last", 0, 4, null, null],
  ["busy, and says when to come back", 503, 1, 7, 7000],
  ["busy, and says nothing", 503, 2, null, 800],
  ["busy for an hour", 503, 1, 3600, 30_000],
  ["busy, but not at all", 503, 1, 0, 250],
  ["busy for good", 503, 8, 1, null],
] as const) {
  test(`delay: ${name}`, () => {
    for (const random of [0, 0.5, 0.999]) {
      const got = retryDelay(status, attempt, retryAfter, random);
      if (want === null) {
        expect(got).toBeNull();
        continue;
      }
      expect(got!).toBeGreaterThanOrEqual(want * (status === 503 ? 1 : 0.75));
      expect(got!).toBeLessThanOrEqual(want * 1.25);
    }
  });
}
