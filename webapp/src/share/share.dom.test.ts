// Share links: the dialog, the list, the page behind a link; and the messages of the viewer in a
// frame.

import { expect, test } from "vitest";

import { eventually, list, open, problem, text, type Routes } from "../../test/dom";
import type { SlideImage } from "../api/types";
import { parseCommand } from "../viewer/embed";

const id = "k7abc";
const secret = `psl_${"A".repeat(43)}`;
const image = {
  id: "i1", store: "s1", file_name: null, label: null, barcode: null, size: 1, state: "available", reason: null, revision: "r1", width: 4096, height: 4096, tile_width: 512, tile_height: 512, stain: "HE",
  max_zoom: 3, tile_url: "/api/v1/images/i1/tiles/{z}/{x}/{y}", mpp_x: 0.25, mpp_y: 0.25, objective_power: 40, created_at: new Date().toISOString(), properties: {}, associated: [],
} as unknown as SlideImage;
const second = { ...image, id: "i2", stain: "Ki-67", tile_url: "/api/v1/images/i2/tiles/{z}/{x}/{y}" };
const stranger = { mode: "local", user: null, admin: false, scopes: [], token: false, central: null, oidc: null, sharing: false, frame_origins: [] };
const reader = { ...stranger, user: { id: "u1", name: "Anna" }, sharing: true };
const tile = (): Response => new Response(new Blob(["tile"]), { headers: { "Content-Type": "image/jpeg" } });
const shared = { title: "Tumour board", with_labels: false, expires_at: new Date(Date.now() + 1e8).toISOString(), items: [image, second] };

const behind: Routes = {
  "GET /api/v1/auth/session": () => stranger,
  "GET /api/v1/images/*/tiles/*/*/*": tile, "GET /api/v1/images/*/thumbnail": tile,
  "GET /api/v1/images": () => problem(401, "Log in to see this."), "GET /api/v1/stores": () => problem(401, "Log in to see this."),
};

test("opens a link, removes the secret from the address, and shows its slides without navigation", async () => {
  const sent: unknown[] = [];
  let views = 0;
  const page = await open(`/share/${id}#${secret}`, {
    ...behind,
    [`POST /api/v1/shares/${id}/open`]: ({ body }) => { sent.push(body); return { expires_at: shared.expires_at }; },
    [`GET /api/v1/shares/${id}/view`]: () => { views++; return shared; },
  });
  await eventually(() => expect(text(page.getByRole("heading", { level: 1 }))).toBe("Tumour board"));
  expect(sent).toEqual([{ secret }]);
  expect(location.pathname + location.hash).not.toContain("psl_");
  const strip = await eventually(() => page.getByTestId("share-strip"));
  const links = [...strip.querySelectorAll("a")];
  expect(links.map((a) => [text(a), a.getAttribute("href"), a.getAttribute("aria-current")])).toEqual([["HE", `/share/${id}?slide=i1`, "page"], ["Ki-67", `/share/${id}?slide=i2`, null]]);
  expect(document.querySelector(".viewer-bar a[href='/'], [data-testid=compare-with]")).toBe(null);
  links[1]!.click();
  await eventually(() => expect(page.getByTestId("previous").getAttribute("href")).toBe(`/share/${id}?slide=i1`));
  expect(views).toBe(1);
  expect(location.pathname).toBe(`/share/${id}`);
});

test("asks for the password of a link", async () => {
  const page = await open(`/share/${id}#${secret}`, {
    ...behind,
    [`POST /api/v1/shares/${id}/open`]: ({ body }) => ((body as { password?: string }).password === "open sesame" ? { expires_at: shared.expires_at } : problem(403, "This link needs a password.")),
    [`GET /api/v1/shares/${id}/view`]: () => shared,
  });
  const field = await eventually(() => page.getByLabelText<HTMLInputElement>("Password"));
  field.value = "wrong one";
  page.getByRole("button", { name: "Open" }).click();
  await eventually(() => expect(text(page.getByRole("alert"))).toBe("Wrong password."));
  field.value = "open sesame";
  page.getByRole("button", { name: "Open" }).click();
  await eventually(() => expect(text(page.getByRole("heading", { level: 1 }))).toBe("Tumour board"));
});

