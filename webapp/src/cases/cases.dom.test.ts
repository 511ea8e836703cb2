import { expect, test } from "vitest";

import { eventually, list, open, problem, text, type, type Routes } from "../../test/dom";
import type { SlideImage, Store } from "../api/types";
import type { CaseDetail } from "./client";

const slide = (id: string, block: string, stain: string): SlideImage => ({
  id, store: "s1", file_name: `${id}.tiff`, label: null, barcode: null, size: 1000, state: "available", reason: null, revision: "r1", width: 4096, height: 4096, tile_width: 512, tile_height: 512,
  max_zoom: 3, tile_url: `/api/v1/images/${id}/tiles/{z}/{x}/{y}`, mpp_x: 0.25, mpp_y: 0.25, objective_power: 40, created_at: new Date().toISOString(), accession: "S26/77 Müller", part: "A", block, stain, corrected: [],
}) as unknown as SlideImage;

const found: CaseDetail = {
  accession: "S26/77 Müller", store: "s1", store_label: "Scanner 1", images: 3, blocks: ["A1", "A2"], stains: ["HE", "PAS"], newest: new Date().toISOString(), thumbnail_id: "i1",
  slides: [slide("i1", "1", "HE"), slide("i2", "1", "PAS"), slide("i3", "2", "HE")],
};
const store = { id: "s1", label: "Scanner 1", mode: "in-place", root: "/slides", counts: {}, scopes: ["tiles", "label", "write"], declared: null } as unknown as Store;

const routes: Routes = {
  "GET /api/v1/cases": ({ url }) => list(url.searchParams.get("q") === "none" ? [] : [found]),
  "GET /api/v1/cases/*": ({ url }) => (decodeURIComponent(url.pathname) === "/api/v1/cases/S26/77 Müller" ? { accession: found.accession, items: [found] } : problem(404, "No such case.")),
  "GET /api/v1/stores": () => list([store]),
  "GET /api/v1/images": () => list(found.slides),
  "GET /api/v1/images/i1": () => found.slides[0]!,
  "GET /api/v1/images/i2": () => found.slides[1]!,
};

test("lists cases, and opens one", async () => {
  const page = await open("/cases", routes);
  await eventually(() => expect(text(page.getByRole("link", { name: /S26\/77 Müller/ }))).toContain("3 slides"));
  page.getByRole("link", { name: /S26\/77 Müller/ }).click();
  await eventually(() => expect(decodeURIComponent(location.pathname)).toBe("/cases/S26/77 Müller"));
  await eventually(() => expect([...document.querySelectorAll(".case-block-name")].map(text)).toEqual(["A1", "A2"]));
  expect([...document.querySelectorAll(".case-stain .chip")].map(text)).toEqual(["HE", "PAS", "HE"]);
});

test("says that no case has a number", async () => {
  const page = await open("/cases?q=none", routes);
  await eventually(() => page.getByRole("heading", { name: "No case found" }));
  expect(page.getByRole<HTMLInputElement>("searchbox").value).toBe("none");
});

test("says that a case is unknown", async () => {
  const page = await open("/cases/S1", routes);
  await eventually(() => expect(text(page.getByRole("alert"))).toMatch(/belongs to the case S1/));
});

test("corrects the names of a slide", async () => {
  let sent: unknown;
  await open("/cases/S26%2F77%20M%C3%BCller", { ...routes, "PATCH /api/v1/images/i2": ({ body }) => {
    sent = body;
    return found.slides[1]!;
  } });
  await eventually(() => document.querySelector<HTMLElement>('[aria-label="Correct the case of i2.tiff"]')!.click());
  type(document.querySelector<HTMLInputElement>("#correct-stain")!, "Ki-67");
  type(document.querySelector<HTMLInputElement>("#correct-block")!, "");
  document.querySelector("dialog form")!.dispatchEvent(new Event("submit", { cancelable: true }));
  await eventually(() => expect(document.querySelector("dialog")).toBeNull());
  expect(typeof sent === "string" ? JSON.parse(sent) : sent).toEqual({ block: null, stain: "Ki-67" });
});

test("opens the case of an accession number", async () => {
  await open("/open?accession=S26%2F77%20M%C3%BCller", routes);
  await eventually(() => expect(decodeURIComponent(location.pathname)).toBe("/cases/S26/77 Müller"));
});

