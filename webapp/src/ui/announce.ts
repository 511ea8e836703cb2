// Announcements for screen readers, and short notices for everyone.

import { h } from "./dom";

const live = h("div", { class: "visually-hidden", role: "status", "aria-live": "polite" });
const notices = h("div", { class: "notices", role: "status", "aria-live": "polite" });

export function mountAnnouncer(): void {
  document.body.append(live, notices);
}

let timer = 0;

// announce has screen readers read text. Only the last of several in quick succession is read.
export function announce(text: string): void {
  clearTimeout(timer);
  timer = window.setTimeout(() => {
    live.textContent = text;
  }, 150);
}

// notify shows text for some seconds. In full screen mode it has to be within the full-screen
// element.
export function notify(text: string, milliseconds = 4500): void {
  const host = document.fullscreenElement ?? document.body;
  if (notices.parentElement !== host) host.append(notices);
  const notice = h("div", { class: "notice" }, text);
  notices.replaceChildren(notice);
  setTimeout(() => notice.remove(), milliseconds);
}
