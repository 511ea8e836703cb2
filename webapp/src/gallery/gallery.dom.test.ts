import { expect, test } from "vitest";

import { eventually, list, open, problem, text } from "../../test/dom";
import type { SlideImage } from "../api/types";

const image: SlideImage = {
  id: "i1", store: "s1", file_name: "S26-01417_A1_HE.tiff", label: "S26-01417 A1", barcode: null, size: 284_427_492, state: "available", reason: null, revision: "r1", width: 45_056, height: 35_840, tile_width: 512, tile_height: 512,
  max_zoom: 7, tile_url: "/api/v1/images/i1/tiles/{z}/{x}/{y}", mpp_x: 0.25, mpp_y: 0.25, objective_power: 40, created_at: new Date().toISOString(),
} as SlideImage;

const card = (): HTMLElement => document.querySelector<HTMLElement>(".card[data-id]")!;

for (const { state, reason, badge } of [
  { state: "arriving", reason: "1.9 GB of 3.4 GB have arrived.", badge: "Arriving" },
  { state: "missing", reason: null, badge: "Missing" },
  { state: "broken", reason: "The file ends 3.2 GB early at TileOffsets (tag 324).", badge: "Broken" },
  { state: "unsupported", reason: "This TIFF has no pyramid.", badge: "Unsupported" },
] as const) {
  test(`shows why a slide that is ${state} cannot be opened`, async () => {
    const shown: SlideImage = { ...image, state, reason, tile_url: null };
    const page = await open("/", { "GET /api/v1/images": () => list([shown]), "GET /api/v1/images/i1": () => shown });
    await eventually(() => expect(text(card().querySelector(".badge"))).toBe(badge));
    expect(text(card().querySelector(".card-reason p"))).toMatch(reason ?? /no longer in its folder/);
    card().querySelector<HTMLElement>("a")!.click();
    await eventually(() => expect(text(page.getByRole("alert"))).toContain(reason ?? "no longer in its folder"));
  });
}

test("shows a slide that was arriving once it is complete", async () => {
  let state: SlideImage["state"] = "arriving";
  await open("/", { "GET /api/v1/images": () => list([{ ...image, state }]) });
  await eventually(() => expect(text(document.querySelector(".badge"))).toBe("Arriving"));
  state = "available";
  await eventually(() => expect(document.querySelector(".badge")).toBeNull());
  expect(card().querySelector("img")).not.toBeNull();
});

test("shows the folder of a slide on its card and in the viewer", async () => {
  const shown: SlideImage = { ...image, folder: "S26-00077 Müller/HE" };
  await open("/", { "GET /api/v1/images": () => list([shown]), "GET /api/v1/images/i1": () => shown });
  await eventually(() => expect(text(card().querySelector(".folder-name"))).toBe("Folder S26-00077 Müller/HE"));
  card().querySelector<HTMLElement>("a")!.click();
  await eventually(() => expect(text(document.querySelector(".slide-subtitle .folder-name"))).toBe("Folder S26-00077 Müller/HE"));
});

test("explains what to do when there are no slides", async () => {
  const page = await open("/", { "GET /api/v1/images": () => list([]) });
  await eventually(() => page.getByRole("heading", { name: "No slides yet" }));
  page.getByText("ptiffstore serve FOLDER");
});

test("shows why the list cannot be loaded, and tries again", async () => {
  let broken = true;
  const page = await open("/", { "GET /api/v1/images": () => (broken ? problem(503, "The catalog is being moved.") : list([image])) });
  await eventually(() => expect(text(page.getByRole("alert"))).toContain("The catalog is being moved."));
  broken = false;
  page.getByRole("button", { name: "Try again" }).click();
  await eventually(() => expect(card()).not.toBeNull());
});

test.each([
  ["local", image, "Slides whose labels you can see"],
  ["local", { ...image, file_name: null }, "Search is not available"],
  ["central", image, "Search is not available"],
])("offers the search of single slides: %s", async (mode, shown, hint) => {
  const page = await open("/", {
    "GET /api/v1/auth/session": () => ({ mode, user: { id: "u1", name: "ada", display_name: "Ada" }, admin: false, scopes: [], token: false, central: null }),
    "GET /api/v1/images": () => list([shown]),
  });
  await eventually(() => expect(card()).not.toBeNull());
  await eventually(() => expect(page.getByRole("searchbox").getAttribute("placeholder")).toBe(hint));
});

