// The banner that is shown while the server cannot be reached.

import { askNow, connection, onConnection } from "../api/connection";
import { t } from "../strings";
import { notify } from "./announce";
import { h } from "./dom";
import { icon } from "./icons";

// mountConnectionBanner adds the banner to the document. Its text is announced; it does not take
// the focus.
export function mountConnectionBanner(): void {
  const text = h("span");
  const button = h("button", { type: "button", class: "step", hidden: true, onclick: () => askNow() }, t.connection.now);
  const banner = h("div", { class: "connection", "data-testid": "connection" }, icon("unlink", 18), h("div", { role: "status", "aria-live": "polite" }, text), button);
  // The region for the text must exist before the text, or it is not announced.
  banner.classList.add("connected");
  document.body.append(banner);

  let lost = false;
  onConnection(() => {
    const { state, reason } = connection();
    banner.classList.toggle("connected", state === "connected");
    document.documentElement.classList.toggle("disconnected", state !== "connected");
    button.hidden = state === "connected";
    text.textContent = { connected: "", lost: t.connection.lost, starting: t.connection.starting(reason) }[state];
    if (state === "connected" && lost) notify(t.connection.back, 2500);
    lost = state !== "connected";
  });
  // In full screen mode only descendants of the full-screen element are visible.
  document.addEventListener("fullscreenchange", () => (document.fullscreenElement ?? document.body).append(banner));
}
