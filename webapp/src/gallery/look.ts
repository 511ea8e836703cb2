// How the gallery looks: what cards show, and how large they are. The choices are remembered in the
// browser.

import { t } from "../strings";
import { h } from "../ui/dom";
import { icon, type IconName } from "../ui/icons";
import { remember, remembered } from "../ui/remember";

export type Picture = "tissue" | "glass"; // the slide from its levels, or macro and label
export type Size = "small" | "medium" | "large" | "list"; // list: rows of a table

export interface Look {
  picture: Picture;
  size: Size;
}

const pictures: Picture[] = ["glass", "tissue"];
const sizes: Size[] = ["small", "medium", "large", "list"];

// shapes are the sizes of cards in page pixels, for a Grid, with the height of the picture.
export const shapes = {
  small: { minWidth: 176, height: 172, gap: 12, picture: 96 },
  medium: { minWidth: 300, height: 246, gap: 16, picture: 136 },
  large: { minWidth: 440, height: 390, gap: 18, picture: 280 },
  list: { minWidth: Infinity, height: 46, gap: 0, picture: 0 },
} as const;

function oneOf<T extends string>(values: T[], value: string | null, otherwise: T): T {
  return values.find((v) => v === value) ?? otherwise;
}

export function rememberedLook(): Look {
  return { picture: oneOf(pictures, remembered("cards-show"), "glass"), size: oneOf(sizes, remembered("card-size"), "medium") };
}

function rememberLook(look: Look): void {
  remember("cards-show", look.picture);
  remember("card-size", look.size);
}

export interface LookControls {
  element: HTMLElement;
  showPictures: (shown: boolean) => void; // whether the caller can choose between tissue and glass
}

// lookControls are two groups of radio buttons: Tab reaches a group, arrow keys choose in it.
export function lookControls(look: Look, onChange: (look: Look) => void): LookControls {
  const choose = (change: Partial<Look>): void => {
    Object.assign(look, change);
    picture.hidden = !pictureShown || look.size === "list";
    rememberLook(look);
    onChange(look);
  };
  let pictureShown = false;
  const icons: Record<Size, IconName> = { small: "gridSmall", medium: "gridMedium", large: "gridLarge", list: "list" };
  const picture = group("cards-show", t.look.picture, pictures, look.picture, (value) => choose({ picture: value }), (value) => h("span", null, t.look.pictures[value]));
  const size = group("card-size", t.look.size, sizes, look.size, (value) => choose({ size: value }), (value) => icon(icons[value], 18));
  picture.hidden = true;
  return {
    element: h("div", { class: "look" }, picture, size),
    showPictures: (shown) => {
      pictureShown = shown;
      picture.hidden = !shown || look.size === "list";
    },
  };

  function group<T extends Picture | Size>(name: string, label: string, values: T[], chosen: T, act: (value: T) => void, face: (value: T) => Node): HTMLElement {
    const names: Record<string, string> = { ...t.look.pictures, ...t.look.sizes };
    return h("fieldset", { class: "segments" }, h("legend", { class: "visually-hidden" }, label), ...values.map((value) => {
      const input = h("input", { type: "radio", name, value, class: "visually-hidden", "aria-label": names[value]!, onchange: () => act(value) });
      input.checked = value === chosen;
      return h("label", { title: names[value]! }, input, face(value));
    }));
  }
}
