// The application's entry: it finds out which page is asked for and shows it.

import "./styles/base.css";

import { getImage } from "./api/client";
import { galleryPage } from "./gallery/page";
import { notFoundPage } from "./not-found";
import { start } from "./router";
import { mountAnnouncer } from "./ui/announce";
import { applyTheme } from "./ui/theme";

applyTheme();
mountAnnouncer();

const slidePath = /^\/slides\/([^/]+)\/?$/;

// The description of the first slide is asked for while the viewer's code is
// still on its way.
const first = slidePath.exec(location.pathname);
const early = first ? { id: decodeURIComponent(first[1]!), image: getImage(decodeURIComponent(first[1]!)) } : null;
early?.image.catch(() => {}); // the viewer handles it

start(
  document.getElementById("app")!,
  [
    { pattern: /^\/$/, load: () => galleryPage },
    { pattern: slidePath, load: async () => (await import("./viewer/page")).viewerPage(early) },
    { pattern: /^\/compare\/?$/, load: async () => (await import("./compare/page")).comparePage },
    { pattern: /^\/about\/?$/, load: async () => (await import("./about/page")).aboutPage },
    { pattern: /^\/stores\/?$/, load: async () => (await import("./stores/page")).storesPage },
    { pattern: /^\/tasks\/?$/, load: async () => (await import("./tasks/page")).tasksPage },
    { pattern: /^\/tasks\/([^/]+)\/?$/, load: async () => (await import("./tasks/task-page")).taskPage },
  ],
  () => notFoundPage,
);
