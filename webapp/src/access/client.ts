// Requests about users and permissions.

import { getJSON, request } from "../api/client";
import type { Page } from "../api/types";
import type { AuditEvent, Grant, Group, Role, Scope, Session, Token, User, UserSession } from "./types";

const credentials = { redirectToLogin: false }; // a 401 means a wrong password, not the end of the session

const v1 = (...parts: string[]): string => `/api/v1/${parts.map(encodeURIComponent).join("/")}`;

async function send<T>(method: string, path: string, body?: unknown): Promise<T> {
  return (await (await request(method, path, body)).json()) as T;
}

async function act(method: string, path: string, body?: unknown): Promise<void> {
  await request(method, path, body);
}

async function items<T>(path: string, signal?: AbortSignal): Promise<T[]> {
  return (await getJSON<Page<T>>(path, signal)).items;
}

export async function logIn(name: string, password: string): Promise<Session> {
  return (await (await request("POST", v1("auth", "login"), { name, password }, undefined, credentials)).json()) as Session;
}

// logOut ends the session. It returns the logout address of the OpenID Connect provider if the
// session started there.
export async function logOut(): Promise<string | null> {
  return (await send<{ provider: string | null }>("POST", v1("auth", "logout"))).provider;
}

// claimBootstrap creates the first admin, and logs in.
export async function claimBootstrap(secret: string, name: string, password: string): Promise<Session> {
  return (await (await request("POST", v1("auth", "bootstrap"), { secret, name, password }, undefined, credentials)).json()) as Session;
}

const usersPage = 500;
const usersMost = 20; // pages

// listUsers returns all users by name, at most ten thousand.
export async function listUsers(signal?: AbortSignal): Promise<User[]> {
  const all: User[] = [];
  let cursor: string | null = "";
  for (let n = 0; n < usersMost && cursor !== null; n++) {
    const page: Page<User> = await getJSON(`${v1("users")}?limit=${usersPage}${cursor ? `&cursor=${encodeURIComponent(cursor)}` : ""}`, signal);
    all.push(...page.items);
    cursor = page.next_cursor;
  }
  return all;
}

export const getUser = (id: string, signal?: AbortSignal): Promise<User> => getJSON(v1("users", id), signal);
export const addUser = (user: { name: string; display_name?: string; password?: string }): Promise<User> => send("POST", v1("users"), user);
export const changeUser = (id: string, patch: Partial<Pick<User, "name" | "display_name" | "disabled">>): Promise<User> => send("PATCH", v1("users", id), patch);
export const removeUser = (id: string): Promise<void> => act("DELETE", v1("users", id));

// setPassword sets a password; users need their current one to change their own. All sessions of
// the user end; revokeTokens also revokes all tokens.
export async function setPassword(id: string, password: string, revokeTokens: boolean, current?: string): Promise<void> {
  const body = { password, ...(revokeTokens ? { revoke_tokens: true } : {}), ...(current === undefined ? {} : { current }) };
  await request("PUT", v1("users", id, "password"), body, undefined, current === undefined ? {} : credentials);
}

export const listSessions = (user: string, signal?: AbortSignal): Promise<UserSession[]> => items(v1("users", user, "sessions"), signal);
export const endSession = (user: string, id: string): Promise<void> => act("DELETE", v1("users", user, "sessions", id));

export const listGroups = (signal?: AbortSignal): Promise<Group[]> => items(v1("groups"), signal);
export const getGroup = (id: string, signal?: AbortSignal): Promise<Group> => getJSON(v1("groups", id), signal);
export const addGroup = (group: { name: string; external?: string }): Promise<Group> => send("POST", v1("groups"), group);
export const changeGroup = (id: string, patch: { name?: string; external?: string }): Promise<Group> => send("PATCH", v1("groups", id), patch);
export const removeGroup = (id: string): Promise<void> => act("DELETE", v1("groups", id));
export const listMembers = (id: string, signal?: AbortSignal): Promise<User[]> => items(v1("groups", id, "members"), signal);
export const addMember = (group: string, user: string): Promise<void> => act("PUT", v1("groups", group, "members", user));
export const removeMember = (group: string, user: string): Promise<void> => act("DELETE", v1("groups", group, "members", user));

// listTokens lists the tokens of a user, by default of the caller.
export const listTokens = (user?: string, signal?: AbortSignal): Promise<Token[]> => items(v1("tokens") + (user ? `?user=${encodeURIComponent(user)}` : ""), signal);
export const addToken = (token: { label: string; scopes: Scope[]; expires_at?: string }): Promise<Token> => send("POST", v1("tokens"), token);
export const removeToken = (id: string): Promise<void> => act("DELETE", v1("tokens", id));

export type GrantFilter = Partial<Pick<Record<keyof Grant, string>, "user" | "group" | "store" | "image">>;

export const listGrants = (filter: GrantFilter, signal?: AbortSignal): Promise<Grant[]> => items(`${v1("grants")}?${new URLSearchParams(filter)}`, signal);
export const addGrant = (grant: GrantFilter & { role: Role }): Promise<Grant> => send("POST", v1("grants"), grant);
export const removeGrant = (id: string): Promise<void> => act("DELETE", v1("grants", id));

// An AuditQuery filters the audit log. Empty strings do not filter; times are in RFC 3339.
export interface AuditQuery {
  user: string;
  act: string;
  object: string;
  outcome: string; // allowed or refused
  since: string;
  until: string;
}

export function listAudit(query: AuditQuery, cursor: string | null, limit: number, signal?: AbortSignal): Promise<Page<AuditEvent>> {
  const params = new URLSearchParams(Object.entries(query).filter(([, value]) => value));
  if (cursor) params.set("cursor", cursor);
  params.set("limit", String(limit));
  params.set("names", "true");
  return getJSON(`${v1("audit")}?${params}`, signal);
}

// auditExport is the address at which the entries of a query are downloaded, with names.
export function auditExport(query: AuditQuery, format: "csv" | "jsonl"): string {
  return `${v1("audit", "export")}?${new URLSearchParams([...Object.entries(query).filter(([, value]) => value), ["names", "true"], ["format", format]])}`;
}
