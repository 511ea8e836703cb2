import { describe, expect, test } from "vitest";

import { fitScale } from "./fit";
import { ladder, tilePart, tileURL } from "./ladder";
import { availableSteps, formatMagnification, formatPercent, fullMagnification } from "./magnification";
import { formatView, normalDegrees, parseView, type View } from "./permalink";
import { formatLength, scaleBar, screenMPP } from "./scale";

describe("ladder", () => {
  const philips = { width: 45056, height: 35840, tile_width: 512, tile_height: 512, max_zoom: 7 };

  test("each zoom is half the size, rounded up", () => {
    const zooms = ladder({ width: 1001, height: 700, tile_width: 256, tile_height: 256, max_zoom: 2 });
    expect(zooms).toEqual([
      { width: 251, height: 175, columns: 1, rows: 1 },
      { width: 501, height: 350, columns: 2, rows: 2 },
      { width: 1001, height: 700, columns: 4, rows: 3 },
    ]);
  });

  test("uses the size of stored levels, which may be rounded down", () => {
    const level = { tile_width: 256, tile_height: 256, columns: 2, rows: 2 };
    const zooms = ladder({ width: 1001, height: 701, tile_width: 256, tile_height: 256, max_zoom: 2, levels: [{ ...level, width: 1001, height: 701, downsample: 1 }, { ...level, width: 250, height: 175, downsample: 4.004 }] });
    expect(zooms.map(({ width, height }) => [width, height])).toEqual([[250, 175], [501, 351], [1001, 701]]);
  });

  test("uses the zooms of the server", () => {
    const zooms = [{ width: 3, height: 2, columns: 1, rows: 1 }, { width: 5, height: 4, columns: 1, rows: 1 }];
    expect(ladder({ ...philips, max_zoom: 1, zooms })).toBe(zooms);
  });

  test("matches the levels of a Philips slide", () => {
    const zooms = ladder(philips);
    expect(zooms[0]).toEqual({ width: 352, height: 280, columns: 1, rows: 1 });
    expect(zooms[7]).toEqual({ width: 45056, height: 35840, columns: 88, rows: 70 });
  });

  for (const [name, x, y, want] of [
    ["inside", 0, 0, { x: 0, y: 0, width: 256, height: 256 }],
    ["right edge", 3, 0, { x: 0, y: 0, width: 1001 - 768, height: 256 }],
    ["bottom edge", 0, 2, { x: 0, y: 0, width: 256, height: 700 - 512 }],
    ["beyond", 4, 3, null],
  ] as const) {
    test(`part of a tile within the image: ${name}`, () => {
      const image = { width: 1001, height: 700, tile_width: 256, tile_height: 256, max_zoom: 2 };
      expect(tilePart(image, ladder(image), 2, x, y)).toEqual(want);
    });
  }

  // At the foot of a square of 1024 pixels.
  const foot = { width: 901, height: 603, tile_width: 256, tile_height: 256, max_zoom: 2, bounds: { x: 0, y: 421, width: 901, height: 603 } };

  test("the zooms of an image with bounds are squares", () => {
    expect(ladder(foot)[2]).toEqual({ width: 1024, height: 1024, columns: 4, rows: 4 });
    expect(ladder(foot)[0]).toEqual({ width: 256, height: 256, columns: 1, rows: 1 });
  });

  for (const [name, z, x, y, want] of [
    ["above", 2, 0, 0, null],
    ["upper edge", 2, 1, 1, { x: 0, y: 165, width: 256, height: 91 }],
    ["corner", 2, 3, 3, { x: 0, y: 0, width: 133, height: 256 }],
    ["pixels that are covered in part", 1, 1, 0, { x: 0, y: 210, width: 195, height: 46 }],
    ["all of it", 0, 0, 0, { x: 0, y: 105, width: 226, height: 151 }],
  ] as const) {
    test(`part of a tile within the bounds: ${name}`, () => expect(tilePart(foot, ladder(foot), z, x, y)).toEqual(want));
  }

  test("fills the address template", () => {
    expect(tileURL("https://a/b/{z}/{x}/{y}.jpg?v=1", 3, 1, 2)).toBe("https://a/b/3/1/2.jpg?v=1");
  });
});

