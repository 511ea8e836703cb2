import { t } from "../strings";
import { h } from "../ui/dom";
import { header } from "../ui/header";
import { icon } from "../ui/icons";
import { message } from "../ui/message";

// notAllowed fills a page that the caller has no permission for.
export function notAllowed(root: HTMLElement, text: string): void {
  document.title = `${t.access.notAllowedTitle} · ${t.name}`;
  root.append(header(null), h("main", { class: "page", id: "main", tabindex: "-1" }, message({ picture: icon("lock", 44), title: t.access.notAllowedTitle, text: text || t.access.notAllowedText, alert: true, action: h("a", { class: "button", href: "/", "data-page": true }, t.viewer.back) })));
}
