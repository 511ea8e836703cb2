// What to do when tiles of an open slide are refused.

import { getImage, Problem } from "../api/client";
import type { SlideImage } from "../api/types";
import { isShared } from "../share/place";
import { t } from "../strings";
import { h } from "../ui/dom";
import { logInAddress } from "./return";
import { getSession, loadSession } from "./session";

const askDelay = 2000; // milliseconds between checks: many tiles of a view are refused together
const renewDelay = 60_000; // milliseconds between new addresses of tiles

export interface PermissionCheckOptions {
  id: string;
  signal: AbortSignal;
  image: () => SlideImage | null; // the image that is shown
  show: (image: SlideImage) => void;
  fail: (problem: Problem) => void;
  loggedOut: () => void;
}

// permissionCheck returns a function that finds out why tiles are refused: the session has ended,
// permissions have changed, or the access token in the address of the tiles has expired. It reports
// whether the reason was found and handled.
export function permissionCheck(o: PermissionCheckOptions): () => Promise<boolean> {
  let asking: Promise<boolean> | null = null;
  let renewed = 0; // when the address of the tiles was renewed, by Date.now
  const ask = async (): Promise<boolean> => {
    try {
      const { mode, user } = await getSession(o.signal);
      if (mode === "none") return false;
      if (!user && (await loadSession()).user) {
        o.loggedOut();
        return true;
      }
      const image = await getImage(o.id, o.signal);
      // A new access token cannot have expired.
      if (image.tile_url === o.image()?.tile_url || Date.now() - renewed < renewDelay) return false;
      renewed = Date.now();
      o.show(image);
      return true;
    } catch (err) {
      if (o.signal.aborted) return true;
      if (err instanceof Problem && err.status === 401 && isShared()) {
        o.fail(err); // the link has ended
        return true;
      }
      if (!(err instanceof Problem) || (err.status !== 403 && err.status !== 404)) return false;
      o.fail(err);
      return true;
    }
  };
  return () => {
    asking ??= ask().finally(() => setTimeout(() => {
      asking = null;
    }, askDelay));
    return asking;
  };
}

// slideAfterOutage requests a slide again after the server was not reachable. It is null if the
// slide cannot be shown any more, which the functions of o have then reported, or if the server
// fails again.
export async function slideAfterOutage(o: PermissionCheckOptions): Promise<SlideImage | null> {
  try {
    const { mode, user } = await getSession(o.signal);
    if (mode !== "none" && !user && (await loadSession()).user) {
      o.loggedOut();
      return null;
    }
    const image = await getImage(o.id, o.signal);
    return o.signal.aborted ? null : image;
  } catch (err) {
    if (!o.signal.aborted && err instanceof Problem && (err.status === 403 || err.status === 404)) o.fail(err);
    return null;
  }
}

// logInAgain is a button that leads to the login page and back. It loads a new document, which
// keeps nothing of the old session.
export function logInAgain(look: string): HTMLButtonElement {
  return h("button", { type: "button", class: look, onclick: () => location.assign(logInAddress(location.pathname + location.search + location.hash)) }, t.access.logInAgain);
}
