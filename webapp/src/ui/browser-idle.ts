import { busyWith } from "./activity";

// browserIdle resolves when the browser has nothing more urgent to do, after two
// seconds at the latest. Until then the application counts as busy: work follows.
export function browserIdle(): Promise<void> {
  return busyWith(new Promise((resolve) => {
    if (window.requestIdleCallback) window.requestIdleCallback(() => resolve(), { timeout: 2000 });
    else setTimeout(resolve, 1000); // Safari
  }));
}
