// The user menu at the end of each header.

import { t } from "../strings";
import { notify } from "../ui/announce";
import { h, replace } from "../ui/dom";
import { icon } from "../ui/icons";
import { themeButton } from "../ui/theme";
import { logOut } from "./client";
import { logInAddress } from "./return";
import { loadSession } from "./session";
import type { Session } from "./types";
import { problemWords } from "./words";

// userMenu is empty without access control.
export function userMenu(): HTMLElement {
  const frame = h("div", { class: "user" });
  void loadSession().then((session) => {
    if (session.mode === "none") return;
    if (session.user) fill(frame, session, session.user.name);
    else replace(frame, h("a", { class: "nav-link", href: logInAddress(location.pathname + location.search), "data-page": true, onclick: (event: MouseEvent) => {
      (event.currentTarget as HTMLAnchorElement).href = logInAddress(location.pathname + location.search + location.hash);
    } }, t.access.logIn));
  });
  return frame;
}

function fill(frame: HTMLElement, session: Session, name: string): void {
  const link = (href: string, text: string): HTMLElement => h("li", null, h("a", { class: "user-item", href, "data-page": true, "aria-current": location.pathname === href ? "page" : null }, text));
  const list = h(
    "div",
    { class: "user-menu", id: "user-menu", hidden: true },
    h("p", { class: "user-name" }, h("span", { class: "quiet" }, t.access.loggedInAs), h("strong", null, name), session.admin ? h("span", { class: "mark" }, t.access.admin) : null),
    h(
      "ul",
      { role: "list" },
      session.mode === "local" ? link("/account", t.access.account) : null,
      session.admin && session.mode === "local" ? link("/people", t.access.people) : null,
      session.admin && session.mode === "local" ? link("/audit", t.access.audit) : null,
      h("li", { class: "user-theme" }, themeButton()),
      session.mode === "local" ? h("li", null, h("button", { type: "button", class: "user-item", onclick: () => void leave() }, t.access.logOut)) : null,
    ),
  );
  const open = (on: boolean): void => {
    list.hidden = !on;
    button.setAttribute("aria-expanded", String(on));
  };
  const button = h("button", { type: "button", class: "user-button", "aria-expanded": "false", "aria-controls": "user-menu", "aria-label": t.access.menuOf(name), title: name, "data-testid": "user", onclick: () => open(list.hidden !== false) }, icon("person", 20), h("span", { class: "ellipsis user-label", "aria-hidden": "true" }, name));
  frame.addEventListener("keydown", (event) => {
    if (event.key !== "Escape" || list.hidden) return;
    event.stopPropagation();
    open(false);
    button.focus();
  });
  frame.addEventListener("focusout", (event) => {
    if (event.relatedTarget instanceof Node && !frame.contains(event.relatedTarget)) open(false);
  });
  document.addEventListener("pointerdown", function outside(event) {
    if (!frame.isConnected) document.removeEventListener("pointerdown", outside);
    else if (!frame.contains(event.target as Node)) open(false);
  });
  replace(frame, button, list);
}

async function leave(): Promise<void> {
  let next: string | null;
  try {
    next = await logOut();
  } catch (err) {
    notify(problemWords(err), 8000);
    return;
  }
  location.replace(next ?? "/login"); // a new document keeps nothing of the old session
}
