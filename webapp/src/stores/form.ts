// The form that adds or changes a store.

import { addStore, changeStore, listStoreFolders, Problem } from "../api/client";
import type { Store, StoreFolder } from "../api/types";
import { formatBytes } from "../format";
import { t } from "../strings";
import { openForm } from "../ui/dialog";
import { h, replace, type Child } from "../ui/dom";
import { storeName } from "./card";
import { sentence } from "./condition";
import { wordsOf } from "./dialogs";
import { patternTry } from "./pattern-try";
import { fieldErrors, patchOf, valuesOf, type Field, type Values } from "./fields";

type Control = HTMLInputElement | HTMLSelectElement | HTMLTextAreaElement;

interface Group {
  name: keyof typeof t.storeForm.groups;
  fields: Field[];
}

const groups: Group[] = [
  { name: "store", fields: ["mode", "root", "password_file", "incoming", "label", "quota"] },
  { name: "sync", fields: ["schedule", "time_zone", "settle"] },
  { name: "files", fields: ["include", "exclude", "convert"] },
  { name: "cases", fields: ["case_pattern", "case_source"] },
  { name: "missing", fields: ["max_missing", "hide_after", "drop_after", "keep_trash"] },
  { name: "verify", fields: ["verify", "verify_rate"] },
  { name: "tasks", fields: ["host", "queue"] },
  { name: "show", fields: ["endpoint", "background", "origin", "public", "hide_labels"] },
];
const ofManaged: Field[] = ["incoming", "keep_trash", "quota", "convert"];
const ofFolders: Field[] = ["incoming", "convert"]; // of a managed store that is not in a bucket
const ofFoundFiles: Field[] = ["settle", "include", "exclude"]; // a managed store in a bucket has named its objects itself
const placeholders: Partial<Record<Field, string>> = {
  root: "/slides/scanner1", schedule: "15m", settle: "10m", max_missing: "50", hide_after: "30d", drop_after: "365d", keep_trash: "30d", verify: "0 3 * * 0", verify_rate: "50", quota: "500",
  background: "#ffffff", endpoint: "https://tiles.example.org", include: "*.tiff", exclude: "tests/**", time_zone: "Europe/Vienna", case_pattern: "(?P<accession>S\\d\\d-\\d+)[ _](?P<block>[A-Z]\\d+)[ _](?P<stain>\\w+)",
};

const newFolder = "archive"; // the name of the folder that is proposed for a managed store

// openStoreForm opens the form for a store, or for a new one if store is null.
// Preset are values of the new store.
export function openStoreForm(store: Store | null, done: (store: Store) => void, preset: Partial<Store> = {}): void {
  new StoreForm(store, done, preset);
}

class StoreForm {
  private readonly before: Values;
  private readonly controls = new Map<Field, Control>();
  private readonly rows = new Map<Field, HTMLElement>();
  private readonly notes = new Map<Field, HTMLElement>();
  private readonly problem = h("div", { class: "form-problem", role: "alert", tabindex: "-1", hidden: true });
  private readonly save: HTMLButtonElement;
  private readonly dialog: HTMLDialogElement;

  private readonly folders = h("div", { class: "store-folders" });
  private readonly pattern = h("div", { class: "pattern-try" });
  private readonly make = h("input", { type: "checkbox", id: "store-make-folder" });

  constructor(private readonly store: Store | null, private readonly done: (store: Store) => void, preset: Partial<Store>) {
    this.before = valuesOf(store ?? { mode: "in-place", convert: true, ...preset });
    this.save = h("button", { type: "submit", class: "button" }, store ? t.storeForm.save : t.storeForm.add);
    const form = h(
      "form",
      { class: "stack store-form", novalidate: true, autocomplete: "off", onsubmit: (event: Event) => { event.preventDefault(); void this.submit(); } },
      store && !store.root ? h("p", { class: "quiet" }, t.storeForm.restrict) : null,
      ...groups.map((group) => this.group(group)),
      zones(),
      this.problem,
      h("div", { class: "dialog-foot sticky" }, h("button", { type: "button", class: "button plain", onclick: () => this.dialog.close() }, t.cancel), this.save),
    );
    this.controls.get("mode")!.addEventListener("change", () => this.showMode());
    this.controls.get("root")!.addEventListener("input", () => this.showPlace());
    this.showMode();
    if (!store) void this.showFolders();
    else patternTry(this.pattern, store, this.controls.get("case_pattern") as HTMLInputElement, this.controls.get("case_source") as HTMLSelectElement);
    this.dialog = openForm(store ? t.storeForm.editTitle(storeName(store)) : t.storeForm.addTitle, "store", form);
    const first = this.controls.get(store ? "label" : "root")!;
    (first.disabled ? this.save : first).focus();
  }

