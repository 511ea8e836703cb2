// Users and permissions, on a server with access control whose first admin is created
// with the printed setup link.

import { mkdtempSync, rmSync } from "node:fs";
import { join } from "node:path";
import { request as requests, type APIRequestContext, type Page } from "@playwright/test";

import type { Grant, Group, Session, User } from "../src/access/types";
import type { SlideImage, Store } from "../src/api/types";
import { isViewable } from "../src/api/types";
import { accessibilityFaults, expect, idle, test } from "./fixtures";
import { copySlides, startServer } from "./server";

const password = "seven brown owls at noon";

interface Site {
  address: string;
  admin: APIRequestContext; // logged in as ada
  users: Record<"rita" | "vera" | "nobody", User>;
  seen: SlideImage; // visible to vera, without its label
  hidden: SlideImage | null; // not visible to vera, if there is more than one store
  store: Store; // vera can view all its slides
}

let site: Site;
let close: () => Promise<void>;

test.beforeAll(async () => {
  test.setTimeout(300_000);
  const data = mkdtempSync(join(process.env.PTIFFSTORE_E2E_DATA!, "access-"));
  copySlides(data);
  const server = await startServer(data, "demo", "--auth", "local");
  close = async () => {
    await server.stop();
    rmSync(data, { recursive: true, force: true });
  };
  site = await createUsers(server.link);
});

test.afterAll(() => close());

test.describe.configure({ mode: "default" });
test.use({ baseURL: async ({}, use) => use(site?.address) }); // beforeAll has it before there is a site

// createUsers creates the first admin, the other users and their grants.
async function createUsers(link: string): Promise<Site> {
  const address = new URL(link).origin;
  const admin = await requests.newContext({ baseURL: address });
  const post = async <T>(path: string, data: object): Promise<T> => {
    const answer = await admin.post(`/api/v1/${path}`, { data });
    expect(answer.ok(), `${path}: ${answer.status()} ${await answer.text()}`).toBe(true);
    return (await answer.json()) as T;
  };
  await post("auth/bootstrap", { secret: new URL(link).hash.slice(1), name: "ada", password });
  const list = async <T>(path: string): Promise<T[]> => ((await (await admin.get(`/api/v1/${path}`)).json()) as { items: T[] }).items;
  let images: SlideImage[] = [];
  await expect(async () => {
    images = (await list<SlideImage>("images?limit=200")).filter(isViewable);
    expect(images.length).toBeGreaterThan(2);
  }).toPass({ timeout: 240_000 });
  const stores = await list<Store>("stores");
  const seen = images[0]!;
  const users = {
    rita: await post<User>("users", { name: "rita", display_name: "Rita Levi", password }),
    vera: await post<User>("users", { name: "vera", password }),
    nobody: await post<User>("users", { name: "nobody", password }),
  };
  const readers = await post<Group>("groups", { name: "Readers" });
  expect((await admin.put(`/api/v1/groups/${readers.id}/members/${users.rita.id}`)).ok()).toBe(true);
  await post<Grant>("grants", { group: readers.id, role: "reader" });
  await post<Grant>("grants", { user: users.vera.id, role: "viewer", store: seen.store });
  return { address, admin, users, seen, hidden: images.find((image) => image.store !== seen.store) ?? null, store: stores.find(({ id }) => id === seen.store)! };
}

// logIn logs in on the page for it.
async function logIn(page: Page, name: string, to = "/"): Promise<void> {
  await page.goto(to);
  await page.getByLabel("Name").fill(name);
  await page.getByLabel("Password").fill(password);
  await page.getByRole("button", { name: "Log in" }).click();
  await expect(page.getByTestId("user")).toBeVisible();
}

const sessions = new Map<string, ReturnType<APIRequestContext["storageState"]>>();

// openAs opens a page in a session of a user, which all tests share.
async function openAs(page: Page, name: string, to: string): Promise<void> {
  const session = sessions.get(name) ?? newSession(name);
  sessions.set(name, session);
  await page.context().addCookies((await session).cookies);
  await page.goto(to);
  await expect(page.getByTestId("user")).toBeVisible();
}

