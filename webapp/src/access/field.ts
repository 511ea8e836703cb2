// Form fields: a label, a control, a hint and an error message.

import { h, replace, type Child } from "../ui/dom";

export type Control = HTMLInputElement | HTMLSelectElement;

export interface FieldOf<C extends Control> {
  row: HTMLElement;
  control: C;
  // wrong shows an error; "" removes it.
  wrong(words: string): void;
}

let count = 0;

// field adds a label to control. Hint may be a node, for hints that change.
export function field<C extends Control>(caption: string, control: C, hint?: Child): FieldOf<C> {
  const id = (control.id ||= `field-${++count}`);
  const note = h("p", { class: "field-error", id: `${id}-error`, hidden: true });
  const about = hint ? h("div", { class: "hint", id: `${id}-hint` }, hint) : null;
  control.setAttribute("aria-describedby", `${about ? `${id}-hint ` : ""}${id}-error`);
  const row = h("div", { class: "field" }, h("label", { for: id }, caption), control, about, note);
  return {
    row, control,
    wrong(words: string): void {
      note.textContent = words;
      note.hidden = words === "";
      if (words) control.setAttribute("aria-invalid", "true");
      else control.removeAttribute("aria-invalid");
    },
  };
}

export function textInput(name: string, props: Record<string, unknown> = {}): HTMLInputElement {
  return h("input", { type: "text", name, spellcheck: "false", autocapitalize: "off", autocomplete: "off", ...props });
}

export function passwordInput(name: string, autocomplete: "current-password" | "new-password", props: Record<string, unknown> = {}): HTMLInputElement {
  return h("input", { type: "password", name, autocomplete, maxlength: 1000, ...props });
}

export function selectInput(name: string, options: [string, string][], props: Record<string, unknown> = {}): HTMLSelectElement {
  return h("select", { name, ...props }, ...options.map(([value, text]) => h("option", { value }, text)));
}

// A Form sends its fields, and shows an error above its button.
export interface FormOptions {
  fields: Child[];
  action: string;
  busy: string;
  submit: () => Promise<void>;
  words: (err: unknown) => string; // the text of an error; "" if a field shows it
  cancel?: { text: string; run: () => void };
  class?: string;
}

export function form(o: FormOptions): HTMLFormElement {
  const problem = h("p", { class: "form-problem", role: "alert", hidden: true });
  const button = h("button", { type: "submit", class: "button" }, o.action);
  const send = async (event: Event): Promise<void> => {
    event.preventDefault();
    if (button.disabled) return;
    button.disabled = true;
    problem.hidden = true;
    replace(button, o.busy);
    try {
      await o.submit();
    } catch (err) {
      problem.textContent = o.words(err);
      problem.hidden = problem.textContent === "";
    } finally {
      button.disabled = false;
      replace(button, o.action);
    }
  };
  const cancel = o.cancel ? h("button", { type: "button", class: "button plain", onclick: o.cancel.run }, o.cancel.text) : null;
  return h("form", { class: `stack ${o.class ?? ""}`, novalidate: true, onsubmit: (event: Event) => void send(event) }, ...o.fields, problem, h("div", { class: "dialog-foot" }, cancel, button));
}
