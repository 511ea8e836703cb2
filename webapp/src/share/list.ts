// The share links of a user, or of all users for admins: use, expiry, revocation.

import { badge, box, button, load, table } from "../access/parts";
import { session } from "../access/session";
import { ask } from "../stores/dialogs";
import { t } from "../strings";
import { notify } from "../ui/announce";
import { h, type Child } from "../ui/dom";
import { timeElement } from "../ui/time";
import { listShares, revokeShare, type ShareLink } from "./client";

export function sharesBox(signal: AbortSignal): HTMLElement {
  const body = h("div");
  const all = h("input", { type: "checkbox", id: "all-shares", onchange: () => void show() });
  const show = (): Promise<void> => load(body, signal, async () => {
    const links = await listShares(all.checked, signal);
    return [links.length === 0 ? h("p", { class: "quiet" }, t.share.none) : linksTable(links, all.checked, (link) => askRevoke(link, () => void show()))];
  });
  void show();
  const everybody = session().admin ? h("label", { class: "tick", for: "all-shares" }, all, " ", t.share.ofAll) : null;
  return box(t.share.links, everybody, h("p", { class: "quiet about" }, t.share.linksAbout), body);
}

function linksTable(links: ShareLink[], all: boolean, revoke: (link: ShareLink) => void): Child {
  const name = (link: ShareLink): string => link.title || (link.kind === "case" ? t.share.caseOf(link.images.length) : t.share.slides(link.images.length));
  return table(
    [...(all ? [t.share.user] : []), ...t.share.columns, ""],
    links.map((link) => [
      ...(all ? [link.user_name] : []),
      h("span", null, name(link), " ", link.with_labels ? badge(t.share.withLabels, "arriving") : null, link.password ? badge(t.share.withPassword, "good") : null),
      timeElement(link.created_at),
      link.state === "active" ? timeElement(link.expires_at) : badge(t.share.state[link.state], "broken"),
      link.viewed_at ? h("span", null, t.share.views(link.views), " · ", timeElement(link.viewed_at)) : t.share.unseen,
      link.state === "active" ? button(t.share.revoke, () => revoke(link), "button small plain danger", name(link)) : null,
    ]),
    t.share.links,
  );
}

function askRevoke(link: ShareLink, done: () => void): void {
  ask({
    title: t.share.revokeTitle, name: "remove", danger: true, yes: t.share.revoke, text: [h("p", null, t.share.revokeText)],
    run: async () => {
      await revokeShare(link.id);
      notify(t.share.revoked);
      done();
    },
  });
}
