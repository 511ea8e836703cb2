// A stand-in for `ptiffstore demo`, for work on the web application alone: the
// same addresses, made-up slides. It prints its address as its first line.
//
//   node mock/server.mjs [--port 8090] [--slides 48]
//
// With PTIFFSTORE_MOCK_AUTH=local or =people it has access control: see access.mjs.

import { createReadStream, existsSync } from "node:fs";
import { createServer } from "node:http";
import { extname, join, normalize } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";

import { Access } from "./access.mjs";
import { Stores } from "./stores.mjs";
import { Tasks, unknownKind, workers } from "./tasks.mjs";
import { label, macro, makeSlides, preview, thumbnail, tile } from "./slides.mjs";

const { values: options } = parseArgs({ options: { port: { type: "string", default: "8090" }, slides: { type: "string", default: "48" } } });
const dist = fileURLToPath(new URL("../../internal/viewer/dist", import.meta.url));
const slides = makeSlides(Number(options.slides));
const byID = new Map(slides.map((slide) => [slide.record.id, slide]));
const kept = new Map(); // pictures made before
const tasks = new Tasks();
const stores = new Stores(slides, tasks);
const access = process.env.PTIFFSTORE_MOCK_AUTH ? new Access(process.env.PTIFFSTORE_MOCK_AUTH === "people") : null;

const csp = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'self'";
const types = { ".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml", ".html": "text/html; charset=utf-8", ".md": "text/plain; charset=utf-8" };

// The routes as /openapi.json lists them, as far as tests ask for it.
const openapi = {
  openapi: "3.1.0", info: { title: "mock", version: "0" },
  paths: {
    "/api/v1/images": { get: {} }, "/api/v1/images/{image}": { get: {} }, "/api/v1/stores": { get: {}, post: {} }, "/api/v1/stores/{store}": { get: {}, patch: {}, delete: {} }, "/api/v1/stores/{store}/sync": { post: {} },
    "/api/v1/tasks": { get: {}, post: {} }, "/api/v1/tasks/{task}": { get: {}, delete: {} }, "/api/v1/tasks/{task}/events": { get: {} }, "/api/v1/workers": { get: {} },
  },
};

const server = createServer(async (request, response) => {
  const url = new URL(request.url, "http://mock");
  const match = (pattern) => pattern.exec(url.pathname)?.slice(1).map(decodeURIComponent);
  let found;
  if (url.pathname === "/openapi.json") return json(response, openapi);
  const body = request.method === "GET" ? {} : await readJSON(request);
  if (access && url.pathname.startsWith("/api/")) {
    const refused = access.answer(request, url, body);
    if (refused) return people(response, refused);
    const image = match(/^\/api\/v1\/images\/([^/]+)/)?.[0];
    if (image && !sees(request.caller, "tiles", byID.get(image)?.record)) return people(response, access.may(request.caller, "tiles") ? { status: 404, detail: "There is nothing of that id here." } : { status: 403, detail: "You may not do this, or there is nothing of that id here." });
    if (image && /\/(preview|associated\/\w+)$/.test(url.pathname) && !sees(request.caller, "label", byID.get(image).record)) return people(response, { status: 403, detail: "You may not do this, or there is nothing of that id here." });
  }
  if (url.pathname === "/api/v1/auth/session") return json(response, { mode: "none", user: null, admin: true, scopes: ["tiles", "label", "write", "admin"], token: false, central: null });
  if (/^\/api\/v1\/(stores|tasks|workers)(\/|$)/.test(url.pathname)) return manage(request, response, url, body);
  if (url.pathname === "/api/v1/images") return json(response, page(url.searchParams, request.caller));
  if ((found = match(/^\/api\/v1\/images\/([^/]+)$/))) {
    const slide = byID.get(found[0]);
    if (access && slide && sees(request.caller, "label", slide.record)) access.looked(request.caller, "label.show", slide.record.id);
    return slide ? json(response, access ? access.record(request.caller, slide.record) : slide.record) : problem(response, 404, "There is no such image.");
  }
  if ((found = match(/^\/api\/v1\/images\/([^/]+)\/tiles\/(\d+)\/(\d+)\/(\d+)(?:\.jpg)?$/))) return serveTile(response, byID.get(found[0]), found.slice(1).map(Number), url.searchParams.get("v"));
  if ((found = match(/^\/api\/v1\/images\/([^/]+)\/(preview|thumbnail|associated\/\w+)$/))) return servePicture(response, byID.get(found[0]), found[1], url.searchParams);
  return serveFile(response, url.pathname);
});

