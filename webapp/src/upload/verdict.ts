// The result of an upload as text.

import type { ImageState, Task } from "../api/types";
import { t } from "../strings";
import type { UploadView } from "./types";

export interface Verdict {
  kind: "good" | "bad";
  words: string;
  slide: string | null; // id of the image
  final: boolean; // the result will not change
  state: ImageState | null; // of a bad one, as on all other pages; null if the file was refused
}

// verdictOf is the result of a received upload; null if it is not known yet.
export function verdictOf(view: UploadView): Verdict | null {
  const { image } = view;
  if (view.state === "refused") return bad(view.reason ?? "", null, null);
  if (view.state !== "received") return null;
  if (view.conversion === "pending") return { kind: "good", words: t.upload.converting, slide: null, final: false, state: null };
  if (view.conversion !== "done" && view.verdict !== "slide") {
    // The store's own state of the file, once it has one: the page of the store shows the same.
    // A broken or unsupported file is moved to quarantine next.
    if (image && image.state !== "arriving") return { ...bad(image.reason ?? view.reason ?? "", image.id, image.state), final: image.state !== "broken" && image.state !== "unsupported" };
    return { ...bad(view.reason ?? "", null, view.verdict === "unsupported" ? "unsupported" : "broken"), final: false };
  }
  if (!image) return null;
  if (image.state === "available") {
    const words = [view.conversion === "done" ? t.upload.converted : image.known ? t.upload.known : t.upload.isSlide, renamed(view)].filter(Boolean).join(" ");
    return { kind: "good", words, slide: image.id, final: image.filed, state: null };
  }
  if (image.state === "arriving") return null;
  return bad(image.reason ?? t.stateReason[image.state], image.id, image.state);
}

const bad = (words: string, slide: string | null, state: ImageState | null): Verdict => ({ kind: "bad", words, slide, final: true, state });

// renamed reports that the file was renamed because the name was in use.
function renamed(view: UploadView): string {
  return view.image?.known || !view.file_name || !view.sent_as || !/ \(\d+\)(\.[^.]*)?$/.test(view.file_name) || view.file_name === view.sent_as ? "" : t.upload.renamed(view.file_name);
}

// taskOf is the task of an image: a running one, or else a waiting one.
export function taskOf(tasks: Task[], image: string): Task | null {
  const its = tasks.filter((task) => task.args?.image === image && !task.ready);
  return its.find((task) => task.state === "running") ?? its[0] ?? null;
}
