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

const detailed = /^(?:(?:level \d+|label|macro|thumbnail)(?:, tile at byte \d+)?: )+|: directory \d+ should be at byte \d+, but the file ends at byte \d+|: it begins with [0-9a-f ]+(?= \(|$)|, having \d+ bytes, while item \d+ lies at bytes \d+ to \d+| \((?:TIFF tag [^()]*, )?at byte \d+\)/g;

// plainReason is a reason without the places in the file that only an engineer needs, as a sentence.
export function plainReason(reason: string): string {
  const words = reason.replace(detailed, "").trim().replace(/\.$/, "");
  return words && `${words[0]!.toUpperCase()}${words.slice(1)}.`;
}

// reasonParts are the elements that show a reason: a sentence, and its technical details if it has
// any, folded.
export function reasonParts(reason: string, className = ""): HTMLElement[] {
  const words = plainReason(reason);
  const parts: HTMLElement[] = [h("p", { class: className }, words)];
  if (words.length < reason.replace(/\.$/, "").length) parts.push(h("details", { class: "technical" }, h("summary", null, t.gallery.technical), h("p", { class: "quiet" }, reason)));
  return parts;
}

// stateReason is the reason why a slide cannot be opened, from the server if it sends one.
export function stateReason(image: Pick<SlideImage, "state" | "reason">): string {
  return image.reason || t.stateReason[image.state] || "";
}
