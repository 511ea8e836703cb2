import { t } from "../strings";
import { iconButton } from "./button";
import { h, type Child } from "./dom";

// openDialog shows a modal dialog. Escape, the close button and a click outside close it, and the
// focus returns to where it was.
export function openDialog(title: string, name: string, ...children: Child[]): HTMLDialogElement {
  const dialog = openForm(title, name, ...children);
  dialog.addEventListener("click", (event) => {
    if (event.target === dialog) dialog.close();
  });
  return dialog;
}

// openForm is openDialog without closing on a click outside, which would lose input.
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
