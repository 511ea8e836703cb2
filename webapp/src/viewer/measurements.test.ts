import { describe, expect, test } from "vitest";

import { adjust, adjustmentsIn, adjustmentsText, adjustPixels, formatAdjustments, formatValue, isNeutral, neutral, table } from "./adjustments";
import { area, centre, crosses, distance, formatAreaOf, formatDistance, formatMeasurements, measurementsIn, parseMeasurements, perimeter, pixelSize, type Measurement, type Point } from "./measurements";

const square = { x: 0.25, y: 0.25 };
const oblong = { x: 0.5, y: 0.25 };
const p = (...numbers: number[]): Point[] => numbers.flatMap((x, i) => (i % 2 === 0 ? [{ x, y: numbers[i + 1]! }] : []));

describe("measuring", () => {
  for (const [name, points, size, want] of [
    ["along x", p(0, 0, 4000, 0), square, 1000],
    ["along y", p(10, 0, 10, 4000), square, 1000],
    ["3, 4, 5", p(100, 100, 500, 400), square, 125],
    ["pixels that are not square: along x", p(0, 0, 4000, 0), oblong, 2000],
    ["pixels that are not square: along y", p(0, 0, 0, 4000), oblong, 1000],
    ["pixels that are not square: across", p(0, 0, 60, 160), oblong, 50],
    ["no size of pixels", p(0, 0, 30, 40), null, 50],
  ] as const) {
    test(`distance: ${name}`, () => {
      expect(distance(points[0]!, points[1]!, size)).toBeCloseTo(want, 9);
    });
  }

  for (const [name, points, size, want] of [
    ["a square of 1 mm", p(0, 0, 4000, 0, 4000, 4000, 0, 4000), square, 1e6],
    ["the other way round", p(0, 4000, 4000, 4000, 4000, 0, 0, 0), square, 1e6],
    ["pixels that are not square", p(0, 0, 4000, 0, 4000, 4000, 0, 4000), oblong, 2e6],
    ["a triangle", p(0, 0, 100, 0, 0, 100), square, 312.5],
    ["with a corner inwards", p(0, 0, 100, 0, 100, 100, 50, 50, 0, 100), null, 7500],
    ["small, far from the origin", p(200000, 200000, 200002, 200000, 200002, 200002, 200000, 200002), null, 4],
    ["a line", p(0, 0, 100, 0, 50, 0), square, 0],
    ["nothing", [], square, 0],
  ] as const) {
    test(`area: ${name}`, () => {
      expect(area([...points], size)).toBeCloseTo(want, 6);
    });
  }

  test("perimeter includes the side to the first corner", () => {
    expect(perimeter(p(0, 0, 400, 0, 400, 300), square)).toBeCloseTo(100 + 75 + 125, 9);
  });

  test("detects crossing sides", () => {
    expect(crosses(p(0, 0, 10, 10, 10, 0, 0, 10))).toBe(true);
    expect(crosses(p(0, 0, 10, 0, 10, 10, 0, 10))).toBe(false);
    expect(crosses(p(0, 0, 10, 0, 5, 5))).toBe(false);
    expect(crosses(p(0, 0, 10, 0, 10, 10, 8, -2))).toBe(true); // the last side
  });

  test("centre of an area is its centroid", () => {
    expect(centre({ kind: "area", points: p(0, 0, 10, 0, 10, 10, 5, 10, 0, 10) })).toEqual({ x: 5, y: 5 });
    expect(centre({ kind: "distance", points: p(0, 0, 10, 20) })).toEqual({ x: 5, y: 10 });
  });

  test("pixels are square unless the slide has two sizes", () => {
    expect(pixelSize({ mpp_x: 0.25, mpp_y: null })).toEqual({ x: 0.25, y: 0.25 });
    expect(pixelSize({ mpp_x: 0.25, mpp_y: 0.5 })).toEqual({ x: 0.25, y: 0.5 });
    expect(pixelSize({ mpp_x: null, mpp_y: 0.5 })).toBeNull();
    expect(pixelSize({ mpp_x: 0, mpp_y: 0 })).toBeNull();
  });

  for (const [value, want] of [[0.1234, "0.1234 µm"], [12.3456, "12.35 µm"], [999.4, "999.4 µm"], [999.6, "0.9996 mm"], [1000, "1 mm"], [12_345.6, "12.35 mm"]] as const) {
    test(`formats ${value} µm as ${want}`, () => expect(formatDistance(value, square)).toBe(want));
  }
  for (const [value, want] of [[0.5, "0.5 µm²"], [9_876.5, "9,877 µm²"], [10_000, "0.01 mm²"], [1.23456e8, "123.5 mm²"]] as const) {
    test(`formats ${value} µm² as ${want}`, () => expect(formatAreaOf(value, square)).toBe(want));
  }
  test("formats pixels if the pixel size is unknown", () => {
    expect(formatDistance(12345.6, null)).toBe("12,346 px");
    expect(formatAreaOf(12345.6, null)).toBe("12,346 px²");
  });
});

