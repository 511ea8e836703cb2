// The bar at the bottom of the gallery with the number of selected slides, and a link to compare
// them.

import { loadSession } from "../access/session";
import { compareAddress, mostSlides } from "../compare/link";
import { t } from "../strings";
import { h } from "../ui/dom";
import { clearSelection, onSelection, selected } from "./selection";

export function tray(list: HTMLElement, signal: AbortSignal): HTMLElement {
  const count = h("p", { role: "status" });
  const compare = h("a", { class: "button", "data-page": true, "data-testid": "compare-button" }, t.compare.go);
  const clear = h("button", { type: "button", class: "step", onclick: () => {
    clearSelection();
    for (const box of list.querySelectorAll<HTMLInputElement>(".card-select input")) box.checked = false;
    list.querySelector("a")?.focus({ preventScroll: true });
  } }, t.compare.clear);
  const share = h("button", { type: "button", class: "button plain", hidden: true, onclick: () => void import("../share/dialog").then(({ shareSlides }) => shareSlides({ images: selected(), labelled: true })) }, t.share.action);
  void loadSession().then(({ sharing }) => (share.hidden = !sharing));
  const element = h("div", { class: "tray", "data-testid": "tray" }, count, clear, share, compare);
  const update = (): void => {
    const ids = selected();
    const fits = ids.length >= 2 && ids.length <= mostSlides;
    element.hidden = ids.length === 0;
    list.classList.toggle("selecting", ids.length > 0);
    count.textContent = t.compare.selected(ids.length, mostSlides);
    compare.hidden = !fits;
    compare.setAttribute("href", compareAddress(ids));
  };
  onSelection(update, signal);
  update();
  return element;
}
