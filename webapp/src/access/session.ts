// Who is logged in, and what they may do. It is asked for once for each document:
// logging in and out loads it anew, so that nothing one person has seen is left
// in memory for the next.

import { getJSON } from "../api/client";
import type { SlideImage, Store } from "../api/types";
import type { Scope, Session } from "./types";

// A server that does not say anything about sessions has no access control.
const open: Session = { mode: "none", user: null, admin: true, scopes: ["tiles", "label", "write", "admin"], token: false, central: null };

let asked: Promise<Session> | null = null;
let known: Session | null = null;

// getSession is who the server says is logged in now.
export function getSession(signal?: AbortSignal): Promise<Session> {
  return getJSON("/api/v1/auth/session", signal);
}

// knowSession is who was logged in when the document was loaded.
export function knowSession(): Promise<Session> {
  asked ??= getSession().catch(() => open).then((session) => (known = session));
  return asked;
}

// session is what knowSession has found; before that, nobody who may nothing.
export function session(): Session {
  return known ?? { ...open, admin: false, scopes: [] };
}

// may reports whether a scope is held for a store, or for everything.
export function may(scope: Scope, store?: Pick<Store, "scopes"> | null): boolean {
  const { admin, scopes } = session();
  return admin || scopes.includes(scope) || !!store?.scopes?.includes(scope);
}

// isLabelled reports whether the caller sees an image's label and names: of
// others the server sends none.
export function isLabelled(image: Pick<SlideImage, "file_name">): boolean {
  return image.file_name !== null && image.file_name !== undefined;
}
