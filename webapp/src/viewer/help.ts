import { t } from "../strings";
import { openDialog } from "../ui/dialog";
import { h } from "../ui/dom";

export function openHelp(): void {
  openDialog(
    t.help.title,
    "help",
    h("div", { class: "help" }, ...t.help.groups.map(({ title, keys }) => h("section", null, h("h3", null, title), h("dl", null, ...keys.map(([names, what]) => h("div", null, h("dt", null, ...names.map((name) => h("kbd", null, name))), h("dd", null, what))))))),
    h("p", { class: "quiet" }, t.help.mouse),
    h("p", { class: "quiet" }, h("a", { href: "/licences", target: "_blank", rel: "noopener" }, t.help.licences)),
  );
}
