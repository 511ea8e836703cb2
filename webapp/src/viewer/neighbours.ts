// The previous and next slide, in the order of the case that was opened, or of the gallery.

import { caseSlides } from "../cases/current";
import { loadSession } from "../access/session";
import { currentFeed, feedFor, type Feed } from "../gallery/feed";
import { everything } from "../gallery/query";

const pagesToLook = 3;

export interface Neighbours {
  previous: string | null; // ids
  next: string | null;
}

// findNeighbours searches the list of the gallery, or the newest slides if the gallery was not
// shown.
export async function findNeighbours(id: string, signal: AbortSignal): Promise<Neighbours> {
  // Callers without permission to list slides can still open a public one.
  const { mode, user } = await loadSession();
  if (mode !== "none" && !user) return { previous: null, next: null };
  const slides = caseSlides(id);
  if (slides) {
    const at = slides.indexOf(id);
    return { previous: slides[at - 1] ?? null, next: slides[at + 1] ?? null };
  }
  const feed = currentFeed() ?? feedFor(everything);
  if (feed.status === "failed") void feed.load();
  let at = await settled(feed, id, signal);
  for (let page = 1; at < 0 && page < pagesToLook && feed.next !== null && !signal.aborted; page++) {
    await feed.load();
    at = indexOf(feed, id);
  }
  if (at < 0) return { previous: null, next: null };
  if (at === feed.items.length - 1 && feed.next !== null) await feed.load();
  return { previous: feed.items[at - 1]?.id ?? null, next: feed.items[at + 1]?.id ?? null };
}

// settled waits for the first page of a feed.
function settled(feed: Feed, id: string, signal: AbortSignal): Promise<number> {
  if (feed.status !== "loading") return Promise.resolve(indexOf(feed, id));
  return new Promise((resolve) => {
    feed.subscribe(() => {
      if (feed.status !== "loading") resolve(indexOf(feed, id));
    }, signal);
  });
}

function indexOf(feed: Feed, id: string): number {
  return feed.items.findIndex((item) => item.id === id);
}