test("asks only for the fields of cards, and edits and deletes a slide", async () => {
  let now: SlideImage = { ...image, external_id: null };
  let gone = false;
  const sent: unknown[] = [];
  const asked: string[] = [];
  const page = await open("/", {
    "GET /api/v1/stores": () => list([{ id: "s1", label: "Archive", mode: "managed", endpoint: null, keep_trash: "168h0m0s", scopes: ["tiles", "label", "write", "admin"] }]),
    "GET /api/v1/images": ({ url }) => {
      asked.push(url.searchParams.get("fields") ?? "");
      return list(gone ? [] : [now]);
    },
    "PATCH /api/v1/images/i1": ({ body }) => {
      const patch = body as Partial<SlideImage>;
      sent.push(patch);
      return (now = { ...now, ...patch });
    },
    "DELETE /api/v1/images/i1": () => {
      gone = true;
      return {};
    },
  });
  await eventually(() => page.getByRole("button", { name: "Edit label and external id", hidden: true }));
  expect(asked[0]).toContain("file_name");
  expect(asked[0]).toContain("folder");
  expect(asked[0]).not.toContain("properties");
  page.getByRole("button", { name: "Edit label and external id", hidden: true }).click();
  const label = page.getByLabelText<HTMLInputElement>("Label");
  label.value = " S26-01417 B2 ";
  page.getByRole("button", { name: "Save" }).click();
  await eventually(() => expect(text(card().querySelector("h2"))).toBe("S26-01417 B2"));
  expect(sent).toEqual([{ label: "S26-01417 B2" }]);
  page.getByRole("button", { name: "Delete slide", hidden: true }).click();
  await eventually(() => page.getByText(/It can be restored for 7 d/));
  document.querySelector<HTMLButtonElement>("dialog .danger-fill")!.click();
  await eventually(() => expect(card()).toBeNull());
});

test("lists deleted slides, and restores one", async () => {
  const restored: string[] = [];
  const page = await open("/deleted", {
    "GET /api/v1/stores": () => list([{ id: "s1", label: "Scanner 1", mode: "in-place", endpoint: null }]),
    "GET /api/v1/images": () => list([{ ...image, deleted_at: "2031-05-20T08:00:00Z" }]),
    "POST /api/v1/images/i1/restore": () => {
      restored.push("i1");
      return image;
    },
  });
  await eventually(() => page.getByText(/Its file is still in its folder/));
  page.getByRole("button", { name: "Restore: S26-01417 A1" }).click();
  await eventually(() => page.getByRole("heading", { name: "No deleted slides" }));
  expect(restored).toEqual(["i1"]);
});

test("requests no further page while the list has no layout", async () => {
  const size = (name: "clientWidth" | "offsetHeight", get: (element: HTMLElement) => number): PropertyDescriptor | undefined => {
    const before = Object.getOwnPropertyDescriptor(HTMLElement.prototype, name);
    Object.defineProperty(HTMLElement.prototype, name, { configurable: true, get(this: HTMLElement) { return this.closest("[hidden]") ? 0 : get(this); } });
    return before;
  };
  const before = { clientWidth: size("clientWidth", () => 1200), offsetHeight: size("offsetHeight", (element) => parseFloat(element.style.height) || 0) };
  try {
    let asked = 0;
    await open("/", { "GET /api/v1/images": ({ url }) => {
      if (Number(url.searchParams.get("limit")) >= 60) asked++;
      const from = Number(url.searchParams.get("cursor") ?? 0);
      return { items: Array.from({ length: 60 }, (_, i) => ({ ...image, id: `i${from + i}` })), next_cursor: String(from + 60) };
    } });
    await eventually(() => expect(card()).not.toBeNull());
    expect(asked).toBe(1);
  } finally {
    for (const [name, descriptor] of Object.entries(before)) {
      if (descriptor) Object.defineProperty(HTMLElement.prototype, name, descriptor);
      else delete (HTMLElement.prototype as unknown as Record<string, unknown>)[name];
    }
  }
});

test("opens the slide with a barcode", async () => {
  const shown: SlideImage = { ...image, barcode: "S26-1;A1" };
  let asked = "";
  await open("/open?barcode=S26-1%3BA1", { "GET /api/v1/images": ({ url }) => {
    asked = url.searchParams.get("barcode") ?? asked;
    return list([shown]);
  }, "GET /api/v1/images/i1": () => shown });
  await eventually(() => expect(location.pathname).toBe("/slides/i1"));
  expect(asked).toBe("S26-1;A1");
});

