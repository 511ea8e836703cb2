// The stores of the mock: what can be given of them, their syncs, and how it
// stands with them at the start.

import { randomBytes } from "node:crypto";
import { existsSync, mkdirSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, isAbsolute, join, normalize } from "node:path";

const roots = [tmpdir(), "/slides"];
const hour = 3_600_000;
const ago = (ms) => new Date(Date.now() - ms).toISOString();

const manyMissing = "ingest: so many slides are gone at once that none was marked missing: if that is meant, confirm the next sync (11 of 12)";
const noRoot = "ingest: the store's folder is out of reach, nothing was marked missing";

const result = (values) => ({ count: 0, added: 0, updated: 0, moved: 0, missing: 0, returned: 0, arriving: 0, failed: [], links: 0, duration: 0.4, ...values });
const watching = (values) => ({ polling: false, why: null, error: null, last_pass: ago(40_000), arriving: 0, ...values });

function record(values) {
  return {
    id: randomBytes(8).toString("hex"), label: "", mode: "in-place", root: null, incoming: null, host: null, endpoint: null, schedule: null, time_zone: null, next_sync: null, queue: null, include: [], exclude: [],
    settle: null, max_missing: null, hide_after: null, drop_after: null, keep_trash: null, verify: null, verify_rate: null, background: "#ffffff", origin: "top-left", public: false, hide_labels: false,
    last_sync: null, last_result: null, watch: null, ...values,
  };
}

export class Stores {
  #slides;
  #tasks;

  constructor(slides, tasks) {
    this.#slides = slides.map((slide) => slide.record);
    this.#tasks = tasks;
    const failed = this.#slides.filter((slide) => slide.store === "main" && (slide.state === "broken" || slide.state === "unsupported")).map((slide) => ({ image: slide.id, reason: slide.reason }));
    this.list = [
      record({ id: "main", label: "Scanner room", root: "/slides/scanner1", last_sync: ago(40_000), last_result: result({ count: 24, added: 1, arriving: 1, failed, duration: 0.21 }), watch: watching({ arriving: 1 }) }),
      record({ id: "teaching", label: "Teaching", root: "/slides/teaching", public: true, schedule: "15m", next_sync: ago(-9 * 60_000), last_sync: ago(6 * 60_000), last_result: result({ count: 9, duration: 1.8 }), watch: watching({ polling: true, why: "nfs4 does not tell what other machines write", last_pass: ago(12_000) }) }),
      record({ id: "archive", label: "Archive", mode: "managed", root: "/slides/archive", incoming: "/slides/archive/incoming", schedule: "0 3 * * *", time_zone: "Europe/Vienna", next_sync: ago(-7 * hour), verify: "0 4 * * 0", verify_rate: 50e6, keep_trash: "720h0m0s", settle: "5m0s", last_sync: ago(17 * hour), last_result: result({ count: 9, added: 4, moved: 1, duration: 83 }), watch: watching({}) }),
      record({ id: "loan", label: "Slides on loan", root: "/slides/loan", last_sync: ago(3 * hour), last_result: result({ count: 12 }), watch: watching({ error: manyMissing, last_pass: ago(3 * hour) }) }),
      record({ id: "offsite", label: "Second site", root: "/slides/mnt/second-site", schedule: "1h", next_sync: ago(-20 * 60_000), last_sync: ago(30 * hour), last_result: result({ count: 6, missing: 1, returned: 2, duration: 12 }), watch: watching({ polling: true, why: "cifs does not tell what other machines write", error: noRoot, last_pass: ago(30 * hour) }) }),
      record({ id: "attic", label: "Attic", root: "/slides/attic", host: "attic-nas" }),
    ];
    this.#begin();
  }

