// Whether the application is busy: with requests to the API, slides that move or lack
// tiles, or addresses that are not written yet.

declare global {
  interface Window {
    // For tests and for scripts that take screenshots.
    ptiffstore: { idle: () => Promise<void> };
  }
}

const busy = new Set<object>();
let waiting: (() => void)[] = [];

// setBusy records whether owner is busy.
export function setBusy(owner: object, isBusy: boolean): void {
  if (isBusy) {
    busy.add(owner);
    return;
  }
  busy.delete(owner);
  if (busy.size > 0) return;
  for (const resolve of waiting) resolve();
  waiting = [];
}

// busyWith counts as busy until work has ended.
export async function busyWith<T>(work: Promise<T>): Promise<T> {
  const owner = {};
  setBusy(owner, true);
  try {
    return await work;
  } finally {
    setBusy(owner, false);
  }
}

// idle resolves once the application is not busy, and has shown the result.
export async function idle(): Promise<void> {
  do {
    if (busy.size > 0) await new Promise<void>((resolve) => waiting.push(resolve));
    await nextFrame();
    await nextFrame();
  } while (busy.size > 0);
}

function nextFrame(): Promise<unknown> {
  return new Promise((resolve) => requestAnimationFrame(resolve));
}