  // group is a part of the form. All parts but the first are collapsed if they contain only default
  // values.
  private group({ name, fields }: Group): HTMLElement {
    const rows = fields.map((field) => this.row(field));
    const title = t.storeForm.groups[name];
    if (name === "store") return h("fieldset", { class: "group" }, h("legend", null, title), ...rows);
    const defaults = valuesOf({ background: "#ffffff", origin: "top-left", convert: this.store?.mode !== "in-place" });
    const open = this.store !== null && fields.some((field) => this.before[field] !== defaults[field]);
    return h("details", { class: "group", open }, h("summary", null, title), ...rows);
  }

  private row(name: Field): HTMLElement {
    const { label, hint } = t.storeForm.fields[name]!;
    const id = `store-${name}`;
    const control = this.control(name, id);
    const key = this.store?.declared?.[name];
    if (key) control.disabled = true;
    const note = h("p", { class: "field-error", id: `${id}-error`, hidden: true });
    this.controls.set(name, control);
    this.notes.set(name, note);
    control.setAttribute("aria-describedby", `${id}-hint ${id}-error`);
    const tick = control instanceof HTMLInputElement && control.type === "checkbox";
    const caption = h("label", { for: id }, label, key ? h("span", { class: "mark", "data-testid": `${id}-provisioned` }, t.storeForm.provisioned) : null);
    const about = h("p", { class: "hint", id: `${id}-hint` }, key ? t.storeForm.provisionedHint(key) : hint);
    if (name === "root") this.folders.hidden = true;
    const extra = name === "case_source" && this.store ? [this.pattern] : name === "root" && !this.store ? [h("label", { class: "tick" }, this.make, h("span", null, t.storeForm.makeFolder)), this.folders] : [];
    const row = tick ? h("div", { class: "field tick-field" }, control, h("div", null, caption, about, note)) : h("div", { class: "field" }, caption, control, about, note, ...extra);
    this.rows.set(name, row);
    return row;
  }

  private control(name: Field, id: string): Control {
    const value = this.before[name];
    const common = { id, name, "data-testid": id, spellcheck: "false", autocapitalize: "off", autocomplete: "off" };
    if (typeof value === "boolean") return h("input", { type: "checkbox", id, name, checked: value });
    if (name === "mode") return select(common, Object.entries(t.stores.modes), value ?? "", this.store !== null);
    if (name === "case_source") return select(common, Object.entries(t.storeForm.caseSources), value || "");
    if (name === "origin") return select(common, Object.entries(t.storeForm.origins), value || "top-left");
    const placeholder = placeholders[name];
    if (name === "include" || name === "exclude") return h("textarea", { ...common, rows: 3, placeholder }, value ?? "");
    const kind = name === "max_missing" || name === "verify_rate" || name === "quota" ? { inputmode: "decimal" } : name === "endpoint" ? { inputmode: "url" } : {};
    const required = name === "root" && !this.store ? { "aria-required": "true" } : {};
    const list = name === "time_zone" ? { list: "time-zones" } : {};
    return h("input", { type: "text", ...common, ...kind, ...required, ...list, placeholder, value });
  }

  // showFolders lists the folders in which stores are allowed. A managed store gets a new folder in
  // the first one that the server can write to.
  private async showFolders(): Promise<void> {
    let list: StoreFolder[];
    try {
      list = await listStoreFolders();
    } catch {
      return; // the server names the folders in its error
    }
    const root = this.controls.get("root") as HTMLInputElement;
    const writable = list.find((folder) => folder.writable);
    if (this.before.mode === "managed" && !root.value && writable) root.value = `${writable.path.replace(/\/$/, "")}/${newFolder}`;
    const facts = (f: StoreFolder): string => [!f.exists ? t.storeForm.absent : f.writable ? "" : t.storeForm.readOnly, f.free === null ? "" : t.storeForm.free(formatBytes(f.free))].filter(Boolean).join(" · ");
    const use = (f: StoreFolder): void => {
      root.value = `${f.path.replace(/\/$/, "")}/`;
      root.focus();
    };
    replace(this.folders, ...(list.length === 0 ? [h("p", { class: "hint" }, t.storeForm.noFolders)] : [
      h("p", { class: "hint" }, t.storeForm.folders),
      h("ul", { role: "list" }, ...list.map((f) => h("li", null, h("button", { type: "button", class: "step", "aria-label": t.storeForm.use(f.path), onclick: () => use(f) }, h("code", null, f.path)), " ", h("span", { class: "hint" }, facts(f))))),
    ]));
    this.folders.hidden = false;
  }

