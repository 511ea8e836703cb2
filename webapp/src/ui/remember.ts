// Preferences of the user, stored in the browser.

const prefix = "ptiffstore.";

export function remembered(name: string): string | null {
  try {
    return localStorage.getItem(prefix + name);
  } catch {
    return null; // storage is blocked in some frames
  }
}

export function remember(name: string, value: string): void {
  try {
    localStorage.setItem(prefix + name, value);
  } catch {
    // the preference is kept until the page is closed
  }
}
