import type { Task } from "../api/types";
import { t } from "../strings";
import { progressWords } from "./words";
import { h } from "../ui/dom";

// progressBar shows the progress of a task; it is indeterminate if the total is unknown.
export function progressBar(task: Task): HTMLElement {
  const words = progressWords(task);
  const known = task.progress?.total ? { value: Math.min(task.progress.done, task.progress.total), max: task.progress.total } : {};
  return h("div", { class: "task-progress" }, h("progress", { ...known, "aria-label": t.tasks.progress, "aria-valuetext": words || null }), words ? h("span", { class: "quiet" }, words) : null);
}