async function newSession(name: string): ReturnType<APIRequestContext["storageState"]> {
  const context = await requests.newContext({ baseURL: site.address });
  expect((await context.post("/api/v1/auth/login", { data: { name, password } })).ok()).toBe(true);
  const state = await context.storageState();
  await context.dispose();
  return state;
}

async function axe(page: Page): Promise<void> {
  expect((await accessibilityFaults(page)).filter((fault) => /^(serious|critical) /.test(fault))).toEqual([]);
}

// switchColors switches between light and dark, and waits until the page shows it: a check of the
// contrast that has already begun would compare the colours of both.
async function switchColors(page: Page, colorScheme: "light" | "dark"): Promise<void> {
  const ink = (): Promise<string> => page.evaluate(() => getComputedStyle(document.body).color);
  const before = await ink();
  await page.emulateMedia({ colorScheme });
  await expect.poll(ink).not.toBe(before);
  await idle(page);
}

async function fits(page: Page): Promise<void> {
  expect(await page.evaluate(() => document.documentElement.scrollWidth - innerWidth)).toBeLessThanOrEqual(0);
}

test("logs in, and returns to the requested page", async ({ page }) => {
  await page.goto(`/?store=${site.seen.store}`);
  await expect(page).toHaveURL(/\/login#to=/);
  await page.getByLabel("Name").fill("vera");
  await page.getByLabel("Password").fill("not this one, not this");
  await page.getByRole("button", { name: "Log in" }).click();
  await expect(page.getByRole("alert")).toHaveText("Wrong name or password.");
  await expect(page.getByLabel("Password")).toHaveValue("");
  await axe(page);
  await page.getByLabel("Password").fill(password);
  await page.keyboard.press("Enter");
  await expect(page).toHaveURL(`${site.address}/?store=${site.seen.store}`);
  await expect(page.locator(".card").first()).toBeVisible();
});

test("has no accessibility fault on the login page with an OpenID Connect provider", async ({ page }) => {
  await page.route("**/api/v1/auth/session", (route) => route.fulfill({ json: { mode: "local", user: null, admin: false, scopes: [], token: false, central: null, oidc: "Hospital ID" } }));
  await page.goto("/login#to=%2Ftasks");
  await expect(page.getByRole("link", { name: "Log in with Hospital ID" })).toBeVisible();
  await axe(page);
});

test("creates the first admin, and reports a link that is no longer valid", async ({ page }) => {
  await page.goto("/welcome#ptb_used");
  await expect(page).toHaveURL(/\/welcome$/); // the secret is not left in the address
  await page.getByLabel("Name").fill("eve");
  await page.getByLabel("Password", { exact: true }).fill("short");
  await expect(page.getByText("Too short: add 7 characters.")).toBeVisible();
  await page.getByLabel("Password", { exact: true }).fill("passwordpassword");
  await expect(page.getByText(/Easy to guess/)).toBeVisible();
  await page.getByLabel("Password", { exact: true }).fill(password);
  await expect(page.getByText("Strong.")).toBeVisible();
  await page.getByLabel("Repeat password").fill(`${password}!`);
  await page.getByRole("button", { name: "Create admin" }).click();
  await expect(page.getByText("The passwords do not match.")).toBeVisible();
  await page.getByLabel("Repeat password").fill(password);
  await axe(page);
  await page.getByRole("button", { name: "Create admin" }).click();
  await expect(page.getByRole("alert")).toContainText("This link is no longer valid");
});

test("shows neither names nor labels without permission", async ({ page }) => {
  const asked: string[] = [];
  page.on("request", (request) => asked.push(new URL(request.url()).pathname));
  await openAs(page, "vera", "/");
  const card = page.locator(`.card[data-id="${site.seen.id}"]`);
  await expect(card.getByRole("heading")).toHaveText(site.seen.id);
  await expect(card.locator("img")).toHaveAttribute("src", /\/thumbnail\?/);
  await expect(page.getByRole("searchbox")).toBeDisabled();
  await expect(page.getByRole("searchbox")).toHaveAttribute("placeholder", "Search is not available");
  await axe(page);
  await page.goto(`/slides/${site.seen.id}`);
  await idle(page);
  await expect(page.getByRole("heading", { level: 1 })).toHaveText(site.seen.id);
  await expect(page.getByRole("tab", { name: "Label & macro" })).toBeHidden();
  await expect(page.getByText(site.seen.file_name!)).toHaveCount(0);
  expect(asked.filter((path) => /preview|associated/.test(path))).toEqual([]);
});

test("has no buttons for actions without permission", async ({ page }) => {
  await openAs(page, "vera", "/stores");
  await expect(page.locator(`.store[data-id="${site.seen.store}"]`)).toBeVisible();
  await expect(page.getByRole("button", { name: /^(Sync|Dry run|Resync|Verify|Edit|Remove|Add store)/ })).toHaveCount(0);
  await page.getByTestId("user").click();
  await expect(page.getByRole("link", { name: "Account" })).toBeVisible();
  await expect(page.getByRole("link", { name: "People" })).toHaveCount(0);
  await page.goto("/tasks");
  await expect(page.getByRole("heading", { level: 1, name: "Tasks" })).toBeVisible();
  await expect(page.getByRole("heading", { name: "Workers" })).toBeHidden();
  for (const path of ["/people", "/audit"]) {
    await page.goto(path);
    await expect(page.getByRole("heading", { name: "You don't have permission to view this page" })).toBeVisible();
  }
});

test("reveals nothing about a slide without permission", async ({ page }) => {
  await openAs(page, "nobody", "/");
  await expect(page.getByRole("heading", { name: "No slides available to you" })).toBeVisible();
  for (const id of [site.seen.id, "doesnotexist0000"]) {
    await page.goto(`/slides/${id}`);
    await expect(page.getByRole("alert").getByRole("heading")).toHaveText("You don't have permission to view this slide");
    await expect(page.getByTestId("panel-button")).toBeHidden();
    await expect(page.getByText(site.seen.file_name!)).toHaveCount(0);
  }
  await axe(page);
});

test("reports in the viewer that the session has ended, and returns after login", async ({ page }) => {
  await logIn(page, "rita", `/slides/${site.seen.id}`);
  await expect(page.getByTestId("stage")).toHaveAttribute("data-picture", /\d/);
  await idle(page);
  await page.context().clearCookies();
  await page.route("**/tiles/**", (route) => route.fulfill({ status: 401, json: { status: 401, detail: "Log in to see this." } }));
  await page.getByTestId("stage").focus();
  for (let n = 0; n < 4; n++) await page.keyboard.press("+");
  await expect(page.getByTestId("logged-out")).toContainText("You are logged out");
  await expect(page.getByTestId("failures")).toBeHidden();
  await page.unroute("**/tiles/**");
  await page.getByRole("button", { name: "Log in again" }).click();
  await expect(page).toHaveURL(/\/login#to=/);
  await page.getByLabel("Name").fill("rita");
  await page.getByLabel("Password").fill(password);
  await page.getByRole("button", { name: "Log in" }).click();
  await expect(page).toHaveURL(new RegExp(`/slides/${site.seen.id}`));
  await idle(page);
});

test("logs out and leaves nothing behind", async ({ page }) => {
  await logIn(page, "rita");
  await expect(page.locator(".card").first()).toBeVisible();
  await page.getByTestId("user").click();
  await expect(page.getByText("Rita Levi").first()).toBeVisible();
  await page.getByRole("button", { name: "Log out" }).click();
  await expect(page).toHaveURL(/\/login$/);
  await page.goto("/");
  await expect(page).toHaveURL(/\/login$/);
  await page.goBack().catch(() => {});
  await expect(page.locator(".card")).toHaveCount(0);
});

test("creates a token, which is shown once, works, and is refused when revoked", async ({ page }) => {
  await openAs(page, "rita", "/account");
  await page.getByRole("button", { name: "Create token" }).click();
  const dialog = page.getByRole("dialog");
  await expect(dialog.getByLabel("Administer")).toHaveCount(0);
  await dialog.getByRole("button", { name: "Create token" }).click();
  await expect(dialog.getByText("Enter a label.")).toBeVisible();
  await dialog.getByLabel("Label", { exact: true }).fill("teaching site");
  await axe(page);
  await dialog.getByRole("button", { name: "Create token" }).click();
  const secret = await page.getByTestId("secret").inputValue();
  expect(secret).toMatch(/^pts_/);
  await axe(page);
  await page.getByRole("button", { name: "Done" }).click();
  await expect(page.getByRole("row", { name: /teaching site/ })).toBeVisible();
  await expect(page.getByText(secret)).toHaveCount(0);
  const ask = async (path: string): Promise<number> => (await fetch(`${site.address}${path}`, { headers: { Authorization: `Bearer ${secret}` } })).status;
  expect(await ask(`/api/v1/images/${site.seen.id}`)).toBe(200);
  expect(await ask("/api/v1/users")).toBe(403);
  await page.getByRole("button", { name: "Revoke: teaching site" }).click();
  await page.getByRole("dialog").getByRole("button", { name: "Revoke" }).click();
  await expect(page.getByText("You have no tokens.")).toBeVisible();
  await expect(async () => expect(await ask(`/api/v1/images/${site.seen.id}`)).toBe(401)).toPass({ timeout: 5_000 });
});

test("lists sessions, and ends another one", async ({ page }) => {
  const other = await requests.newContext({ baseURL: site.address, userAgent: "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0" });
  expect((await other.post("/api/v1/auth/login", { data: { name: "vera", password } })).ok()).toBe(true);
  await openAs(page, "vera", "/account");
  await expect(page.getByText("this session")).toHaveCount(1);
  await page.getByRole("button", { name: "End: Firefox on Linux" }).click();
  await expect(page.getByRole("row", { name: /Firefox on Linux/ })).toHaveCount(0);
  expect(((await (await other.get("/api/v1/auth/session")).json()) as Session).user).toBeNull();
});

test("changes a password only with the current one", async ({ page }) => {
  const { id } = (await (await site.admin.post("/api/v1/users", { data: { name: "changer", password } })).json()) as User;
  await openAs(page, "changer", "/account");
  const fresh = "nine green cats at dusk";
  const change = async (current: string): Promise<void> => {
    await page.getByLabel("Current password").fill(current);
    await page.getByLabel("New password").fill(fresh);
    await page.getByLabel("Repeat password").fill(fresh);
    await page.getByRole("button", { name: "Change password" }).click();
  };
  await change("wrong, this is wrong");
  await expect(page.getByText("Wrong current password.")).toBeVisible();
  const token = (await (await page.request.post("/api/v1/tokens", { data: { label: "scanner", scopes: ["tiles"] } })).json()) as { secret: string };
  const used = async (): Promise<number> => (await fetch(`${site.address}/api/v1/images`, { headers: { Authorization: `Bearer ${token.secret}` } })).status;
  expect(await used()).toBe(200);
  await page.getByLabel("Also revoke all API tokens").check();
  await change(password);
  await expect(page.getByRole("status").filter({ hasText: "Your password was changed." })).toBeVisible();
  expect(await used()).toBe(401);
  expect((await site.admin.delete(`/api/v1/users/${id}`)).ok()).toBe(true);
});

test("adds a user, grants a role, and revokes it", async ({ page }) => {
  await openAs(page, "ada", "/people");
  await expect(page.getByRole("link", { name: "vera" }).first()).toBeVisible();
  await axe(page);
  await page.getByRole("button", { name: "Add user" }).click();
  const dialog = page.getByRole("dialog");
  await dialog.getByLabel("Name", { exact: true }).fill("grace");
  await dialog.getByLabel("Display name").fill("Grace Hopper");
  await dialog.getByLabel("Password", { exact: true }).fill(password);
  await dialog.getByLabel("Repeat password").fill(password);
  await dialog.getByRole("button", { name: "Add user" }).click();
  await expect(page.getByRole("heading", { level: 1, name: "Grace Hopper" })).toBeVisible();
  await page.getByLabel("Add to group …").selectOption("Readers");
  await expect(page.getByRole("button", { name: "Remove: Readers" })).toBeVisible();
  await page.getByRole("button", { name: "Grant role" }).click();
  await dialog.getByLabel("Role", { exact: true }).selectOption("contributor");
  await dialog.getByLabel("On", { exact: true }).selectOption({ label: `Store ${site.store.label || site.store.id}` });
  await dialog.getByRole("button", { name: "Grant", exact: true }).click();
  const row = page.getByRole("row", { name: /Contributor/ });
  await expect(row).toContainText(site.store.label || site.store.id);
  await axe(page);
  await row.getByRole("button", { name: /^Revoke/ }).click();
  await page.getByRole("dialog").getByRole("button", { name: "Revoke" }).click();
  await expect(row).toHaveCount(0);
  await page.getByRole("button", { name: "Disable …" }).click();
  await page.getByRole("dialog").getByRole("button", { name: "Disable" }).click();
  await expect(page.getByText("disabled")).toBeVisible();
  const answer = await fetch(`${site.address}/api/v1/auth/login`, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify({ name: "grace", password }) });
  expect(answer.status).toBe(403);
});

test("shows the audit log, with filters, to its end", async ({ page }) => {
  const { items: groups } = (await (await site.admin.get("/api/v1/groups")).json()) as { items: Group[] };
  for (let n = 0; n < 120; n++) await site.admin.put(`/api/v1/groups/${groups[0]!.id}/members/${site.users.rita.id}`);
  await site.admin.get("/api/v1/audit?limit=1");
  for (const [name, status] of [["rita", 401], ["rita", 200], ["vera", 200]] as const) {
    const answer = await fetch(`${site.address}/api/v1/auth/login`, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify({ name, password: status === 200 ? password : `${password}?` }) });
    expect(answer.status).toBe(status);
  }
  await openAs(page, "ada", "/audit");
  await expect(page.getByRole("row", { name: /Audit log viewed/ }).first()).toBeVisible();
  await page.mouse.wheel(0, 100_000);
  await expect(async () => expect(await page.locator(".audit tbody tr").count()).toBeGreaterThan(100)).toPass();
  await page.getByLabel("Action", { exact: true }).selectOption("login");
  await expect(page).toHaveURL(/act=login/);
  await expect(page.getByRole("row", { name: /Audit log viewed/ })).toHaveCount(0);
  await expect(page.getByRole("row", { name: /refused/ }).first()).toBeVisible();
  await expect(page.getByRole("row", { name: /Rita Levi/ }).first()).toBeVisible();
  await page.getByLabel("Outcome").selectOption("refused");
  await expect(page).toHaveURL(/outcome=refused/);
  await expect(page.getByRole("row", { name: /allowed/ })).toHaveCount(0);
  await expect(page.getByRole("row", { name: /Login as Rita Levi refused/ }).first()).toBeVisible(); // who was meant
  await page.getByLabel("Outcome").selectOption("");
  await expect(page.getByRole("row", { name: /Rita Levi/ }).first()).toBeVisible();
  await page.getByLabel("User", { exact: true }).selectOption("vera");
  await expect(page.getByRole("row", { name: /Rita Levi/ })).toHaveCount(0);
  await expect(page.getByText(/^End of list/)).toBeVisible();
  await axe(page);
});

