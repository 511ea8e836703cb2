import type { SlideImage } from "../api/types";

export interface Merged {
  items: SlideImage[];
  fresh: number; // slides that were not in the list
}

// merge brings a loaded list up to date with its first page asked for anew.
// Slides of the page stand where the page has them; the rest follows as it was.
// A slide that should be on the page and is not has gone, or moved behind it. all
// tells that the page is the whole list.
export function merge(items: SlideImage[], page: SlideImage[], all: boolean): Merged {
  const known = new Set(items.map((item) => item.id));
  const fresh = page.filter((item) => !known.has(item.id)).length;
  if (all) return { items: page.slice(), fresh };
  const inPage = new Set(page.map((item) => item.id));
  // The slides that new ones pushed off the page are still there: as many as are
  // new, from the end of what the page held before.
  const before = items.slice(0, page.length).filter((item) => !inPage.has(item.id));
  const pushed = fresh > 0 ? before.slice(-fresh) : [];
  const rest = items.slice(page.length).filter((item) => !inPage.has(item.id));
  return { items: [...page, ...pushed, ...rest], fresh };
}
