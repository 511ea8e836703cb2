// The changes of a task, by server-sent events.

import { getTask, taskEvents } from "./client";
import type { Task } from "./types";

const pollEvery = 2000; // milliseconds, if there are no events

// watchTask calls onTask for every change of a task until it has finished or the signal is aborted.
// If the server sends no events, it polls.
export function watchTask(id: string, onTask: (task: Task) => void, signal: AbortSignal): void {
  const source = new EventSource(taskEvents(id));
  let timer = 0;
  const close = (): void => {
    source.close();
    clearTimeout(timer);
  };
  const receive = (task: Task): void => {
    if (signal.aborted) return;
    if (task.ready) close();
    onTask(task);
  };
  const ask = async (): Promise<void> => {
    let ready = false;
    try {
      const task = await getTask(id, signal);
      ready = task.ready;
      receive(task);
    } catch {
      // the next poll tries again
    }
    if (!ready && !signal.aborted) timer = window.setTimeout(() => void ask(), pollEvery);
  };
  source.addEventListener("task", (event) => receive(JSON.parse((event as MessageEvent<string>).data) as Task));
  source.addEventListener("error", () => {
    // The browser reopens a stream that broke off, but not one that was refused.
    if (source.readyState === EventSource.CLOSED && !signal.aborted) void ask();
  });
  signal.addEventListener("abort", close);
}
