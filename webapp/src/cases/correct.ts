// The dialog that corrects the names of the case of a slide.

import { changeImage, Problem, type ListedImage } from "../api/client";
import type { SlideImage, Store } from "../api/types";
import { isLabelled, may } from "../access/session";
import { slideName } from "../gallery/card";
import { t } from "../strings";
import { iconButton } from "../ui/button";
import { openForm } from "../ui/dialog";
import { h, replace } from "../ui/dom";

const fields = ["accession", "part", "block", "stain"] as const;

// correctButton is shown to users who may change the slide.
export function correctButton(image: ListedImage, store: Store | undefined, done: () => void): HTMLElement | null {
  if (!isLabelled(image) || !may("write", store)) return null;
  return iconButton("edit", t.cases.correct(slideName(image)), () => openCorrection(image, done), { class: "icon-button small" });
}

export function openCorrection(image: ListedImage, done: (changed: SlideImage) => void): void {
  const problem = h("div", { class: "form-problem", role: "alert", hidden: true });
  const inputs = fields.map((name) => h("input", { type: "text", id: `correct-${name}`, name, value: image[name] ?? "", maxlength: "200", autocomplete: "off", spellcheck: "false" }));
  const save = h("button", { type: "submit", class: "button" }, t.cases.save);
  const form = h(
    "form",
    { class: "stack", novalidate: true, autocomplete: "off", onsubmit: (event: Event) => { event.preventDefault(); void submit(); } },
    h("p", { class: "quiet" }, t.cases.correctHint),
    ...fields.map((name, i) => h("div", { class: "field" }, h("label", { for: `correct-${name}` }, t.cases.fields[name], image.corrected?.includes(name) ? h("span", { class: "mark" }, t.cases.corrected) : null), inputs[i]!)),
    problem,
    h("div", { class: "dialog-foot" }, h("button", { type: "button", class: "button plain", onclick: () => dialog.close() }, t.cancel), save),
  );
  const dialog = openForm(t.cases.correctTitle(slideName(image)), "correct", form);
  inputs[0]!.focus();

  async function submit(): Promise<void> {
    const patch: Partial<Record<(typeof fields)[number], string | null>> = {};
    fields.forEach((name, i) => {
      const value = inputs[i]!.value.trim();
      if (value !== (image[name] ?? "")) patch[name] = value || null;
    });
    save.disabled = true;
    try {
      const changed = Object.keys(patch).length > 0 ? await changeImage(image.id, patch) : null;
      dialog.close();
      if (changed) done(changed);
    } catch (err) {
      save.disabled = false;
      problem.hidden = false;
      replace(problem, h("p", null, err instanceof Problem ? [err.detail, ...err.errors].filter(Boolean).join(" ") : String(err)));
    }
  }
}
