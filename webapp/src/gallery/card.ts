// The card of a slide in the gallery.

import { isLabelled } from "../access/session";
import { imageURL } from "../api/client";
import type { ListedImage } from "../api/client";
import { formatArea, formatBytes, formatPixels } from "../format";
import { t } from "../strings";
import { h, highlighted, replace } from "../ui/dom";
import { icon } from "../ui/icons";
import { onPictureError } from "../ui/picture";
import { plainReason, stateBadge, stateIcon, stateReason } from "../ui/state";
import { formatMagnification, fullMagnification } from "../viewer/magnification";
import { rememberedLook, shapes, type Look, type Size } from "./look";
import { isSelected, select } from "./selection";

// pictureHeights are the heights of requested pictures, for dense screens. Small and medium cards
// share theirs: they are in the caches already.
const pictureHeights: Record<Size, number> = { small: 240, medium: 240, large: 480, list: 240 };

// slideName is the display name of a slide: its label, else its file name; its id for callers who
// can see neither.
export function slideName(image: ListedImage): string {
  return image.label || image.file_name || t.gallery.untitled(image.id);
}

export function slideCard(image: ListedImage, query: string, menu: Node | null = null, look: Look = { ...rememberedLook(), size: "medium" }): HTMLElement {
  const name = slideName(image);
  const href = `/slides/${encodeURIComponent(image.id)}`;
  return h(
    "li",
    { class: "card", "data-state": image.state, "data-id": image.id },
    h(
      "a",
      { class: "card-link", href, "data-page": true },
      image.state === "available" || showsPictures(image) ? preview(image, look) : h("div", { class: "card-picture card-reason", title: image.reason }, icon(stateIcon(image.state), 22), h("p", null, plainReason(stateReason(image)))),
      h(
        "div",
        { class: "card-text" },
        h("div", { class: "card-title" }, h("h2", { title: name }, ...highlighted(name, query)), image.state === "available" ? null : stateBadge(image.state)),
        h("p", { class: "card-code" }, ...code(image, query)),
        h("div", { class: "card-facts" }, ...facts(image)),
      ),
    ),
    image.state === "available" ? selector(image.id, name) : null,
    menu,
  );
}

// selector is a checkbox to select a slide for comparison.
export function selector(id: string, name: string): HTMLElement {
  const box = h("input", { type: "checkbox", "aria-label": t.compare.select(name), onchange: () => select(id, box.checked) });
  box.checked = isSelected(id);
  return h("label", { class: "card-select", title: t.compare.selectTitle }, box);
}

// code is the second line: the barcode, the file name if the label is the title, and the folder.
function code(image: ListedImage, query: string): (Node | string)[] {
  const parts: (Node | string)[] = [];
  if (image.barcode) {
    parts.push(h("span", { class: "barcode", title: t.gallery.barcode }, icon("barcode", 16), h("span", { class: "visually-hidden" }, `${t.gallery.barcode} `), h("span", { class: "ellipsis" }, ...highlighted(image.barcode, query))));
  }
  if (image.label && image.file_name) parts.push(h("span", { class: "ellipsis quiet", title: image.file_name }, ...highlighted(image.file_name, query)));
  if (image.folder) parts.push(folderName(image.folder, query));
  return parts;
}

export function folderName(folder: string, query = ""): HTMLElement {
  const name = h("bdi", { dir: "ltr" }, ...highlighted(folder, query));
  return h("span", { class: "folder-name", title: folder }, icon("folder", 15), h("span", { class: "visually-hidden" }, `${t.gallery.folder} `), h("span", { class: "ellipsis" }, name));
}

// facts are the scanned area, and below it the sizes of image and file.
function facts(image: ListedImage): HTMLElement[] {
  const full = fullMagnification(image);
  const power = full ? formatMagnification(full.power) : null;
  const area = image.width && image.height && image.mpp_x ? formatArea(image.width, image.height, image.mpp_x, image.mpp_y ?? image.mpp_x) : null;
  const scan = [
    full && power ? h("span", { class: "power", title: full.derived ? t.gallery.derived(power) : t.gallery.objective(power) }, full.derived ? `≈ ${power}` : power) : null,
    image.stain ? h("span", { class: "stain ellipsis", title: t.look.columns.stain }, image.stain) : null,
    area ? h("span", { class: "area" }, area) : null,
  ];
  const sizes = [
    image.width && image.height ? h("span", { class: "ellipsis" }, formatPixels(image.width, image.height)) : null,
    image.size !== null ? h("span", { class: "push" }, formatBytes(image.size)) : null,
  ];
  return [h("p", null, ...scan), h("p", { class: "quiet" }, ...sizes)];
}

// showsPictures reports whether the server has the label or the macro of a slide whose tiles it cannot decode.
function showsPictures(image: ListedImage): boolean {
  return image.state === "unsupported" && !!image.associated?.some((kind) => kind !== "thumbnail");
}

// preview is the picture of a card: the glass (label and macro) or the tissue; the other one if the
// server does not have it. A slide whose tiles cannot be decoded has the glass only.
function preview(image: ListedImage, look: Look): HTMLElement {
  const picture = h("img", { alt: "", decoding: "async", draggable: "false" });
  const frame = h("div", { class: "card-picture loading" }, picture);
  const height = pictureHeights[look.size];
  const tissue = imageURL(image, "thumbnail", { width: Math.round(height * 8 / 3), height });
  const glass = imageURL(image, "preview", { height });
  const sources = !isLabelled(image) ? [tissue] : look.picture === "tissue" && image.state === "available" ? [tissue, glass] : [glass, tissue];
  picture.addEventListener("load", () => frame.classList.remove("loading"));
  onPictureError(picture, () => {
    if (!picture.isConnected) return;
    const source = sources.shift();
    if (source) picture.src = source;
    else {
      frame.classList.remove("loading");
      replace(frame, h("p", { class: "quiet" }, t.gallery.noPreview));
    }
  });
  // Cards that are scrolled past quickly are not loaded.
  setTimeout(() => {
    if (picture.isConnected) picture.src = sources.shift()!;
  }, 60);
  return frame;
}

// cardGrid are the options of a grid of cards of slides.
export const cardGrid = { key: (image: ListedImage): string => image.id, same: sameCard, ...shapes.medium };

// sameCard reports whether the cards of two slides are identical.
function sameCard(a: ListedImage, b: ListedImage): boolean {
  return a === b || (a.revision === b.revision && a.state === b.state && a.reason === b.reason && a.label === b.label && a.barcode === b.barcode &&
    a.file_name === b.file_name && a.accession === b.accession && a.part === b.part && a.block === b.block && a.stain === b.stain && a.folder === b.folder && a.size === b.size && a.width === b.width && a.height === b.height && a.objective_power === b.objective_power && a.mpp_x === b.mpp_x);
}