test("fits windows from 320 to 3840 pixels, without accessibility faults in the dark", async ({ page }) => {
  test.slow(); // nine pages
  await page.emulateMedia({ colorScheme: "dark" });
  const check = async (path: string): Promise<void> => {
    await page.setViewportSize({ width: 320, height: 740 });
    await page.goto(path);
    await expect(path === "/login" ? page.getByLabel("Name") : page.getByTestId("user")).toBeVisible();
    await idle(page);
    await fits(page);
    if (path !== "/") await axe(page); // the gallery has tests of its own
    if (path === "/deleted") { // which no other test checks in the light
      await switchColors(page, "light");
      await axe(page);
      await switchColors(page, "dark");
    }
    await page.setViewportSize({ width: 3840, height: 2160 });
    await fits(page);
  };
  await check("/login");
  await openAs(page, "ada", "/deleted");
  for (const path of ["/deleted", "/", "/upload", "/stores", "/account", "/people", `/people/${site.users.rita.id}`, "/audit?act=login"]) await check(path);
  for (const [width, colorScheme] of [[3840, "light"], [320, "dark"]] as const) { // with the menu of the user
    await switchColors(page, colorScheme);
    await page.setViewportSize({ width, height: 740 });
    if (width === 3840) await page.getByTestId("user").click();
    await expect(page.getByRole("link", { name: "People" })).toBeVisible();
    await idle(page);
    await fits(page);
    await axe(page);
  }
});
