// Whether all ordered slides of a case have arrived.

import { t } from "../strings";
import { h } from "../ui/dom";
import { icon } from "../ui/icons";
import type { Case } from "./client";

// completeness is a badge; null for a case of which nothing was ordered.
export function completeness({ complete, missing }: Pick<Case, "complete" | "missing">): HTMLElement | null {
  if (complete) return h("span", { class: "badge badge-good" }, icon("check", 14), t.cases.complete);
  if (missing) return h("span", { class: "badge badge-missing" }, icon("clock", 14), t.cases.missing(missing));
  return null;
}
