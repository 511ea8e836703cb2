// The login page.

import "../styles/manage.css";
import "../styles/access.css";

import type { Page } from "../router";
import { t } from "../strings";
import { h, type Child } from "../ui/dom";
import { logo } from "../ui/icons";
import { message } from "../ui/message";
import { themeButton } from "../ui/theme";
import { logIn } from "./client";
import { field, form, passwordInput, textInput } from "./field";
import { returnOf } from "./return";
import { session } from "./session";
import { logInWords } from "./words";

export const loginPage: Page = {
  mount(root) {
    document.title = `${t.access.logIn} · ${t.name}`;
    const to = returnOf(location.hash, location.origin);
    const now = session();
    if (now.mode === "none" || now.user) {
      location.replace(to); // there is no need to log in
      return;
    }
    const changed = new URLSearchParams(location.hash.slice(1)).has("changed");
    root.append(sheet(t.access.logIn, changed ? h("p", { class: "form-note", role: "status" }, t.access.passwordChanged) : null, ...(now.mode === "central" ? centralLogin(now.central, to) : local(to, now.oidc ?? null))));
    root.querySelector("input")?.focus();
  },
};

// sheet is a page with only a small form.
export function sheet(title: string, ...children: Child[]): HTMLElement {
  return h("main", { class: "centre sheet-page", id: "main" }, h("div", { class: "sheet-corner" }, themeButton()), h("div", { class: "box sheet" }, h("div", { class: "sheet-head" }, logo(40), h("h1", null, title)), ...children));
}

function local(to: string, oidc: string | null): Child[] {
  const name = field(t.access.name, textInput("username", { autocomplete: "username", maxlength: 200 }));
  const password = field(t.access.password, passwordInput("password", "current-password"));
  const element = form({
    fields: [name.row, password.row],
    action: t.access.logIn,
    busy: t.access.loggingIn,
    words: logInWords,
    class: "sheet-form",
    async submit() {
      name.wrong(name.control.value.trim() ? "" : t.access.nameMissing);
      password.wrong(password.control.value ? "" : t.access.passwordMissing);
      const empty = [name, password].find(({ control }) => control.hasAttribute("aria-invalid"));
      if (empty) return empty.control.focus();
      try {
        await logIn(name.control.value.trim(), password.control.value);
      } catch (err) {
        password.control.value = "";
        password.control.focus();
        throw err;
      }
      location.replace(to); // a new document keeps nothing of the old session
      await new Promise(() => {}); // the button stays busy until the page is gone
    },
  });
  const start = `/api/v1/auth/oidc/start?${new URLSearchParams({ next: to })}`;
  return [element, oidc ? h("p", { class: "or" }, h("span", null, t.access.or)) : null, oidc ? h("a", { class: "button plain wide", href: start }, t.access.logInWith(oidc)) : null];
}

function centralLogin(central: string | null, to: string): Child[] {
  return [message({
    title: t.access.centralTitle,
    text: t.access.centralText,
    action: h("div", { class: "dialog-foot" }, h("a", { class: "button plain", href: to }, t.access.centralDone), central ? h("a", { class: "button", href: central, rel: "noopener" }, t.access.centralGo(host(central))) : null),
  })];
}

function host(address: string): string {
  try {
    return new URL(address).host;
  } catch {
    return address;
  }
}
