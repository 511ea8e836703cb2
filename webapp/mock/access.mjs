// The people of the mock, where it is started with PTIFFSTORE_MOCK_AUTH: "local"
// has nobody, and prints the link for the first admin; "people" has some, all with
// the password "correct horse battery".

import { randomBytes } from "node:crypto";

const id = () => randomBytes(8).toString("hex");
const now = () => new Date().toISOString();
const allScopes = ["tiles", "label", "write", "admin"];
const roles = { viewer: ["tiles"], reader: ["tiles", "label"], contributor: ["tiles", "label", "write"], admin: allScopes };
const minPassword = 12;
const technical = /^(aperio\.(AppMag|MPP)|philips\.DICOM_(MANUFACTURER|SOFTWARE_VERSIONS|LOSSY)|tiff\.(Make|Model))/;
const acts = { "POST stores": "store.add", "PATCH stores": "store.set", "DELETE stores": "store.remove", "POST tasks": "task.submit", "DELETE tasks": "task.cancel" };

class Refusal extends Error {
  constructor(status, detail, errors = [], headers = {}) {
    super(detail);
    Object.assign(this, { status, detail, errors, headers });
  }
}

const loggedOut = () => new Refusal(401, "Log in to see this.", [], { "WWW-Authenticate": "Bearer" });
const forbidden = () => new Refusal(403, "You may not do this, or there is nothing of that id here.");
const unknown = () => new Refusal(404, "There is nothing of that id here.");
const invalid = (words) => new Refusal(422, `The request is not valid: ${words}.`, [words]);

export class Access {
  users = [];
  groups = [];
  grants = [];
  tokens = [];
  sessions = [];
  events = [];
  secret = `ptb_${randomBytes(16).toString("hex")}`;
  #failures = new Map();

  constructor(withPeople) {
    if (!withPeople) return;
    const password = "correct horse battery";
    const [ada, rita, vera, dora] = [["ada", "Ada Lovelace"], ["rita", "Rita Levi-Montalcini"], ["vera", "Vera Rubin"], ["dora", ""]].map(([name, display_name]) => this.#addUser({ name, display_name, password }));
    dora.disabled = true;
    for (let n = 1; n <= 9; n++) this.#addUser({ name: `student${n}`, password });
    this.#addUser({ name: "scanner-upload" });
    const pathologists = this.#put(this.groups, { name: "Pathologists", external: null, users: new Set([rita.id]), created_at: now() });
    const students = this.#put(this.groups, { name: "Students", external: "cn=students", users: new Set(this.users.filter((u) => u.name.startsWith("student")).map((u) => u.id)), created_at: now() });
    const give = (values) => this.#put(this.grants, { user: null, group: null, store: null, image: null, created_at: now(), ...values });
    give({ user: ada.id, role: "admin" });
    give({ group: pathologists.id, role: "contributor" });
    give({ group: students.id, role: "viewer", store: "teaching" });
    give({ user: vera.id, role: "viewer", store: "main" });
    for (let n = 0; n < 250; n++) this.#note({ user: [ada, rita, vera][n % 3].id, act: ["label.show", "login", "label.list"][n % 3], object: n % 3 === 1 ? [ada, rita, vera][n % 3].id : null, allowed: n % 11 > 0, detail: n % 11 > 0 ? null : "refused", from: "192.0.2.7" });
  }

  // answer answers a request about people; null is for what is not about them. The
  // caller of others is in request.caller, and refused here if need be.
  answer(request, url, body) {
    try {
      request.caller = this.#caller(request);
      return this.#route(request, url, body);
    } catch (err) {
      if (err instanceof Refusal) return err;
      throw err;
    }
  }

  // may reports whether the caller holds a scope for a store, an image of it, or everything.
  may(caller, scope, store = null, image = null) {
    if (caller.token && !scopesOf(caller.token.scopes).includes(scope)) return false;
    return this.grants.some((g) => this.#isFor(g, caller.user) && roles[g.role].includes(scope) && (!g.store && !g.image || g.store && g.store === store || g.image && g.image === image));
  }

  scopes(caller, store = null) {
    return allScopes.filter((scope) => this.may(caller, scope, store));
  }

  // record is an image as the caller may see it.
  record(caller, image) {
    if (this.may(caller, "label", image.store, image.id)) return image;
    const properties = Object.fromEntries(Object.entries(image.properties).filter(([key]) => technical.test(key)));
    return { ...image, barcode: null, label: null, file_name: null, external_id: null, reason: null, aliases: [], associated: [], properties };
  }

  #isFor(grant, user) {
    return grant.user === user.id || !!this.groups.find((g) => g.id === grant.group)?.users.has(user.id);
  }

  #caller(request) {
    const bearer = /^Bearer (.+)$/.exec(request.headers.authorization ?? "")?.[1];
    const cookie = /(?:^|; )ptiffstore_session=([^;]+)/.exec(request.headers.cookie ?? "")?.[1];
    const token = bearer ? this.tokens.find((t) => t.secret === bearer && (!t.expires_at || t.expires_at > now())) : null;
    const session = !bearer && cookie ? this.sessions.find((s) => s.secret === cookie) : null;
    const user = this.users.find((u) => u.id === (token ?? session)?.user && !u.disabled);
    if (!user) return { user: null };
    if (token) token.last_used_at = now();
    if (session) session.seen_at = now();
    return { user, token, session, from: "127.0.0.1" };
  }

