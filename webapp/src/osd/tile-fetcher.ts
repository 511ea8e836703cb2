// Fetches tiles, retries those that fail, cancels those that have left the view, and renders failed
// tiles as hatched.

import { Problem, problemOf } from "../api/client";
import { outage } from "../api/connection";
import { t } from "../strings";
import { withProfile, type Correction } from "../viewer/colors";
import type { Part } from "../viewer/ladder";
import { bitmapType, type TileBitmap } from "./bitmap-drawer";
import { hatched } from "./hatch";
import { retryDelay } from "./retry";
import type { Fetcher, OSDJob, OSDTile } from "./tile-source";

export interface TileFailure {
  tile: OSDTile;
  reason: string;
  url: string;
  answered: boolean; // false: the tile server did not respond
}

export interface TileFetcherOptions {
  onFailure: () => void; // the failures changed
  // onStale is called when the server has no such tile. The promise reports, after the image was
  // reloaded, whether it has changed.
  onStale: () => Promise<boolean>;
  // onRefused is called when the server refuses a tile. The promise reports whether the reason was
  // handled: the tile is then left out instead of shown as failed.
  onRefused: () => Promise<boolean>;
}

const timeout = 30_000; // milliseconds for a response
const spread = 500; // milliseconds over which tiles are requested after an outage
const firstPause = 5_000; // milliseconds until a tile server without a response is asked again
const longestPause = 30_000;

interface Running {
  abort: AbortController;
  tile: OSDTile;
}

export class TileFetcher implements Fetcher {
  // failures are the tiles that are rendered as hatched, by "z/x/y".
  readonly failures = new Map<string, TileFailure>();
  // correction is what is done with the colours of the tiles that are fetched from now on; null leaves
  // them as the scanner recorded them.
  correction: Correction | null = null;
  private running = new Map<OSDJob, Running>();
  private pause = firstPause;
  private timer = 0;

  constructor(private readonly o: TileFetcherOptions) {}

  start(job: OSDJob, part: Part): void {
    const running = { abort: new AbortController(), tile: job.tile };
    this.running.set(job, running);
    void this.run(job, part, running.abort.signal);
  }

  abort(job: OSDJob): void {
    this.running.get(job)?.abort.abort();
    this.running.delete(job);
  }

  // dropUnseen cancels tiles that no frame has needed since a time: they left the view before they
  // arrived.
  dropUnseen(since: number): void {
    for (const [job, { tile }] of this.running) {
      if (tile.lastTouchTime >= since) continue;
      this.abort(job);
      job.fail("left the view", null);
      tile.exists = true; // requested again when it is visible
    }
  }

  // retry requests all failed tiles again.
  retry(): void {
    for (const { tile } of this.failures.values()) tile.unload(true);
    this.clear();
  }

  clear(): void {
    this.failures.clear();
    this.o.onFailure();
  }

  close(): void {
    clearTimeout(this.timer);
    this.timer = 0;
    this.pause = firstPause;
    for (const { abort } of this.running.values()) abort.abort();
    this.running.clear();
    this.failures.clear();
  }

  // askLater asks a tile server that did not respond for one of its tiles, with growing pauses, and
  // requests all of them when it responds.
  private askLater(): void {
    if (this.timer) return;
    this.timer = window.setTimeout(async () => {
      const waiting = [...this.failures.values()].filter(({ answered }) => !answered);
      const responds = waiting.length > 0 && (await isAnswered(waiting[0]!.url));
      this.timer = 0;
      if (responds) this.retry();
      else if (waiting.length > 0) this.askLater();
    }, this.pause);
    this.pause = Math.min(longestPause, this.pause * 2);
  }

