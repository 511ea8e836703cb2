// Words for screen readers, and short notices for everyone.

import { h } from "./dom";

const live = h("div", { class: "visually-hidden", role: "status", "aria-live": "polite" });
const notices = h("div", { class: "notices", role: "status", "aria-live": "polite" });

export function mountAnnouncer(): void {
  document.body.append(live, notices);
}

let timer = 0;

// announce has screen readers say text once they are done with what they say.
// Only the last of many in a row is said.
export function announce(text: string): void {
  clearTimeout(timer);
  timer = window.setTimeout(() => {
    live.textContent = text;
  }, 150);
}

// notify shows text for a few seconds. In full screen it must lie within the
// element that fills the screen.
export function notify(text: string, milliseconds = 4500): void {
  const host = document.fullscreenElement ?? document.body;
  if (notices.parentElement !== host) host.append(notices);
  const notice = h("div", { class: "notice" }, text);
  notices.replaceChildren(notice);
  setTimeout(() => notice.remove(), milliseconds);
}
