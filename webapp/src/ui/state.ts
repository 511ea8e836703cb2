import type { ImageState, SlideImage } from "../api/types";
import { t } from "../strings";
import { h } from "./dom";
import { icon, type IconName } from "./icons";

export function stateIcon(state: ImageState): IconName {
  return ({ available: "slides", arriving: "arriving", missing: "missing", broken: "broken", unsupported: "unsupported", quarantined: "warning" } as const)[state] ?? "warning";
}

export function stateBadge(state: ImageState): HTMLElement {
  return h("span", { class: `badge badge-${state}` }, icon(stateIcon(state), 14), t.state[state] ?? state);
}

// stateReason is the reason why a slide cannot be opened, from the server if it sends one.
export function stateReason(image: Pick<SlideImage, "state" | "reason">): string {
  return image.reason || t.stateReason[image.state] || "";
}
