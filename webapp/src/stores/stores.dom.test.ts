import { expect, test } from "vitest";

import { eventually, list, open, problem, text, type, type Routes } from "../../test/dom";
import { storeStates } from "../../test/store-states";
import type { Store, Task } from "../api/types";

const store: Store = {
  id: "s1", label: "Scanner room", mode: "in-place", endpoint: null, root: "/slides/scanner1", counts: { available: 12 }, schedule: null, background: "#ffffff", origin: "top-left", scopes: null, declared: null,
  last_sync: new Date(Date.now() - 3_600_000).toISOString(), last_result: { count: 12 }, watch: { polling: false, why: null, error: null, last_pass: null, arriving: 0 },
};

const card = (): HTMLElement => document.querySelector<HTMLElement>('.store[data-id="s1"]')!;
const condition = (): string => text(card().querySelector('[data-testid="condition"]'));
const button = (label: RegExp): HTMLButtonElement | undefined => [...card().querySelectorAll("button")].find((b) => label.test(b.getAttribute("aria-label") ?? ""));
const dialog = (): HTMLDialogElement | null => document.querySelector("dialog");

// storeRoutes answers requests for the list of stores, and for that of tasks.
function storeRoutes(shown: () => Store, tasks: () => Task[] = () => []): Routes {
  return {
    "GET /api/v1/stores": () => list([shown()]),
    "GET /api/v1/tasks": ({ url: { searchParams: params } }) => list(tasks().filter((t) => !params.get("kind") || t.kind === params.get("kind")).slice(0, Number(params.get("limit")))),
  };
}

function taskOf(values: Partial<Task>): Task {
  const now = new Date().toISOString();
  return { id: "t1", kind: "sync_store", queue: "default", args: { store: "s1" }, state: "running", ready: false, progress: null, result: null, error: null, attempts: 1, worker: null, request_id: null, submitted_at: now, started_at: now, finished_at: null, log: null, waiting_for_worker: false, ...values };
}

for (const { name, values, badge, words, confirm } of storeStates) {
  test(`shows the state of a store: ${name}`, async () => {
    await open("/stores", storeRoutes(() => ({ ...store, ...values() })));
    await eventually(() => expect(condition()).toBe(badge));
    for (const part of words) expect(text(card())).toContain(part);
    expect(card().querySelectorAll('button[aria-label^="Confirm"]')).toHaveLength(confirm ? 1 : 0);
  });
}

test("shows that a sync waits for a worker that is not running", async () => {
  await open("/stores", storeRoutes(() => store, () => [taskOf({ state: "waiting", queue: "host-nas", started_at: null, waiting_for_worker: true })]));
  await eventually(() => expect(condition()).toBe("Waiting"));
  expect(text(card())).toContain("Waiting for a worker of queue host-nas.");
});

test("finds a sync behind many tasks of other kinds", async () => {
  await open("/stores", storeRoutes(() => store, () => [...Array.from({ length: 500 }, (_, i) => taskOf({ id: `h${i}`, kind: "hash_image" })), taskOf({ id: "sync" })]));
  await eventually(() => expect(condition()).toBe("Running"));
});

test("asks before every file is read again", async () => {
  let sent = "";
  await open("/stores", { ...storeRoutes(() => store), "POST /api/v1/stores/*/sync": ({ url }) => {
    sent = url.search;
    return problem(503, "The database does not answer.");
  } });
  await eventually(() => button(/^Resync/)!.click());
  expect(sent).toBe("");
  [...dialog()!.querySelectorAll("button")].find((b) => text(b) === "Resync")!.click();
  await eventually(() => expect(text(dialog()!.querySelector('[role="alert"]'))).toBe("The database does not answer."));
  expect(sent).toBe("?resync=true");
});

test("verifies a store", async () => {
  let sent: unknown = null;
  await open("/stores", { ...storeRoutes(() => store), "POST /api/v1/tasks": ({ body }) => {
    sent = body;
    return taskOf({ kind: "verify_store" });
  } });
  await eventually(() => button(/^Verify/)!.click());
  await eventually(() => expect(text(document.querySelector(".notice"))).toContain("Verification of Scanner room started."));
  expect(sent).toEqual({ kind: "verify_store", args: { store: "s1" } });
});

