// The page behind a share link: the viewer without navigation, with a strip of the slides.

import "../styles/cases.css";
import "../styles/access.css";
import "../styles/share.css";

import { field, form, passwordInput } from "../access/field";
import { problemWords } from "../access/words";
import { Problem } from "../api/client";
import type { SlideImage } from "../api/types";
import type { Page } from "../router";
import { t } from "../strings";
import { h, replace } from "../ui/dom";
import { icon } from "../ui/icons";
import { message } from "../ui/message";
import { onPictureError } from "../ui/picture";
import { SlidePage } from "../viewer/page";
import { openShare, viewShare, type SharedSlides } from "./client";
import { isEmbedded } from "./place";

// The link that is open: moving to another slide of it is not another view.
let opened: { id: string; shared: SharedSlides } | null = null;

export const sharePage: Page = {
  mount(root, [id = ""], signal) {
    document.title = `${t.share.page} · ${t.name}`;
    const secret = /^#(psl_[\w-]{20,80})$/.exec(location.hash)?.[1] ?? "";
    // The secret must not stay in the address, which people copy and browsers remember.
    if (secret) history.replaceState(history.state, "", location.pathname + location.search);
    void enter(root, id, secret, "", signal);
  },
};

async function enter(root: HTMLElement, id: string, secret: string, password: string, signal: AbortSignal): Promise<void> {
  try {
    if (secret) await openShare(id, secret, password);
    if (secret || opened?.id !== id) opened = { id, shared: await viewShare(id, signal) };
  } catch (err) {
    if (signal.aborted) return;
    const problem = err instanceof Problem ? err : new Problem(0, String(err));
    if (secret && problem.status === 403 && !password) askPassword(root, id, secret, signal);
    else if (problem.status === 403 || problem.status === 429) throw problem; // the form shows it
    else if (problem.status === 404) gone(root);
    else failed(root, problem, () => void enter(root, id, secret, password, signal));
    return;
  }
  if (signal.aborted || !opened) return;
  show(root, id, opened.shared, signal);
}

function show(root: HTMLElement, id: string, shared: SharedSlides, signal: AbortSignal): void {
  const params = new URLSearchParams(location.search);
  const { items } = shared;
  const current = items.find((image) => image.id === params.get("slide")) ?? items[0]!;
  const at = items.indexOf(current);
  const address = (slide: string): string => `/share/${encodeURIComponent(id)}?slide=${encodeURIComponent(slide)}${isEmbedded() ? "&embed=1" : ""}`;
  root.replaceChildren();
  void new SlidePage(root, current.id, signal, {
    embedded: isEmbedded(), address, title: shared.title, strip: items.length > 1 ? strip(items, current, address) : null,
    previous: items[at - 1]?.id ?? null, next: items[at + 1]?.id ?? null, has: (slide) => items.some((image) => image.id === slide), gone: () => gone(root),
  }).load(Promise.resolve(current));
}

function strip(items: SlideImage[], current: SlideImage, address: (id: string) => string): HTMLElement {
  const list = h("ul", { role: "list" }, ...items.map((image, i) => {
    const name = [image.block, image.stain].filter(Boolean).join(" ") || image.label || t.share.slide(i + 1);
    const picture = h("img", { alt: "", loading: "lazy", decoding: "async", draggable: "false", src: `/api/v1/images/${encodeURIComponent(image.id)}/thumbnail?width=192&height=128&v=${encodeURIComponent(image.revision ?? "")}` });
    onPictureError(picture, () => picture.remove());
    return h("li", null, h("a", { class: "case-strip-slide", href: address(image.id), "data-page": true, "aria-current": image === current ? "page" : null, title: name }, h("span", { class: "case-picture" }, picture), h("span", { class: "ellipsis" }, name)));
  }));
  setTimeout(() => list.querySelector("[aria-current]")?.scrollIntoView({ block: "nearest", inline: "center" }));
  return h("nav", { class: "case-strip float", "aria-label": t.share.strip, "data-testid": "share-strip" }, list);
}

function askPassword(root: HTMLElement, id: string, secret: string, signal: AbortSignal): void {
  const password = field(t.share.password, passwordInput("password", "current-password"));
  const body = form({
    fields: [password.row], action: t.share.open, busy: t.loading, words: (err) => (err instanceof Problem && err.status === 403 ? t.share.wrongPassword : problemWords(err)),
    async submit() {
      if (!password.control.value) return password.control.focus();
      await enter(root, id, secret, password.control.value, signal);
    },
  });
  replace(root, h("main", { class: "centre share-door", id: "main" }, h("div", { class: "box share-box" }, h("h1", null, t.share.protected), h("p", { class: "quiet" }, t.share.protectedText), body)));
  password.control.focus();
}

function gone(root: HTMLElement): void {
  opened = null;
  document.title = `${t.share.gone} · ${t.name}`;
  replace(root, h("main", { class: "centre", id: "main" }, message({ picture: icon("link", 44), title: t.share.gone, text: t.share.goneText, alert: true })));
}

function failed(root: HTMLElement, problem: Problem, again: () => void): void {
  replace(root, h("main", { class: "centre", id: "main" }, message({ picture: icon("warning", 44), title: t.error.title, text: problem.detail, alert: true, action: h("button", { type: "button", class: "button", onclick: again }, t.retry) })));
}