  #route(request, url, body) {
    const { caller } = request;
    const [what, first, second, third, ...rest] = url.pathname.slice("/api/v1/".length).split("/").map(decodeURIComponent);
    if (what === "auth") return this.#auth(request, first, body);
    if (!caller.user) throw loggedOut();
    caller.admin = this.may(caller, "admin");
    if (!["users", "groups", "tokens", "grants", "audit"].includes(what)) return this.#others(request, url, [what, first, second, third], body);
    if (rest.length > 0) throw unknown();
    const own = what === "tokens" || what === "users" && first === caller.user.id && ["password", "sessions"].includes(second);
    if (!own && !caller.admin) throw forbidden();
    if (own && caller.token && !caller.admin) throw new Refusal(403, "This is not done with a token: log in with name and password.");
    const route = [request.method, what, first && ":id", second, third && ":id"].filter(Boolean).join(" ");
    const act = this.#people(route, { request, url, body, caller, first, third });
    return act;
  }

  #auth(request, what, body) {
    const { caller } = request;
    switch (`${request.method} ${what}`) {
      case "GET session": return { value: this.#session(caller) };
      case "POST login": return this.#logIn(request, body);
      case "POST logout":
        this.sessions = this.sessions.filter((s) => s !== caller.session);
        if (caller.user) this.#note({ user: caller.user.id, act: "logout", object: caller.user.id });
        return { value: { provider: null }, headers: { "Set-Cookie": "ptiffstore_session=; Path=/; Max-Age=0" } };
      case "POST bootstrap": {
        if (body.secret !== this.secret || this.grants.some((g) => g.role === "admin")) throw new Refusal(401, "The link is unknown, used or expired, or there is an admin already.");
        const user = this.#addUser(body);
        this.#put(this.grants, { user: user.id, group: null, role: "admin", store: null, image: null, created_at: now() });
        return this.#start(request, user, "bootstrap");
      }
    }
    throw unknown();
  }

  #session(caller) {
    const { user, token } = caller;
    return { mode: "local", user: user ? { id: user.id, name: user.display_name || user.name } : null, admin: !!user && this.may(caller, "admin"), scopes: user ? this.scopes(caller) : [], token: !!token, central: null };
  }

  #logIn(request, { name = "", password = "" }) {
    const key = name.toLowerCase();
    const failed = this.#failures.get(key) ?? { n: 0, until: 0 };
    const wait = Math.ceil((failed.until - Date.now()) / 1000);
    if (wait > 0) throw new Refusal(429, "Too many attempts. Retry-After says when the next one is allowed.", [], { "Retry-After": String(wait) });
    const user = this.users.find((u) => u.name.toLowerCase() === key);
    if (!user?.password || user.password !== password) {
      this.#failures.set(key, { n: failed.n + 1, until: failed.n + 1 >= 5 ? Date.now() + 30_000 : 0 });
      this.#note({ user: null, act: "login", allowed: false, detail: "wrong name or password" });
      throw new Refusal(401, "Wrong name or password.");
    }
    if (user.disabled) throw new Refusal(403, "This user is disabled. Ask an admin.");
    this.#failures.delete(key);
    return this.#start(request, user, "login");
  }

  #start(request, user, act) {
    const secret = `pss_${randomBytes(16).toString("hex")}`;
    const session = this.#put(this.sessions, { user: user.id, secret, address: "127.0.0.1", agent: request.headers["user-agent"] ?? "", created_at: now(), seen_at: now(), expires_at: new Date(Date.now() + 7 * 86_400_000).toISOString() });
    user.last_login_at = now();
    this.#note({ user: user.id, act, object: user.id });
    return { value: this.#session({ user, session }), headers: { "Set-Cookie": `ptiffstore_session=${secret}; Path=/; HttpOnly; SameSite=Lax` } };
  }

  #people(route, { url, body, caller, first, third }) {
    const list = (items) => ({ value: { items, next_cursor: null } });
    const find = (from, wanted) => from.find((one) => one.id === wanted) ?? (() => { throw unknown(); })();
    const done = (act, object) => {
      this.#note({ user: caller.user.id, act, object });
      return { status: 204 };
    };
    const made = (act, value) => {
      this.#note({ user: caller.user.id, act, object: value.id });
      return { status: 201, value };
    };
    switch (route) {
      case "GET users": return list(this.users.map(showUser).sort((a, b) => a.name.localeCompare(b.name)));
      case "POST users": return made("user.add", showUser(this.#addUser(body)));
      case "GET users :id": return { value: showUser(find(this.users, first)) };
      case "PATCH users :id": {
        const user = find(this.users, first);
        if (body.name !== undefined) this.#checkName(body.name, user);
        for (const key of ["name", "display_name", "disabled"]) if (body[key] !== undefined) user[key] = body[key];
        if (user.disabled) this.sessions = this.sessions.filter((s) => s.user !== user.id);
        this.#note({ user: caller.user.id, act: "user.set", object: user.id });
        return { value: showUser(user) };
      }
      case "DELETE users :id":
        find(this.users, first);
        this.users = this.users.filter((u) => u.id !== first);
        this.grants = this.grants.filter((g) => g.user !== first);
        for (const group of this.groups) group.users.delete(first);
        return done("user.remove", first);
      case "PUT users :id password": {
        const user = find(this.users, first);
        if (user === caller.user && body.current !== user.password) throw new Refusal(401, "Wrong name or password.");
        checkPassword(user.name, body.password);
        user.password = body.password;
        this.sessions = this.sessions.filter((s) => s.user !== user.id);
        return done("user.password", user.id);
      }
      case "GET users :id sessions": return list(this.sessions.filter((s) => s.user === first).map((s) => ({ ...s, user: undefined, secret: undefined, current: s === caller.session })));
      case "DELETE users :id sessions":
        this.sessions = this.sessions.filter((s) => s.user !== first);
        return done("user.logout", first);
      case "DELETE users :id sessions :id":
        if (find(this.sessions, third).user !== first) throw unknown();
        this.sessions = this.sessions.filter((s) => s.id !== third);
        return done("user.logout", first);
      case "GET groups": return list(this.groups.map(showGroup).sort((a, b) => a.name.localeCompare(b.name)));
      case "POST groups": {
        if (this.groups.some((g) => g.name === body.name)) throw new Refusal(409, "Another has that name.");
        return made("group.add", showGroup(this.#put(this.groups, { name: body.name, external: body.external || null, users: new Set(), created_at: now() })));
      }
      case "GET groups :id": return { value: showGroup(find(this.groups, first)) };
      case "PATCH groups :id": return { value: showGroup(Object.assign(find(this.groups, first), { name: body.name, external: body.external || null })) };
      case "DELETE groups :id":
        this.groups = this.groups.filter((g) => g !== find(this.groups, first));
        this.grants = this.grants.filter((g) => g.group !== first);
        return done("group.remove", first);
      case "GET groups :id members": return list([...find(this.groups, first).users].map((user) => showUser(find(this.users, user))));
      case "PUT groups :id members :id":
        find(this.groups, first).users.add(find(this.users, third).id);
        return done("group.join", `${third} ${first}`);
      case "DELETE groups :id members :id":
        find(this.groups, first).users.delete(third);
        return done("group.leave", `${third} ${first}`);
      case "GET tokens": {
        const user = url.searchParams.get("user") ?? caller.user.id;
        if (user !== caller.user.id && !caller.admin) throw forbidden();
        return list(this.tokens.filter((t) => t.user === user).reverse().map((t) => ({ ...t, secret: null })));
      }
      case "POST tokens":
        if (!body.label) throw invalid("a token has a label");
        return made("token.add", this.#put(this.tokens, { user: caller.user.id, label: body.label, scopes: scopesOf(body.scopes), created_at: now(), expires_at: body.expires_at ?? null, last_used_at: null, secret: `pts_${randomBytes(24).toString("base64url")}` }));
      case "DELETE tokens :id": {
        const token = this.tokens.find((t) => t.id === first);
        if (!token || token.user !== caller.user.id && !caller.admin) throw forbidden();
        this.tokens = this.tokens.filter((t) => t !== token);
        return done("token.remove", first);
      }
      case "GET grants": return list(this.grants.filter((g) => ["user", "group", "store", "image"].every((key) => !url.searchParams.get(key) || g[key] === url.searchParams.get(key))));
      case "POST grants":
        if (body.user) find(this.users, body.user);
        if (body.group) find(this.groups, body.group);
        return made("grant.add", this.#put(this.grants, { user: body.user ?? null, group: body.group ?? null, role: body.role, store: body.store ?? null, image: body.image ?? null, created_at: now() }));
      case "DELETE grants :id": {
        const grant = find(this.grants, first);
        const left = this.grants.filter((g) => g !== grant);
        if (!left.some((g) => g.role === "admin" && !g.store && !g.image)) throw new Refusal(409, "Nobody would be left who is an admin: make another one first.");
        this.grants = left;
        return done("grant.remove", first);
      }
      case "GET audit": {
        this.#note({ user: caller.user.id, act: "audit.show" });
        const p = url.searchParams;
        const limit = Number(p.get("limit") ?? 50);
        const found = this.events.filter((e) => (!p.get("cursor") || e.n < Number(p.get("cursor"))) && ["user", "act", "object"].every((key) => !p.get(key) || e[key] === p.get(key)) && (!p.get("outcome") || e.allowed === (p.get("outcome") === "allowed")) && (!p.get("since") || e.at >= p.get("since")) && (!p.get("until") || e.at < p.get("until")));
        return { value: { items: found.slice(0, limit), next_cursor: found.length > limit ? String(found[limit - 1].n) : null } };
      }
    }
    throw unknown();
  }

  // #others lets through what is not about people, if the caller may do it.
  #others(request, url, [what, first, second], body) {
    const { caller, method } = request;
    const store = what === "stores" && first !== "sync" ? first ?? null : null;
    const reads = method === "GET";
    if (what === "workers" && !caller.admin) throw forbidden();
    if (what === "stores" && !reads) {
      const scope = second === "sync" ? "write" : "admin";
      const ok = this.may(caller, scope, method === "DELETE" ? null : store);
      this.#note({ user: caller.user.id, act: second === "sync" ? "store.sync" : acts[`${method} stores`], object: store, allowed: ok, detail: ok ? null : "refused" });
      if (!ok) throw forbidden();
    }
    if (what === "stores" && reads && store && !this.may(caller, "tiles", store)) throw forbidden();
    if (what === "tasks" && method === "POST" && !this.may(caller, "write", body.args?.store ?? null)) throw forbidden();
    return null;
  }

  #addUser({ name = "", display_name = "", password = "" }) {
    this.#checkName(name, null);
    if (password) checkPassword(name, password);
    return this.#put(this.users, { name, display_name, disabled: false, source: "local", password, created_at: now(), updated_at: now(), last_login_at: null });
  }

  #checkName(name, user) {
    if (!name.trim()) throw invalid("a name has 1 to 64 characters");
    if (this.users.some((u) => u !== user && u.name.toLowerCase() === name.toLowerCase())) throw new Refusal(409, "Another has that name.");
  }

  #put(into, values) {
    const one = { id: id(), ...values };
    into.push(one);
    return one;
  }

  #note(values) {
    this.events.unshift({ n: this.events.length + 1, at: now(), user: null, object: null, from: "127.0.0.1", allowed: true, detail: null, ...values });
  }

  // looked puts into the audit log that labels were seen.
  looked(caller, act, object, detail = null) {
    this.#note({ user: caller.user.id, act, object, detail });
  }
}

function scopesOf(names) {
  if (names.includes("admin")) return allScopes;
  return allScopes.filter((scope) => names.includes(scope) || scope === "tiles" && names.includes("label"));
}

function checkPassword(name, password = "") {
  if ([...password].length < minPassword) throw invalid(`the password has less than ${minPassword} characters`);
  if (password.toLowerCase() === name.toLowerCase()) throw invalid("the password is the user's name");
}

const showUser = ({ password, ...user }) => ({ ...user, has_password: !!password });
const showGroup = ({ users, ...group }) => ({ ...group, members: users.size });
