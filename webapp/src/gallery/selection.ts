// The slides that are selected for comparison. They stay selected during searches.

const chosen = new Set<string>();
const listeners = new Set<() => void>();

export function isSelected(id: string): boolean {
  return chosen.has(id);
}

// selected are their ids, in the order of selection.
export function selected(): string[] {
  return [...chosen];
}

export function select(id: string, on: boolean): void {
  if (on) chosen.add(id);
  else chosen.delete(id);
  for (const listener of listeners) listener();
}

export function clearSelection(): void {
  chosen.clear();
  for (const listener of listeners) listener();
}

export function onSelection(listener: () => void, signal: AbortSignal): void {
  listeners.add(listener);
  signal.addEventListener("abort", () => listeners.delete(listener));
}
