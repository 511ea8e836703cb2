// poll calls ask at once and then every so many milliseconds, until the signal is
// aborted. While the page is hidden it rests; what is asked when it is seen again.
// One call has ended before the next begins. It returns a function that asks now.
export function poll(ask: () => Promise<void>, milliseconds: number, signal: AbortSignal): () => void {
  let timer = 0;
  let asking = false;
  let again = false; // asked for while one was on its way: that one may be too old
  const run = async (): Promise<void> => {
    clearTimeout(timer);
    if (signal.aborted || document.hidden) return;
    if (asking) {
      again = true;
      return;
    }
    asking = true;
    again = false;
    try {
      await ask();
    } finally {
      asking = false;
    }
    if (again) void run();
    else if (!signal.aborted) timer = window.setTimeout(() => void run(), milliseconds);
  };
  document.addEventListener("visibilitychange", () => void run(), { signal });
  signal.addEventListener("abort", () => clearTimeout(timer));
  void run();
  return () => void run();
}
