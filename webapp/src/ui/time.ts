import { formatTime } from "../format";
import { formatAgo } from "../time";
import { h } from "./dom";

// timeElement shows how long ago a time was, with the full time as its tooltip. freshenTimes
// updates it.
export function timeElement(iso: string): HTMLTimeElement {
  return h("time", { datetime: iso, title: formatTime(iso), "data-ago": true }, formatAgo(iso, Date.now()));
}

// freshenTimes updates the relative times below root.
export function freshenTimes(root: Element): void {
  for (const element of root.querySelectorAll<HTMLTimeElement>("time[data-ago]")) {
    const text = formatAgo(element.dateTime, Date.now());
    if (element.textContent !== text) element.textContent = text;
  }
}
