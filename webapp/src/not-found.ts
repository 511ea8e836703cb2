import type { Page } from "./router";
import { t } from "./strings";
import { h } from "./ui/dom";
import { logo } from "./ui/icons";
import { message } from "./ui/message";

export const notFoundPage: Page = {
  mount(root) {
    document.title = `${t.error.notFound} · ${t.name}`;
    root.append(h("main", { class: "centre" }, message({ picture: logo(48), title: t.error.notFound, text: t.error.notFoundDetail, action: h("a", { class: "button", href: "/", "data-page": true }, t.viewer.back) })));
  },
};
