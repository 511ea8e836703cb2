// The scale bar at the bottom left of the stage.

import { t } from "../strings";
import { h } from "../ui/dom";
import { scaleBar, screenMPP } from "./scale";
import type { SlideView } from "./slide-view";

// scaleBarControl creates the bar; its maximum length is longest, in page pixels.
export function scaleBarControl(view: SlideView, longest = 150): HTMLElement {
  const bar = h("span", { class: "scale-bar", "data-testid": "scale-bar" });
  const text = h("span", { class: "scale-text" });
  const control = h("div", { class: "scale", role: "img", "aria-label": t.viewer.noScale }, text, bar);

  const update = (): void => {
    const { image } = view;
    if (!image) return;
    const found = image.mpp_x ? scaleBar(screenMPP(image.mpp_x, image.mpp_y, view.rotation, view.scale), longest) : null;
    const label = found?.text ?? t.viewer.noScale;
    control.classList.toggle("unknown", !found);
    bar.hidden = !found;
    if (found) {
      bar.style.width = `${found.pixels}px`;
      bar.dataset.micrometres = String(found.micrometres);
    }
    if (text.textContent === label) return;
    text.textContent = label;
    control.title = found ? "" : t.viewer.noScaleTitle;
    control.setAttribute("aria-label", found ? t.viewer.scaleBar(label) : `${label}: ${t.viewer.noScaleTitle}`);
  };
  view.onFrame(update);
  view.onOpen(update);
  return control;
}
