// poll calls ask at once and then at an interval, until the signal is aborted. It pauses while the
// page is hidden. Calls do not overlap. The returned function calls ask at once.
export function poll(ask: () => Promise<void>, milliseconds: number, signal: AbortSignal): () => void {
  let timer = 0;
  let asking = false;
  let again = false; // requested while a call was in progress, whose answer may be too old
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
