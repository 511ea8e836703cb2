// What became of an upload, in words.

import type { Task } from "../api/types";
import { t } from "../strings";
import type { UploadView } from "./types";

export interface Verdict {
  kind: "good" | "bad";
  words: string;
  slide: string | null; // id of the image
  final: boolean; // nothing more is to come
}

// verdictOf is what can be said of an upload that has arrived; null as long as there
// is nothing to be said.
export function verdictOf(view: UploadView): Verdict | null {
  const { image } = view;
  if (view.state === "refused") return bad(view.reason ?? "", null);
  if (view.state !== "received") return null;
  if (view.conversion === "pending") return { kind: "good", words: t.upload.converting, slide: null, final: false };
  if (view.conversion !== "done" && view.verdict !== "slide") return bad(view.reason ?? "", null);
  if (!image) return null;
  if (image.state === "available") {
    const words = [view.conversion === "done" ? t.upload.converted : image.known ? t.upload.known : t.upload.isSlide, renamed(view)].filter(Boolean).join(" ");
    return { kind: "good", words, slide: image.id, final: image.filed };
  }
  if (image.state === "arriving") return null;
  return bad(image.reason ?? t.stateReason[image.state], image.id);
}

const bad = (words: string, slide: string | null): Verdict => ({ kind: "bad", words, slide, final: true });

// renamed says that there was a file of that name already.
function renamed(view: UploadView): string {
  return view.image?.known || !view.file_name || !view.sent_as || !/ \(\d+\)(\.[^.]*)?$/.test(view.file_name) || view.file_name === view.sent_as ? "" : t.upload.renamed(view.file_name);
}

// taskOf picks the task that works on an image: one that runs before one that waits.
export function taskOf(tasks: Task[], image: string): Task | null {
  const its = tasks.filter((task) => task.args?.image === image && !task.ready);
  return its.find((task) => task.state === "running") ?? its[0] ?? null;
}