  // #begin puts in the tasks that there are at the start.
  #begin() {
    const done = (values) => () => ({ result: result(values) });
    const t = this.#tasks;
    t.add("verify_store", "night", { store: "teaching" }, { milliseconds: 95_000, total: 9, unit: "images", end: () => ({ result: { checked: 8, hashed: 2, damaged: [{ image: this.#slides[1].id, reason: "its bytes differ from its digest though nobody has written the file" }], unreadable: [], bytes: 4_100_000_000, duration: 95 } }) }, 50 * hour);
    t.add("sync_store", "default", { store: "archive" }, { milliseconds: 83_000, total: 9, unit: "files", end: done({ count: 9, added: 4, moved: 1, duration: 83 }) }, 17 * hour);
    t.add("import_file", "default", { store: "archive", image: this.#slides[13].id }, { milliseconds: 41_000, total: 2_400_000_000, unit: "bytes", attempts: 2, end: () => ({ result: { count: 1, failed: [] } }) }, 16.9 * hour);
    t.add("sync_store", "default", { store: "loan" }, { milliseconds: 700, total: 12, unit: "files", attempts: 5, log: ["walked 3 folders: 1 file"], end: () => ({ error: manyMissing }) }, 2.5 * hour);
    t.add("resync_store", "default", { store: "main" }, { milliseconds: 20 * 60_000, total: 24, unit: "files", end: done({}) }, 60 * 60_000).cancelled = Date.now() - 55 * 60_000;
    t.add("sync_store", "default", { store: "teaching" }, { milliseconds: 1800, total: 9, unit: "files", end: done({ count: 9, duration: 1.8 }) }, 6 * 60_000);
    t.add("sync_store", "host-attic-nas", { store: "attic" }, { milliseconds: 3000, total: 0, unit: "files", end: done({}) }, 3 * 60_000);
    const lines = Array.from({ length: 60 }, (_, i) => `image ${this.#slides[13 + (i % 9)].id.slice(0, 12)}: ${i % 7 === 3 ? "its digest was not known, and is now" : "as it should be"}`);
    t.add("verify_store", "default", { store: "archive" }, { milliseconds: 30 * 60_000, total: 9, unit: "images", log: lines, end: () => ({ result: { checked: 9, hashed: 1, damaged: [], unreadable: [], bytes: 21_300_000_000, duration: 1800 } }) }, 11 * 60_000);
  }

  find(id) {
    return this.list.find((store) => store.id === id);
  }

  show(store) {
    const counts = {};
    for (const slide of this.#slides) if (slide.store === store.id) counts[slide.state] = (counts[slide.state] ?? 0) + 1;
    return { ...store, counts };
  }

  add(body) {
    const store = record({});
    const errors = this.#apply(store, body, true);
    if (errors.status || errors.length > 0) return refusal(errors);
    this.list.push(store);
    return { status: 201, value: this.show(store) };
  }

  change(store, body) {
    const copy = { ...store };
    const errors = this.#apply(copy, body, false);
    if (errors.status || errors.length > 0) return refusal(errors);
    Object.assign(store, copy);
    return { status: 200, value: this.show(store) };
  }

  // remove returns whether a store could be removed.
  remove(store, keepFiles) {
    const held = Object.entries(this.show(store).counts).some(([state, n]) => state !== "missing" && n > 0);
    if (store.mode === "managed" && held && !keepFiles) return false;
    this.list = this.list.filter((other) => other !== store);
    return true;
  }

  sync(store, params) {
    const on = (name) => params.get(name) === "true";
    const args = { store: store.id, ...(on("confirm") && { confirm: true }), ...(on("dry_run") && { dry_run: true }) };
    return this.submit(on("resync") ? "resync_store" : "sync_store", this.queue(store), args);
  }

  queue(store) {
    return store.queue ?? (store.host ? `host-${store.host}` : "default");
  }

  submit(kind, queue, args) {
    return this.#tasks.same(kind, args) ?? this.#tasks.add(kind, queue, args, this.#plan(kind, args));
  }

  #plan(kind, args) {
    const store = this.find(args.store);
    const slides = this.#slides.filter((slide) => slide.store === args.store);
    if (kind === "verify_store") return { milliseconds: 6000, total: slides.length, unit: "images", log: slides.map((slide) => `image ${slide.id}: as it should be`), end: () => ({ result: { checked: slides.length, hashed: 0, damaged: [], unreadable: [], bytes: slides.reduce((sum, slide) => sum + slide.size, 0), duration: 6 } }) };
    if (!store || !kind.endsWith("_store")) return { milliseconds: 2500, total: null, unit: "files", end: () => ({ result: null }) };
    const there = slides.filter((slide) => slide.state !== "missing").length;
    return { milliseconds: args.dry_run ? 1500 : 3500, total: there, unit: "files", log: ["the folder is there", `walked 4 folders: ${there} files`, "the catalog is in step"], end: () => this.#passed(store, args, slides, there) };
  }

  // #passed is the end of a pass over a store's folder.
  #passed(store, args, slides, there) {
    const error = store.watch?.error;
    if (error === noRoot || (error === manyMissing && !args.confirm)) return { error };
    const found = result({ count: there, duration: 3.1 });
    if (error === manyMissing) Object.assign(found, { count: 1, missing: 11 });
    if (args.dry_run && store.id === "main") Object.assign(found, { added: 2, missing: 1 });
    if (args.dry_run) return { result: found };
    if (error === manyMissing) {
      store.watch.error = null;
      for (const slide of slides.slice(1)) Object.assign(slide, { state: "missing", tile_url: null, missing_since: ago(0) });
    }
    Object.assign(store, { last_sync: ago(0), last_result: found });
    return { result: found };
  }

  // #apply sets what is given, and returns what is wrong: sentences, or a refusal.
  #apply(store, body, fresh) {
    const errors = [];
    if (fresh && body.root === undefined) errors.push("root: a store needs a folder");
    if (!fresh && body.mode !== undefined && body.mode !== store.mode) errors.push("mode: that of a store can't be changed: remove it, and add its folder anew");
    for (const [name, value] of Object.entries(body)) {
      if (!(name in store) || ["id", "last_sync", "last_result", "next_sync", "watch"].includes(name)) {
        errors.push(`body.${name}: unexpected property`);
        continue;
      }
      const wrong = value === null ? (name === "root" ? "a store needs a folder" : "") : check(name, value);
      if (typeof wrong === "object") return wrong;
      if (wrong) errors.push(`${name}: ${wrong}`);
      else store[name] = value === null ? defaults[name] ?? null : (kept[name] ?? ((v) => v))(value);
    }
    if (errors.length > 0) return errors;
    if (this.list.some((other) => other.id !== store.id && overlap(other.root, store.root))) return { status: 409, detail: "The folder is, holds or lies in that of another store: a file may be in one store only." };
    if (store.mode === "in-place" && store.incoming) return ["incoming: the files of an in-place store stay where they are: it has no folder for arrivals"];
    if (store.mode === "managed" && !store.incoming) {
      store.incoming = join(store.root, "incoming");
      mkdirSync(store.incoming, { recursive: true });
    }
    store.label ||= basename(store.root);
    store.next_sync = store.schedule ? ago(-14 * 60_000) : null;
    return [];
  }
}

const defaults = { include: [], exclude: [], background: "#ffffff", origin: "top-left", public: false, hide_labels: false, mode: "in-place", label: "" };
const kept = { settle: duration, hide_after: duration, drop_after: duration, keep_trash: duration, root: normalize, incoming: normalize, endpoint: (v) => v.replace(/\/+$/, ""), background: (v) => v.toLowerCase(), label: (v) => v.trim() };

// duration writes a duration as Go does.
function duration(text) {
  const s = seconds(text);
  const [h, m] = [Math.floor(s / 3600), Math.floor((s % 3600) / 60)];
  return `${h ? `${h}h` : ""}${h || m ? `${m}m` : ""}${s % 60}s`;
}

function seconds(text) {
  const units = { d: 86_400, h: 3600, m: 60, s: 1 };
  if (!/^(\d+d|(\d+h)?(\d+m)?(\d+s)?)$/.test(text)) return 0;
  return [...text.matchAll(/(\d+)([dhms])/g)].reduce((sum, [, n, unit]) => sum + Number(n) * units[unit], 0);
}

const period = (v) => (seconds(v) > 0 ? "" : "a duration above 0 such as 90s, 10m, 36h or 30d; null for the default");
const schedule = (v) => (seconds(v) > 0 || v.trim().split(/\s+/).length === 5 ? "" : `${JSON.stringify(v)} is neither an interval such as 15m nor five fields of cron`);
const patterns = (v) => (Array.isArray(v) && v.every((p) => !p.includes("[") || p.includes("]")) ? "" : "a pattern has a [ without its ]");

const checks = {
  label: (v) => (v.trim() ? "" : "give it a name, or null for that of its folder"),
  mode: (v) => (v === "in-place" || v === "managed" ? "" : "in-place or managed"),
  host: (v) => (/^[A-Za-z0-9][A-Za-z0-9._-]*$/.test(v) ? "" : "the name of a host, as its command hostname says it"),
  endpoint: (v) => (/^https?:\/\/[^/?#@]+[^?#]*$/.test(v) ? "" : "a URL such as https://tiles.example.org, without user, query or fragment"),
  schedule, verify: schedule,
  time_zone: (v) => (Intl.supportedValuesOf("timeZone").includes(v) || v === "UTC" ? "" : "the name of a time zone such as Europe/Vienna or UTC; null for the server's"),
  queue: (v) => (/^[a-z0-9]+([-_][a-z0-9]+)*$/.test(v) ? "" : "up to 64 lower-case letters and digits, with single hyphens or underscores between them"),
  include: patterns, exclude: patterns,
  settle: period, hide_after: period, drop_after: period, keep_trash: period,
  max_missing: (v) => (typeof v !== "number" ? "expected number" : v > 0 && v <= 1 ? "" : "a share above 0 and at most 1; null for the default"),
  verify_rate: (v) => (Number.isInteger(v) && v > 0 ? "" : "bytes per second, above 0; null for the default"),
  background: (v) => (/^#[0-9a-f]{6}$/i.test(v) ? "" : "a colour as #rrggbb, such as #ffffff"),
  origin: (v) => (v === "top-left" || v === "bottom-left" ? "" : "top-left or bottom-left"),
  root: folder, incoming: folder,
};

function check(name, value) {
  return checks[name]?.(value) ?? "";
}

function folder(path) {
  if (!isAbsolute(path)) return "give the whole path, from / on";
  if (!roots.some((root) => overlap(root, path) && normalize(path).startsWith(root))) return { status: 403, detail: "Root: the folder lies outside of those in which the server may have stores (store_roots in its configuration)." };
  if (!existsSync(path)) return "there is no such folder on the server, or it may not be read";
  return statSync(path).isDirectory() ? "" : "this is not a folder";
}

function overlap(a, b) {
  const [x, y] = [a, b].map((path) => `${normalize(path).replace(/\/$/, "")}/`);
  return x.startsWith(y) || y.startsWith(x);
}

function refusal(errors) {
  if (errors.status) return errors;
  return { status: 422, detail: `The request is not valid: ${errors[0]}.`, errors };
}
