// What the pages do while the server does not respond, and afterwards.

import { expect, test, vi } from "vitest";

import { eventually, list, network, open, problem, text, type Routes } from "../../test/dom";
import type { SlideImage } from "./types";

const image: SlideImage = {
  id: "i1", store: "s1", file_name: "S26-01417_A1_HE.tiff", label: "S26-01417 A1", barcode: null, size: 284_427_492, state: "available", reason: null, revision: "r1", width: 45_056, height: 35_840, tile_width: 512, tile_height: 512,
  max_zoom: 7, tile_url: "/api/v1/images/i1/tiles/{z}/{x}/{y}", mpp_x: 0.25, mpp_y: 0.25, objective_power: 40, created_at: new Date().toISOString(),
} as SlideImage;

const tile = (): Response => new Response(new Blob(["tile"]), { headers: { "Content-Type": "image/jpeg" } });
const gateway = (): Response => new Response("<h1>502 Bad Gateway</h1>", { status: 502, headers: { "Content-Type": "text/html" } });
const session = (user: { id: string; name: string } | null): object => ({ mode: "local", user, admin: false, scopes: [], token: false, central: null, oidc: null });

const banner = (): string => text(document.querySelector(".connection [role=status]"));
const lost = "Connection lost, reconnecting …";

// fail ends the connection, and has the page notice it.
async function fail(): Promise<void> {
  network.down = true;
  window.dispatchEvent(new Event("offline"));
  await eventually(() => expect(banner()).toBe(lost));
}

function restore(): void {
  network.down = false;
  window.dispatchEvent(new Event("online"));
}

test("the gallery shows the banner, and then the current list and counts", async () => {
  let items = [image];
  const counted = (): object => ({ id: "s1", label: "Archive", mode: "in-place", endpoint: null, counts: { available: items.length + 100 } });
  const page = await open("/", { "GET /api/v1/images": () => list(items), "GET /api/v1/stores": () => list([counted()]) });
  await eventually(() => page.getByRole("option", { name: "Available (101)" }));
  await fail();
  items = [{ ...image, id: "i2", label: "S26-01418 A1" }, image];
  restore();
  await eventually(() => page.getByText("S26-01418 A1"));
  await eventually(() => page.getByRole("option", { name: "Available (102)" }));
  expect(text(page.getByTestId("count"))).toBe("2 slides");
  expect(banner()).toBe("");
  page.getByText("Connected again.");
});

test("the gallery loads by itself what failed", async () => {
  network.down = true;
  const page = await open("/", { "GET /api/v1/images": () => list([image]) });
  await eventually(() => expect(banner()).toBe(lost));
  expect(text(page.getByRole("alert"))).toContain("The server does not respond.");
  network.down = false; // without the event of the browser: the page asks by itself
  await eventually(() => page.getByText("S26-01417 A1"));
  expect(page.queryByRole("alert")).toBeNull();
});

for (const [name, answer, words] of [
  ["a proxy answers in its place", gateway, lost],
  ["it is not ready", () => problem(503, "The database does not respond."), "The server is not ready yet. The database does not respond. Trying again …"],
] as const) {
  test(`waits while ${name}`, async () => {
    let up = true;
    const page = await open("/", { "GET /api/v1/images": () => (up ? list([image]) : gateway()), "GET /api/v1/auth/session": () => (up ? session(null) : answer()) });
    await eventually(() => page.getByText("S26-01417 A1"));
    up = false;
    window.dispatchEvent(new Event("offline"));
    await eventually(() => expect(banner()).toBe(words));
    up = true;
    page.getByRole("button", { name: "Try now" }).click();
    await eventually(() => expect(banner()).toBe(""));
  });
}

test("asks with growing pauses", async () => {
  const asked: number[] = [];
  let up = true;
  await open("/", { "GET /api/v1/images": () => list([image]), "GET /api/v1/auth/session": () => {
    if (up) return session(null);
    asked.push(Date.now());
    return gateway();
  } });
  await eventually(() => expect(document.querySelector(".card")).not.toBeNull());
  up = false;
  window.dispatchEvent(new Event("offline"));
  await eventually(() => expect(asked.length).toBe(5));
  const pauses = asked.slice(1).map((at, i) => at - asked[i]!);
  [1, 2, 4, 8].forEach((seconds, i) => {
    expect(pauses[i]!, `pause ${i}`).toBeGreaterThanOrEqual(seconds * 799);
    expect(pauses[i]!, `pause ${i}`).toBeLessThanOrEqual(seconds * 1201);
  });
});

// slide opens a slide, ends the connection, and waits for the banner.
async function slide(routes: Routes): Promise<ReturnType<typeof open>> {
  const page = open("/slides/i1#x=1000&y=2000&z=10", { "GET /api/v1/images": () => list([image]), "GET /api/v1/images/i1": () => image, "GET /api/v1/images/*/tiles/*/*/*": tile, ...routes });
  await eventually(() => expect(document.querySelector("[data-testid=scale-bar][data-micrometres]")).not.toBeNull());
  await fail();
  return page;
}

test("tiles wait for the server instead of failing", async () => {
  const page = await slide({});
  const { fetchTile } = await import("../osd/tile-fetcher");
  let arrived = false;
  void fetchTile("/api/v1/images/i1/tiles/5/0/0", { x: 0, y: 0, width: 512, height: 512 }, null, new AbortController().signal).then(() => {
    arrived = true;
  });
  await vi.advanceTimersByTimeAsync(60_000);
  expect(arrived).toBe(false);
  network.down = false;
  await eventually(() => expect(arrived).toBe(true));
  expect(banner()).toBe("");
  expect(page.getByTestId("failures").hidden).toBe(true);
});

for (const [name, answer, words] of [
  ["was removed", () => problem(404, "no such image"), "Slide not found"],
  ["may no longer be seen", () => problem(403, "no"), "You don't have permission to view this slide"],
  ["was replaced", () => ({ ...image, revision: "r2" }), "The file of this slide was replaced. You are now viewing the new file."],
  ["cannot be shown now", () => ({ ...image, state: "missing", tile_url: null }), "The file of this slide has changed and cannot be shown at the moment."],
] as const) {
  test(`after an outage: the slide ${name}`, async () => {
    let after = false;
    const page = await slide({ "GET /api/v1/images/i1": () => (after ? answer() : image) });
    after = true;
    restore();
    await eventually(() => page.getAllByText(words));
  });
}

test("after an outage: the user is logged out", async () => {
  let user: { id: string; name: string } | null = { id: "u1", name: "ada" };
  const page = await slide({ "GET /api/v1/auth/session": () => session(user) });
  user = null;
  restore();
  await eventually(() => expect(text(page.getByTestId("logged-out"))).toContain("You are logged out."));
  expect(location.pathname).toBe("/slides/i1");
});

test("a slide that could not be opened opens by itself", async () => {
  network.down = true;
  const page = await open("/slides/i1", { "GET /api/v1/images": () => list([image]), "GET /api/v1/images/i1": () => image, "GET /api/v1/images/*/tiles/*/*/*": tile });
  await eventually(() => expect(text(page.getByRole("alert"))).toContain("The slide cannot be opened"));
  network.down = false;
  await eventually(() => expect(text(page.getByRole("heading", { level: 1 }))).toBe("S26-01417 A1"));
  expect(page.queryByRole("alert")).toBeNull();
});
