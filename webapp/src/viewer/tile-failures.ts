// Messages about failed tiles: a line at the top of the stage, and the reason as a tooltip.

import { t } from "../strings";
import { h, replace } from "../ui/dom";
import { icon } from "../ui/icons";
import type { SlideView } from "./slide-view";

// tileFailures adds the line to notes, and the tooltip to overlay.
export function tileFailures(view: SlideView, stage: HTMLElement, overlay: HTMLElement, notes: HTMLElement): void {
  const text = h("span");
  const line = h("div", { class: "failures", hidden: true, role: "status", "data-testid": "failures" }, icon("warning", 18), text, h("button", { type: "button", class: "step", onclick: () => view.fetcher.retry() }, t.retry));
  const tip = h("div", { class: "tip", hidden: true, role: "tooltip", "data-testid": "tip" });
  notes.prepend(line);
  overlay.append(tip);

  view.onFailure(() => {
    const n = view.fetcher.failures.size;
    line.hidden = n === 0;
    text.textContent = n === 0 ? "" : t.viewer.tilesFailed(n);
    if (n === 0) tip.hidden = true;
  });

  const show = (event: PointerEvent): void => {
    const frame = stage.getBoundingClientRect();
    const x = event.clientX - frame.left;
    const y = event.clientY - frame.top;
    const failure = view.failureAt(x, y);
    tip.hidden = !failure;
    if (!failure) return;
    if (tip.dataset.reason !== failure.reason) {
      tip.dataset.reason = failure.reason;
      replace(tip, h("strong", null, t.viewer.tileReason), h("span", null, failure.reason));
    }
    // Beside the pointer, within the stage.
    tip.style.left = `${Math.max(8, Math.min(x + 16, frame.width - tip.offsetWidth - 8))}px`;
    tip.style.top = `${Math.max(8, Math.min(y + 18, frame.height - tip.offsetHeight - 8))}px`;
  };
  stage.addEventListener("pointermove", show);
  stage.addEventListener("pointerup", show);
  stage.addEventListener("pointerleave", () => {
    tip.hidden = true;
  });
}