server.keepAliveTimeout = 60_000; // milliseconds: while tiles are drawn, nothing else is done
server.listen(Number(options.port), "127.0.0.1", () => {
  const address = `http://127.0.0.1:${server.address().port}/`;
  console.log(address);
  if (access && access.users.length === 0) console.log(`There is no admin yet. This link makes one:\n\n    ${address}welcome#${access.secret}\n`);
});

const sees = (caller, scope, record) => !!record && access.may(caller, scope, record.store, record.id);

// people answers what is about people, and with refusals.
function people(response, { status = 200, value, detail, errors, headers = {} }) {
  for (const [name, text] of Object.entries(headers)) response.setHeader(name, text);
  if (detail) return problem(response, status, detail, errors);
  if (status === 204) return response.writeHead(204).end();
  return json(response, value, status);
}

// storeFor is a store as the caller may see it.
function storeFor(store, caller) {
  const shown = stores.show(store);
  if (!access) return shown;
  const scopes = access.scopes(caller, store.id);
  return { ...shown, scopes, ...(scopes.includes("admin") ? {} : { root: null, incoming: null, host: null }), last_result: scopes.includes("label") || !shown.last_result ? shown.last_result : { ...shown.last_result, failed: [] } };
}

const storesFor = (caller) => stores.list.filter((s) => !access || access.may(caller, "tiles", s.id));

// manage answers what is about stores, tasks and workers.
async function manage(request, response, url, body) {
  const [, what, id, verb, ...rest] = url.pathname.slice("/api".length).split("/").slice(1).map(decodeURIComponent);
  const route = `${request.method} ${what}${id ? "/:id" : ""}${verb ? `/${verb}` : ""}`;
  const { caller } = request;
  const store = what === "stores" && id ? stores.find(id) : null;
  const task = what === "tasks" && id ? tasks.find(id) : null;
  if (rest.length === 0 && what === "stores" && id && !store) return problem(response, 404, "There is nothing of that id here.");
  if (rest.length === 0 && what === "tasks" && id && !task) return problem(response, 404, "There is no such task, or it ended long ago.");
  const answer = (found) => (found.detail ? problem(response, found.status, found.detail, found.errors) : json(response, found.value, found.status, `/api/v1/stores/${found.value.id}`));
  const accepted = (submitted) => json(response, tasks.view(submitted, true), 202, `/api/v1/tasks/${submitted.id}`);
  switch (rest.length === 0 && route) {
    case "GET stores": return json(response, { items: storesFor(caller).map((s) => storeFor(s, caller)), next_cursor: null });
    case "POST stores": return answer(stores.add(body));
    case "GET stores/:id": return json(response, storeFor(store, caller));
    case "PATCH stores/:id": return answer(stores.change(store, body));
    case "DELETE stores/:id":
      if (!stores.remove(store, url.searchParams.get("keep_files") === "true")) return problem(response, 409, "The store still holds slides. With keep_files=true they stay in its folder, and are back when that is added again.");
      return response.writeHead(204).end();
    case "POST stores/:id/sync": return accepted(stores.sync(store, url.searchParams));
    case "GET tasks": {
      const page = tasks.page(url.searchParams);
      if (access && page.items) page.items = page.items.filter((task) => access.may(caller, "tiles", task.args?.store ?? null));
      return page.status ? problem(response, page.status, page.detail) : json(response, page);
    }
    case "POST tasks": return submit(response, body, accepted);
    case "GET tasks/:id": return json(response, tasks.view(task, true));
    case "DELETE tasks/:id":
      tasks.cancel(task);
      return json(response, tasks.view(task, true));
    case "GET tasks/:id/events": return tasks.follow(task, request, response);
    case "GET workers": return json(response, { items: workers.map((worker) => ({ ...worker, seen_at: new Date(Date.now() - (Date.now() % 5000)).toISOString() })), next_cursor: null });
  }
  return problem(response, 404, "There is nothing at this address.");
}

function submit(response, { kind, queue, args = {} }, accepted) {
  if (!["sync_store", "resync_store", "verify_store", "import_file", "hash_image", "read_barcode", "make_previews"].includes(kind)) return problem(response, 422, `The request is not valid: ${unknownKind}.`, [unknownKind]);
  const store = args.store ? stores.find(args.store) : null;
  if (args.store && !store) return problem(response, 422, "The request is not valid: args.store: there is no such store.", ["args.store: there is no such store"]);
  return accepted(stores.submit(kind, queue ?? (store ? stores.queue(store) : "default"), args));
}

async function readJSON(request) {
  const chunks = [];
  for await (const chunk of request) chunks.push(chunk);
  try {
    return JSON.parse(Buffer.concat(chunks).toString() || "{}");
  } catch {
    return {};
  }
}