test("explains what becomes of the slides of a managed store", async () => {
  let sent = "";
  await open("/stores", { ...storeRoutes(() => ({ ...store, mode: "managed", counts: { available: 9, missing: 2 } })), "DELETE /api/v1/stores/*": ({ url }) => {
    sent = `DELETE ${url.search}`;
    return new Response(null, { status: 204 });
  } });
  await eventually(() => button(/^Remove/)!.click());
  expect(text(dialog())).toContain("still holds 9 slides");
  const remove = [...dialog()!.querySelectorAll("button")].find((b) => text(b) === "Remove store")!;
  remove.click();
  await eventually(() => {});
  expect(sent, "the box is not ticked yet").toBe("");
  dialog()!.querySelector<HTMLInputElement>('input[type="checkbox"]')!.click();
  remove.click();
  await eventually(() => expect(dialog()).toBeNull());
  expect(sent).toBe("DELETE ?keep_files=true");
});

test("keeps the focus while the page is refreshed", async () => {
  let n = 0;
  await open("/stores", storeRoutes(() => ({ ...store, counts: { available: 10 + n++ } })));
  const link = (): HTMLElement => [...card().querySelectorAll("a")].find((a) => /available$/.test(text(a)))!;
  await eventually(() => link().focus());
  const before = text(link());
  await eventually(() => expect(text(link())).not.toBe(before));
  expect(document.activeElement).toBe(link());
});

test("shows why the stores cannot be loaded, and tries again", async () => {
  let broken = true;
  const page = await open("/stores", { ...storeRoutes(() => store), "GET /api/v1/stores": () => (broken ? problem(503, "The catalog is being moved.") : list([store])) });
  await eventually(() => expect(text(page.getByRole("alert"))).toContain("The catalog is being moved."));
  broken = false;
  page.getByRole("button", { name: "Try again" }).click();
  await eventually(() => expect(card()).not.toBeNull());
});

test("shows what the configuration file sets, and lets only the rest be changed", async () => {
  const declared = { mode: "stores.a.mode", root: "stores.a.root", label: "stores.a.label", schedule: "store_defaults.schedule", public: "stores.a.public" };
  let sent: unknown = null;
  await open("/stores", { ...storeRoutes(() => ({ ...store, schedule: "15m", declared })), "PATCH /api/v1/stores/s1": ({ body }) => {
    sent = body;
    return { ...store, queue: "nights" };
  } });
  await eventually(() => expect(text(card())).toContain("Provisioned"));
  expect(button(/^Remove/)).toBeUndefined();
  button(/^Edit/)!.click();
  for (const name of Object.keys(declared)) {
    expect(dialog()!.querySelector<HTMLInputElement>(`#store-${name}`)!.disabled).toBe(true);
    expect(text(dialog()!.querySelector(`[data-testid="store-${name}-provisioned"]`))).toBe("provisioned");
  }
  expect(text(dialog()!.querySelector("#store-schedule-hint"))).toContain("store_defaults.schedule");
  const queue = dialog()!.querySelector<HTMLInputElement>("#store-queue")!;
  expect(queue.disabled).toBe(false);
  type(queue, "nights");
  [...dialog()!.querySelectorAll("button")].find((b) => text(b) === "Save")!.click();
  await eventually(() => expect(dialog()).toBeNull());
  expect(sent).toEqual({ queue: "nights" });
});

