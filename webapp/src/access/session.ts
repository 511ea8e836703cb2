// The current user and their permissions. They are loaded once per document: logging in or out
// loads a new document, so that nothing of one user stays in memory for the next.

import { getJSON, Problem } from "../api/client";
import type { SlideImage, Store } from "../api/types";
import type { Scope, Session } from "./types";

// A server without sessions has no access control.
const open: Session = { mode: "none", user: null, admin: true, scopes: ["tiles", "label", "file", "write", "admin"], token: false, central: null };

let asked: Promise<Session> | null = null;
let known: Session | null = null;

// getSession requests the current session.
export function getSession(signal?: AbortSignal): Promise<Session> {
  return getJSON("/api/v1/auth/session", signal);
}

// loadSession is the session at the time when the document was loaded.
export function loadSession(): Promise<Session> {
  asked ??= getSession().catch((err: unknown) => {
    if (err instanceof Problem && err.status === 0) asked = null; // asked again when the server responds
    return open;
  }).then((session) => (known = session));
  return asked;
}

// session is the result of loadSession; before that, a session without permissions.
export function session(): Session {
  return known ?? { ...open, admin: false, scopes: [] };
}

// may reports whether the caller has a scope on a store, or on everything.
export function may(scope: Scope, store?: Pick<Store, "scopes"> | null): boolean {
  const { admin, scopes } = session();
  return admin || scopes.includes(scope) || !!store?.scopes?.includes(scope);
}

// isLabelled reports whether the caller can see the label and names of an image: otherwise the
// server omits them.
export function isLabelled(image: Pick<SlideImage, "file_name">): boolean {
  return image.file_name !== null && image.file_name !== undefined;
}
