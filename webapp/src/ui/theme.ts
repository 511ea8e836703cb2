// Light or dark theme: the user's choice, or else the system's.

import { t } from "../strings";
import { h, replace } from "./dom";
import { icon } from "./icons";
import { remember, remembered } from "./remember";

const modes = ["auto", "light", "dark"] as const;
const icons = { auto: "auto", light: "sun", dark: "moon" } as const;

let mode = modes.find((m) => m === remembered("theme")) ?? "auto";

// applyTheme must run before the first paint.
export function applyTheme(): void {
  if (mode === "auto") document.documentElement.removeAttribute("data-theme");
  else document.documentElement.dataset.theme = mode;
}

// themeButton switches between the three modes.
export function themeButton(): HTMLButtonElement {
  const show = (): void => {
    const label = t.theme.label(t.theme[mode]);
    button.setAttribute("aria-label", label);
    button.title = label;
    replace(button, icon(icons[mode]));
  };
  const button = h("button", {
    type: "button",
    class: "icon-button",
    "data-testid": "theme",
    onclick: () => {
      mode = modes[(modes.indexOf(mode) + 1) % modes.length]!;
      remember("theme", mode);
      applyTheme();
      show();
    },
  });
  show();
  return button;
}
