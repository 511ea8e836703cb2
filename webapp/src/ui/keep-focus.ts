import { replace, type Child } from "./dom";

// replaceKeepingFocus replaces content that may have the focus: the focus moves to the new element
// with the same data-focus.
export function replaceKeepingFocus(parent: Element, ...children: Child[]): void {
  const active = document.activeElement;
  const key = active instanceof HTMLElement && parent.contains(active) ? active.dataset.focus : undefined;
  replace(parent, ...children);
  if (key) parent.querySelector<HTMLElement>(`[data-focus="${CSS.escape(key)}"]`)?.focus({ preventScroll: true });
}
