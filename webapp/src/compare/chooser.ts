// A dialog to choose slides for comparison.

import "../styles/compare.css";

import { listImages, imageURL, Problem, type ListedImage } from "../api/client";
import { slideName } from "../gallery/card";
import { t } from "../strings";
import { announce } from "../ui/announce";
import { openDialog } from "../ui/dialog";
import { h, replace } from "../ui/dom";
import { mostSlides } from "./link";

const shown = 30; // number of slides in the list; a search finds others
const delay = 180; // milliseconds after the last key

// chooseSlides offers slides to compare with those of ids, and calls chosen with all of them.
export function chooseSlides(ids: string[], chosen: (ids: string[]) => void): void {
  const picked = new Set<string>();
  const free = mostSlides - ids.length;
  const closed = new AbortController();
  const list = h("ul", { class: "chooser-list", "aria-label": t.compare.choose });
  const count = h("p", { class: "quiet" });
  const go = h("button", { type: "button", class: "button", onclick: () => {
    dialog.close();
    chosen([...ids, ...picked]);
  } }, t.compare.go);
  const search = h("input", { type: "search", class: "chooser-search", placeholder: t.gallery.searchHint, "aria-label": t.gallery.search, autocomplete: "off" });

  const update = (): void => {
    go.disabled = picked.size === 0;
    count.textContent = t.compare.chosen(picked.size, free);
    for (const input of list.querySelectorAll("input")) input.disabled = !input.checked && picked.size >= free;
  };
  const row = (image: ListedImage): HTMLElement => {
    const input = h("input", { type: "checkbox", onchange: () => {
      if (input.checked) picked.add(image.id);
      else picked.delete(image.id);
      update();
    } });
    input.checked = picked.has(image.id);
    const picture = h("img", { src: imageURL(image, "thumbnail", { width: 144, height: 96 }), alt: "", loading: "lazy", decoding: "async" });
    return h("li", { "data-id": image.id }, h("label", { class: "chooser-row" }, input, picture, h("span", { class: "ellipsis" }, slideName(image)), image.barcode ? h("span", { class: "barcode ellipsis" }, image.barcode) : null));
  };

  let asked = 0;
  const load = async (): Promise<void> => {
    const mine = ++asked;
    try {
      const { items } = await listImages({ q: search.value.trim(), store: "", state: "available", sort: "name" }, null, shown, closed.signal);
      if (mine !== asked) return;
      const rows = items.filter((image) => !ids.includes(image.id));
      replace(list, ...rows.map(row));
      if (rows.length === 0) replace(list, h("li", { class: "quiet chooser-none" }, t.compare.nothing));
      announce(t.gallery.count(rows.length));
      update();
    } catch (err) {
      if (!closed.signal.aborted) replace(list, h("li", { role: "alert", class: "chooser-none" }, err instanceof Problem ? err.detail : String(err)));
    }
  };
  let timer = 0;
  search.addEventListener("input", () => {
    clearTimeout(timer);
    timer = window.setTimeout(() => void load(), delay);
  });

  const dialog = openDialog(t.compare.with, "chooser", search, list, h("div", { class: "chooser-foot" }, count, go));
  dialog.addEventListener("close", () => closed.abort());
  search.focus();
  update();
  void load();
}
