// The tokens of a user: list, create, revoke.

import { ask } from "../stores/dialogs";
import { t } from "../strings";
import { formatDay } from "../format";
import { notify } from "../ui/announce";
import { openForm } from "../ui/dialog";
import { h, type Child } from "../ui/dom";
import { icon } from "../ui/icons";
import { timeElement } from "../ui/time";
import { addToken, listTokens, removeToken } from "./client";
import { field, selectInput, textInput } from "./field";
import { addButton, badge, box, button, dialogForm, load, table } from "./parts";
import { session } from "./session";
import { scopes, type Scope, type Token } from "./types";

const day = 86_400_000; // milliseconds
const terms = ["30", "90", "365", ""]; // days; "" is forever

// tokensBox lists the tokens of a user. Users can create tokens only for themselves.
export function tokensBox(user: string, name: string, signal: AbortSignal, own: boolean): HTMLElement {
  const body = h("div");
  const show = (): Promise<void> => load(body, signal, async () => {
    const list = await listTokens(own ? undefined : user, signal);
    return [list.length === 0 ? h("p", { class: "quiet" }, own ? t.access.noTokens : t.access.noTokensOf(name)) : tokensTable(list, (token) => askRemove(token, () => void show()))];
  });
  void show();
  return box(t.access.tokens, own ? addButton(t.access.addToken, () => createToken(() => void show())) : null, h("p", { class: "quiet about" }, own ? t.access.tokensAbout : t.access.tokensOfAbout), body);
}

function tokensTable(list: Token[], remove: (token: Token) => void): Child {
  const now = Date.now();
  const expiry = (token: Token): Child => {
    if (!token.expires_at) return t.access.neverExpires;
    return Date.parse(token.expires_at) <= now ? badge(t.access.expired, "broken") : timeElement(token.expires_at);
  };
  return table(
    [...t.access.tokenColumns, ""],
    list.map((token) => [
      token.label || "–", h("span", { class: "chips" }, ...token.scopes.map((scope) => h("span", { class: "mark" }, t.access.scopes[scope] ?? scope))),
      timeElement(token.created_at), token.last_used_at ? timeElement(token.last_used_at) : t.access.neverUsed, expiry(token),
      button(t.access.revoke, () => remove(token), "button small plain danger", token.label),
    ]),
    t.access.tokens,
  );
}

function askRemove(token: Token, done: () => void): void {
  ask({
    title: t.access.revokeTokenTitle(token.label), name: "remove", danger: true, yes: t.access.revoke, text: [h("p", null, t.access.revokeTokenText)],
    run: async () => {
      await removeToken(token.id);
      notify(t.access.tokenRevoked);
      done();
    },
  });
}

function createToken(done: () => void): void {
  const label = field(t.access.tokenLabel, textInput("label", { maxlength: 100 }), t.access.tokenLabelHint);
  const term = field(t.access.tokenExpiry, selectInput("expiry", terms.map((days): [string, string] => [days, days ? t.access.days(Number(days), formatDay(new Date(Date.now() + Number(days) * day).toISOString())) : t.access.neverExpires])));
  term.control.value = "90";
  const ticks = new Map<Scope, HTMLInputElement>();
  const note = h("p", { class: "field-error", hidden: true, id: "scopes-error" });
  const offered = scopes.filter((scope) => scope !== "admin" || session().admin);
  const group = h("fieldset", { class: "group", "aria-describedby": "scopes-error" }, h("legend", null, t.access.tokenScopes), ...offered.map((scope) => {
    const tick = h("input", { type: "checkbox", name: "scopes", value: scope, id: `scope-${scope}`, checked: scope === "tiles", "aria-describedby": `scope-${scope}-hint` });
    ticks.set(scope, tick);
    return h("div", { class: "field tick-field" }, tick, h("div", null, h("label", { for: tick.id }, t.access.scopes[scope]), h("p", { class: "hint", id: `scope-${scope}-hint` }, t.access.scopeHints[scope])));
  }), note);
  let made: Token | null = null;
  const dialog = dialogForm(t.access.addToken, "people", {
    fields: [label.row, group, term.row],
    action: t.access.addToken,
    busy: t.storeForm.saving,
    async submit() {
      const wanted = [...ticks].filter(([, tick]) => tick.checked).map(([scope]) => scope);
      label.wrong(label.control.value.trim() ? "" : t.access.tokenLabelMissing);
      note.hidden = wanted.length > 0;
      note.textContent = t.access.tokenScopesMissing;
      if (!label.control.value.trim()) label.control.focus();
      if (!label.control.value.trim() || wanted.length === 0) return;
      const days = Number(term.control.value);
      made = await addToken({ label: label.control.value.trim(), scopes: wanted, ...(days ? { expires_at: new Date(Date.now() + days * day).toISOString() } : {}) });
    },
    stay: () => made === null,
  });
  dialog.addEventListener("close", () => {
    if (!made) return;
    showSecret(made);
    done();
  });
}

// showSecret shows the secret of a token, which is never shown again.
function showSecret(token: Token): void {
  const secret = h("input", { type: "text", readonly: true, class: "secret", value: token.secret ?? "", "aria-label": t.access.tokenSecret, spellcheck: "false", "data-testid": "secret", onfocus: () => secret.select() });
  const copy = h("button", { type: "button", class: "button", onclick: () => void navigator.clipboard.writeText(secret.value).then(() => notify(t.copied, 1800), () => secret.select()) }, icon("copy", 18), t.copy);
  const dialog = openForm(
    t.access.tokenCreated(token.label), "people",
    h("div", { class: "stack" }, h("p", null, t.access.tokenOnce), h("div", { class: "secret-row" }, secret, copy), h("p", { class: "quiet" }, t.access.tokenUse), h("pre", { class: "json" }, `curl -H "Authorization: Bearer ${(token.secret ?? "").slice(0, 4)}…" ${location.origin}/api/v1/images`), h("div", { class: "dialog-foot" }, h("button", { type: "button", class: "button plain", onclick: () => dialog.close() }, t.access.tokenKept))),
  );
  copy.focus();
}
