// The measurements of slides, kept until the browser tab is closed: returning to a slide shows them
// again.

import { loadSession } from "../access/session";
import type { SlideImage } from "../api/types";

const key = "ptiffstore.measurements"; // in session storage

interface Kept {
  user: string; // their id; "" without access control
  slides: Record<string, { revision: string; text: string }>; // by image id
}

let memory: Kept | null = null; // if storage is full or blocked

// keptMeasurements is the text of the measurements on a slide; "" without any. Those of another
// user, or on a file that was replaced, are not returned.
export async function keptMeasurements(image: Pick<SlideImage, "id" | "revision">): Promise<string> {
  const found = (await read()).slides[image.id];
  return found && found.revision === (image.revision ?? "") ? found.text : "";
}

// keepMeasurements replaces the measurements that are kept for a slide.
export async function keepMeasurements(image: Pick<SlideImage, "id" | "revision">, text: string): Promise<void> {
  const kept = await read();
  if (text) kept.slides[image.id] = { revision: image.revision ?? "", text };
  else delete kept.slides[image.id];
  memory = kept;
  try {
    sessionStorage.setItem(key, JSON.stringify(kept));
  } catch {
    // memory has them until the document is closed
  }
}

// mergeMeasurements is the text of both, without duplicates. The numbers of the first are kept.
export function mergeMeasurements(first: string, second: string): string {
  return [...new Set([...first.split("_"), ...second.split("_")])].filter(Boolean).join("_");
}

async function read(): Promise<Kept> {
  const user = (await loadSession()).user?.id ?? "";
  const kept = memory ?? stored();
  return kept?.user === user ? kept : { user, slides: {} };
}

// stored reads what is in storage, possibly written by another version.
function stored(): Kept | null {
  try {
    const kept = JSON.parse(sessionStorage.getItem(key) ?? "null") as Kept | null;
    return typeof kept?.user === "string" && typeof kept.slides === "object" && kept.slides !== null ? kept : null;
  } catch {
    return null;
  }
}
