import { expect, test } from "vitest";

import { eventually, list, open } from "../../test/dom";

test("explains how to add a store that accepts uploads", async () => {
  const page = await open("/upload", { "GET /api/v1/stores": () => list([{ id: "s1", label: "Scanner", mode: "in-place", endpoint: null }]), "GET /api/v1/tasks": () => list([]), "GET /api/v1/uploads": () => list([]),
    "GET /api/v1/store-folders": () => list([{ path: "/slides", exists: true, writable: false, free: 1e12 }, { path: "/var/lib/ptiffstore", exists: true, writable: true, free: 2e12 }]) });
  await eventually(() => page.getByText("No store accepts your uploads"));
  page.getByText("ptiffstore store add --managed FOLDER");
  page.getByRole("button", { name: "Add a managed store" }).click();
  // The form proposes a folder to which the server can write.
  await eventually(() => expect(page.getByLabelText<HTMLInputElement>("Folder").value).toBe("/var/lib/ptiffstore/archive"));
  page.getByText("read-only: for in-place stores · 1 TB free");
  page.getByRole("button", { name: "Use /slides" }).click();
  expect(page.getByLabelText<HTMLInputElement>("Folder").value).toBe("/slides/");
});

for (const [role, scopes, shown] of [["a contributor", ["tiles", "label", "write"], true], ["a reader", ["tiles", "label"], false]] as const) {
  test(`the navigation ${shown ? "shows" : "hides"} uploads for ${role}`, async () => {
    const routes = {
      "GET /api/v1/auth/session": () => ({ mode: "local", user: { id: "u1", name: "ada", display_name: "Ada" }, admin: false, scopes: [], token: false, central: null }),
      "GET /api/v1/stores": () => list([{ id: "s1", label: "Archive", mode: "managed", endpoint: null, scopes }]),
      "GET /api/v1/tasks": () => list([]),
      "GET /api/v1/uploads": () => list([]),
    };
    const upload = { name: "Upload" };
    const tasks = await open("/tasks", routes);
    await eventually(() => tasks.getByRole("link", { name: "Tasks" }));
    if (shown) {
      await eventually(() => tasks.getByRole("link", upload));
      return;
    }
    const page = await open("/upload", routes);
    await eventually(() => page.getByText(/Ask an admin for the contributor role/));
    const stores = await open("/stores", routes);
    await eventually(() => stores.getByRole("heading", { name: "Archive" }));
    expect(stores.queryByRole("link", upload)).toBeNull();
  });
}