  private showMode(): void {
    const managed = this.controls.get("mode")!.value === "managed";
    this.showPlace();
    this.make.checked = managed; // a folder of slides exists already: a new one would hide a wrong path
    this.rows.get("mode")!.querySelector(".hint")!.textContent = [t.stores.modeHints[this.controls.get("mode")!.value], this.store ? "" : t.storeForm.fields.mode!.hint, this.store?.declared?.mode ? t.storeForm.provisionedHint(this.store.declared.mode) : ""].filter(Boolean).join(" ");
  }

  // showPlace shows the fields of the kind of store, which follows from mode and address.
  private showPlace(): void {
    const managed = this.controls.get("mode")!.value === "managed";
    const address = this.controls.get("root")!.value.trim();
    const bucket = address.startsWith("s3:");
    for (const name of ofManaged) this.rows.get(name)!.hidden = !managed || (bucket && ofFolders.includes(name));
    for (const name of ofFoundFiles) this.rows.get(name)!.hidden = managed && bucket;
    this.rows.get("password_file")!.hidden = !/^mongodb(\+srv)?:/.test(address);
    const make = this.make.closest("label"); // only of a new store
    if (make) make.hidden = /^[a-z0-9+]+:/.test(address);
  }

  private values(): Values {
    const values: Values = {};
    for (const [name, control] of this.controls) {
      if (this.rows.get(name)!.hidden || this.store?.declared?.[name]) continue;
      values[name] = control instanceof HTMLInputElement && control.type === "checkbox" ? control.checked : control.value;
    }
    return values;
  }

  private async submit(): Promise<void> {
    if (this.save.disabled) return;
    // A new store is sent with its mode; the background colour and origin of a store are never
    // null.
    const before = this.store ? this.before : { ...this.before, mode: "", origin: "top-left" };
    const patch = patchOf(before, this.values());
    if (this.store && Object.keys(patch).length === 0) {
      this.dialog.close();
      return;
    }
    this.clearProblem();
    this.save.disabled = true;
    this.save.textContent = t.storeForm.saving;
    try {
      const store = this.store ? await changeStore(this.store.id, patch) : await addStore(patch, this.make.checked && !this.make.closest("label")!.hidden);
      this.dialog.close();
      this.done(store);
    } catch (err) {
      this.showProblem(err);
    } finally {
      this.save.disabled = false;
      this.save.textContent = this.store ? t.storeForm.save : t.storeForm.add;
    }
  }

  private clearProblem(): void {
    this.problem.hidden = true;
    for (const [name, note] of this.notes) {
      note.hidden = true;
      note.textContent = "";
      this.controls.get(name)!.removeAttribute("aria-invalid");
    }
  }

  // showProblem shows each error at its field, and all errors above the buttons.
  private showProblem(err: unknown): void {
    const found = err instanceof Problem ? fieldErrors(err.errors, [...this.controls.keys()]) : new Map<Field | "", string>();
    const list: Child[] = [];
    let first: Control | null = null;
    for (const name of this.controls.keys()) {
      const words = found.get(name);
      if (!words) continue;
      const control = this.controls.get(name)!;
      const note = this.notes.get(name)!;
      note.textContent = sentence(words);
      note.hidden = false;
      control.setAttribute("aria-invalid", "true");
      const folded = control.closest("details");
      if (folded) folded.open = true;
      this.rows.get(name)!.hidden = false;
      first ??= control;
      list.push(h("li", null, `${t.storeForm.fields[name]!.label}: ${words}`));
    }
    const rest = found.get("");
    if (rest) list.push(h("li", null, sentence(rest)));
    replace(this.problem, ...(list.length > 0 ? [h("p", null, t.storeForm.wrong), h("ul", null, ...list)] : [h("p", null, wordsOf(err))]));
    this.problem.hidden = false;
    if (first) first.focus();
    else this.problem.scrollIntoView({ block: "nearest" });
  }
}

function select(props: Record<string, unknown>, options: [string, string][], value: string, disabled = false): HTMLSelectElement {
  return h("select", { ...props, disabled }, ...options.map(([name, text]) => h("option", { value: name, selected: name === value }, text)));
}

function zones(): HTMLElement {
  return h("datalist", { id: "time-zones" }, ...Intl.supportedValuesOf("timeZone").map((zone) => h("option", { value: zone })));
}
