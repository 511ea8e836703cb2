import { replace, type Child } from "./dom";

// replaceKeepingFocus is replace for what is shown anew while someone may be
// using it: the focus goes on to the element that has the same data-focus.
export function replaceKeepingFocus(parent: Element, ...children: Child[]): void {
  const active = document.activeElement;
  const key = active instanceof HTMLElement && parent.contains(active) ? active.dataset.focus : undefined;
  replace(parent, ...children);
  if (key) parent.querySelector<HTMLElement>(`[data-focus="${CSS.escape(key)}"]`)?.focus({ preventScroll: true });
}
