import { h } from "./dom";
import { icon, type IconName } from "./icons";

// iconButton is a button that shows an icon and tells its label to screen
// readers and to who rests the pointer on it.
export function iconButton(name: IconName, label: string, onclick: () => void, props: Record<string, unknown> = {}): HTMLButtonElement {
  return h("button", { type: "button", class: "icon-button", "aria-label": label, title: label, onclick, ...props }, icon(name));
}
