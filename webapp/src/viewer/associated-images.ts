// The label and macro images of a slide.

import { imageURL } from "../api/client";
import type { SlideImage } from "../api/types";
import { slideName } from "../gallery/card";
import { t } from "../strings";
import { iconButton } from "../ui/button";
import { openDialog } from "../ui/dialog";
import { h, replace } from "../ui/dom";
import { onPictureError } from "../ui/picture";

type Kind = "label" | "macro" | "thumbnail";

// pictureKinds are the associated images to request. A label can exist without being listed: the
// server renders it from the barcode.
export function pictureKinds(image: SlideImage): Kind[] {
  const listed = image.associated ?? [];
  const kinds: Kind[] = [];
  if (listed.includes("label") || image.barcode) kinds.push("label");
  if (listed.includes("macro")) kinds.push("macro");
  if (listed.includes("thumbnail")) kinds.push("thumbnail");
  return kinds;
}

export function pictures(image: SlideImage): HTMLElement {
  const kinds = pictureKinds(image);
  const frame = h("div", { class: "pictures" });
  const none = h("p", { class: "quiet none" }, t.images.none);
  frame.append(...kinds.map((kind) => figure(image, kind, () => {
    if (!frame.querySelector("figure")) frame.append(none);
  })));
  if (kinds.length === 0) frame.append(none);
  return frame;
}

// figure shows an image, and enlarges it on a click. gone is called if the image does not exist.
function figure(image: SlideImage, kind: Kind, gone: () => void): HTMLElement {
  const name = t.images[kind];
  const made = kind === "label" && !image.associated?.includes("label");
  const picture = h("img", { src: imageURL(image, `associated/${kind}`), alt: t.images.alt(name, slideName(image)), decoding: "async" });
  const open = h("button", { type: "button", class: "picture", "aria-label": t.images.enlarge(name), title: t.images.enlarge(name), onclick: () => enlarge(name, picture) }, picture);
  const element = h("figure", { "data-kind": kind }, h("figcaption", null, name), open, made ? h("p", { class: "quiet" }, t.images.rendered) : null);
  onPictureError(picture, () => {
    if (made) {
      element.remove();
      gone();
    } else {
      replace(element, h("figcaption", null, name), h("p", { class: "quiet" }, t.images.failed));
    }
  });
  return element;
}

// enlarge shows an image as large as the window allows. Labels are upright, except for those that
// were stuck on sideways: they can be rotated.
function enlarge(name: string, picture: HTMLImageElement): void {
  const canvas = h("canvas", { role: "img", "aria-label": picture.alt });
  let turns = 0;
  const draw = (): void => {
    const { naturalWidth: width, naturalHeight: height } = picture;
    const across = turns % 2 === 1;
    canvas.width = across ? height : width;
    canvas.height = across ? width : height;
    const context = canvas.getContext("2d")!;
    context.translate(canvas.width / 2, canvas.height / 2);
    context.rotate((turns * Math.PI) / 2);
    context.drawImage(picture, -width / 2, -height / 2);
  };
  draw();
  const turn = iconButton("turn", t.images.rotate, () => {
    turns = (turns + 1) % 4;
    draw();
  });
  openDialog(name, "picture", h("div", { class: "large-picture" }, canvas), h("div", { class: "dialog-tools" }, turn));
}
