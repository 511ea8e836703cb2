// The page of a user, for admins.

import "../styles/manage.css";
import "../styles/access.css";

import { navigate, type Page } from "../router";
import { ask } from "../stores/dialogs";
import { t } from "../strings";
import { notify } from "../ui/announce";
import { h, type Child } from "../ui/dom";
import { header } from "../ui/header";
import { icon } from "../ui/icons";
import { timeElement } from "../ui/time";
import { sessionsTable } from "./account-page";
import { addMember, changeUser, endSession, getUser, listMembers, listSessions, removeMember, removeUser, setPassword } from "./client";
import { field, selectInput, textInput } from "./field";
import { grantsBox, loadNames, userName, type Names } from "./grants";
import { newPassword, revokeTokens } from "./new-password";
import { attempt, box, button, dialogForm, load } from "./parts";
import { requireAdmin, userMarks } from "./people-page";
import { session } from "./session";
import { tokensBox } from "./tokens";
import type { Group, User } from "./types";

export const userPage: Page = {
  mount(root, [id], signal) {
    if (!requireAdmin(root)) return;
    document.title = `${t.access.people} · ${t.name}`;
    const body = h("div", { class: "stack" }, h("p", { class: "quiet" }, t.loading));
    root.append(header(null), h("main", { class: "page narrow", id: "main", tabindex: "-1" }, h("a", { class: "link back", href: "/people", "data-page": true }, icon("back", 16), t.access.people), body));
    window.scrollTo(0, 0);
    const show = (): Promise<void> => load(body, signal, async () => {
      const [user, names] = await Promise.all([getUser(id!, signal), loadNames(signal)]);
      document.title = `${userName(user)} · ${t.name}`;
      return [head(user, () => void show()), groupsOf(user, names, signal), grantsBox({ user: user.id }, names, signal), tokensBox(user.id, userName(user), signal, user.id === session().user?.id), sessionsBox(user, signal)];
    });
    void show();
  },
};

function head(user: User, changed: () => void): HTMLElement {
  const fact = (name: string, value: Child): HTMLElement => h("div", { class: "fact" }, h("dt", null, name), h("dd", null, value));
  const own = user.id === session().user?.id;
  const toggle = (): void => {
    if (user.disabled) return void attempt(async () => void (await changeUser(user.id, { disabled: false })), t.access.enabled(userName(user))).then((ok) => ok && changed());
    ask({
      title: t.access.disableTitle(userName(user)), name: "remove", danger: true, yes: t.access.disable, text: [h("p", null, t.access.disableText)],
      run: async () => {
        await changeUser(user.id, { disabled: true });
        changed();
      },
    });
  };
  const remove = (): void => ask({
    title: t.access.removeUserTitle(userName(user)), name: "remove", danger: true, yes: t.access.remove, text: [h("p", null, t.access.removeUserText)],
    run: async () => {
      await removeUser(user.id);
      notify(t.access.userRemoved(userName(user)));
      navigate("/people", "replace");
    },
  });
  return h(
    "section",
    { class: "box people-box" },
    h("div", { class: "page-head" }, h("div", { class: "task-title" }, h("h1", null, userName(user)), ...userMarks(user))),
    h("dl", { class: "facts" }, fact(t.access.name, user.name), fact(t.access.lastLogIn, user.last_login_at ? timeElement(user.last_login_at) : t.access.neverLoggedIn), fact(t.access.added, timeElement(user.created_at)), fact(t.details.id, h("code", null, user.id)), fact(t.access.log, h("a", { class: "link", href: `/audit?user=${encodeURIComponent(user.id)}`, "data-page": true }, t.access.logOf))),
    h(
      "div",
      { class: "actions", role: "group", "aria-label": t.stores.actions(userName(user)) },
      button(t.access.edit, () => edit(user, changed)),
      user.source === "local" && !own ? button(t.access.setPassword, () => askPassword(user, changed)) : null,
      own ? h("a", { class: "button small plain", href: "/account", "data-page": true }, t.access.ownAccount) : null,
      own ? null : button(user.disabled ? t.access.enable : t.access.disableAsk, toggle, user.disabled ? "button small" : "button small plain danger push"),
      own ? null : button(t.access.removeAsk, remove, "button small plain danger"),
    ),
  );
}

