// A task in the list.

import { may, session } from "../access/session";
import type { Store, Task } from "../api/types";
import { sentence, storeOf } from "../stores/condition";
import { t } from "../strings";
import { h, type Child } from "../ui/dom";
import { timeElement } from "../ui/time";
import { taskBadge } from "./badge";
import { progressBar } from "./progress";
import { resultWords, taskName, tookWords } from "./words";

// A WorkerName returns the display name of a worker by its id.
export type WorkerName = (id: string) => string;

export function taskRow(task: Task, stores: Store[], workerName: WorkerName, cancel: (task: Task) => void): Child[] {
  const name = taskName(task, stores);
  const words = resultWords(task);
  return [
    h("div", { class: "task-head" }, h("h2", null, h("a", { class: "task-link", href: `/tasks/${encodeURIComponent(task.id)}`, "data-page": true, "data-focus": "link" }, name)), taskBadge(task)),
    h("div", { class: "task-body" }, task.state === "running" ? progressBar(task) : null, waits(task), task.error && task.state !== "succeeded" ? h("p", { class: "task-error" }, sentence(task.error)) : null, words && task.state === "succeeded" ? h("p", null, words) : null),
    h(
      "ul",
      { class: "task-facts quiet", role: "list" },
      h("li", null, `${t.tasks.queue}: ${task.queue}`),
      task.worker ? h("li", null, `${t.tasks.worker}: ${workerName(task.worker)}`) : null,
      task.attempts > 1 ? h("li", null, t.tasks.attempt(task.attempts)) : null,
      h("li", null, ...when(task)),
      task.ready && task.started_at && !words ? h("li", null, t.sync.took(tookWords(task, Date.now()))) : null,
    ),
    task.ready || !mayCancel(task, stores) ? null : h("button", { type: "button", class: "button small plain task-cancel", "data-focus": "cancel", "aria-label": t.tasks.cancelOf(name), onclick: () => cancel(task) }, t.tasks.cancel),
  ];
}

export function waits(task: Task): HTMLElement | null {
  return task.waiting_for_worker && !task.ready ? h("p", { class: "task-waits" }, sentence(t.tasks.waitingForWorker(task.queue))) : null;
}

function when(task: Task): Child[] {
  if (task.finished_at) return [`${t.tasks.finishedAgo} `, timeElement(task.finished_at)];
  if (task.started_at && task.state === "running") return [`${t.tasks.startedAgo} `, timeElement(task.started_at)];
  return [`${t.tasks.submittedAgo} `, timeElement(task.submitted_at)];
}

// mayCancel reports whether the caller can cancel a task: this requires write permission on its
// store.
export function mayCancel(task: Task, stores: Store[]): boolean {
  const store = storeOf(task);
  return session().admin || (!!store && may("write", stores.find(({ id }) => id === store)));
}
