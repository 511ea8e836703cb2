// The tasks of the mock: they run by the clock, in steps that can be looked at.

const keepAlive = 15_000; // milliseconds
const kinds = "sync_store, resync_store, verify_store, import_file, hash_image, read_barcode or make_previews";
const states = ["waiting", "running", "retrying", "succeeded", "failed", "cancelled"];

export const workers = [
  { id: "w1", host: "scan-server", pid: 4711, version: "v0.9.0", queues: ["default", "host-scan-server"], started_at: new Date(Date.now() - 26 * 3_600_000).toISOString() },
  { id: "w2", host: "night-shift", pid: 912, version: "v0.9.0", queues: ["night"], started_at: new Date(Date.now() - 40 * 60_000).toISOString() },
];

export class Tasks {
  list = []; // newest first
  #last = 100;

  // add puts in a task that is done as plan says: milliseconds, total, unit, log
  // (lines) and end, called at its end: { result } or { error }.
  add(kind, queue, args, plan, ago = 0) {
    const task = { id: String(++this.#last), kind, queue, args, plan, submitted: Date.now() - ago, cancelled: null, ended: null };
    this.list.unshift(task);
    return task;
  }

  // same is the task of that kind and arguments that has not ended.
  same(kind, args) {
    return this.list.find((task) => task.kind === kind && JSON.stringify(task.args) === JSON.stringify(args) && !this.view(task).ready);
  }

  find(id) {
    return this.list.find((task) => task.id === id);
  }

  cancel(task) {
    if (!this.view(task).ready) task.cancelled = Date.now();
  }

  view(task, withLog = false) {
    const { plan } = task;
    const now = Date.now();
    const served = workers.some((worker) => worker.queues.includes(task.queue));
    const started = task.submitted + (plan.wait ?? 400);
    const until = started + plan.milliseconds;
    const at = (ms) => new Date(ms).toISOString();
    let state = !served || now < started ? "waiting" : now < until ? "running" : "succeeded";
    if (state === "succeeded" && !task.ended && task.cancelled === null) task.ended = plan.end?.() ?? { result: null };
    if (task.cancelled !== null) state = "cancelled";
    else if (task.ended?.error) state = "failed";
    const ready = state === "succeeded" || state === "failed" || state === "cancelled";
    const begun = state !== "waiting" && served;
    const share = Math.min(1, Math.max(0, (Math.min(now, task.cancelled ?? now) - started) / plan.milliseconds));
    const log = (plan.log ?? []).map((text, i, all) => ({ at: started + ((i + 0.5) / all.length) * plan.milliseconds, text })).filter((line) => begun && line.at <= (task.cancelled ?? now));
    return {
      id: task.id, kind: task.kind, queue: task.queue, args: task.args, state, ready,
      progress: begun && plan.total !== undefined ? { done: plan.total === null ? Math.round(share * 900) : Math.round(share * plan.total), total: plan.total, unit: plan.unit } : null,
      result: state === "succeeded" ? (task.ended.result ?? null) : null, error: task.ended?.error ?? null, attempts: begun ? (plan.attempts ?? 1) : 0, worker: begun ? "w1" : null,
      submitted_at: at(task.submitted), started_at: begun ? at(started) : null, finished_at: ready ? at(task.cancelled ?? until) : null,
      log: withLog ? log.map((line) => ({ at: at(line.at), text: line.text })) : null, waiting_for_worker: state === "waiting" && !served,
    };
  }

  page(params) {
    const limit = Number(params.get("limit") ?? 50);
    if (params.get("state") && !states.includes(params.get("state"))) return { status: 422, detail: 'The request is not valid: query.state: expected value to be one of "waiting, running, …".' };
    if (!(limit >= 1 && limit <= 500)) return { status: 422, detail: "The request is not valid: query.limit: expected number <= 500." };
    const from = params.get("cursor");
    const found = this.list.map((task) => this.view(task)).filter((view) =>
      ["kind", "state", "queue"].every((name) => !params.get(name) || view[name] === params.get(name)) &&
      (!params.get("store") || view.args.store === params.get("store")) && (!from || Number(view.id) < Number(from)));
    return { items: found.slice(0, limit), next_cursor: found.length > limit ? found[limit - 1].id : null };
  }

  // follow sends a task's changes as server-sent events until it has ended.
  follow(task, request, response) {
    if (this.view(task).ready && request.headers["last-event-id"] === "end") return response.writeHead(204, { "Cache-Control": "no-store" }).end();
    response.writeHead(200, { "Content-Type": "text/event-stream", "Cache-Control": "no-store", "X-Accel-Buffering": "no" });
    let last = "";
    const send = () => {
      const view = this.view(task, true);
      const data = JSON.stringify(view);
      if (data !== last) response.write(`event: task\n${view.ready ? "id: end\n" : ""}data: ${data}\n\n`);
      last = data;
      if (view.ready) stop();
    };
    const timer = setInterval(send, 250);
    const heart = setInterval(() => response.write(":\n\n"), keepAlive);
    const stop = () => {
      clearInterval(timer);
      clearInterval(heart);
      response.end();
    };
    request.once("close", stop);
    send();
  }
}

export const unknownKind = `kind: this server knows none of that name; there are ${kinds}`;
