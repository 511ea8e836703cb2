// A task as it goes on, by server-sent events.

import { getTask, taskEvents } from "./client";
import type { Task } from "./types";

const pollEvery = 2000; // milliseconds, where there are no events

// watchTask tells of every change of a task until it has ended or the signal is
// aborted. If the server's events cannot be had, it asks now and then.
export function watchTask(id: string, onTask: (task: Task) => void, signal: AbortSignal): void {
  const source = new EventSource(taskEvents(id));
  let timer = 0;
  const close = (): void => {
    source.close();
    clearTimeout(timer);
  };
  const take = (task: Task): void => {
    if (signal.aborted) return;
    if (task.ready) close();
    onTask(task);
  };
  const ask = async (): Promise<void> => {
    let ready = false;
    try {
      const task = await getTask(id, signal);
      ready = task.ready;
      take(task);
    } catch {
      // it is asked again
    }
    if (!ready && !signal.aborted) timer = window.setTimeout(() => void ask(), pollEvery);
  };
  source.addEventListener("task", (event) => take(JSON.parse((event as MessageEvent<string>).data) as Task));
  source.addEventListener("error", () => {
    // A stream that broke off is opened anew by the browser; one that was refused is not.
    if (source.readyState === EventSource.CLOSED && !signal.aborted) void ask();
  });
  signal.addEventListener("abort", close);
}
