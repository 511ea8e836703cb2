// The About page: version, licences and links.

import "../styles/about.css";

import { libraries, own } from "virtual:licences";

import { getVersion } from "../api/client";
import type { Page } from "../router";
import { t } from "../strings";
import { h } from "../ui/dom";
import { header } from "../ui/header";
import { logo } from "../ui/icons";

export const aboutPage: Page = {
  mount(root, _params, signal) {
    document.title = `${t.about.title} · ${t.name}`;
    const version = h("dd", { "data-testid": "version" }, "…");
    root.append(header(null), h("main", { class: "about", id: "main" },
      h("h1", null, logo(34), t.name),
      h("p", { class: "about-text" }, t.about.text),
      h("dl", null, h("div", null, h("dt", null, t.about.version), version), h("div", null, h("dt", null, t.about.licence), h("dd", null, own))),
      h("section", null, h("h2", null, t.about.links), h("ul", { class: "about-links" }, h("li", null, h("a", { href: "/docs" }, t.about.docs)), h("li", null, h("a", { href: "/", "data-page": true }, t.about.slides)))),
      h("section", null, h("h2", null, t.about.libraries), h("p", { class: "quiet" }, t.about.librariesText), h("ul", { class: "about-libraries" }, ...libraries.map(library)))));
    getVersion(signal).then((text) => {
      version.textContent = text || t.about.unknown;
    }, () => {
      version.textContent = t.about.unknown;
    });
  },
};

function library({ name, version, licence, homepage, text }: (typeof libraries)[number]): HTMLElement {
  const title = t.about.library(name, version);
  return h("li", { "data-library": name },
    h("div", { class: "about-library" }, h("strong", null, homepage ? h("a", { href: homepage, rel: "noopener noreferrer", target: "_blank" }, title) : title), h("span", { class: "badge" }, licence)),
    text ? h("details", null, h("summary", null, t.about.licenceText(name)), h("pre", { tabindex: "0" }, text)) : null);
}
