// digestOf is the SHA-256 of a file in hexadecimal. It fails if the file cannot be read.
export function digestOf(file: File, progress: (done: number) => void, signal: AbortSignal): Promise<string> {
  return new Promise((resolve, reject) => {
    const worker = new Worker(new URL("./digest-worker.ts", import.meta.url), { type: "module" });
    const end = (): void => worker.terminate();
    signal.addEventListener("abort", () => {
      end();
      reject(new Error("aborted"));
    });
    worker.addEventListener("error", () => {
      end();
      reject(new Error("the worker failed"));
    });
    worker.addEventListener("message", (event: MessageEvent<{ done?: number; digest?: string; failed?: boolean }>) => {
      const { done, digest, failed } = event.data;
      if (done !== undefined) return progress(done);
      end();
      if (digest) resolve(digest);
      else if (failed) reject(new Error("the file cannot be read"));
    });
    worker.postMessage(file);
  });
}
