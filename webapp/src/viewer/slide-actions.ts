// What the user may do with the slide of the viewer, as buttons below its details.

import { isLabelled, may, session } from "../access/session";
import { listStores } from "../api/client";
import type { SlideImage } from "../api/types";
import { currentFeed } from "../gallery/feed";
import { t } from "../strings";
import { h } from "../ui/dom";

export interface SlideActionsOptions {
  image: () => SlideImage | null; // the image that is shown
  changed: (image: SlideImage) => void;
  deleted: () => void;
  signal: AbortSignal;
}

// slideActions returns the buttons. The rights are those on the store of the slide.
export async function slideActions(o: SlideActionsOptions): Promise<HTMLElement[]> {
  const { mode, user } = session();
  if (!user && mode !== "none") return [];
  const stores = await listStores(o.signal).catch(() => []);
  const shown = o.image();
  if (o.signal.aborted || !shown) return [];
  const store = stores.find(({ id }) => id === shown.store);
  const [edits, deletes, downloads] = [isLabelled(shown) && may("write", store), may("admin", store), shown.state === "available" && isLabelled(shown) && store?.kind !== "mongodb" && store?.kind !== "dump" && shown.format !== "dicom" && may("file", store)];
  const shares = !!session().sharing && shown.state === "available";
  if (!edits && !deletes && !downloads && !shares) return [];
  const { askDelete, correctCase, editSlide } = await import("../gallery/slide-menu");

  const changed = (image: SlideImage): void => {
    currentFeed()?.update(image);
    o.changed(image);
  };
  const edit = (): void => editSlide(o.image()!, changed);
  const correct = (): void => void correctCase(o.image()!, changed);
  const remove = (): void => askDelete(o.image()!, store, (id) => {
    currentFeed()?.remove(id);
    o.deleted();
  });
  return [
    ...(shares ? [h("button", { type: "button", class: "button plain small", onclick: () => void import("../share/dialog").then(({ shareSlides }) => shareSlides({ images: [shown.id], labelled: isLabelled(shown) })) }, t.share.action)] : []),
    ...(downloads ? [h("a", { class: "button plain small", href: `/api/v1/images/${encodeURIComponent(shown.id)}/file`, download: "" }, t.slide.download)] : []),
    ...(edits ? [h("button", { type: "button", class: "button plain small", onclick: edit }, t.slide.edit), h("button", { type: "button", class: "button plain small", onclick: correct }, t.slide.correct)] : []),
    ...(deletes ? [h("button", { type: "button", class: "button plain danger small", onclick: remove }, t.slide.delete)] : []),
  ];
}
