// The application's entry: it finds out which page is asked for and shows it.

import "./styles/base.css";

import { logInAddress } from "./access/return";
import { knowSession } from "./access/session";
import { getImage, onSignedOut } from "./api/client";
import { galleryPage } from "./gallery/page";
import { notFoundPage } from "./not-found";
import { navigate, start, type Page } from "./router";
import { idle } from "./ui/activity";
import { mountAnnouncer } from "./ui/announce";
import { applyTheme } from "./ui/theme";

applyTheme();
mountAnnouncer();
window.ptiffstore = { idle };

void knowSession();
onSignedOut(() => void knowSession().then(({ mode, user }) => {
  if (mode === "none") return; // something before the server wants it: the page says so
  if (/^\/login\/?$/.test(location.pathname)) return; // an answer before this one has led there, and to where one goes back
  const address = logInAddress(location.pathname + location.search + location.hash);
  if (user) location.replace(address); // the document anew: nothing is left of what was seen
  else navigate(address, "replace");
}));
// A page that the browser has kept may show what its user was, and may no longer be, let see.
window.addEventListener("pageshow", (event) => {
  if (event.persisted) void knowSession().then(({ mode }) => mode === "none" || location.reload());
});

const slidePath = /^\/slides\/([^/]+)\/?$/;

// The description of the first slide is asked for while the viewer's code is
// still on its way.
const first = slidePath.exec(location.pathname);
const early = first ? { id: decodeURIComponent(first[1]!), image: getImage(decodeURIComponent(first[1]!)) } : null;
early?.image.catch(() => {}); // the viewer handles it

// known loads a page that shows itself according to who is logged in.
async function known(load: () => Promise<Page>): Promise<Page> {
  return (await Promise.all([load(), knowSession()]))[0];
}

// personal is known for a page that is of no use to who has not logged in.
async function personal(load: () => Promise<Page>): Promise<Page> {
  const { mode, user } = await knowSession();
  if (mode !== "none" && !user) return { mount: () => navigate(logInAddress(location.pathname + location.search + location.hash), "replace") };
  return known(load);
}

start(
  document.getElementById("app")!,
  [
    { pattern: /^\/$/, load: () => galleryPage },
    { pattern: slidePath, load: async () => (await import("./viewer/page")).viewerPage(early) },
    { pattern: /^\/compare\/?$/, load: () => known(async () => (await import("./compare/page")).comparePage) },
    { pattern: /^\/about\/?$/, load: async () => (await import("./about/page")).aboutPage },
    { pattern: /^\/upload\/?$/, load: () => personal(async () => (await import("./upload/page")).uploadPage) },
    { pattern: /^\/stores\/?$/, load: () => known(async () => (await import("./stores/page")).storesPage) },
    { pattern: /^\/tasks\/?$/, load: () => known(async () => (await import("./tasks/page")).tasksPage) },
    { pattern: /^\/tasks\/([^/]+)\/?$/, load: () => known(async () => (await import("./tasks/task-page")).taskPage) },
    { pattern: /^\/login\/?$/, load: () => known(async () => (await import("./access/log-in-page")).logInPage) },
    { pattern: /^\/(?:welcome|setup)\/?$/, load: () => known(async () => (await import("./access/welcome-page")).welcomePage) },
    { pattern: /^\/account\/?$/, load: () => personal(async () => (await import("./access/account-page")).accountPage) },
    { pattern: /^\/people\/?$/, load: () => personal(async () => (await import("./access/people-page")).peoplePage) },
    { pattern: /^\/people\/groups\/([^/]+)\/?$/, load: () => personal(async () => (await import("./access/group-page")).groupPage) },
    { pattern: /^\/people\/([^/]+)\/?$/, load: () => personal(async () => (await import("./access/user-page")).userPage) },
    { pattern: /^\/audit\/?$/, load: () => personal(async () => (await import("./access/audit-page")).auditPage) },
  ],
  () => notFoundPage,
);
