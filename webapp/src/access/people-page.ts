// The People page: users, groups and grants, for admins.

import "../styles/manage.css";
import "../styles/access.css";

import { navigate, type Page } from "../router";
import { t } from "../strings";
import { h, replace, type Child } from "../ui/dom";
import { header } from "../ui/header";
import { timeElement } from "../ui/time";
import { addGroup, addUser } from "./client";
import { field, textInput } from "./field";
import { grantsBox, loadNames, type Names } from "./grants";
import { newPassword } from "./new-password";
import { notAllowed } from "./not-allowed";
import { addButton, badge, box, dialogForm, load, table } from "./parts";
import { session } from "./session";
import type { Group, User } from "./types";

const filterFrom = 8; // number of users from which they can be filtered

export const peoplePage: Page = {
  mount(root, _params, signal) {
    document.title = `${t.access.people} · ${t.name}`;
    if (!requireAdmin(root)) return;
    const body = h("div", { class: "stack" }, h("p", { class: "quiet" }, t.loading));
    root.append(header(null), h("main", { class: "page narrow", id: "main", tabindex: "-1" }, h("div", { class: "page-head" }, h("div", null, h("h1", null, t.access.people), h("p", { class: "quiet" }, t.access.peopleAbout))), body));
    window.scrollTo(0, 0);
    void load(body, signal, async () => {
      const names = await loadNames(signal);
      return [usersBox(names), groupsBox(names), grantsBox({}, names, signal)];
    });
  },
};

// requireAdmin reports whether the caller is an admin of a server with user accounts, and otherwise
// shows that they have no permission.
export function requireAdmin(root: HTMLElement): boolean {
  const { admin, mode } = session();
  if (mode === "local" && admin) return true;
  notAllowed(root, mode === "local" ? "" : t.access.noPeople);
  return false;
}

function usersBox({ users }: Names): HTMLElement {
  const body = h("div");
  const show = (query: string): void => {
    const wanted = query.trim().toLowerCase();
    const found = users.filter((u) => !wanted || u.name.toLowerCase().includes(wanted) || u.display_name.toLowerCase().includes(wanted));
    replace(body, found.length > 0 ? table(t.access.userColumns, found.map(userRow), t.access.users) : h("p", { class: "quiet" }, t.access.noUser));
  };
  const filter = users.length < filterFrom ? null : h("input", { type: "search", class: "people-filter", placeholder: t.access.filterUsers, "aria-label": t.access.filterUsers, oninput: (event: Event) => show((event.target as HTMLInputElement).value) });
  show("");
  return box(t.access.users, addButton(t.access.addUser, createUser), filter, body);
}

function userRow(user: User): Child[] {
  return [
    h("a", { class: "link", href: `/people/${encodeURIComponent(user.id)}`, "data-page": true }, user.name),
    user.display_name || "–", h("span", { class: "chips" }, ...userMarks(user)), user.last_login_at ? timeElement(user.last_login_at) : t.access.neverLoggedIn,
  ];
}

export function userMarks(user: User): Child[] {
  return [
    user.disabled ? badge(t.access.isDisabled, "broken") : badge(t.access.isActive, "good"),
    user.source === "oidc" ? badge(t.access.isOIDC, "unsupported") : user.has_password ? null : badge(t.access.noPassword, "unsupported"),
  ];
}

function groupsBox({ groups }: Names): HTMLElement {
  const rows = groups.map((group: Group): Child[] => [h("a", { class: "link", href: `/people/groups/${encodeURIComponent(group.id)}`, "data-page": true }, group.name), t.access.memberCount(group.members), group.external ? h("code", null, group.external) : "–"]);
  return box(t.access.groups, addButton(t.access.addGroup, createGroup), h("p", { class: "quiet about" }, t.access.groupsAbout), rows.length > 0 ? table(t.access.groupColumns, rows, t.access.groups) : h("p", { class: "quiet" }, t.access.noGroups));
}

function createUser(): void {
  const name = field(t.access.name, textInput("name", { maxlength: 64 }), t.access.nameHint);
  const display = field(t.access.displayName, textInput("display-name", { maxlength: 200 }), t.access.displayNameHint);
  const password = newPassword(() => name.control.value, t.access.password);
  const without = h("input", { type: "checkbox", id: "without-password", onchange: () => password.rows.forEach((row) => { row.hidden = without.checked; }) });
  let done = false;
  dialogForm(t.access.addUser, "people", {
    fields: [name.row, display.row, ...password.rows, h("div", { class: "field tick-field" }, without, h("div", null, h("label", { for: without.id }, t.access.withoutPassword), h("p", { class: "hint" }, t.access.withoutPasswordHint)))],
    action: t.access.addUser,
    busy: t.storeForm.saving,
    async submit() {
      name.wrong(name.control.value.trim() ? "" : t.access.nameMissing);
      if (!name.control.value.trim()) return name.control.focus();
      if (!without.checked && !password.check()) return;
      const user = await addUser({ name: name.control.value.trim(), ...(display.control.value.trim() ? { display_name: display.control.value.trim() } : {}), ...(without.checked ? {} : { password: password.value }) });
      done = true;
      navigate(`/people/${encodeURIComponent(user.id)}`);
    },
    stay: () => !done,
  });
}

function createGroup(): void {
  const name = field(t.access.groupName, textInput("name", { maxlength: 64 }));
  const external = field(t.access.external, textInput("external", { maxlength: 200 }), t.access.externalHint);
  let done = false;
  dialogForm(t.access.addGroup, "people", {
    fields: [name.row, external.row],
    action: t.access.addGroup,
    busy: t.storeForm.saving,
    async submit() {
      name.wrong(name.control.value.trim() ? "" : t.access.nameMissing);
      if (!name.control.value.trim()) return name.control.focus();
      const group = await addGroup({ name: name.control.value.trim(), ...(external.control.value.trim() ? { external: external.control.value.trim() } : {}) });
      done = true;
      navigate(`/people/groups/${encodeURIComponent(group.id)}`);
    },
    stay: () => !done,
  });
}
