// Shows what a case pattern finds in the newest slides of a store, while it is typed.

import { Problem } from "../api/client";
import { tryPattern, type Tried } from "../cases/client";
import type { Store } from "../api/types";
import { t } from "../strings";
import { h, replace } from "../ui/dom";

const delay = 400; // milliseconds after the last key

export function patternTry(frame: HTMLElement, store: Store, pattern: HTMLInputElement, source: HTMLSelectElement): void {
  let timer = 0;
  let request = new AbortController();
  const ask = (): void => {
    clearTimeout(timer);
    request.abort();
    if (!pattern.value) return replace(frame);
    timer = window.setTimeout(() => void show(), delay);
  };
  pattern.addEventListener("input", ask);
  source.addEventListener("change", ask);
  pattern.closest("details")?.addEventListener("toggle", ask, { once: true });

  async function show(): Promise<void> {
    request = new AbortController();
    const { signal } = request;
    try {
      const tried = await tryPattern(store.id, pattern.value, source.value, signal);
      if (!signal.aborted) replace(frame, ...result(tried));
    } catch (err) {
      if (signal.aborted) return;
      const words = err instanceof Problem ? [err.detail, ...err.errors.map((e) => e.replace(/^(body\.)?case_pattern: /, ""))].filter(Boolean).join(" ") : String(err);
      replace(frame, h("p", { class: "field-error", role: "status" }, words));
    }
  }
}

function result(tried: Tried[]): HTMLElement[] {
  if (tried.length === 0) return [h("p", { class: "hint", role: "status" }, t.cases.tryNone)];
  const { text, accession, part, block, stain } = t.cases.tryColumns;
  return [
    h("p", { class: "hint", role: "status" }, t.cases.tryResult(tried.filter((one) => one.accession).length, tried.length)),
    h("div", { class: "table-frame" }, h("table", { class: "table pattern-table" },
      h("thead", null, h("tr", null, ...[text, accession, part, block, stain].map((name) => h("th", { scope: "col" }, name)))),
      h("tbody", null, ...tried.map((one) => h("tr", null,
        h("td", { class: "pattern-text", "data-label": text }, textOf(one)),
        ...(one.accession
          ? ([[accession, one.accession], [part, one.part], [block, one.block], [stain, one.stain]] as const).map(([name, value]) => h("td", { "data-label": name }, value ?? "–"))
          : [h("td", { class: "quiet", colspan: "4", "data-label": accession }, t.cases.noMatch)])))))),
  ];
}

// textOf is the text in which the pattern matches, or else the one that people know the slide by.
function textOf(one: Tried): string {
  const texts: Record<string, string | null> = { barcode: one.barcode, filename: one.file_name, folder: one.folder };
  return (one.source ? texts[one.source] : one.barcode ?? one.file_name) ?? "";
}
