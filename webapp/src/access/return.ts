// Where one goes once one has logged in.

// logInAddress is the page to log in, which leads back to address. That lies in
// the fragment: it may hold what was searched for, and no server needs to know.
export function logInAddress(address: string): string {
  const back = ownAddress(address, location.origin);
  return back === "/" ? "/login" : `/login#to=${encodeURIComponent(back)}`;
}

// returnOf reads the address that logInAddress has put into a fragment.
export function returnOf(hash: string, origin: string): string {
  return ownAddress(new URLSearchParams(hash.replace(/^#/, "")).get("to") ?? "/", origin);
}

// ownAddress is address as a path of this application; "/" if it leads elsewhere,
// or to where one logs in.
export function ownAddress(address: string, origin: string): string {
  let url: URL;
  try {
    url = new URL(address, origin);
  } catch {
    return "/";
  }
  // "//host", "/\host" and the like are addresses of other sites.
  if (url.origin !== origin || !address.startsWith("/") || /^\/[/\\]/.test(url.pathname)) return "/";
  if (/^\/(login|welcome|setup)\/?$/.test(url.pathname) || url.pathname.startsWith("/api/")) return "/";
  return url.pathname + url.search + url.hash;
}
