// What the user chose about the look of things, kept in the browser.

const prefix = "ptiffstore.";

export function remembered(name: string): string | null {
  try {
    return localStorage.getItem(prefix + name);
  } catch {
    return null; // storage is forbidden in some frames
  }
}

export function remember(name: string, value: string): void {
  try {
    localStorage.setItem(prefix + name, value);
  } catch {
    // the choice lasts as long as the page then
  }
}
