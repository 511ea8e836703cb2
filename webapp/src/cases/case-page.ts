// The page of a case: its slides by part, block and stain.

import "../styles/gallery.css";
import "../styles/manage.css";
import "../styles/cases.css";

import { loadSession, session } from "../access/session";
import { listStores, Problem, type ListedImage } from "../api/client";
import type { Store } from "../api/types";
import { compareAddress, mostSlides } from "../compare/link";
import { slideCard } from "../gallery/card";
import { slideMenu } from "../gallery/slide-menu";
import { tray } from "../gallery/tray";
import type { Page } from "../router";
import { t } from "../strings";
import { h, replace } from "../ui/dom";
import { header } from "../ui/header";
import { icon } from "../ui/icons";
import { message } from "../ui/message";
import { blockOf, getCase, type CaseDetail, type ExpectedSlide } from "./client";
import { completeness } from "./completeness";
import { correctButton } from "./correct";
import { openCase } from "./current";

export const casePage: Page = {
  mount(root, params, signal) {
    new CasePage(root, params[0]!, new URLSearchParams(location.search).get("store"), signal);
  },
};

class CasePage {
  private readonly body = h("div");
  private stores: Store[] = [];

  constructor(root: HTMLElement, private readonly accession: string, private readonly store: string | null, private readonly signal: AbortSignal) {
    document.title = `${accession} · ${t.name}`;
    root.append(header("cases", true), h("main", { class: "page case-page", id: "main", tabindex: "-1" }, h("div", { class: "page-head" }, h("h1", { class: "case-title" }, h("span", { class: "quiet" }, `${t.cases.caseWord} `), accession)), this.body), tray(this.body, signal));
    replace(this.body, h("p", { class: "quiet" }, t.loading));
    window.scrollTo(0, 0);
    void this.load();
  }

  private async load(): Promise<void> {
    try {
      const [cases, stores] = await Promise.all([getCase(this.accession, this.store, this.signal), listStores(this.signal).catch(() => []), loadSession()]);
      this.stores = stores;
      this.show(cases);
    } catch (err) {
      if (this.signal.aborted) return;
      const problem = err instanceof Problem ? err : new Problem(0, String(err));
      const missing = problem.status === 404;
      replace(this.body, message({
        picture: icon(missing ? "search" : "warning", 44), title: missing ? t.cases.unknown : t.cases.failed, text: missing ? t.open.noAccession(this.accession) : problem.detail, alert: true,
        action: missing ? h("a", { class: "button", href: "/cases", "data-page": true }, t.cases.all) : h("button", { type: "button", class: "button", onclick: () => void this.load() }, t.retry),
      }));
    }
  }

  private show(cases: CaseDetail[]): void {
    openCase(cases.flatMap((c) => c.slides.map(({ id }) => id)));
    replace(this.body, ...cases.map((c) => this.caseOf(c, cases.length > 1)));
  }

  private caseOf(c: CaseDetail, several: boolean): HTMLElement {
    const available = c.slides.filter(({ state }) => state === "available");
    return h(
      "section",
      { class: "case-section", "aria-label": several ? c.store_label : null },
      h("div", { class: "case-head" },
        several ? h("h2", null, c.store_label) : h("p", { class: "quiet" }, c.store_label),
        completeness(c),
        h("p", { class: "quiet" }, [t.cases.slides(c.images), c.stains.join(", ")].filter(Boolean).join(" · ")),
        available.length > 1 ? h("a", { class: "button plain", href: compareAddress(available.slice(0, mostSlides).map(({ id }) => id)), "data-page": true }, icon("compare", 18), available.length > mostSlides ? t.cases.compareFirst(mostSlides) : t.cases.compareAll) : null,
        session().sharing && c.slides.length > 0 ? h("button", { type: "button", class: "button plain", onclick: () => void import("../share/dialog").then(({ shareSlides }) => shareSlides({ case: { store: c.store, accession: c.accession, count: c.slides.length }, labelled: true })) }, t.share.action) : null),
      ...groups(c).map(([block, slides, missing]) => h(
        "div",
        { class: "case-block" },
        h(several ? "h3" : "h2", { class: "case-block-name" }, block || t.cases.noBlock),
        h("ul", { class: "case-grid", role: "list" }, ...slides.map((image) => this.card(image)), ...missing.map(missingCard)),
      )),
    );
  }

  private card(image: ListedImage): HTMLElement {
    const store = this.stores.find(({ id }) => id === image.store);
    const card = slideCard(image, "", slideMenu(image, store, { changed: () => void this.load(), deleted: () => void this.load() }));
    const stain = h("p", { class: "case-stain" }, image.stain ? h("span", { class: "chip" }, image.stain) : h("span", { class: "quiet" }, t.cases.noStain), correctButton(image, store, () => void this.load()));
    return h("li", { class: "case-slide" }, stain, h("ul", { role: "list" }, card));
  }
}

// missingCard is the empty place of a slide that was ordered and has not arrived.
function missingCard(slide: ExpectedSlide): HTMLElement {
  const stain = h("p", { class: "case-stain" }, slide.stain ? h("span", { class: "chip" }, slide.stain) : h("span", { class: "quiet" }, t.cases.noStain));
  const code = slide.barcode ? h("p", { class: "barcode" }, icon("barcode", 16), h("span", { class: "visually-hidden" }, `${t.gallery.barcode} `), h("span", { class: "ellipsis" }, slide.barcode)) : null;
  return h("li", { class: "case-slide" }, stain, h("div", { class: "case-expected" }, icon("clock", 22), h("p", null, t.cases.expected), code));
}

type Group = [block: string, slides: ListedImage[], missing: ExpectedSlide[]];

// groups are the slides of each block, in the order of the case, and those that are missing. A block
// of which all slides are missing is where it belongs among the others.
function groups({ slides, expected }: CaseDetail): Group[] {
  const found = new Map<string, Group>();
  const group = (slide: Pick<ListedImage, "part" | "block">): Group => {
    const block = blockOf(slide);
    if (!found.has(block)) found.set(block, [block, [], []]);
    return found.get(block)!;
  };
  for (const image of slides) group(image)[1].push(image);
  const missing = (expected ?? []).filter(({ state }) => state === "missing");
  for (const slide of missing) group(slide)[2].push(slide);
  const all = [...found.values()];
  return missing.length > 0 ? all.sort(([a], [b]) => natural.compare(a, b)) : all;
}

const natural = new Intl.Collator("en", { numeric: true });
