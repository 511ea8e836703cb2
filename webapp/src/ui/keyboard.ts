// hasModifier reports whether a key was pressed with a modifier of a browser or system shortcut.
// AltGr is not one: many keyboards need it to type [, and it reports as Control and Alt.
export function hasModifier(event: KeyboardEvent): boolean {
  if (event.getModifierState("AltGraph")) return false;
  return event.ctrlKey || event.metaKey || event.altKey;
}
