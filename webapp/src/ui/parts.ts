import type { Child } from "./dom";
import { replaceKeepingFocus } from "./keep-focus";

// Parts updates parts of an element, each only if its content has changed: selection, scroll
// position and focus are kept.
export class Parts {
  private readonly shown = new Map<Element, string>();

  // show fills part with children unless it already shows value, from which the children are made.
  show(part: Element, value: unknown, children: () => Child[]): void {
    const key = JSON.stringify(value);
    if (this.shown.get(part) === key) return;
    this.shown.set(part, key);
    replaceKeepingFocus(part, ...children());
  }
}
