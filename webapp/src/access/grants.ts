// Grants: roles of users and groups.

import { listStores } from "../api/client";
import type { Store } from "../api/types";
import { ask } from "../stores/dialogs";
import { storeName } from "../stores/card";
import { t } from "../strings";
import { notify } from "../ui/announce";
import { h, replace, type Child } from "../ui/dom";
import { timeElement } from "../ui/time";
import { addGrant, listGrants, listGroups, listUsers, removeGrant, type GrantFilter } from "./client";
import { field, selectInput, textInput } from "./field";
import { addButton, box, button, dialogForm, load, table } from "./parts";
import { roles, type Grant, type Group, type Role, type User } from "./types";

// Names are used to show names instead of ids.
export interface Names {
  users: User[];
  groups: Group[];
  stores: Store[];
}

export async function loadNames(signal: AbortSignal): Promise<Names> {
  const [users, groups, stores] = await Promise.all([listUsers(signal), listGroups(signal), listStores(signal)]);
  return { users, groups, stores };
}

export const userName = (user: Pick<User, "name" | "display_name">): string => user.display_name || user.name;

export interface Subject {
  user?: string;
  group?: string;
}

// grantsBox lists the grants of a user or group, or all grants.
export function grantsBox(subject: Subject, names: Names, signal: AbortSignal, changed?: () => void): HTMLElement {
  const body = h("div");
  const one = !!(subject.user || subject.group);
  const show = (): Promise<void> => load(body, signal, async () => {
    const list = await listGrants(subject, signal);
    return [list.length === 0 ? h("p", { class: "quiet" }, one ? t.access.noGrantsOf : t.access.noGrants) : grantsTable(list, names, one, (grant) => remove(grant))];
  });
  const again = (): void => {
    void show();
    changed?.();
  };
  const remove = (grant: Grant): void => ask({
    title: t.access.revokeGrantTitle, name: "remove", danger: true, yes: t.access.revoke,
    text: [h("p", null, t.access.revokeGrantText(who(grant, names).text, t.access.roles[grant.role], what(grant, names)))],
    run: async () => {
      await removeGrant(grant.id);
      notify(t.access.grantRevoked);
      again();
    },
  });
  void show();
  return box(one ? t.access.grantsOf : t.access.grants, addButton(t.access.addGrant, () => openGrantForm(subject, names, again)), h("p", { class: "quiet about" }, t.access.grantsAbout), body);
}

function grantsTable(list: Grant[], names: Names, one: boolean, remove: (grant: Grant) => void): Child {
  const columns = one ? t.access.grantColumns.slice(1) : t.access.grantColumns;
  return table([...columns, ""], list.map((grant) => {
    const { text, href, kind } = who(grant, names);
    const subject = h("span", null, h("a", { class: "link", href, "data-page": true }, text), h("span", { class: "quiet" }, ` · ${kind}`));
    const role = h("span", { title: t.access.roleHints[grant.role] }, t.access.roles[grant.role]);
    const row: Child[] = [role, objectLink(grant, names), timeElement(grant.created_at), button(t.access.revoke, () => remove(grant), "button small plain danger", `${text}, ${t.access.roles[grant.role]}, ${what(grant, names)}`)];
    return one ? row : [subject, ...row];
  }), t.access.grants);
}

function who(grant: Pick<Grant, "user" | "group">, names: Names): { text: string; href: string; kind: string } {
  if (grant.group) return { text: names.groups.find((g) => g.id === grant.group)?.name ?? grant.group, href: `/people/groups/${encodeURIComponent(grant.group)}`, kind: t.access.group };
  const user = names.users.find((u) => u.id === grant.user);
  return { text: user ? userName(user) : grant.user ?? "", href: `/people/${encodeURIComponent(grant.user ?? "")}`, kind: t.access.user };
}

function what(grant: Pick<Grant, "store" | "image">, names: Names): string {
  if (grant.image) return t.access.oneSlide(grant.image);
  if (!grant.store) return t.access.everything;
  const store = names.stores.find((s) => s.id === grant.store);
  return store ? storeName(store) : grant.store;
}

function objectLink(grant: Grant, names: Names): Child {
  const text = what(grant, names);
  if (grant.image) return h("a", { class: "link", href: `/slides/${encodeURIComponent(grant.image)}`, "data-page": true }, text);
  if (grant.store) return h("a", { class: "link", href: `/?store=${encodeURIComponent(grant.store)}`, "data-page": true }, text);
  return text;
}

// openGrantForm opens a form that grants a role.
function openGrantForm(subject: Subject, names: Names, done: () => void): void {
  const people = [
    ...names.groups.map((g): [string, string] => [`group ${g.id}`, `${g.name} (${t.access.group})`]),
    ...names.users.map((u): [string, string] => [`user ${u.id}`, u.display_name && u.display_name !== u.name ? `${u.display_name} (${u.name})` : u.name]),
  ];
  const to = field(t.access.grantWho, selectInput("subject", people));
  to.row.hidden = !!(subject.user || subject.group);
  const hint = h("span", null, t.access.roleHints.viewer);
  const role = field(t.access.grantRole, selectInput("role", roles.map((r): [string, string] => [r, t.access.roles[r]]), { onchange: () => replace(hint, t.access.roleHints[role.control.value as Role]) }), hint);
  const on = field(t.access.grantOn, selectInput("on", [["", t.access.everything], ...names.stores.map((s): [string, string] => [`store ${s.id}`, t.access.storeNamed(storeName(s))]), ["image", t.access.oneImage]], { onchange: () => { image.row.hidden = on.control.value !== "image"; } }));
  const image = field(t.access.grantImage, textInput("image", { maxlength: 64 }), t.access.grantImageHint);
  image.row.hidden = true;
  dialogForm(t.access.addGrant, "people", {
    fields: [to.row, role.row, on.row, image.row],
    action: t.access.addGrantDo,
    busy: t.storeForm.saving,
    async submit() {
      const grant: GrantFilter & { role: Role } = { role: role.control.value as Role };
      const [kind, id] = to.control.value.split(" ");
      Object.assign(grant, to.row.hidden ? subject : { [kind!]: id });
      if (on.control.value.startsWith("store ")) grant.store = on.control.value.slice("store ".length);
      if (on.control.value === "image") grant.image = slideOf(image.control.value);
      await addGrant(grant);
      notify(t.access.granted);
      done();
    },
  });
}

// slideOf is the id in the address of a slide, or else the text itself.
function slideOf(text: string): string {
  return /\/slides\/([^/?#]+)/.exec(text)?.[1] ?? text.trim();
}