function edit(user: User, changed: () => void): void {
  const name = field(t.access.name, textInput("name", { maxlength: 64, value: user.name }), t.access.nameHint);
  const display = field(t.access.displayName, textInput("display-name", { maxlength: 200, value: user.display_name }), t.access.displayNameHint);
  dialogForm(t.storeForm.editTitle(userName(user)), "people", {
    fields: [name.row, display.row],
    action: t.storeForm.save,
    busy: t.storeForm.saving,
    async submit() {
      await changeUser(user.id, { name: name.control.value.trim(), display_name: display.control.value.trim() });
      changed();
    },
  });
}

function askPassword(user: User, changed: () => void): void {
  const password = newPassword(() => user.name);
  const tokens = revokeTokens();
  let done = false;
  dialogForm(t.access.setPasswordTitle(userName(user)), "people", {
    fields: [h("p", { class: "quiet" }, t.access.setPasswordText), ...password.rows, tokens.row],
    action: t.access.setPasswordDo,
    busy: t.storeForm.saving,
    async submit() {
      if (!password.check()) return;
      await setPassword(user.id, password.value, tokens.checked());
      done = true;
      notify(t.access.passwordSet(userName(user)));
      changed();
    },
    stay: () => !done,
  });
}

function groupsOf(user: User, names: Names, signal: AbortSignal): HTMLElement {
  const body = h("div");
  const show = (): Promise<void> => load(body, signal, async () => {
    const members = await Promise.all(names.groups.map((group) => listMembers(group.id, signal)));
    const isIn = (i: number): boolean => members[i]!.some((member) => member.id === user.id);
    const inside = names.groups.filter((_, i) => isIn(i));
    return memberChoice(inside, names.groups.filter((_, i) => !isIn(i)), (group) => group.name, t.access.inNoGroup, t.access.joinGroup,
      async (group) => { if (await attempt(() => addMember(group.id, user.id))) void show(); },
      async (group) => { if (await attempt(() => removeMember(group.id, user.id))) void show(); });
  });
  void show();
  return box(t.access.groups, null, names.groups.length === 0 ? h("p", { class: "quiet" }, t.access.noGroups) : body);
}

// memberChoice lists members, each with a button to remove it, and offers others to add.
export function memberChoice<T extends Group | User>(inside: T[], outside: T[], name: (one: T) => string, none: string, offer: string, add: (one: T) => Promise<void>, remove: (one: T) => Promise<void>): Child[] {
  const choice = selectInput("member", [["", offer], ...outside.map((one): [string, string] => [one.id, name(one)])], {
    "aria-label": offer,
    class: "member-choice",
    onchange: () => {
      const one = outside.find(({ id }) => id === choice.value);
      if (one) void add(one);
    },
  });
  return [
    inside.length === 0 ? h("p", { class: "quiet" }, none) : h("ul", { class: "chips members", role: "list" }, ...inside.map((one) => h("li", { class: "chip" }, h("span", null, name(one)), h("button", { type: "button", class: "icon-button small", "aria-label": t.access.removeMember(name(one)), title: t.access.removeMember(name(one)), onclick: () => void remove(one) }, icon("close", 16))))),
    outside.length > 0 ? choice : null,
  ];
}

function sessionsBox(user: User, signal: AbortSignal): HTMLElement {
  const body = h("div");
  const show = (): Promise<void> => load(body, signal, async () => [sessionsTable(await listSessions(user.id, signal), (s) => void attempt(() => endSession(user.id, s.id), t.access.sessionEnded).then(() => void show()))]);
  void show();
  return box(t.access.sessions, null, body);
}
