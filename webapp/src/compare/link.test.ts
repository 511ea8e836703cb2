import { describe, expect, test } from "vitest";

import { compareAddress, fitAll, follow, formatArrangement, formatSeveral, idsOf, limits, measurementsOf, parseArrangement, sameScale, type Pose } from "./link";

const pose = (x: number, y: number, scale = 1, rotation = 0): Pose => ({ x, y, scale, rotation });

describe("following", () => {
  for (const [name, follower, from, to, want] of [
    ["stays", pose(7, 8, 2, 30), pose(1, 2), pose(1, 2), pose(7, 8, 2, 30)],
    ["moves along, keeping an offset", pose(100, 50), pose(0, 0), pose(10, 20), pose(110, 70)],
    ["moves as far on the page", pose(0, 0, 0.5), pose(0, 0, 1), pose(10, 20, 1), pose(20, 40, 0.5)],
    ["zooms as much", pose(5, 5, 0.5), pose(0, 0, 1), pose(0, 0, 4), pose(5, 5, 2)],
    ["turns as much", pose(5, 5, 1, 90), pose(0, 0, 1, 0), pose(0, 0, 1, 170), pose(5, 5, 1, -100)],
    // What is shown turned by 90° to the right has its own right side below.
    ["moves to the right on the page, turned itself", pose(0, 0, 1, 90), pose(0, 0, 1, 0), pose(10, 0, 1, 0), pose(0, -10, 1, 90)],
    ["moves to the right on the page, by one that is turned", pose(0, 0, 1, 0), pose(0, 0, 1, 90), pose(0, -10, 1, 90), pose(10, 0, 1, 0)],
  ] as const) {
    test(name, () => {
      const got = follow(follower, from, to);
      for (const key of ["x", "y", "scale", "rotation"] as const) expect(got[key], key).toBeCloseTo(want[key], 9);
    });
  }

  test("the leading slide does not matter", () => {
    const [a, b] = [pose(10, 20, 0.5, 30), pose(500, -7, 0.25, -50)];
    const to = pose(40, 10, 2, 75);
    const there = follow(b, a, to);
    const back = follow(a, b, there);
    for (const key of ["x", "y", "scale", "rotation"] as const) expect(back[key], key).toBeCloseTo(to[key], 9);
  });
});

describe("scale", () => {
  const scales = (poses: Pose[]): number[] => poses.map(({ scale }) => scale);
  const poses = [pose(0, 0, 1), pose(0, 0, 1), pose(0, 0, 3)];
  for (const [name, mpp, leader, want] of [
    ["as many µm in a page pixel", [0.25, 0.5, null], 0, [1, 2, 3]],
    ["as the second has", [0.25, 0.5, null], 1, [0.5, 1, 3]],
    ["the leader does not know", [0.25, 0.5, null], 2, [1, 2, 3]],
    ["unknown scales", [null, null, null], 0, [1, 1, 3]],
  ] as const) {
    test(name, () => expect(scales(sameScale(poses, [...mpp], leader))).toEqual(want));
  }
  test("entire slides: the largest determines the scale", () => {
    // 1000 and 4000 pixels of 0.5 µm fit on 100 page pixels at 0.1 and 0.025.
    expect(scales(fitAll([pose(0, 0, 0.1), pose(0, 0, 0.025)], [0.5, 0.5]))).toEqual([0.025, 0.025]);
    expect(scales(fitAll([pose(0, 0, 0.1), pose(0, 0, 0.025)], [0.5, null]))).toEqual([0.1, 0.025]);
  });
});

test("each slide can be zoomed out to a part of the common scale", () => {
  expect(limits([pose(0, 0, 0.1), pose(0, 0, 0.01)])).toEqual([0.03, 0.003]);
});

describe("address", () => {
  test("parses what it formats", () => {
    const a = { poses: [pose(1.26, 2, 0.125), pose(-3, 4, 2, 200)], linked: false };
    expect(formatArrangement(a)).toBe("#v=1.3,2,0.125,0_-3,4,2,-160&linked=no");
    expect(parseArrangement(formatArrangement(a), 2)).toEqual({ poses: [pose(1.3, 2, 0.125), pose(-3, 4, 2, -160)], linked: false });
    expect(formatArrangement({ poses: null, linked: true })).toBe("");
  });
  for (const fragment of ["", "#", "#v=", "#v=1,2,3,4", "#v=1,2,3_1,2,3,4", "#v=1,2,0,0_1,2,3,4", "#v=a,2,3,4_1,2,3,4", "#v=1,2,3,4_1,2,3,4_1,2,3,4"]) {
    test(`invalid: ${fragment}`, () => expect(parseArrangement(fragment, 2)).toEqual({ poses: null, linked: true }));
  }
  test("has the measurements on each slide", () => {
    const texts = ["", "d1,2,3,4_a0,0,5,0,5,5", "d5,6,7,8"];
    expect(formatSeveral(texts)).toBe("m=~d1,2,3,4_a0,0,5,0,5,5~d5,6,7,8");
    expect(measurementsOf(`#linked=no&${formatSeveral(texts)}`, 3)).toEqual(texts);
    expect(measurementsOf("#m=d1,2,3,4", 2)).toEqual(["d1,2,3,4", ""]);
    expect(formatSeveral(["", ""])).toBe("");
  });
  test("lists each slide once, at most four", () => {
    expect(idsOf("?ids=a,b,,a, c,d,e")).toEqual(["a", "b", "c", "d"]);
    expect(idsOf("")).toEqual([]);
    expect(idsOf(compareAddress(["a b", "ä"]).slice("/compare".length))).toEqual(["a b", "ä"]);
  });
});