describe("measurements in an address", () => {
  const both: Measurement[] = [{ kind: "distance", points: p(1.25, 2, 30, 40) }, { kind: "area", points: p(0, 0, 10, 0, 10, -10.04) }];
  test("are parsed as they were formatted", () => {
    expect(formatMeasurements(both)).toBe("d1.3,2,30,40_a0,0,10,0,10,-10");
    expect(parseMeasurements(formatMeasurements(both))).toEqual([{ kind: "distance", points: p(1.3, 2, 30, 40) }, { kind: "area", points: p(0, 0, 10, 0, 10, -10) }]);
    expect(formatMeasurements([])).toBe("");
    expect(measurementsIn("#x=1&y=2&z=3&m=d1,2,3,4")).toBe("d1,2,3,4");
    expect(measurementsIn("#x=1")).toBe("");
  });
  for (const text of ["", "d", "d1,2", "d1,2,3", "d1,2,3,4,5,6", "a1,2,3,4", "dx,2,3,4", "d1,2,3,", "dInfinity,1,2,3", "q1,2,3,4", `a${"1,2,".repeat(300)}1,2`]) {
    test(`invalid: ${text.slice(0, 20)}`, () => expect(parseMeasurements(text)).toEqual([]));
  }
  test("an invalid measurement does not affect others", () => {
    expect(parseMeasurements("d1,2_d1,2,3,4")).toEqual([{ kind: "distance", points: p(1, 2, 3, 4) }]);
  });
});

describe("adjustments", () => {
  test("neutral adjustments change nothing", () => {
    expect(isNeutral(neutral)).toBe(true);
    table(neutral).forEach((value, i) => expect(value * 255).toBeCloseTo(i, 9));
  });
  for (const [name, value, a, want] of [
    ["brightness", 0.25, { ...neutral, brightness: 2 }, 0.5],
    ["brightness does not go beyond white", 0.75, { ...neutral, brightness: 2 }, 1],
    ["contrast leaves middle grey", 0.5, { ...neutral, contrast: 3 }, 0.5],
    ["contrast", 0.6, { ...neutral, contrast: 2 }, 0.7],
    ["contrast does not go below black", 0.1, { ...neutral, contrast: 2 }, 0],
    ["gamma", 0.25, { ...neutral, gamma: 2 }, 0.5],
    ["gamma leaves white", 1, { ...neutral, gamma: 2 }, 1],
  ] as const) {
    test(name, () => expect(adjust(value, a)).toBeCloseTo(want, 9));
  }
  test("change colours, not transparency", () => {
    const data = Uint8ClampedArray.from([0, 64, 255, 7]);
    adjustPixels(data, { ...neutral, brightness: 2 });
    expect([...data]).toEqual([0, 128, 255, 7]);
  });
  for (const [name, value, want] of [["brightness", 1.2, "+20 %"], ["contrast", 0.25, "\u221275 %"], ["contrast", 1, "0 %"], ["gamma", 1.5, "1.5"], ["gamma", 0.87, "0.87"]] as const) {
    test(`${name} ${value} is shown as ${want}`, () => expect(formatValue(name, value)).toBe(want));
  }
  test("as text and in an address", () => {
    const some = { brightness: 1.2, contrast: 1, gamma: 0.87 };
    expect(adjustmentsText(some)).toEqual(["Brightness +20 %", "Gamma 0.87"]);
    expect(formatAdjustments(some)).toBe("b=1.2&g=0.87");
    expect(adjustmentsIn(`#x=1&y=2&z=3&${formatAdjustments(some)}&m=d1,2,3,4`)).toEqual(some);
    expect(adjustmentsText(neutral)).toEqual([]);
    expect(formatAdjustments(neutral)).toBe("");
  });
  for (const fragment of ["", "#", "#b=", "#b=0", "#b=5&c=-1&g=NaN", "#c=Infinity&g=0.1"]) {
    test(`invalid adjustments are neutral: "${fragment}"`, () => expect(adjustmentsIn(fragment)).toEqual(neutral));
  }
});
