// When a failed tile is requested again.

const attempts = 4; // including the first request
const busyAttempts = 8; // attempts, if the server says when to retry

// retryDelay is the time in milliseconds before a tile is requested again; null to give up. attempt
// counts the requests so far; status 0 means no response, retryAfter is in seconds. random is in
// [0, 1), and spreads the tiles of a view over time.
export function retryDelay(status: number, attempt: number, retryAfter: number | null, random: number): number | null {
  if (status === 503 || status === 429) {
    if (attempt >= busyAttempts) return null;
    const wait = retryAfter === null ? backoff(attempt) : Math.min(retryAfter, 30) * 1000;
    return Math.max(wait, 250) * (1 + 0.25 * random);
  }
  // Retrying does not help after an error of the client; a damaged tile (502) may have been read
  // over a faulty network.
  if (status >= 400 && status < 500 && status !== 408) return null;
  if (attempt >= (status === 502 ? 3 : attempts)) return null;
  return backoff(attempt) * (0.75 + 0.5 * random);
}

function backoff(attempt: number): number {
  return 400 * 2 ** (attempt - 1);
}
