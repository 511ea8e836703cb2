// The setup page for the first admin. The secret is in the fragment, which browsers do not send to
// servers, and is removed from the address.

import "../styles/manage.css";
import "../styles/access.css";

import { Problem } from "../api/client";
import { replaceAddress, type Page } from "../router";
import { t } from "../strings";
import { h } from "../ui/dom";
import { claimBootstrap } from "./client";
import { field, form, textInput } from "./field";
import { sheet } from "./login-page";
import { newPassword } from "./new-password";
import { problemWords } from "./words";

export const welcomePage: Page = {
  mount(root) {
    document.title = `${t.access.welcome} · ${t.name}`;
    const secret = location.hash.slice(1);
    replaceAddress(location.pathname);
    if (!secret) {
      root.append(sheet(t.access.welcome, h("p", { class: "quiet" }, t.access.welcomeNoSecret), h("div", { class: "dialog-foot" }, h("a", { class: "button plain", href: "/login", "data-page": true }, t.access.logIn))));
      return;
    }
    const name = field(t.access.name, textInput("username", { autocomplete: "username", maxlength: 64 }), t.access.welcomeNameHint);
    const password = newPassword(() => name.control.value, t.access.password);
    const element = form({
      fields: [name.row, ...password.rows],
      action: t.access.welcomeDo,
      busy: t.access.welcomeBusy,
      class: "sheet-form",
      words: (err) => (err instanceof Problem && err.status === 401 ? t.access.welcomeRefused : problemWords(err)),
      async submit() {
        name.wrong(name.control.value.trim() ? "" : t.access.nameMissing);
        if (!name.control.value.trim()) return name.control.focus();
        if (!password.check()) return;
        await claimBootstrap(secret, name.control.value.trim(), password.value);
        location.replace("/");
        await new Promise(() => {}); // the button stays busy until the page is gone
      },
    });
    root.append(sheet(t.access.welcome, h("p", { class: "quiet" }, t.access.welcomeText), element));
    name.control.focus();
  },
};
