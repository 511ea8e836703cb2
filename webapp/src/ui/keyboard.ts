// hasModifier reports whether a key was pressed together with one that makes it a
// command of the browser or system. AltGr does not: it is how [ is typed on many
// keyboards, though it reads as Control and Alt together.
export function hasModifier(event: KeyboardEvent): boolean {
  if (event.getModifierState("AltGraph")) return false;
  return event.ctrlKey || event.metaKey || event.altKey;
}
