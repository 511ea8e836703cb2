// The confirmation dialogs of the Stores page.

import { Problem, removeStore, submitTask, syncStore } from "../api/client";
import { watchTask } from "../api/events";
import type { Store, Task } from "../api/types";
import { formatBytes } from "../format";
import { t } from "../strings";
import { progressBar } from "../tasks/progress";
import { progressWords, resultWords } from "../tasks/words";
import { openDialog } from "../ui/dialog";
import { h, replace, type Child } from "../ui/dom";
import { isBucket, storeName, totalOf } from "./card";
import { sentence, type Condition } from "./condition";

interface Question {
  title: string;
  name: string;
  text: Child[];
  yes: string;
  danger?: boolean;
  agree?: string; // the label of a checkbox that must be ticked first
  run: () => Promise<void>;
}

// ask opens a dialog that runs an action when it is confirmed. If the action fails, the dialog
// stays open and shows the error.
export function ask(question: Question): void {
  const problem = h("p", { class: "form-problem", role: "alert", hidden: true });
  const yes = h("button", { type: "submit", class: question.danger ? "button danger-fill" : "button" }, question.yes);
  const form = h(
    "form",
    {
      class: "stack",
      method: "dialog",
      onsubmit: async (event: Event) => {
        event.preventDefault();
        if (yes.disabled) return;
        yes.disabled = true;
        problem.hidden = true;
        try {
          await question.run();
          dialog.close();
        } catch (err) {
          problem.textContent = wordsOf(err);
          problem.hidden = false;
          yes.disabled = false;
        }
      },
    },
    ...question.text,
    question.agree ? h("label", { class: "tick" }, h("input", { type: "checkbox", name: "agree", required: true }), h("span", null, question.agree)) : null,
    problem,
    h("div", { class: "dialog-foot" }, h("button", { type: "button", class: "button plain", autofocus: question.danger, onclick: () => dialog.close() }, t.cancel), yes),
  );
  const dialog = openDialog(question.title, question.name, form);
}

export function askResync(store: Store, done: (task: Task) => void): void {
  ask({
    title: t.stores.resyncTitle(storeName(store)), name: "resync", text: [h("p", null, t.stores.resyncText)], yes: t.stores.resyncDo,
    run: async () => done(await syncStore(store.id, "resync")),
  });
}

// askConfirm asks whether the slides were removed intentionally.
export function askConfirm(store: Store, condition: Condition, done: (task: Task) => void): void {
  ask({
    title: t.stores.confirmTitle(storeName(store)), name: "confirm", danger: true, yes: t.stores.confirmDo,
    text: [h("p", null, condition.ask === "other" ? t.stores.confirmOther : t.stores.confirmText), h("p", { class: "store-problem" }, condition.text), h("p", null, t.stores.confirmThen)],
    run: async () => done(await syncStore(store.id, "confirm")),
  });
}

// askRemove asks before a store is removed from the catalog. The files of a managed store are named
// by their digests, so the user has to confirm that they are kept.
export function askRemove(store: Store, done: () => void): void {
  const held = totalOf(store) - (store.counts?.missing ?? 0);
  const keeps = store.mode === "managed" && held > 0;
  const said = keeps ? t.stores.removeManaged(held) : totalOf(store) > 0 ? t.stores.removeInPlace(totalOf(store)) : "";
  ask({
    title: t.stores.removeTitle(storeName(store)), name: "remove", danger: true, yes: t.stores.removeDo, agree: keeps ? t.stores.removeKeep : undefined,
    text: [h("p", null, t.stores.removeText), said ? h("p", { class: "quiet" }, said) : null],
    run: async () => {
      try {
        await removeStore(store.id, keeps);
      } catch (err) {
        if (!(err instanceof Problem && err.status === 404)) throw err; // another user has removed it
      }
      done();
    },
  });
}

// askMove asks which bucket gets the slides of a folder. If more people would see them there, the
// server refuses it, and the user has to agree.
export function askMove(store: Store, stores: Store[], done: (task: Task) => void): void {
  const targets = stores.filter(isBucket);
  const target = h("select", { id: "move-into", name: "into" }, ...targets.map((to) => h("option", { value: to.id }, storeName(to))));
  const agree = h("input", { type: "checkbox", name: "more" });
  const more = h("label", { class: "tick", hidden: true }, agree, h("span", null, t.stores.moveAgree));
  const n = store.counts?.available ?? 0;
  ask({
    title: t.stores.moveTitle(storeName(store)), name: "move", yes: t.stores.moveDo,
    text: [
      h("p", null, t.stores.moveText(n, formatBytes(store.bytes ?? 0))),
      h("p", { class: "quiet" }, store.mode === "managed" ? t.stores.moveManaged : t.stores.moveInPlace),
      h("div", { class: "field" }, h("label", { for: "move-into" }, t.stores.moveInto), target),
      more,
    ],
    run: async () => {
      try {
        done(await submitTask("move_image", null, { store: store.id, into: target.value, ...(agree.checked ? { confirm: true } : {}) }));
      } catch (err) {
        if (err instanceof Problem && /args\.confirm/.test(err.detail)) more.hidden = false;
        throw err;
      }
    },
  });
}

// showDryRun starts a dry run, and shows its result when it is finished.
export function showDryRun(store: Store, begun: (task: Task) => void, sync: () => void): void {
  const leave = new AbortController();
  const outcome = h("div", { class: "stack", "data-testid": "dry-run", role: "status" });
  const foot = h("div", { class: "dialog-foot" });
  const dialog = openDialog(t.stores.dryRunTitle(storeName(store)), "dry-run", h("p", { class: "quiet" }, t.stores.dryRunText), outcome, foot);
  dialog.addEventListener("close", () => leave.abort());
  const close = h("button", { type: "button", class: "button plain", onclick: () => dialog.close() }, t.close);
  replace(outcome, h("p", null, t.stores.dryRunStarting));
  replace(foot, close);

  const show = (task: Task): void => {
    if (!task.ready) {
      const waits = task.waiting_for_worker ? h("p", { class: "store-problem" }, sentence(t.tasks.waitingForWorker(task.queue))) : null;
      replace(outcome, h("p", null, t.stores.dryRunStarting), waits, task.error ? h("p", { class: "store-problem" }, sentence(task.error)) : null, progressWords(task) ? progressBar(task) : null);
      return;
    }
    const words = resultWords(task);
    if (task.state === "succeeded") {
      replace(outcome, h("p", { class: "outcome" }, words ? sentence(words) : JSON.stringify(task.result)), h("p", { class: "quiet" }, t.stores.dryRunDone));
    } else {
      replace(outcome, h("p", { class: "store-problem" }, task.error ? sentence(task.error) : t.tasks.states[task.state]));
    }
    const link = h("a", { class: "button plain", href: `/tasks/${encodeURIComponent(task.id)}`, "data-page": true, onclick: () => dialog.close() }, t.stores.toTask);
    const go = h("button", { type: "button", class: "button", onclick: () => { dialog.close(); sync(); } }, t.stores.dryRunSync);
    replace(foot, close, link, task.state === "succeeded" ? go : null);
  };

  syncStore(store.id, "dry_run").then((task) => {
    begun(task);
    if (leave.signal.aborted) return;
    show(task);
    if (!task.ready) watchTask(task.id, show, leave.signal);
  }, (err) => replace(outcome, h("p", { class: "form-problem" }, wordsOf(err))));
}

// wordsOf is an error as text.
export function wordsOf(err: unknown): string {
  return err instanceof Problem ? err.detail : t.error.title;
}
