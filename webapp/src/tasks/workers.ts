import { session } from "../access/session";
import type { Worker } from "../api/types";
import { t } from "../strings";
import { h, type Child } from "../ui/dom";
import { timeElement } from "../ui/time";

// seesWorkers reports whether the caller can see the workers: with access control, only admins can.
export function seesWorkers(): boolean {
  return session().mode === "none" || session().admin;
}

// workerHost is the host of a worker, or its id for callers who are not admins.
export function workerHost(worker: Worker): string {
  return worker.host ?? worker.id;
}

// workersTable lists the running workers.
export function workersTable(workers: Worker[]): Child[] {
  if (workers.length === 0) return [h("p", { class: "task-waits" }, t.tasks.noWorkers)];
  const cell = (i: number, ...children: Child[]): HTMLElement => h("td", { "data-label": t.tasks.workerColumns[i] }, ...children);
  return [
    h(
      "table",
      { class: "table" },
      h("thead", null, h("tr", null, ...t.tasks.workerColumns.map((name) => h("th", { scope: "col" }, name)))),
      h(
        "tbody",
        null,
        ...workers.map((worker) =>
          h("tr", null, h("th", { scope: "row" }, workerHost(worker), worker.pid ? h("span", { class: "quiet" }, ` · ${t.tasks.pid(worker.pid)}`) : null), cell(1, worker.queues.join(", ")), cell(2, worker.version || "–"), cell(3, worker.started_at ? timeElement(worker.started_at) : "–"), cell(4, timeElement(worker.seen_at))),
        ),
      ),
    ),
  ];
}
