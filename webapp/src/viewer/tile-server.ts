// A warning that the tile server of a slide does not respond, if it is another server than that of
// the page. Requests to an unreachable host only fail after minutes, and until then nothing else
// would explain the missing image.

import { listStores } from "../api/client";
import type { SlideImage } from "../api/types";
import { t } from "../strings";
import { h } from "../ui/dom";
import { icon } from "../ui/icons";
import { poll } from "../ui/poll";

const pause = 8_000; // milliseconds between checks

// tileServerLine is that warning. back is called when the server responds again.
export function tileServerLine(image: SlideImage, back: () => void, signal: AbortSignal): HTMLElement {
  const text = h("span");
  const line = h("div", { class: "failures tile-server", hidden: true, role: "status", "data-testid": "tile-server" }, icon("warning", 18), text);
  const server = image.tile_url ? new URL(image.tile_url, location.href) : null;
  if (!server || server.origin === location.origin) return line;
  text.textContent = t.viewer.tileServerUnreachable(server.host);
  poll(async () => {
    let unreachable = false;
    try {
      unreachable = (await listStores(signal)).find((store) => store.id === image.store)?.endpoint_away === true;
    } catch {
      return; // the page reports that its own server does not respond
    }
    if (!unreachable && !line.hidden) back();
    line.hidden = !unreachable;
  }, pause, signal);
  return line;
}