describe("magnification", () => {
  for (const [name, image, want] of [
    ["from the objective power", { objective_power: 20, mpp_x: 0.25 }, { power: 20, derived: false }],
    ["from the pixel size", { objective_power: null, mpp_x: 0.5 }, { power: 20, derived: true }],
    ["zero is unknown", { objective_power: 0, mpp_x: 0 }, null],
    ["unknown", { objective_power: null, mpp_x: null }, null],
  ] as const) {
    test(`magnification of level 0: ${name}`, () => expect(fullMagnification(image)).toEqual(want));
  }

  for (const [power, derived, want] of [
    [40, false, [1, 2, 5, 10, 20, 40]],
    [20, false, [1, 2, 5, 10, 20]],
    [39.6, true, [1, 2, 5, 10, 20, 40]],
    [22, true, [1, 2, 5, 10, 20]],
    [0.5, false, []],
  ] as const) {
    test(`steps of a slide scanned at ${power}×`, () => expect(availableSteps({ power, derived })).toEqual(want));
  }

  for (const [value, want] of [[40, "40×"], [39.96, "40×"], [12.4, "12×"], [5, "5×"], [2.54, "2.5×"], [1, "1×"], [0.999, "1×"], [0.42, "0.42×"], [0.0567, "0.057×"]] as const) {
    test(`formats ${value} as ${want}`, () => expect(formatMagnification(value)).toBe(want));
  }

  for (const [value, want] of [[1, "100 %"], [0.125, "12.5 %"], [0.03125, "3.13 %"], [4, "400 %"]] as const) {
    test(`a scale of formats ${value} as ${want}`, () => expect(formatPercent(value)).toBe(want));
  }
});

describe("scale bar", () => {
  for (const [mpp, micrometres, text] of [[0.25, 20, "20 µm"], [0.5, 50, "50 µm"], [1, 100, "100 µm"], [10, 1000, "1 mm"], [100, 10_000, "1 cm"], [0.005, 0.5, "500 nm"], [1 / 1.5, 100, "100 µm"]] as const) {
    test(`scale bar at ${mpp} µm per pixel: ${text}`, () => {
      const bar = scaleBar(mpp, 150)!;
      expect(bar.text).toBe(text);
      expect(bar.micrometres).toBeCloseTo(micrometres, 9);
      expect(bar.pixels * mpp).toBeCloseTo(micrometres, 6);
      expect(bar.pixels).toBeLessThanOrEqual(150.001);
      expect(bar.pixels).toBeGreaterThan(150 / 2.6);
    });
  }

  for (const mpp of [0, -1, NaN, Infinity]) {
    test(`no scale bar at ${mpp} µm per pixel`, () => expect(scaleBar(mpp, 150)).toBeNull());
  }

  test("pixels that are not square", () => {
    expect(screenMPP(0.25, 0.5, 0, 1)).toBeCloseTo(0.25);
    expect(screenMPP(0.25, 0.5, 90, 1)).toBeCloseTo(0.5);
    expect(screenMPP(0.25, null, 33, 0.5)).toBeCloseTo(0.5);
  });

  for (const [value, want] of [[0.2, "200 nm"], [1, "1 µm"], [999, "999 µm"], [1000, "1 mm"], [25_300, "2.53 cm"]] as const) {
    test(`formats ${value} µm as ${want}`, () => expect(formatLength(value)).toBe(want));
  }
});

describe("permalink", () => {
  for (const [name, view, want] of [
    ["plain", { x: 100, y: 200.04, z: 20, scale: null, rotation: 0 }, "#x=100&y=200&z=20"],
    ["rotated", { x: 1.25, y: 2, z: 0.41666, scale: null, rotation: 450 }, "#x=1.3&y=2&z=0.41666&r=90"],
    ["of unknown magnification", { x: 1, y: 2, z: null, scale: 0.125, rotation: -45 }, "#x=1&y=2&s=0.125&r=-45"],
  ] as [string, View, string][]) {
    test(`round trip: ${name}`, () => {
      expect(formatView(view)).toBe(want);
      expect(formatView(parseView(want)!)).toBe(want);
    });
  }

  for (const hostile of ["", "#", "#x=1&y=2", "#x=1&y=2&z=0", "#x=1&y=2&z=-3", "#x=a&y=2&z=3", "#x=1&y=&z=3", "#x=Infinity&y=2&z=3", "#top", "#x=1&y=2&z=NaN"]) {
    test(`not a position: "${hostile}"`, () => expect(parseView(hostile)).toBeNull());
  }

  for (const [degrees, want] of [[0, 0], [180, 180], [-180, 180], [181, -179], [540, 180], [-90, -90], [719, -1]] as const) {
    test(`${degrees}° are ${want}°`, () => expect(normalDegrees(degrees)).toBe(want));
  }
});

describe("fit", () => {
  for (const [degrees, want] of [[0, 0.5], [90, 0.25], [180, 0.5], [-90, 0.25]] as const) {
    test(`2000 × 1000 rotated by ${degrees}° in 1000 × 500`, () => expect(fitScale(2000, 1000, degrees, 1000, 500)).toBeCloseTo(want, 6));
  }
  test("any angle fits", () => {
    const scale = fitScale(2000, 1000, 30, 1000, 500);
    expect(scale * (2000 * Math.sin(Math.PI / 6) + 1000 * Math.cos(Math.PI / 6))).toBeCloseTo(500, 6);
  });
});