test("shows the slides of the case in the viewer", async () => {
  await open("/slides/i1", routes);
  await eventually(() => expect(document.querySelectorAll(".case-strip-slide")).toHaveLength(3));
  expect([...document.querySelectorAll(".case-strip-slide")].map(text)).toEqual(["A1 HE", "A1 PAS", "A2 HE"]);
  await eventually(() => expect(document.querySelector('[data-testid="next"]')!.getAttribute("href")).toBe("/slides/i2"));
  expect(document.querySelector(".case-strip-compare")!.getAttribute("href")).toBe("/compare?ids=i1,i2");
});

test("shows the ordered slides that have not arrived, and that a case is complete", async () => {
  const ordered: CaseDetail = {
    ...found, complete: false, missing: 2,
    expected: [
      { barcode: "S26-77;A1;HE", part: "A", block: "1", stain: "HE", state: "arrived" },
      { barcode: "S26-77;A1;CD3", part: "A", block: "1", stain: "CD3", state: "missing" },
      { barcode: null, part: "A", block: "10", stain: null, state: "missing" },
      { barcode: "S26-77;B1;HE", part: "B", block: "1", stain: "HE", state: "cancelled" },
    ],
  };
  const other: CaseDetail = { ...found, store: "s2", store_label: "Scanner 2", slides: [slide("i4", "1", "HE")], complete: true, expected: [] };
  const page = await open("/cases/S26%2F77%20M%C3%BCller", { ...routes, "GET /api/v1/cases/*": () => ({ accession: found.accession, items: [ordered, other] }) });
  await eventually(() => expect([...document.querySelectorAll(".case-section .badge")].map(text)).toEqual(["2 slides missing", "Complete"]));
  const first = page.getByRole("region", { name: "Scanner 1" });
  expect([...first.querySelectorAll(".case-block-name")].map(text)).toEqual(["A1", "A2", "A10"]);
  expect([...first.querySelectorAll(".case-expected")].map(text)).toEqual([expect.stringContaining("S26-77;A1;CD3"), "Ordered, not scanned yet"]);
});

test("shows in the list which cases are complete", async () => {
  const page = await open("/cases", { ...routes, "GET /api/v1/cases": () => list([{ ...found, complete: true, missing: 0 }, { ...found, accession: "S26-78", complete: false, missing: 1 }, { ...found, accession: "S26-79", images: 0, newest: null, thumbnail_id: null }]) });
  await eventually(() => expect(page.getAllByRole("listitem").map((row) => text(row.querySelector(".badge")))).toEqual(["Complete", "1 slide missing", ""]));
});

test("corrects the case of a slide from the gallery, and the viewer links it", async () => {
  let now: SlideImage = { ...found.slides[0]!, accession: null, part: null, block: null, stain: null };
  const page = await open("/", {
    ...routes,
    "GET /api/v1/images": () => list([now]),
    "GET /api/v1/images/i1": () => now,
    "PATCH /api/v1/images/i1": ({ body }) => (now = { ...now, ...(body as Partial<SlideImage>) }),
  });
  (await eventually(() => page.getByRole("button", { name: "Correct case", hidden: true }))).click();
  await eventually(() => type(document.querySelector<HTMLInputElement>("#correct-accession")!, "S26-78"));
  type(document.querySelector<HTMLInputElement>("#correct-stain")!, "PAS");
  document.querySelector("dialog form")!.dispatchEvent(new Event("submit", { cancelable: true }));
  await eventually(() => expect(text(document.querySelector(".card .stain"))).toBe("PAS"));
  document.querySelector<HTMLElement>(".card a")!.click();
  await eventually(() => expect(document.querySelector('.details a[href="/cases/S26-78?store=s1"]')).not.toBeNull());
});

test("returns to the list of cases as it was left", async () => {
  let asked = 0;
  let changed = false;
  const page = await open("/cases", { ...routes, "GET /api/v1/cases": ({ url }) => {
    if (url.searchParams.get("limit") === "1") return list([found]);
    asked++;
    return list(changed ? [{ ...found, accession: "S26-99" }, found] : [found]);
  } });
  const row = (): HTMLElement => page.getByRole("link", { name: /S26\/77 Müller/ });
  await eventually(() => row().click());
  await eventually(() => expect(location.pathname).toMatch(/^\/cases\/./));
  changed = true;
  history.back();
  await eventually(() => row());
  await eventually(() => page.getByRole("link", { name: /S26-99/ }));
  expect(asked).toBe(2);
});
