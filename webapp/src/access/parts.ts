// Elements shared by the pages about users.

import { t } from "../strings";
import { notify } from "../ui/announce";
import { openForm } from "../ui/dialog";
import { h, replace, type Child } from "../ui/dom";
import { icon } from "../ui/icons";
import { message } from "../ui/message";
import { form, type FormOptions } from "./field";
import { problemWords } from "./words";

// box is a section of a page, with a heading and an action at its end.
export function box(title: string, action: Child, ...children: Child[]): HTMLElement {
  return h("section", { class: "box people-box", "aria-label": title }, h("div", { class: "box-head" }, h("h2", null, title), action), ...children);
}

export function button(text: string, onclick: () => void, look = "button small plain", label?: string): HTMLButtonElement {
  return h("button", { type: "button", class: look, onclick, "aria-label": label ? `${text.replace(/ …$/, "")}: ${label}` : null }, text);
}

export function addButton(text: string, onclick: () => void): HTMLButtonElement {
  return h("button", { type: "button", class: "button small", onclick }, icon("plus", 16), text);
}

// table labels each cell with its column, for narrow windows.
export function table(columns: string[], rows: Child[][], label: string): HTMLElement {
  const cell = (value: Child, i: number): HTMLElement => (i === 0 ? h("th", { scope: "row" }, value) : h("td", { "data-label": columns[i] || null }, value));
  return h(
    "div",
    { class: "table-frame" },
    h("table", { class: "table", "aria-label": label }, h("thead", null, h("tr", null, ...columns.map((name) => (name ? h("th", { scope: "col" }, name) : h("td", null))))), h("tbody", null, ...rows.map((row) => h("tr", null, ...row.map(cell))))),
  );
}

// dialogForm opens a form in a dialog, which closes when it has been sent.
export function dialogForm(title: string, name: string, o: Omit<FormOptions, "cancel" | "words"> & { words?: FormOptions["words"]; stay?: () => boolean }): HTMLDialogElement {
  const dialog = openForm(title, name, form({
    words: problemWords,
    ...o,
    async submit() {
      await o.submit();
      if (!o.stay?.()) dialog.close();
    },
    cancel: { text: t.cancel, run: () => dialog.close() },
  }));
  dialog.querySelector<HTMLElement>(".dialog-body input, .dialog-body select")?.focus();
  return dialog;
}

// load fills body once its content is loaded, or shows the error.
export async function load(body: HTMLElement, signal: AbortSignal, fill: () => Promise<Child[]>): Promise<void> {
  try {
    const children = await fill();
    if (!signal.aborted) replace(body, ...children);
  } catch (err) {
    if (signal.aborted) return;
    replace(body, message({ picture: icon("warning", 40), title: t.error.title, text: problemWords(err), alert: true, action: h("button", { type: "button", class: "button", onclick: () => void load(body, signal, fill) }, t.retry) }));
  }
}

// attempt shows the error if an action fails, and words if it succeeds.
export async function attempt(run: () => Promise<void>, words = ""): Promise<boolean> {
  try {
    await run();
  } catch (err) {
    notify(problemWords(err), 8000);
    return false;
  }
  if (words) notify(words);
  return true;
}

export function badge(text: string, look: string): HTMLElement {
  return h("span", { class: `badge plain-badge badge-${look}` }, text);
}
