import { expect, test } from "vitest";

import { eventually, list, open, problem, text, type } from "../../test/dom";

const nobody = { mode: "local", user: null, admin: false, scopes: [], token: false, central: null, oidc: null };

for (const [name, answer, words] of [
  ["too many attempts, and how long to wait", () => problem(429, "", { "Retry-After": "90" }), "Too many attempts. Try again in 1 min 30 s."],
  ["a disabled account", () => problem(403, ""), "This account is disabled. Ask an admin."],
] as const) {
  test(`the login page reports ${name}`, async () => {
    const page = await open("/login", { "GET /api/v1/auth/session": () => nobody, "POST /api/v1/auth/login": answer });
    await eventually(() => type(page.getByLabelText("Name"), "ada"));
    type(page.getByLabelText("Password"), "seven brown owls at noon");
    page.getByRole("button", { name: "Log in" }).click();
    await eventually(() => expect(text(page.getByRole("alert"))).toBe(words));
  });
}

test("links to the OpenID Connect provider, if there is one", async () => {
  const page = await open("/login#to=%2Ftasks", { "GET /api/v1/auth/session": () => ({ ...nobody, oidc: "Hospital ID" }) });
  await eventually(() => expect(page.getByRole("link", { name: "Log in with Hospital ID" }).getAttribute("href")).toBe("/api/v1/auth/oidc/start?next=%2Ftasks"));
});

test("shows nothing of users if there is no access control", async () => {
  const page = await open("/stores", { "GET /api/v1/tasks": () => list([]) });
  await eventually(() => page.getByRole("button", { name: "Add store" }));
  expect(page.queryByTestId("user")).toBeNull();
  expect(page.queryByRole("link", { name: "Log in" })).toBeNull();
});
