// The comparison page. Tiles are answered, but nothing is rendered.

import { expect, test } from "vitest";

import { eventually, list, open, text, type Routes } from "../../test/dom";
import type { SlideImage } from "../api/types";
import { sideBySide } from "../viewer/snapshot";

const large: SlideImage = {
  id: "i1", store: "s1", file_name: "S26-01417_A1_HE.tiff", label: "S26-01417 A1", barcode: "S26-01417;A1;HE", size: 284_427_492, state: "available", reason: null, revision: "r1", width: 45_056, height: 35_840, tile_width: 512, tile_height: 512,
  max_zoom: 7, tile_url: "/api/v1/images/i1/tiles/{z}/{x}/{y}", mpp_x: 0.25, mpp_y: 0.25, objective_power: 40, created_at: new Date().toISOString(),
} as SlideImage;
const small: SlideImage = { ...large, id: "i2", label: null, file_name: "biopsy.tiff", barcode: null, width: 4_096, height: 3_072, max_zoom: 3, tile_url: "/api/v1/images/i2/tiles/{z}/{x}/{y}" };

const routes: Routes = {
  "GET /api/v1/images": () => list([large, small]),
  "GET /api/v1/images/i1": () => large,
  "GET /api/v1/images/i2": () => small,
  "GET /api/v1/images/*/tiles/*/*/*": () => new Response(new Blob(["tile"]), { headers: { "Content-Type": "image/jpeg" } }),
};

async function compare(fragment = ""): ReturnType<typeof open> {
  const page = await open(`/compare?ids=i1,i2${fragment}`, routes);
  await eventually(() => expect(page.getByTestId("compare").dataset.ready).toBe("true"));
  return page;
}

const stage = (i: number): HTMLElement => document.querySelectorAll<HTMLElement>(".pane .stage")[i]!;
const labels = (i: number): string[] => [...document.querySelectorAll(".pane")[i]!.querySelectorAll(".measure-label:not([hidden])")].map(text);

function press(key: string, target: HTMLElement = document.body): void {
  target.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true, cancelable: true }));
}

test("titles have label, file name and barcode", async () => {
  await compare();
  const [first, second] = [...document.querySelectorAll(".pane-head")].map(text);
  expect(first).toBe("S26-01417 A1Barcode S26-01417;A1;HES26-01417_A1_HE.tiff");
  expect(second).toBe("biopsy.tiff");
});

test("restores measurements, and measures on all slides at once", async () => {
  const page = await compare("#m=~d0,0,400,0");
  await eventually(() => expect(labels(1)).toEqual(["1 100 µm"]));
  expect(labels(0)).toEqual([]);
  press("d");
  await eventually(() => expect(stage(0).classList.contains("measuring") && stage(1).classList.contains("measuring")).toBe(true));
  expect(text(document.querySelector(".measure-of"))).toBe("S26-01417 A1");
  stage(1).focus();
  await eventually(() => expect(text(document.querySelector(".measure-of"))).toBe("biopsy.tiff"));
  press("Escape", stage(1));
  await eventually(() => expect(document.querySelectorAll(".stage.measuring")).toHaveLength(0));
  expect(page.getByTestId("measure-button").dataset.active).toBe("true");
  await eventually(() => expect(location.hash).toBe("#m=~d0,0,400,0"));
  expect(JSON.parse(sessionStorage.getItem("ptiffstore.measurements")!).slides.i2.text).toBe("d0,0,400,0");
});

test("overviews are shown and hidden together", async () => {
  await compare();
  const shown = (): boolean[] => [...document.querySelectorAll<HTMLElement>(".minimap-body")].map(({ hidden }) => !hidden);
  expect(shown()).toEqual([true, true]);
  press("m");
  expect(shown()).toEqual([false, false]);
});

test("the saved image has the slides side by side", () => {
  const images = [[300, 200], [100, 250], [200, 100]].map(([width, height]) => Object.assign(document.createElement("canvas"), { width, height }));
  const { width, height } = sideBySide(images, 2);
  expect([width, height]).toEqual([300 + 4 + 100, 250 + 4 + 100]);
});
