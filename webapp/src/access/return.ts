// The page to return to after logging in.

// logInAddress is the address of the login page that returns to address. The return address is in
// the fragment because it may contain a search, which no server needs to know.
export function logInAddress(address: string): string {
  const back = ownAddress(address, location.origin);
  return back === "/" ? "/login" : `/login#to=${encodeURIComponent(back)}`;
}

// returnOf parses the fragment of logInAddress.
export function returnOf(hash: string, origin: string): string {
  return ownAddress(new URLSearchParams(hash.replace(/^#/, "")).get("to") ?? "/", origin);
}

// ownAddress is address as a path of this application; "/" if it is of another site, or of the
// login page.
export function ownAddress(address: string, origin: string): string {
  let url: URL;
  try {
    url = new URL(address, origin);
  } catch {
    return "/";
  }
  // "//host", "/\host" and similar are addresses of other sites.
  if (url.origin !== origin || !address.startsWith("/") || /^\/[/\\]/.test(url.pathname)) return "/";
  if (/^\/(login|welcome|setup)\/?$/.test(url.pathname) || url.pathname.startsWith("/api/")) return "/";
  return url.pathname + url.search + url.hash;
}
