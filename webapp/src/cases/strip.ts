// The slides of a case as a strip in the viewer.

import "../styles/cases.css";

import type { SlideImage } from "../api/types";
import { compareAddress } from "../compare/link";
import { slideName } from "../gallery/card";
import { t } from "../strings";
import { iconButton } from "../ui/button";
import { h } from "../ui/dom";
import { icon } from "../ui/icons";
import { onPictureError } from "../ui/picture";
import { remember, remembered } from "../ui/remember";
import { blockOf, caseAddress, getCase } from "./client";
import { completeness } from "./completeness";
import { openCase } from "./current";

// caseStrip is null if the slide is in no case, or alone in it.
export async function caseStrip(image: SlideImage, signal: AbortSignal): Promise<HTMLElement | null> {
  if (!image.accession) return null;
  const [found] = await getCase(image.accession, image.store, signal).catch(() => []);
  if (!found || found.slides.length < 2 || signal.aborted) return null;
  const slides = found.slides.filter(({ state }) => state === "available" || state === "arriving");
  if (slides.length < 2) return null;
  openCase(slides.map(({ id }) => id));
  const list = h("ul", { role: "list" }, ...slides.map((slide) => item(slide, image)));
  const toggle = iconButton("up", t.cases.strip, () => {
    show(list.hidden === true);
    remember("case-strip", list.hidden ? "closed" : "open");
  }, { class: "icon-button small case-strip-toggle" });
  const strip = h("nav", { class: "case-strip float", "aria-label": t.cases.stripOf(image.accession), "data-testid": "case-strip" },
    h("div", { class: "case-strip-head" }, h("a", { href: caseAddress(image.accession, image.store), "data-page": true, class: "case-strip-name ellipsis" }, image.accession), h("span", { class: "quiet" }, t.cases.slides(slides.length)), completeness(found), toggle),
    list);
  show((remembered("case-strip") ?? (window.innerWidth < 700 ? "closed" : "open")) === "open");
  setTimeout(() => list.querySelector<HTMLElement>("[aria-current]")?.scrollIntoView({ block: "nearest", inline: "center" }));
  return strip;

  function show(open: boolean): void {
    list.hidden = !open;
    toggle.setAttribute("aria-expanded", String(open));
    strip.classList.toggle("closed", !open);
  }
}

function item(slide: SlideImage, current: SlideImage): HTMLElement {
  const name = [blockOf(slide), slide.stain].filter(Boolean).join(" ") || slideName(slide);
  const here = slide.id === current.id;
  const picture = h("img", { alt: "", loading: "lazy", decoding: "async", draggable: "false", src: `/api/v1/images/${encodeURIComponent(slide.id)}/thumbnail?width=192&height=128&v=${encodeURIComponent(slide.revision ?? "")}` });
  onPictureError(picture, () => picture.remove());
  return h(
    "li",
    null,
    h("a", { class: "case-strip-slide", href: `/slides/${encodeURIComponent(slide.id)}`, "data-page": true, "aria-current": here ? "page" : null, title: slideName(slide) }, h("span", { class: "case-picture" }, picture), h("span", { class: "ellipsis" }, name)),
    here ? null : h("a", { class: "icon-button small case-strip-compare", href: compareAddress([current.id, slide.id]), "data-page": true, "aria-label": t.cases.beside(name), title: t.cases.beside(name) }, icon("compare", 16)),
  );
}
