// The panel for brightness, contrast and gamma, and the line above the slide that names what is
// adjusted.

import { t } from "../strings";
import { h, replace } from "../ui/dom";
import { adjustmentNames, adjustmentsText, formatValue, isNeutral, neutral, ranges, rounded, type Adjuster, type Adjustments } from "./adjustments";

export function adjustPanel(adjuster: Adjuster): HTMLElement {
  const rows = adjustmentNames.map((name) => sliderRow(name, (value) => adjuster.set({ ...adjuster.value, [name]: value })));
  const reset = h("button", { type: "button", class: "step", onclick: () => adjuster.set(neutral) }, t.adjust.reset);
  adjuster.onChange(() => {
    rows.forEach(({ show }, i) => show(adjuster.value[adjustmentNames[i]!]));
    reset.disabled = isNeutral(adjuster.value);
  });
  return h("section", { class: "popover adjust float", "aria-label": t.adjust.title, "data-own-arrows": true, "data-testid": "adjust" },
    ...rows.map(({ element }) => element),
    h("div", { class: "adjust-foot" }, h("p", { class: "quiet" }, t.adjust.note), reset));
}

// adjustLine is shown while something is adjusted, also when the panel is closed: the colours of
// the slide are then not those of the scanner. reset is called after its button was pressed.
export function adjustLine(adjuster: Adjuster, reset: () => void): HTMLElement {
  const text = h("span");
  const button = h("button", { type: "button", class: "step", "aria-label": t.adjust.resetAll, onclick: () => {
    adjuster.set(neutral);
    reset();
  } }, t.adjust.reset);
  const line = h("div", { class: "adjusted float", role: "group", "aria-label": t.adjust.active, "data-testid": "adjusted" }, text, button);
  adjuster.onChange(() => {
    line.hidden = isNeutral(adjuster.value);
    replace(text, ...adjustmentsText(adjuster.value).flatMap((part, i) => [i > 0 ? " · " : null, h("span", { class: "nowrap" }, part)]));
  });
  return line;
}

// sliderRow is one slider. Its scale is logarithmic: equal distances left and right of the middle
// cancel out.
function sliderRow(name: keyof Adjustments, onInput: (value: number) => void): { element: HTMLElement; show: (value: number) => void } {
  const [least, most] = ranges[name];
  const slider = h("input", { type: "range", min: Math.log2(least), max: Math.log2(most), step: "0.05", oninput: () => onInput(rounded(2 ** Number(slider.value))) });
  const text = h("output", { class: "adjust-value" });
  const show = (value: number): void => {
    const said = formatValue(name, value);
    text.textContent = said;
    slider.setAttribute("aria-valuetext", said);
    const at = Math.log2(value);
    if (Math.abs(Number(slider.value) - at) > 0.03) slider.value = String(at);
  };
  return { element: h("label", { class: "adjust-row" }, h("span", null, t.adjust[name]), slider, text), show };
}
