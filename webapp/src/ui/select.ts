import { h, replace } from "./dom";

export interface Select {
  frame: HTMLElement;
  input: HTMLSelectElement;
}

// labelledSelect is a select element with a label, for a toolbar.
export function labelledSelect(name: string, label: string, onchange: (value: string) => void): Select {
  const input = h("select", { name, "aria-label": label, onchange: () => onchange(input.value) });
  return { input, frame: h("label", { class: "select" }, h("span", { class: "select-label", "aria-hidden": "true" }, label), input) };
}

// fill sets the options of a select element, each a value and its text. Unchanged options are kept,
// so that an open list stays open.
export function fill(select: HTMLSelectElement, options: [string, string][], value: string): void {
  const current = [...select.options].map((option) => `${option.value}=${option.text}`).join();
  if (current !== options.map(([v, text]) => `${v}=${text}`).join()) {
    replace(select, ...options.map(([v, text]) => h("option", { value: v }, text)));
  }
  select.value = value;
}
