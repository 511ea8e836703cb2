// What a user may do with a slide of the gallery: edit its label and external id, delete it.

import "../styles/manage.css";

import { isLabelled, may, session } from "../access/session";
import { field, textInput } from "../access/field";
import { changeImage, deleteImage, Problem, type ListedImage } from "../api/client";
import type { SlideImage, Store } from "../api/types";
import { ask, wordsOf } from "../stores/dialogs";
import { durationSeconds, formatSeconds } from "../time";
import { t } from "../strings";
import { announce, notify } from "../ui/announce";
import { openForm } from "../ui/dialog";
import { h } from "../ui/dom";
import { icon } from "../ui/icons";
import { slideName } from "./card";

export interface Changes {
  changed: (image: ListedImage) => void;
  deleted: (id: string) => void;
}

// mayEdit reports whether the caller may change the label of an image: only callers who see it.
export function mayEdit(image: ListedImage, store: Store | undefined): boolean {
  return isLabelled(image) && may("write", store);
}

// slideMenu is the button and menu of a slide; null if the caller may do nothing with it.
export function slideMenu(image: ListedImage, store: Store | undefined, changes: Changes): HTMLElement | null {
  const [edits, deletes] = [mayEdit(image, store), may("admin", store)];
  if (!edits && !deletes) return null;
  const name = slideName(image);
  const menu = h("details", { class: "card-menu" }, h("summary", { "aria-label": t.slide.actions(name), title: t.slide.actions(name) }, icon("more", 18)));
  const item = (words: string, act: () => void, danger = false): HTMLElement => h("button", { type: "button", class: danger ? "danger" : null, onclick: () => {
    menu.open = false;
    act();
  } }, words);
  menu.append(h(
    "div",
    { class: "card-menu-items" },
    edits ? item(t.slide.edit, () => editSlide(image, changes.changed)) : null,
    edits ? item(t.slide.correct, () => void correctCase(image, changes.changed)) : null,
    deletes ? item(t.slide.delete, () => askDelete(image, store, changes.deleted), true) : null,
  ));
  menu.addEventListener("keydown", (event) => {
    if (event.key !== "Escape" || !menu.open) return;
    event.stopPropagation();
    menu.open = false;
    menu.querySelector("summary")!.focus();
  });
  menu.addEventListener("focusout", (event) => {
    if (event.relatedTarget instanceof Node && !menu.contains(event.relatedTarget)) menu.open = false;
  });
  menu.addEventListener("toggle", () => {
    if (!menu.open) return;
    document.addEventListener("pointerdown", function outside(event) {
      if (menu.contains(event.target as Node) && menu.open) return;
      document.removeEventListener("pointerdown", outside);
      menu.open = false;
    });
  });
  return menu;
}

// correctCase opens the form for the names of the case.
export async function correctCase(image: ListedImage, done: (image: SlideImage) => void): Promise<void> {
  const { openCorrection } = await import("../cases/correct");
  openCorrection(image, (changed) => {
    announce(t.slide.saved);
    done(changed);
  });
}

// editSlide opens the form for the label and the external id.
export function editSlide(image: ListedImage, done: (image: SlideImage) => void): void {
  const label = field(t.slide.label, textInput("label", { maxlength: 200, value: image.label ?? "" }), t.slide.labelHint);
  const id = field(t.slide.externalId, textInput("external_id", { maxlength: 200, value: image.external_id ?? "" }), t.slide.externalIdHint);
  const problem = h("p", { class: "form-problem", role: "alert", hidden: true });
  const save = h("button", { type: "submit", class: "button" }, t.storeForm.save);
  const submit = async (): Promise<void> => {
    if (save.disabled) return;
    const patch: { label?: string | null; external_id?: string | null } = {};
    const value = (input: HTMLInputElement): string | null => input.value.trim() || null;
    if (value(label.control) !== (image.label ?? null)) patch.label = value(label.control);
    if (value(id.control) !== (image.external_id ?? null)) patch.external_id = value(id.control);
    if (Object.keys(patch).length === 0) return dialog.close();
    save.disabled = true;
    problem.hidden = true;
    try {
      const changed = await changeImage(image.id, patch);
      dialog.close();
      announce(t.slide.saved);
      done(changed);
    } catch (err) {
      problem.textContent = wordsOf(err);
      problem.hidden = false;
      save.disabled = false;
    }
  };
  const form = h(
    "form",
    { class: "stack", novalidate: true, autocomplete: "off", onsubmit: (event: Event) => { event.preventDefault(); void submit(); } },
    h("p", { class: "quiet slide-file" }, image.file_name ?? image.id), label.row, id.row, problem,
    h("div", { class: "dialog-foot" }, h("button", { type: "button", class: "button plain", onclick: () => dialog.close() }, t.cancel), save),
  );
  const dialog = openForm(t.slide.editTitle, "slide", form);
  label.control.focus();
}

const keepTrash = 30 * 24 * 3600; // seconds; the default of the server

const day = 24 * 3600; // seconds

const inWords = (seconds: number): string => (seconds % day === 0 ? t.slide.days(seconds / day) : formatSeconds(seconds));

// askDelete asks before a slide is deleted.
export function askDelete(image: ListedImage, store: Store | undefined, done: (id: string) => void): void {
  const name = slideName(image);
  const then = store?.mode === "managed" ? t.slide.deleteManaged(inWords((store.keep_trash ? durationSeconds(store.keep_trash) : null) ?? keepTrash)) : t.slide.deleteInPlace;
  ask({
    title: t.slide.deleteTitle, name: "delete-slide", danger: true, yes: t.slide.delete,
    text: [h("p", { class: "slide-file" }, h("strong", null, name)), h("p", null, then)],
    run: async () => {
      try {
        await deleteImage(image.id);
      } catch (err) {
        if (!(err instanceof Problem && err.status === 404)) throw err; // another user has deleted it
      }
      notify([t.slide.deleted(name), session().admin ? "" : t.slide.undo].filter(Boolean).join(" "), 5000);
      done(image.id);
    },
  });
}
