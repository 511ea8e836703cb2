// The page of a slide. Tiles are answered, but nothing is rendered.

import { expect, test } from "vitest";

import { eventually, list, open, text, type Routes } from "../../test/dom";
import type { SlideImage } from "../api/types";

const image: SlideImage = {
  id: "i1", store: "s1", file_name: "S26-01417_A1_HE.tiff", label: "S26-01417 A1", barcode: null, size: 284_427_492, state: "available", reason: null, revision: "r1", width: 45_056, height: 35_840, tile_width: 512, tile_height: 512,
  max_zoom: 7, tile_url: "/api/v1/images/i1/tiles/{z}/{x}/{y}", mpp_x: 0.25, mpp_y: 0.25, objective_power: 40, created_at: new Date().toISOString(),
} as SlideImage;
const second: SlideImage = { ...image, id: "i2", label: "S26-01418 A1", tile_url: "/api/v1/images/i2/tiles/{z}/{x}/{y}" };

const tile = (): Response => new Response(new Blob(["tile"]), { headers: { "Content-Type": "image/jpeg" } });
const routes: Routes = {
  "GET /api/v1/images": () => list([image, second]),
  "GET /api/v1/images/i1": () => image,
  "GET /api/v1/images/i2": () => second,
  "GET /api/v1/images/*/tiles/*/*/*": tile,
};

const at = "#x=1000&y=2000&z=10";
const address = (): string => location.pathname + location.hash;
const labels = (): string[] => [...document.querySelectorAll(".measure-label:not([hidden])")].map(text);

test("restores adjustments from the address, and resets them", async () => {
  const page = await open(`/slides/i1${at}&b=1.2&g=1.5`, routes);
  await eventually(() => expect(text(page.getByTestId("adjusted"))).toBe("Brightness +20 % · Gamma 1.5Reset"));
  await eventually(() => expect(page.getByTestId("scale-bar").dataset.micrometres).toBe("100")); // the slide is open
  await eventually(() => expect(address()).toBe(`/slides/i1${at}&b=1.2&g=1.5`));
  page.getByRole("button", { name: "Reset brightness, contrast and gamma" }).click();
  await eventually(() => expect(address()).toBe(`/slides/i1${at}`));
  expect(page.getByTestId("adjusted").hidden).toBe(true);
});

test("adjustments do not follow to the next slide, and measurements stay with theirs", async () => {
  const line = "d100,200,4100,200"; // 4000 pixels of 0.25 µm
  const page = await open(`/slides/i1${at}&c=2&m=${line}`, routes);
  await eventually(() => expect(labels()).toEqual(["1 1 mm"]));
  const next = await eventually(() => {
    const link = page.getByTestId("next");
    expect(link.getAttribute("href")).toBe("/slides/i2");
    return link;
  });
  next.click();
  await eventually(() => expect(text(page.getByRole("heading", { level: 1 }))).toBe("S26-01418 A1"));
  await eventually(() => expect(page.getByTestId("previous").getAttribute("href")).toBe("/slides/i1"));
  expect(page.getByTestId("adjusted").hidden).toBe(true);
  expect(page.getByTestId("adjust-button").dataset.active).toBe("false");
  expect(labels()).toEqual([]);
  page.getByTestId("previous").click();
  await eventually(() => expect(labels()).toEqual(["1 1 mm"]));
  await eventually(() => expect(address()).toBe(`/slides/i1#m=${line}`));
  expect(page.getByTestId("adjusted").hidden).toBe(true);
});

test("a link shows its measurements in addition to one's own", async () => {
  sessionStorage.setItem("ptiffstore.measurements", JSON.stringify({ user: "", slides: { i1: { revision: "r1", text: "d0,0,400,0_d0,0,800,0" } } }));
  await open(`/slides/i1${at}&m=d0,0,1200,0_d0,0,400,0`, routes);
  await eventually(() => expect(labels()).toEqual(["1 300 µm", "2 100 µm", "3 200 µm"]));
});

for (const [name, kept] of [
  ["another user", { user: "u7", slides: { i1: { revision: "r1", text: "d0,0,400,0" } } }],
  ["a file that was replaced", { user: "", slides: { i1: { revision: "r0", text: "d0,0,400,0" } } }],
  ["another version of the application", { slides: [] }],
] as const) {
  test(`does not show the measurements of ${name}`, async () => {
    sessionStorage.setItem("ptiffstore.measurements", JSON.stringify(kept));
    const page = await open(`/slides/i1${at}`, routes);
    await eventually(() => expect(page.getByTestId("scale-bar").dataset.micrometres).toBe("100"));
    await eventually(() => expect(page.getByTestId("next").getAttribute("href")).toBe("/slides/i2"));
    expect(labels()).toEqual([]);
    expect(address()).toBe(`/slides/i1${at}`);
  });
}

