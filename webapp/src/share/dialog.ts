// The dialog that creates a share link.

import "../styles/manage.css";
import "../styles/access.css";

import { field, passwordInput, selectInput, textInput } from "../access/field";
import { dialogForm } from "../access/parts";
import { formatDay } from "../format";
import { t } from "../strings";
import { notify } from "../ui/announce";
import { openForm } from "../ui/dialog";
import { h } from "../ui/dom";
import { icon } from "../ui/icons";
import { addShare, type NewShare, type ShareLink } from "./client";

const hour = 3_600_000; // milliseconds
const terms = [1, 24, 168, 720, 2160, 8784]; // hours
const shortest = 8; // characters of a password

export interface ShareOf {
  images?: string[];
  case?: { store: string; accession: string; count: number };
  labelled: boolean; // the user may show labels
}

// shareSlides opens the dialog.
export function shareSlides(o: ShareOf): void {
  const count = o.case?.count ?? o.images?.length ?? 0;
  const title = field(t.share.titleLabel, textInput("title", { maxlength: 200 }), t.share.titleHint);
  const term = field(t.share.lifetime, selectInput("hours", terms.map((n): [string, string] => [String(n), t.share.term(n, formatDay(new Date(Date.now() + n * hour).toISOString()))])));
  term.control.value = "168";
  const password = field(t.share.password, passwordInput("password", "new-password"), t.share.passwordHint);
  const tick = h("input", { type: "checkbox", name: "labels", id: "share-labels", "aria-describedby": "share-labels-hint" });
  const labels = o.labelled ? h("div", { class: "field tick-field" }, tick, h("div", null, h("label", { for: "share-labels" }, t.share.labels), h("p", { class: "hint", id: "share-labels-hint" }, t.share.labelsHint))) : null;
  let made: ShareLink | null = null;
  const dialog = dialogForm(t.share.dialog(count), "people", {
    fields: [h("p", { class: "quiet" }, t.share.about), term.row, password.row, title.row, labels],
    action: t.share.create,
    busy: t.storeForm.saving,
    async submit() {
      const secret = password.control.value;
      password.wrong(secret && [...secret].length < shortest ? t.share.passwordShort : "");
      if (secret && [...secret].length < shortest) return password.control.focus();
      const wanted: NewShare = { hours: Number(term.control.value), ...(o.case ? { store: o.case.store, accession: o.case.accession } : { images: o.images ?? [] }) };
      if (title.control.value.trim()) wanted.title = title.control.value.trim();
      if (secret) wanted.password = secret;
      if (tick.checked) wanted.with_labels = true;
      made = await addShare(wanted);
    },
    stay: () => made === null,
  });
  dialog.addEventListener("close", () => made && showAddress(made));
}

// showAddress shows the address of a link, which is never shown again.
function showAddress(link: ShareLink): void {
  const address = new URL(link.url ?? "", location.origin).href;
  const text = h("input", { type: "text", readonly: true, class: "secret", value: address, "aria-label": t.share.address, spellcheck: "false", "data-testid": "share-address", onfocus: () => text.select() });
  const copy = h("button", { type: "button", class: "button", onclick: () => void navigator.clipboard.writeText(address).then(() => notify(t.copied, 1800), () => text.select()) }, icon("copy", 18), t.copy);
  const dialog = openForm(t.share.created, "people", h("div", { class: "stack" },
    h("p", null, t.share.once), h("div", { class: "secret-row" }, text, copy),
    h("p", { class: "quiet" }, link.password ? t.share.sendPassword : t.share.noPassword),
    h("div", { class: "dialog-foot" }, h("button", { type: "button", class: "button plain", onclick: () => dialog.close() }, t.share.done))));
  copy.focus();
}