test("asks for what a managed store in a bucket has, and for nothing else", async () => {
  let sent: unknown;
  let query = "";
  await open("/stores", { ...storeRoutes(() => store), "GET /api/v1/store-folders": () => list([]), "POST /api/v1/stores": ({ url, body }) => {
    query = url.search;
    sent = body;
    return problem(409, "This part of the bucket has objects.");
  } });
  await eventually(() => [...document.querySelectorAll("button")].find((b) => /Add store/.test(text(b)))!.click());
  const field = <T extends HTMLElement = HTMLInputElement>(name: string): T => dialog()!.querySelector<T>(`#store-${name}`)!;
  const hidden = (name: string): boolean => !!field(name).closest<HTMLElement>(".field")!.hidden;
  const mode = field<HTMLSelectElement>("mode");
  mode.value = "managed";
  mode.dispatchEvent(new Event("change", { bubbles: true }));
  expect([hidden("incoming"), hidden("keep_trash"), hidden("include")]).toEqual([false, false, false]);
  type(field("root"), "s3://slides/archive");
  expect([hidden("incoming"), hidden("convert"), hidden("include"), hidden("keep_trash"), hidden("quota")]).toEqual([true, true, true, false, false]);
  dialog()!.querySelector("form")!.requestSubmit();
  await eventually(() => expect(text(dialog()!.querySelector('[role="alert"]'))).toContain("has objects"));
  expect(sent).toEqual({ mode: "managed", root: "s3://slides/archive" });
  expect(query).not.toContain("make_folder=true");
});

test("moves the slides of a folder to a bucket, and asks if more people would see them", async () => {
  const archive: Store = { ...store, id: "s2", label: "Archive", mode: "managed", kind: "s3", root: "s3://slides/archive/" };
  const sent: unknown[] = [];
  await open("/stores", { ...storeRoutes(() => store), "GET /api/v1/stores": () => list([store, archive]), "POST /api/v1/tasks": ({ body }) => {
    sent.push(body);
    return sent.length === 1 ? problem(422, "args.confirm: more people would see the images: the other store is public.") : taskOf({ kind: "move_image" });
  } });
  await eventually(() => button(/^Move to bucket/)!.click());
  expect(text(dialog())).toContain("12 slides");
  const go = (): void => [...dialog()!.querySelectorAll("button")].find((b) => text(b) === "Move")!.click();
  go();
  await eventually(() => expect(text(dialog()!.querySelector('[role="alert"]'))).toContain("more people"));
  dialog()!.querySelector<HTMLInputElement>('input[name="more"]')!.click();
  go();
  await eventually(() => expect(dialog()).toBeNull());
  expect(sent).toEqual([{ kind: "move_image", args: { store: "s1", into: "s2" } }, { kind: "move_image", args: { store: "s1", into: "s2", confirm: true } }]);
});

test("shows what a case pattern finds while it is typed", async () => {
  const sent: unknown[] = [];
  await open("/stores", { ...storeRoutes(() => ({ ...store, scopes: ["tiles", "label", "write", "admin"] }) as Store), "GET /api/v1/store-folders": () => list([]), "POST /api/v1/stores/s1/case-pattern": ({ body }) => {
    const { case_pattern: pattern } = body as { case_pattern: string };
    sent.push(body);
    if (pattern === "(") return problem(422, "The request is invalid.");
    return list([
      { id: "i1", barcode: "S26-7;A1", file_name: "a.tiff", folder: null, source: "barcode", accession: "S26-7", part: null, block: "A1", stain: null },
      { id: "i2", barcode: null, file_name: "b.tiff", folder: null, source: null, accession: null, part: null, block: null, stain: null },
    ]);
  } });
  await eventually(() => button(/^Edit/)!.click());
  type(dialog()!.querySelector("#store-case_pattern")!, "(?P<accession>S)");
  await eventually(() => expect(text(dialog()!.querySelector(".pattern-try"))).toContain("Matches 1 of the 2 newest slides."));
  expect([...dialog()!.querySelectorAll(".pattern-table tbody tr")].map(text)).toEqual(["S26-7;A1S26-7–A1–", "b.tiffno match"]);
  expect([...dialog()!.querySelectorAll<HTMLElement>(".pattern-table tbody td")].map((cell) => cell.dataset["label"])).toEqual(["Text", "Accession", "Part", "Block", "Stain", "Text", "Accession"]); // names of the cells on phones
  type(dialog()!.querySelector("#store-case_pattern")!, "(");
  await eventually(() => expect(text(dialog()!.querySelector(".pattern-try"))).toBe("The request is invalid."));
  expect(sent).toEqual([{ case_pattern: "(?P<accession>S)" }, { case_pattern: "(" }]);
});
