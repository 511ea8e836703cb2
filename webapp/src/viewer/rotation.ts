// Rotation: buttons for 90° and a slider for any angle.

import { t } from "../strings";
import { iconButton } from "../ui/button";
import { h } from "../ui/dom";
import { normalDegrees } from "./permalink";
import type { SlideView } from "./slide-view";

export function rotationControl(view: SlideView): HTMLElement {
  const slider = h("input", {
    type: "range", min: "-180", max: "180", step: "1", value: "0", class: "angle", "aria-label": t.viewer.rotate,
    oninput: () => view.setRotation(Number(slider.value), true),
  });
  const angle = h("output", { class: "angle-text", "data-testid": "angle" }, t.viewer.angle(0));
  const reset = h("button", { type: "button", class: "step", onclick: () => view.setRotation(0) }, t.viewer.rotateReset);
  const update = (): void => {
    const degrees = Math.round(view.rotation);
    const text = t.viewer.angle(degrees);
    if (angle.textContent === text) return;
    angle.textContent = text;
    slider.setAttribute("aria-valuetext", text);
    if (document.activeElement !== slider || Number(slider.value) !== degrees) slider.value = String(normalDegrees(degrees));
    reset.disabled = degrees === 0;
    popover.classList.toggle("turned", degrees !== 0);
  };
  const popover = h("div", { class: "rotation float" },
    iconButton("rotateLeft", t.viewer.rotateLeft, () => view.rotateBy(-90)),
    slider,
    angle,
    iconButton("rotateRight", t.viewer.rotateRight, () => view.rotateBy(90)),
    reset,
  );
  reset.disabled = true;
  view.onFrame(update);
  view.onOpen(update);
  return popover;
}