test("edits the label in the details, and deletes the slide", async () => {
  let label = "S26-01417 A1";
  const sent: unknown[] = [];
  const page = await open(`/slides/i1${at}`, {
    ...routes,
    "GET /api/v1/stores": () => list([{ id: "s1", label: "Slides", mode: "in-place", scopes: ["tiles", "label", "write", "admin"] }]),
    "GET /api/v1/images/i1": () => ({ ...image, label }),
    "PATCH /api/v1/images/i1": ({ body }) => {
      sent.push(body);
      ({ label } = body as { label: string });
      return { ...image, label };
    },
    "DELETE /api/v1/images/i1": () => {
      sent.push("deleted");
      return new Response(null, { status: 204 });
    },
  });
  const actions = (name: string): HTMLElement => [...page.getByTestId("slide-actions").querySelectorAll("button")].find((b) => text(b) === name)!;
  (await eventually(() => {
    expect(actions("Edit label and external id")).toBeDefined();
    return actions("Edit label and external id");
  })).click();
  const field = await eventually(() => page.getByLabelText("Label") as HTMLInputElement);
  field.value = "S26-01417 A2";
  page.getByRole("button", { name: "Save" }).click();
  await eventually(() => expect(text(page.getByRole("heading", { level: 1 }))).toBe("S26-01417 A2"));
  actions("Delete slide").click();
  const dialog = await eventually(() => page.getByRole("dialog", { name: "Delete this slide?" }));
  [...dialog.querySelectorAll("button")].find((b) => text(b) === "Delete slide")!.click();
  await eventually(() => expect(location.pathname).toBe("/"));
  expect(sent).toEqual([{ label: "S26-01417 A2" }, "deleted"]);
});

const profile = { name: "Scanner 7", class: "scnr", space: "RGB", version: "2.1.0", size: 3, srgb: false, usable: true, in_tiles: false };
const iccRoutes = (profile: object | null, correct: boolean, asked: string[] = []): Routes => ({
  ...routes,
  "GET /api/v1/auth/session": () => ({ mode: "none", user: null, admin: true, scopes: ["tiles", "label", "write", "admin"], token: false, central: null, correct_colors: correct }),
  "GET /api/v1/images/i1": () => ({ ...image, profile }),
  "GET /api/v1/images/i1/icc": (request: unknown) => {
    asked.push(String(request));
    return new Response(new Blob(["abc"]));
  },
});

test("corrects colours when told to, and says so in the address", async () => {
  const asked: string[] = [];
  const page = await open(`/slides/i1${at}`, iccRoutes(profile, false, asked));
  const button = await eventually(() => {
    expect(page.getByTestId("colors-button").hidden).toBe(false);
    return page.getByTestId("colors-button");
  });
  await eventually(() => expect(page.getByTestId("scale-bar").dataset.micrometres).toBe("100"));
  expect(button.getAttribute("aria-pressed")).toBe("false");
  expect(button.title).toBe("Correct colours with the profile of the scanner · Scanner 7");
  expect(asked).toEqual([]); // nothing is loaded unasked
  button.click();
  await eventually(() => expect(button.getAttribute("aria-pressed")).toBe("true"));
  expect(button.title).toBe("Colours corrected · Scanner 7");
  await eventually(() => expect(address()).toBe(`/slides/i1${at}&icc=1`));
  expect(page.getByTestId("stage").dataset.colors).toBe("corrected");
  button.click();
  await eventually(() => expect(address()).toBe(`/slides/i1${at}`));
  expect(button.getAttribute("aria-pressed")).toBe("false");
  expect(asked.length).toBe(1);
});

for (const [name, hash, byDefault, pressed, written] of [
  ["the address", `${at}&icc=1`, false, "true", `${at}&icc=1`],
  ["the site", at, true, "true", `${at}&icc=1`],
  ["the address against the site", `${at}&icc=0`, true, "false", `${at}&icc=0`],
] as const) {
  test(`colours by ${name}`, async () => {
    const page = await open(`/slides/i1${hash}`, iccRoutes(profile, byDefault));
    await eventually(() => expect(page.getByTestId("scale-bar").dataset.micrometres).toBe("100"));
    expect(page.getByTestId("colors-button").getAttribute("aria-pressed")).toBe(pressed);
    await eventually(() => expect(address()).toBe(`/slides/i1${written}`));
  });
}

for (const [name, other] of [["without a profile", null], ["with sRGB", { ...profile, srgb: true }], ["with a profile that cannot be used", { ...profile, usable: false, reason: "it is damaged" }]] as const) {
  test(`there is no switch for slides ${name}`, async () => {
    const page = await open(`/slides/i1${at}&icc=1`, iccRoutes(other, true));
    await eventually(() => expect(page.getByTestId("scale-bar").dataset.micrometres).toBe("100"));
    expect(page.getByTestId("colors-button").hidden).toBe(true);
    expect(page.getByTestId("stage").dataset.colors).toBe("scanned");
    await eventually(() => expect(address()).toBe(`/slides/i1${at}`));
  });
}

test("colours stay as scanned if the profile cannot be fetched", async () => {
  const page = await open(`/slides/i1${at}`, { ...iccRoutes(profile, false), "GET /api/v1/images/i1/icc": () => new Response("{}", { status: 500 }) });
  await eventually(() => expect(page.getByTestId("colors-button").hidden).toBe(false));
  page.getByTestId("colors-button").click();
  await eventually(() => expect(document.body.textContent).toContain("The colours cannot be corrected"));
  expect(page.getByTestId("colors-button").getAttribute("aria-pressed")).toBe("false");
});