test("lists the slides with an external id if there are several", async () => {
  const page = await open("/open?external_id=case-7", { "GET /api/v1/images": () => list([image, { ...image, id: "i2" }]) });
  await eventually(() => page.getByRole("heading", { name: "Slides with the external id case-7" }));
  expect(document.querySelectorAll(".card[data-id]").length).toBe(2);
  expect(location.pathname).toBe("/open");
});

for (const [address, says] of [
  ["/open?barcode=S26-9", /has the barcode S26-9/],
  ["/open?accession=S26%2F9", /belongs to the case S26\/9/],
  ["/open?external_id=%3Cb%3E", /has the external id <b>/],
  ["/open", /has either its barcode/],
  ["/open?barcode=", /has either its barcode/],
  ["/open?barcode=a&external_id=b", /has either its barcode/],
  ["/open?barcode=a&barcode=b", /has either its barcode/],
  ["/open?q=a", /has either its barcode/],
] as const) {
  test(`says why ${address} opens no slide`, async () => {
    const page = await open(address, { "GET /api/v1/images": () => list([]) });
    await eventually(() => expect(text(page.getByRole("alert"))).toMatch(says));
  });
}

test("shows the tissue instead of the glass, and remembers it", async () => {
  const routes = { "GET /api/v1/images": () => list([image]) };
  const page = await open("/", routes);
  const source = (): string => card().querySelector("img")?.getAttribute("src") ?? "";
  await eventually(() => expect(source()).toContain("/preview?"));
  (await eventually(() => page.getByRole("radio", { name: "Tissue" }))).click();
  await eventually(() => expect(source()).toContain("/thumbnail?"));
  await open("/", routes);
  await eventually(() => expect(source()).toContain("/thumbnail?"));
});

test("has cards of three sizes and a table, and remembers which", async () => {
  const shown: SlideImage = { ...image, folder: "S26-00077 Müller", accession: "S26-00077", part: "A", block: "1", stain: "HE", vendor: "PHILIPS", created_at: "2031-05-20T08:00:00Z" };
  const routes = { "GET /api/v1/images": () => list([shown, { ...image, id: "i2", label: "S26-9", state: "missing" }]) };
  const page = await open("/", routes);
  await eventually(() => expect(card().style.height).toBe("246px"));
  for (const [name, height] of [["Small cards", "172px"], ["Large cards", "390px"]] as const) {
    page.getByRole("radio", { name }).click();
    await eventually(() => expect(card().style.height).toBe(height));
  }
  page.getByRole("radio", { name: "List" }).click();
  const table = await eventually(() => page.getByRole("table", { name: "Slides" }));
  expect([...table.querySelectorAll("[role=columnheader]")].map(text)).toEqual(["Select", "Name", "Store", "Folder", "Case", "Block", "Stain", "Scanner", "Scan", "File", "Added", "State", "Actions"]);
  expect([...card().querySelectorAll("[role=cell]:not(.cell-select, .cell-name, .cell-menu)")].map(text)).toEqual(["s1", "Folder S26-00077 Müller", "S26-00077", "A1", "HE", "PHILIPS", "40×", "284 MB", "May 20, 2031", "Available"]);
  expect(text(document.querySelector('[data-id="i2"] .badge'))).toBe("Missing");
  await open("/", routes);
  await eventually(() => expect(document.querySelector("[role=row].card")).not.toBeNull());
});

test("offers no glass to callers who may not see labels", async () => {
  const page = await open("/", {
    "GET /api/v1/auth/session": () => ({ mode: "builtin", user: { id: "u1", name: "anna" }, admin: false, scopes: ["tiles"], token: false, central: null }),
    "GET /api/v1/stores": () => list([{ id: "s1", label: "Archive", mode: "in-place", endpoint: null, scopes: ["tiles"] }]),
    "GET /api/v1/images": () => list([{ ...image, label: null, file_name: null, stain: "HE" }]),
  });
  await eventually(() => expect(text(document.querySelector(".stain"))).toBe("HE"));
  await eventually(() => expect(card().querySelector("img")!.getAttribute("src")).toContain("/thumbnail?"));
  expect(page.queryByRole("radio", { name: "Glass" })).toBeNull();
  expect(page.queryByRole("radio", { name: "List" })).not.toBeNull();
});
