import type { Child } from "./dom";
import { replaceKeepingFocus } from "./keep-focus";

// Parts shows the parts of something that changes, each anew only when what it
// shows has changed: what is selected, scrolled or has the focus stays.
export class Parts {
  private readonly shown = new Map<Element, string>();

  // show fills part with children unless it already shows value, which is all
  // that they are made from.
  show(part: Element, value: unknown, children: () => Child[]): void {
    const key = JSON.stringify(value);
    if (this.shown.get(part) === key) return;
    this.shown.set(part, key);
    replaceKeepingFocus(part, ...children());
  }
}