for (const [name, address] of [["revoked link", `/share/${id}#${secret}`], ["page without the secret", `/share/${id}`], ["damaged secret", `/share/${id}#psl_x`]] as const) {
  test(`a ${name} says that it has ended`, async () => {
    const page = await open(address, { ...behind, "POST /api/v1/shares/*/open": () => problem(404, "gone"), "GET /api/v1/shares/*/view": () => problem(404, "gone") });
    await eventually(() => expect(text(page.getByRole("heading", { level: 2 }))).toBe("This link has expired or was revoked"));
    expect(location.pathname).toBe(`/share/${id}`); // not the login
  });
}

test("creates a link from the viewer", async () => {
  const sent: unknown[] = [];
  const page = await open("/slides/i1", {
    ...behind, "GET /api/v1/auth/session": () => reader, "GET /api/v1/images": () => list([image]), "GET /api/v1/stores": () => list([]), "GET /api/v1/images/i1": () => ({ ...image, file_name: "a.tiff" }),
    "POST /api/v1/shares": ({ body }) => { sent.push(body); return { id, url: `/share/${id}#${secret}`, password: true }; },
  });
  (await eventually(() => page.getByRole("button", { name: "Share …", hidden: true }))).click();
  const dialog = await eventually(() => page.getByRole<HTMLElement>("dialog", { hidden: true }));
  const password = dialog.querySelector<HTMLInputElement>("input[name=password]")!;
  const create = [...dialog.querySelectorAll("button")].find((b) => text(b) === "Create link")!;
  password.value = "short";
  create.click();
  await eventually(() => expect(dialog.textContent).toContain("The password needs at least 8 characters."));
  await eventually(() => expect(create.disabled).toBe(false));
  password.value = "long enough";
  create.click();
  const address = await eventually(() => page.getByTestId<HTMLInputElement>("share-address"));
  expect(address.value).toBe(`${location.origin}/share/${id}#${secret}`);
  expect(sent).toEqual([{ hours: 168, images: ["i1"], password: "long enough" }]);
});

test("lists the links of the user, and revokes one", async () => {
  const link = { id, user: "u1", user_name: "anna", title: "", kind: "case", images: ["i1", "i2"], with_labels: true, password: false, state: "active", created_at: new Date().toISOString(), expires_at: shared.expires_at, revoked_at: null, views: 3, viewed_at: new Date().toISOString(), url: null };
  let revoked = false;
  const page = await open("/account", {
    ...behind, "GET /api/v1/auth/session": () => reader, "GET /api/v1/tokens": () => list([]), "GET /api/v1/users/u1/sessions": () => list([]),
    "GET /api/v1/shares": () => list([revoked ? { ...link, state: "revoked" } : link]),
    [`DELETE /api/v1/shares/${id}`]: () => { revoked = true; return new Response(null, { status: 204 }); },
  });
  const box = await eventually(() => page.getByRole("region", { name: "Share links" }));
  await eventually(() => expect(box.textContent).toContain("Case, 2 slides"));
  expect(box.textContent).toContain("with labels");
  expect(box.textContent).toContain("3 views");
  [...box.querySelectorAll("button")].find((b) => text(b) === "Revoke …")!.click();
  const dialog = await eventually(() => page.getByRole<HTMLElement>("dialog", { hidden: true }));
  [...dialog.querySelectorAll("button")].find((b) => text(b) === "Revoke …")!.click();
  await eventually(() => expect(box.textContent).toContain("Revoked"));
});

test("checks the messages of the page around the viewer", () => {
  expect(parseCommand({ ptiffstore: 1, type: "open", image: "abc2" })).toEqual({ type: "open", image: "abc2" });
  expect(parseCommand({ ptiffstore: 1, type: "goTo", x: 1, y: 2, zoom: 10 })).toEqual({ type: "goTo", x: 1, y: 2, z: 10, scale: null, rotation: 0 });
  for (const bad of [
    null, 1, "open", [], {}, { type: "open", image: "a" }, { ptiffstore: 2, type: "open", image: "a" }, { ptiffstore: "1", type: "get" }, { ptiffstore: 1, type: "open", image: "../login" }, { ptiffstore: 1, type: "open", image: ["a"] },
    { ptiffstore: 1, type: "goTo", x: Number.NaN, y: 0, zoom: 1 }, { ptiffstore: 1, type: "goTo", x: 1e9, y: 0, zoom: 1 }, { ptiffstore: 1, type: "goTo", x: 0, y: 0 }, { ptiffstore: 1, type: "goTo", x: 0, y: 0, zoom: -1 }, { ptiffstore: 1, type: "goTo", x: "0", y: 0, zoom: 1 }, { ptiffstore: 1, type: "eval" },
  ]) expect(parseCommand(bad)).toBe(null);
});
