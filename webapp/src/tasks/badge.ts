import type { Task, TaskState } from "../api/types";
import { t } from "../strings";
import { h } from "../ui/dom";
import { icon, type IconName } from "../ui/icons";

const styles: Record<TaskState, { icon: IconName; badge: string }> = {
  waiting: { icon: "clock", badge: "unsupported" },
  running: { icon: "turn", badge: "arriving" },
  retrying: { icon: "turn", badge: "missing" },
  succeeded: { icon: "check", badge: "good" },
  failed: { icon: "warning", badge: "broken" },
  cancelled: { icon: "close", badge: "unsupported" },
};

export function taskBadge(task: Task): HTMLElement {
  const look = styles[task.state] ?? styles.waiting;
  return h("span", { class: `badge badge-${look.badge}`, "data-testid": "task-state" }, icon(look.icon, 14), t.tasks.states[task.state] ?? task.state);
}
