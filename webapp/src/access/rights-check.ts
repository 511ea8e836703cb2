// What is to be done when the tiles of a slide are refused that could be had before.

import { getImage, Problem } from "../api/client";
import type { SlideImage } from "../api/types";
import { t } from "../strings";
import { h } from "../ui/dom";
import { logInAddress } from "./return";
import { getSession, knowSession } from "./session";

const askDelay = 2000; // milliseconds between questions: the tiles of a view are refused together
const renewDelay = 60_000; // between addresses of tiles

export interface RightsCheckOptions {
  id: string;
  signal: AbortSignal;
  image: () => SlideImage | null; // as it is shown
  show: (image: SlideImage) => void;
  fail: (problem: Problem) => void;
  signedOut: () => void;
}

// rightsCheck returns a function that finds out why tiles are refused: the session
// has ended, what the caller may see has changed, or the pass in the tiles' address
// is too old, and a new one is to be had. It tells whether that was it.
export function rightsCheck(o: RightsCheckOptions): () => Promise<boolean> {
  let asking: Promise<boolean> | null = null;
  let renewed = 0; // when the address of the tiles was, by Date.now
  const ask = async (): Promise<boolean> => {
    try {
      const { mode, user } = await getSession(o.signal);
      if (mode === "none") return false;
      if (!user && (await knowSession()).user) {
        o.signedOut();
        return true;
      }
      const image = await getImage(o.id, o.signal);
      // A pass that has just been made is not too old.
      if (image.tile_url === o.image()?.tile_url || Date.now() - renewed < renewDelay) return false;
      renewed = Date.now();
      o.show(image);
      return true;
    } catch (err) {
      if (o.signal.aborted) return true;
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

// logInAgain is a button that leads to where one logs in, and back. The document is
// loaded anew: nothing is left of who was here.
export function logInAgain(look: string): HTMLButtonElement {
  return h("button", { type: "button", class: look, onclick: () => location.assign(logInAddress(location.pathname + location.search + location.hash)) }, t.access.signInAgain);
}
