// The types of /api/v1 about users and permissions.

export type Scope = "tiles" | "label" | "file" | "write" | "admin";
export type Role = "viewer" | "reader" | "downloader" | "contributor" | "admin";

export const scopes: Scope[] = ["tiles", "label", "file", "write", "admin"];
export const roles: Role[] = ["viewer", "reader", "downloader", "contributor", "admin"];

// A Session is the session of the caller.
export interface Session {
  mode: "none" | "local" | "central";
  user: { id: string; name: string } | null;
  admin: boolean;
  scopes: Scope[]; // on everything
  token: boolean;
  central: string | null; // where to log in, in mode central
  correct_colors?: boolean; // the viewer corrects colours unless a user switches that off
  sharing?: boolean; // the caller may create share links
  frame_origins?: string[]; // other sites whose pages may show the viewer in a frame
  oidc?: string | null; // name of the OpenID Connect provider, if there is one
}

export interface User {
  id: string;
  name: string;
  display_name: string;
  disabled: boolean;
  source: "local" | "oidc";
  has_password: boolean;
  created_at: string;
  updated_at: string;
  last_login_at: string | null;
}

export interface Group {
  id: string;
  name: string;
  external: string | null;
  members: number;
  created_at: string;
}

// A Grant is for a store, for an image, or for everything.
export interface Grant {
  id: string;
  user: string | null;
  group: string | null;
  role: Role;
  store: string | null;
  image: string | null;
  created_at: string;
}

export interface Token {
  id: string;
  user: string;
  label: string;
  scopes: Scope[];
  created_at: string;
  expires_at: string | null;
  last_used_at: string | null;
  secret?: string | null; // only in the response that creates it
}

export interface UserSession {
  id: string;
  address: string;
  agent: string;
  created_at: string;
  seen_at: string;
  expires_at: string;
  current: boolean;
}

export interface AuditEvent {
  n: number;
  at: string;
  user: string | null;
  act: string;
  object: string | null;
  from: string | null;
  allowed: boolean;
  detail: string | null;
  image_count?: number | null; // images whose labels or names a list showed
  names?: Record<string, string> | null; // of the user and the objects, by id
}
