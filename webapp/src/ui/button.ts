import { h } from "./dom";
import { icon, type IconName } from "./icons";

// iconButton is a button with an icon, and a label as its tooltip and for screen readers.
export function iconButton(name: IconName, label: string, onclick: () => void, props: Record<string, unknown> = {}): HTMLButtonElement {
  return h("button", { type: "button", class: "icon-button", "aria-label": label, title: label, onclick, ...props }, icon(name));
}
