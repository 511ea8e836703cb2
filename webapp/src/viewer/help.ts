import { t } from "../strings";
import { openDialog } from "../ui/dialog";
import { h } from "../ui/dom";

interface Help {
  title: string;
  groups: { title: string; keys: [string[], string][] }[];
  mouse: string;
}

// openHelp lists keyboard shortcuts, by default those of the viewer.
export function openHelp(help: Help = t.help): void {
  openDialog(
    help.title,
    "help",
    h("div", { class: "help" }, ...help.groups.map(({ title, keys }) => h("section", null, h("h3", null, title), h("dl", null, ...keys.map(([names, what]) => h("div", null, h("dt", null, ...names.map((name) => h("kbd", null, name))), h("dd", null, what))))))),
    h("p", { class: "quiet" }, help.mouse),
    h("p", { class: "quiet" }, h("a", { href: "/about", "data-page": true, onclick: () => document.querySelector<HTMLDialogElement>("dialog[open]")?.close() }, t.help.about)),
  );
}
