import { t } from "../strings";
import { iconButton } from "./button";
import { h, type Child } from "./dom";

// openDialog shows a modal dialog, which Escape, its button and a click outside
// close, and which gives the focus back.
export function openDialog(title: string, name: string, ...children: Child[]): HTMLDialogElement {
  const dialog = openForm(title, name, ...children);
  dialog.addEventListener("click", (event) => {
    if (event.target === dialog) dialog.close();
  });
  return dialog;
}

// openForm is openDialog for what would be lost by a click that went astray: one
// outside does nothing.
export function openForm(title: string, name: string, ...children: Child[]): HTMLDialogElement {
  const heading = h("h2", { id: "dialog-title" }, title);
  const dialog = h(
    "dialog",
    { class: `dialog dialog-${name}`, "aria-labelledby": "dialog-title" },
    h("div", { class: "dialog-frame" }, h("header", { class: "dialog-head" }, heading, iconButton("close", t.close, () => dialog.close())), h("div", { class: "dialog-body" }, ...children)),
  );
  dialog.addEventListener("close", () => dialog.remove());
  (document.fullscreenElement ?? document.body).append(dialog);
  dialog.showModal();
  return dialog;
}
