// idle resolves when the browser has nothing better to do, at the latest after
// two seconds.
export function idle(): Promise<void> {
  return new Promise((resolve) => {
    if (window.requestIdleCallback) window.requestIdleCallback(() => resolve(), { timeout: 2000 });
    else setTimeout(resolve, 1000); // Safari
  });
}
