// When a tile that failed is asked for again.

const attempts = 4; // the first request included
const patience = 8; // of a server that says when to come back

// retryDelay is how many milliseconds to wait before asking for a tile again,
// null to give up. attempt counts the requests made so far; status 0 is no answer
// at all, retryAfter is in seconds. random is in [0, 1), and spreads the tiles of
// a view over time.
export function retryDelay(status: number, attempt: number, retryAfter: number | null, random: number): number | null {
  if (status === 503 || status === 429) {
    if (attempt >= patience) return null;
    const wait = retryAfter === null ? backoff(attempt) : Math.min(retryAfter, 30) * 1000;
    return Math.max(wait, 250) * (1 + 0.25 * random);
  }
  // What the client did wrong does not become right by asking again; a damaged
  // tile (502) might have been read over a network that was.
  if (status >= 400 && status < 500 && status !== 408) return null;
  if (attempt >= (status === 502 ? 3 : attempts)) return null;
  return backoff(attempt) * (0.75 + 0.5 * random);
}

function backoff(attempt: number): number {
  return 400 * 2 ** (attempt - 1);
}
