// The account page: password, sessions and tokens of the user.

import "../styles/manage.css";
import "../styles/access.css";

import { Problem } from "../api/client";
import type { Page } from "../router";
import { sharesBox } from "../share/list";
import { ask } from "../stores/dialogs";
import { t } from "../strings";
import { h, type Child } from "../ui/dom";
import { header } from "../ui/header";
import { timeElement } from "../ui/time";
import { endSession, listSessions, setPassword } from "./client";
import { field, form, passwordInput } from "./field";
import { newPassword, revokeTokens } from "./new-password";
import { attempt, badge, box, button, load, table } from "./parts";
import { notAllowed } from "./not-allowed";
import { session } from "./session";
import { tokensBox } from "./tokens";
import type { UserSession } from "./types";
import { problemWords } from "./words";

export const accountPage: Page = {
  mount(root, _params, signal) {
    document.title = `${t.access.account} · ${t.name}`;
    const { user, mode } = session();
    if (!user || mode !== "local") {
      notAllowed(root, mode === "none" ? t.access.noPeople : "");
      return;
    }
    const sessions = h("div");
    root.append(
      header(null),
      h(
        "main",
        { class: "page narrow stack", id: "main", tabindex: "-1" },
        h("div", { class: "page-head" }, h("div", null, h("h1", null, t.access.account), h("p", { class: "quiet" }, t.access.accountOf(user.name)))),
        tokensBox(user.id, user.name, signal, true),
        sharesBox(signal),
        box(t.access.sessions, null, h("p", { class: "quiet about" }, t.access.sessionsAbout), sessions),
        box(t.access.changePassword, null, h("p", { class: "quiet about" }, t.access.changePasswordAbout), passwordForm(user)),
      ),
    );
    window.scrollTo(0, 0);
    void showSessions(sessions, user.id, signal);
  },
};

function passwordForm(user: { id: string; name: string }): HTMLElement {
  const current = field(t.access.currentPassword, passwordInput("current", "current-password"));
  const password = newPassword(() => user.name);
  const tokens = revokeTokens();
  return form({
    fields: [h("input", { type: "text", name: "username", autocomplete: "username", value: user.name, hidden: true }), current.row, ...password.rows, tokens.row],
    action: t.access.changePassword,
    busy: t.storeForm.saving,
    class: "account-form",
    words: (err) => {
      if (!(err instanceof Problem) || err.status !== 401) return problemWords(err);
      current.wrong(t.access.currentWrong);
      current.control.focus();
      return "";
    },
    async submit() {
      current.wrong(current.control.value ? "" : t.access.passwordMissing);
      if (!current.control.value) return current.control.focus();
      if (!password.check()) return;
      await setPassword(user.id, password.value, tokens.checked(), current.control.value);
      location.replace(`/login#changed&to=${encodeURIComponent("/account")}`); // all sessions have ended, including this one
      await new Promise(() => {});
    },
  });
}

function showSessions(body: HTMLElement, user: string, signal: AbortSignal): Promise<void> {
  return load(body, signal, async () => {
    const list = await listSessions(user, signal);
    const others = list.filter((s) => !s.current);
    const again = (): void => void showSessions(body, user, signal);
    const end = (some: UserSession[], words: string): void => void attempt(async () => {
      for (const s of some) await endSession(user, s.id).catch((err: unknown) => { if (!(err instanceof Problem && err.status === 404)) throw err; });
    }, words).then(again);
    return [
      sessionsTable(list.sort((a, b) => Number(b.current) - Number(a.current)), (s) => end([s], t.access.sessionEnded)),
      others.length > 1 ? h("p", { class: "box-foot" }, button(t.access.endOthers, () => ask({
        title: t.access.endOthersTitle, name: "remove", danger: true, yes: t.access.endOthers, text: [h("p", null, t.access.endOthersText(others.length))],
        run: async () => end(others, t.access.sessionsEnded),
      }), "button small plain danger")) : null,
    ];
  });
}

// sessionsTable lists sessions; end ends one of them.
export function sessionsTable(list: UserSession[], end: ((s: UserSession) => void) | null): Child {
  if (list.length === 0) return h("p", { class: "quiet" }, t.access.noSessions);
  return table(
    [...t.access.sessionColumns, ""],
    list.map((s) => [
      h("span", null, browserOf(s.agent), " ", s.current ? badge(t.access.thisOne, "good") : null),
      s.address || "–", timeElement(s.created_at), s.current ? t.time.now : timeElement(s.seen_at), timeElement(s.expires_at),
      s.current || !end ? null : button(t.access.endSession, () => end(s), "button small plain danger", browserOf(s.agent)),
    ]),
    t.access.sessions,
  );
}

// browserOf is the name of a browser by its user agent.
export function browserOf(agent: string): string {
  const browser = [["Edg", "Edge"], ["OPR", "Opera"], ["Firefox", "Firefox"], ["Chrome", "Chrome"], ["Safari", "Safari"]].find(([token]) => agent.includes(`${token}/`))?.[1];
  const system = [["Windows", "Windows"], ["Android", "Android"], ["iPhone", "iPhone"], ["iPad", "iPad"], ["Mac OS X", "macOS"], ["Linux", "Linux"]].find(([token]) => agent.includes(token!))?.[1];
  if (browser && system) return t.access.browserOn(browser, system);
  return browser ?? (agent.split(/[ (]/)[0] || t.access.unknownBrowser);
}