  private async run(job: OSDJob, part: Part, signal: AbortSignal): Promise<void> {
    const key = `${job.tile.level}/${job.tile.x}/${job.tile.y}`;
    let canvas: ImageBitmap;
    try {
      canvas = await fetchTile(job.src, part, this.correction, signal);
      if (this.failures.delete(key)) this.o.onFailure();
    } catch (err) {
      if (signal.aborted) return;
      const problem = err instanceof Problem ? err : noAnswer(job.src);
      // Tiles of an old revision are answered like this; a new slide replaces them.
      if (problem.status === 404 && (await this.o.onStale())) return;
      if ((problem.status === 401 || problem.status === 403) && (await this.o.onRefused())) {
        if (signal.aborted) return;
        this.running.delete(job);
        job.fail("refused", null);
        return;
      }
      canvas = await hatched(part.width, part.height);
      if (signal.aborted) return;
      this.failures.set(key, { tile: job.tile, reason: problem.detail, url: job.src, answered: problem.status !== 0 });
      this.o.onFailure();
      if (problem.status === 0) this.askLater();
    }
    this.running.delete(job);
    job.finish({ canvas } satisfies TileBitmap, null, bitmapType);
  }
}

// fetchTile fetches a tile, corrects its colours and crops it to part. It throws a Problem if the tile cannot be fetched
// after retries. During an outage of the server it waits.
export async function fetchTile(url: string, part: Part, correction: Correction | null, signal: AbortSignal): Promise<ImageBitmap> {
  for (let attempt = 1; ; attempt++) {
    let problem: Problem;
    try {
      const response = await fetch(url, { signal: AbortSignal.any([signal, AbortSignal.timeout(timeout)]) });
      if (response.ok) return await decode(await response.blob(), part, correction);
      problem = await problemOf(response);
    } catch (err) {
      if (signal.aborted) throw err;
      problem = err instanceof Problem ? err : noAnswer(url);
    }
    if (problem.status === 0 && isOwn(url) && (await Promise.race([outage(), aborted(signal)]))) {
      attempt = 0;
      await sleep(Math.random() * spread, signal);
      continue;
    }
    const wait = retryDelay(problem.status, attempt, problem.retryAfter, Math.random());
    if (wait === null) throw problem;
    await sleep(wait, signal);
  }
}

// noAnswer is the problem of an address without a response. Tiles may come from another server than
// the page.
function noAnswer(address: string): Problem {
  return new Problem(0, isOwn(address) ? t.error.offline : t.error.tileServer(new URL(address, location.href).host));
}

// isOwn reports whether an address is of the server of the page.
function isOwn(address: string): boolean {
  return new URL(address, location.href).origin === location.origin;
}

async function isAnswered(url: string): Promise<boolean> {
  try {
    return (await problemOf(await fetch(url, { signal: AbortSignal.timeout(timeout) }))).status !== 0;
  } catch {
    return false;
  }
}

// decode decodes a tile. Without a correction a profile in the tile has no effect.
async function decode(blob: Blob, part: Part, correction: Correction | null): Promise<ImageBitmap> {
  try {
    const { x, y, width, height } = part;
    const options: ImageBitmapOptions = { colorSpaceConversion: correction ? "default" : "none" };
    if (correction?.segments) blob = await withProfile(blob, correction.segments);
    if (x === 0 && y === 0) return await createImageBitmap(blob, 0, 0, width, height, options);
    const tile = await createImageBitmap(blob, options);
    // A tile that is cut begins with the image.
    const left = tile.width === width ? 0 : x;
    const top = tile.height === height ? 0 : y;
    try {
      return await createImageBitmap(tile, left, top, width, height);
    } finally {
      tile.close();
    }
  } catch {
    throw new Problem(502, t.viewer.tileNotImage);
  }
}

// aborted rejects when signal is aborted.
function aborted(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    if (signal.aborted) reject(signal.reason as Error);
    signal.addEventListener("abort", () => reject(signal.reason as Error), { once: true });
  });
}

function sleep(milliseconds: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, milliseconds);
    signal.addEventListener("abort", () => {
      clearTimeout(timer);
      reject(signal.reason as Error);
    }, { once: true });
  });
}
