// The entry of the application: shows the page of the address.

import "./styles/base.css";

import { logInAddress } from "./access/return";
import { loadSession } from "./access/session";
import { getImage, onLoggedOut } from "./api/client";
import { watchConnection } from "./api/connection";
import { galleryPage } from "./gallery/page";
import { notFoundPage } from "./not-found";
import { navigate, start, type Page } from "./router";
import { isEmbedded, isShared } from "./share/place";
import { idle } from "./ui/activity";
import { mountAnnouncer } from "./ui/announce";
import { mountConnectionBanner } from "./ui/connection-banner";
import { applyTheme } from "./ui/theme";

applyTheme();
mountAnnouncer();
mountConnectionBanner();
watchConnection();
window.ptiffstore = { idle };

void loadSession();
onLoggedOut(() => void loadSession().then(({ mode, user }) => {
  if (isShared() || isEmbedded()) return; // the page shows that it is refused: the login is never framed
  if (mode === "none") return; // a proxy in front of the server requires it: the page shows the error
  if (/^\/login\/?$/.test(location.pathname)) return; // an earlier response has led here already
  const address = logInAddress(location.pathname + location.search + location.hash);
  if (user) location.replace(address); // a new document keeps nothing of the old session
  else navigate(address, "replace");
}));
// A page from the browser's cache may show what the user can no longer see.
window.addEventListener("pageshow", (event) => {
  if (event.persisted) void loadSession().then(({ mode }) => mode === "none" || location.reload());
});

const slidePath = /^\/slides\/([^/]+)\/?$/;

// The description of the first slide is requested while the code of the viewer is loading.
const first = slidePath.exec(location.pathname);
const early = first ? { id: decodeURIComponent(first[1]!), image: getImage(decodeURIComponent(first[1]!)) } : null;
early?.image.catch(() => {}); // the viewer handles it

// withSession loads a page that depends on the session.
async function withSession(load: () => Promise<Page>): Promise<Page> {
  return (await Promise.all([load(), loadSession()]))[0];
}

// requireLogin is withSession for a page that requires login.
async function requireLogin(load: () => Promise<Page>): Promise<Page> {
  const { mode, user } = await loadSession();
  if (mode !== "none" && !user) return { mount: () => navigate(logInAddress(location.pathname + location.search + location.hash), "replace") };
  return withSession(load);
}

start(
  document.getElementById("app")!,
  [
    { pattern: /^\/$/, load: () => galleryPage },
    { pattern: slidePath, load: async () => (await import("./viewer/page")).viewerPage(early) },
    { pattern: /^\/compare\/?$/, load: () => withSession(async () => (await import("./compare/page")).comparePage) },
    { pattern: /^\/open\/?$/, load: () => requireLogin(async () => (await import("./gallery/open-page")).openPage) },
    { pattern: /^\/cases\/?$/, load: () => requireLogin(async () => (await import("./cases/list-page")).casesPage) },
    { pattern: /^\/cases\/([^/]+)\/?$/, load: () => requireLogin(async () => (await import("./cases/case-page")).casePage) },
    { pattern: /^\/share\/([^/]+)\/?$/, load: () => withSession(async () => (await import("./share/page")).sharePage) },
    { pattern: /^\/deleted\/?$/, load: () => requireLogin(async () => (await import("./gallery/deleted-page")).deletedPage) },
    { pattern: /^\/about\/?$/, load: async () => (await import("./about/page")).aboutPage },
    { pattern: /^\/upload\/?$/, load: () => requireLogin(async () => (await import("./upload/page")).uploadPage) },
    { pattern: /^\/stores\/?$/, load: () => withSession(async () => (await import("./stores/page")).storesPage) },
    { pattern: /^\/tasks\/?$/, load: () => withSession(async () => (await import("./tasks/page")).tasksPage) },
    { pattern: /^\/tasks\/([^/]+)\/?$/, load: () => withSession(async () => (await import("./tasks/task-page")).taskPage) },
    { pattern: /^\/login\/?$/, load: () => withSession(async () => (await import("./access/login-page")).loginPage) },
    { pattern: /^\/(?:welcome|setup)\/?$/, load: () => withSession(async () => (await import("./access/welcome-page")).welcomePage) },
    { pattern: /^\/account\/?$/, load: () => requireLogin(async () => (await import("./access/account-page")).accountPage) },
    { pattern: /^\/people\/?$/, load: () => requireLogin(async () => (await import("./access/people-page")).peoplePage) },
    { pattern: /^\/people\/groups\/([^/]+)\/?$/, load: () => requireLogin(async () => (await import("./access/group-page")).groupPage) },
    { pattern: /^\/people\/([^/]+)\/?$/, load: () => requireLogin(async () => (await import("./access/user-page")).userPage) },
    { pattern: /^\/audit\/?$/, load: () => requireLogin(async () => (await import("./access/audit-page")).auditPage) },
  ],
  () => notFoundPage,
);
