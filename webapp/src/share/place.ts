// Where the application is shown: as a page of its own, behind a share link, or in a frame.

// isShared reports whether the page is that of a share link.
export const isShared = (): boolean => location.pathname.startsWith("/share/");

// isEmbedded reports whether the page is the viewer for other pages.
export const isEmbedded = (): boolean => new URLSearchParams(location.search).get("embed") === "1";

// isFramed reports whether another page shows this one.
export const isFramed = (): boolean => window.parent !== window;