const attention = ["broken", "quarantined", "unsupported", "missing", "arriving", "available"]; // the order by state
const compare = (a, b) => Number(a > b) - Number(a < b);
const newest = (a, b) => compare(b.created_at, a.created_at);

function page(params, caller) {
  const q = (params.get("q") ?? "").toLowerCase();
  const limit = Math.min(200, Number(params.get("limit") ?? 50));
  const from = Number(params.get("cursor") ?? 0);
  const orders = {
    created: newest,
    name: (a, b) => compare(a.file_name.toLowerCase(), b.file_name.toLowerCase()),
    size: (a, b) => a.size - b.size,
    state: (a, b) => attention.indexOf(a.state) - attention.indexOf(b.state) || newest(a, b),
  };
  const found = slides.map((slide) => slide.record).filter((record) => {
    if (access && !sees(caller, q ? "label" : "tiles", record)) return false;
    if (params.get("store") && record.store !== params.get("store")) return false;
    if (params.get("state") && record.state !== params.get("state")) return false;
    return !q || [record.file_name, record.label, record.barcode].some((text) => text && (q.length < 3 ? text.toLowerCase().startsWith(q) : text.toLowerCase().includes(q)));
  }).sort(orders[params.get("sort")] ?? orders.created);
  if (access && sees(caller, "label", found[0])) access.looked(caller, "label.list", null, `${found.length} images`);
  return { items: found.slice(from, from + limit).map((record) => (access ? access.record(caller, record) : record)), next_cursor: from + limit < found.length ? String(from + limit) : null };
}

function serveTile(response, slide, [z, x, y], revision) {
  if (!slide?.record.tile_url || z > slide.record.max_zoom) return problem(response, 404, "The image has no such tile.");
  if (revision && revision !== slide.record.revision) return problem(response, 404, "The image has changed: this is not its current revision. Ask for the image again.");
  const level = slide.record.levels[slide.record.max_zoom - z];
  if (x >= level.columns || y >= level.rows) return problem(response, 404, "The image has no such tile.");
  return picture(response, `${slide.record.id}/${z}/${x}/${y}`, () => tile(slide, z, x, y), revision ? "private, max-age=31536000, immutable" : "private, max-age=60");
}

function servePicture(response, slide, kind, params) {
  if (!slide || slide.record.width === null) return problem(response, 404, "There is no such image, or it is not available for viewing.");
  const { associated, barcode, id } = slide.record;
  const height = Number(params.get("height") ?? 100);
  const make = {
    preview: () => preview(slide, height),
    thumbnail: () => thumbnail(slide, Number(params.get("width") ?? 512), height),
    "associated/label": associated.includes("label") || barcode ? () => label(slide) : null,
    "associated/macro": associated.includes("macro") ? () => macro(slide) : null,
  }[kind];
  if (!make) return problem(response, 404, "The image has no such associated image.");
  return picture(response, `${id}/${kind}?${params}`, make, "private, max-age=60");
}

function picture(response, key, make, cacheControl) {
  if (!kept.has(key)) {
    kept.set(key, make().png());
    if (kept.size > 3000) kept.delete(kept.keys().next().value);
  }
  response.writeHead(200, { "Content-Type": "image/png", "Cache-Control": cacheControl });
  response.end(kept.get(key));
}

function json(response, value, status = 200, location = "") {
  response.writeHead(status, { "Content-Type": "application/json", "Cache-Control": "no-cache", ...(status > 200 && location ? { Location: location } : {}) });
  response.end(JSON.stringify(value));
}

function problem(response, status, detail, errors = []) {
  response.writeHead(status, { "Content-Type": "application/problem+json", "Cache-Control": "no-store" });
  response.end(JSON.stringify({ type: "about:blank", title: "", status, detail, ...(errors.length > 0 ? { errors } : {}) }));
}

function serveFile(response, path) {
  let file = join(dist, normalize(path));
  if (["/", "/stores", "/login", "/welcome", "/setup", "/account", "/people", "/audit", "/compare", "/about"].includes(path) || /^\/people(\/groups)?\/[^/]+$/.test(path) || /^\/tasks(\/[^/]+)?$/.test(path)) file = join(dist, "index.html");
  else if (path === "/licences") file = join(dist, "licences.md");
  else if (path.startsWith("/slides/")) file = join(dist, "slide.html");
  else if (!path.startsWith("/assets/") || !existsSync(file)) file = null;
  response.writeHead(file ? 200 : 404, { "Content-Type": types[extname(file ?? "index.html")] ?? "application/octet-stream", "Content-Security-Policy": csp, "X-Content-Type-Options": "nosniff", "Referrer-Policy": "same-origin" });
  createReadStream(file ?? join(dist, "index.html")).pipe(response);
}
