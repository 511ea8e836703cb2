// The panel for brightness, contrast and gamma.

import { t } from "../strings";
import { h } from "../ui/dom";
import { isNeutral, neutral, ranges, type Adjuster, type Adjustments } from "./adjustments";

// adjustPanel creates the panel. changed is called after each adjustment.
export function adjustPanel(adjuster: Adjuster, changed: () => void): HTMLElement {
  const names = ["brightness", "contrast", "gamma"] as const;
  const rows = names.map((name) => sliderRow(name, (value) => set({ ...adjuster.value, [name]: value })));
  const reset = h("button", { type: "button", class: "step", onclick: () => set(neutral) }, t.adjust.reset);
  const render = (): void => {
    rows.forEach(({ show }, i) => show(adjuster.value[names[i]!]));
    reset.disabled = isNeutral(adjuster.value);
  };
  const set = (a: Adjustments): void => {
    adjuster.set(a);
    render();
    changed();
  };
  render();
  return h("section", { class: "popover adjust float", "aria-label": t.adjust.title, "data-own-arrows": true, "data-testid": "adjust" },
    ...rows.map(({ element }) => element),
    h("div", { class: "adjust-foot" }, h("p", { class: "quiet" }, t.adjust.note), reset));
}

// sliderRow is one slider. Its scale is logarithmic: equal distances left and right of the middle
// cancel out.
function sliderRow(name: keyof Adjustments, onInput: (value: number) => void): { element: HTMLElement; show: (value: number) => void } {
  const [least, most] = ranges[name];
  const slider = h("input", { type: "range", min: Math.log2(least), max: Math.log2(most), step: "0.05", oninput: () => onInput(2 ** Number(slider.value)) });
  const text = h("output", { class: "adjust-value" });
  const show = (value: number): void => {
    const said = name === "gamma" ? value.toFixed(2) : `${Math.round(value * 100)} %`;
    text.textContent = said;
    slider.setAttribute("aria-valuetext", said);
    const at = Math.log2(value);
    if (Math.abs(Number(slider.value) - at) > 0.01) slider.value = String(at);
  };
  return { element: h("label", { class: "adjust-row" }, h("span", null, t.adjust[name]), slider, text), show };
}
