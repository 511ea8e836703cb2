// The page of a group, for admins.

import "../styles/manage.css";
import "../styles/access.css";

import { navigate, type Page } from "../router";
import { ask } from "../stores/dialogs";
import { t } from "../strings";
import { notify } from "../ui/announce";
import { h } from "../ui/dom";
import { header } from "../ui/header";
import { icon } from "../ui/icons";
import { addMember, changeGroup, getGroup, listMembers, removeGroup, removeMember } from "./client";
import { field, textInput } from "./field";
import { grantsBox, loadNames, userName, type Names } from "./grants";
import { attempt, box, button, dialogForm, load } from "./parts";
import { requireAdmin } from "./people-page";
import type { Group } from "./types";
import { memberChoice } from "./user-page";

export const groupPage: Page = {
  mount(root, [id], signal) {
    if (!requireAdmin(root)) return;
    document.title = `${t.access.people} · ${t.name}`;
    const body = h("div", { class: "stack" }, h("p", { class: "quiet" }, t.loading));
    root.append(header(null), h("main", { class: "page narrow", id: "main", tabindex: "-1" }, h("a", { class: "link back", href: "/people", "data-page": true }, icon("back", 16), t.access.people), body));
    window.scrollTo(0, 0);
    const show = (): Promise<void> => load(body, signal, async () => {
      const [group, names] = await Promise.all([getGroup(id!, signal), loadNames(signal)]);
      document.title = `${group.name} · ${t.name}`;
      return [head(group, () => void show()), membersBox(group, names, signal), grantsBox({ group: group.id }, names, signal)];
    });
    void show();
  },
};

function head(group: Group, changed: () => void): HTMLElement {
  const remove = (): void => ask({
    title: t.access.removeGroupTitle(group.name), name: "remove", danger: true, yes: t.access.remove, text: [h("p", null, t.access.removeGroupText)],
    run: async () => {
      await removeGroup(group.id);
      notify(t.access.groupRemoved(group.name));
      navigate("/people", "replace");
    },
  });
  return h(
    "section",
    { class: "box people-box" },
    h("div", { class: "page-head" }, h("div", { class: "task-title" }, h("h1", null, group.name), h("span", { class: "mark" }, t.access.group))),
    group.external ? h("p", { class: "quiet" }, t.access.externalOf(group.external)) : null,
    h("div", { class: "actions", role: "group", "aria-label": t.stores.actions(group.name) }, button(t.access.edit, () => edit(group, changed)), button(t.access.removeAsk, remove, "button small plain danger push")),
  );
}

function edit(group: Group, changed: () => void): void {
  const name = field(t.access.groupName, textInput("name", { maxlength: 64, value: group.name }));
  const external = field(t.access.external, textInput("external", { maxlength: 200, value: group.external ?? "" }), t.access.externalHint);
  dialogForm(t.storeForm.editTitle(group.name), "people", {
    fields: [name.row, external.row],
    action: t.storeForm.save,
    busy: t.storeForm.saving,
    async submit() {
      await changeGroup(group.id, { name: name.control.value.trim(), external: external.control.value.trim() });
      changed();
    },
  });
}

function membersBox(group: Group, names: Names, signal: AbortSignal): HTMLElement {
  const body = h("div");
  const show = (): Promise<void> => load(body, signal, async () => {
    const members = await listMembers(group.id, signal);
    const ids = new Set(members.map(({ id }) => id));
    return memberChoice(members, names.users.filter(({ id }) => !ids.has(id)), userName, t.access.noMembers, t.access.addMember,
      async (user) => { if (await attempt(() => addMember(group.id, user.id))) void show(); },
      async (user) => { if (await attempt(() => removeMember(group.id, user.id))) void show(); });
  });
  void show();
  return box(t.access.members, null, body);
}
