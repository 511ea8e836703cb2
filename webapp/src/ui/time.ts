import { formatTime } from "../format";
import { formatAgo } from "../time";
import { h } from "./dom";

// timeElement shows a time as how long ago it was, and in full to who rests the
// pointer on it. freshenTimes keeps it right.
export function timeElement(iso: string): HTMLTimeElement {
  return h("time", { datetime: iso, title: formatTime(iso), "data-ago": true }, formatAgo(iso, Date.now()));
}

// freshenTimes writes the times below root anew, as they have moved on.
export function freshenTimes(root: Element): void {
  for (const element of root.querySelectorAll<HTMLTimeElement>("time[data-ago]")) {
    const text = formatAgo(element.dateTime, Date.now());
    if (element.textContent !== text) element.textContent = text;
  }
}
