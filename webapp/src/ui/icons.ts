// The icons of the application: strokes on a grid of 24.

const paths = {
  search: ["M10.5 17a6.5 6.5 0 1 0 0-13 6.5 6.5 0 0 0 0 13Z", "m15.5 15.5 5 5"],
  close: ["M6 6l12 12", "M18 6 6 18"],
  back: ["M19 12H5", "m11 6-6 6 6 6"],
  previous: ["m14.5 6-6 6 6 6"],
  next: ["m9.5 6 6 6-6 6"],
  up: ["m6 14.5 6-6 6 6"],
  plus: ["M12 5v14", "M5 12h14"],
  minus: ["M5 12h14"],
  rotateLeft: ["M4 5v5h5", "M4.8 10A8 8 0 1 1 4.5 14"],
  rotateRight: ["M20 5v5h-5", "M19.2 10A8 8 0 1 0 19.5 14"],
  fullscreen: ["M9 4H4v5", "M15 4h5v5", "M9 20H4v-5", "M15 20h5v-5"],
  shrink: ["M4 9h5V4", "M20 9h-5V4", "M4 15h5v5", "M20 15h-5v5"],
  info: ["M12 21a9 9 0 1 0 0-18 9 9 0 0 0 0 18Z", "M12 11v5.5", "M12 7.6v.1"],
  picture: ["M4 6.5A1.5 1.5 0 0 1 5.5 5h13A1.5 1.5 0 0 1 20 6.5v11a1.5 1.5 0 0 1-1.5 1.5h-13A1.5 1.5 0 0 1 4 17.5Z", "m4 16 4.5-4.5L13 16l2.5-2.5L20 18", "M15.5 9.4v.1"],
  help: ["M12 21a9 9 0 1 0 0-18 9 9 0 0 0 0 18Z", "M9.6 9.4a2.5 2.5 0 1 1 3.6 2.3c-.8.4-1.2.9-1.2 1.8", "M12 16.6v.1"],
  sun: ["M12 16a4 4 0 1 0 0-8 4 4 0 0 0 0 8Z", "M12 3v1.5M12 19.5V21M3 12h1.5M19.5 12H21M5.6 5.6l1.1 1.1M17.3 17.3l1.1 1.1M5.6 18.4l1.1-1.1M17.3 6.7l1.1-1.1"],
  moon: ["M19.5 14.6A8 8 0 0 1 9.4 4.5a8 8 0 1 0 10.1 10.1Z"],
  auto: ["M12 20.5a8.5 8.5 0 1 0 0-17 8.5 8.5 0 0 0 0 17Z", "M12 3.5v17", "M12 8h5M12 12h8M12 16h6.5"],
  barcode: ["M4 6v12M7 6v12M10 6v9M13 6v9M16 6v12M20 6v12", "M10 18h3"],
  link: ["M10 13.5a4 4 0 0 0 6 .4l2.6-2.6a4 4 0 0 0-5.6-5.7l-1.4 1.4", "M14 10.5a4 4 0 0 0-6-.4l-2.6 2.6a4 4 0 0 0 5.6 5.7l1.4-1.4"],
  camera: ["M4 8.5A1.5 1.5 0 0 1 5.5 7h2L9 5h6l1.5 2h2A1.5 1.5 0 0 1 20 8.5v9a1.5 1.5 0 0 1-1.5 1.5h-13A1.5 1.5 0 0 1 4 17.5Z", "M12 16a3.2 3.2 0 1 0 0-6.4 3.2 3.2 0 0 0 0 6.4Z"],
  map: ["M4 6.5A1.5 1.5 0 0 1 5.5 5h13A1.5 1.5 0 0 1 20 6.5v11a1.5 1.5 0 0 1-1.5 1.5h-13A1.5 1.5 0 0 1 4 17.5Z", "M11 8h6v5h-6z"],
  warning: ["M12 4.2 2.8 19.5h18.4Z", "M12 10v4.5", "M12 16.9v.1"],
  broken: ["M5 4h9l5 5v3l-3 2-3-2-4 3-4-2.5Z", "M5 16.5 9 19l4-3 3 2 3-2v4H5Z"],
  arriving: ["M12 4v10", "m7.5 10 4.5 4.5 4.5-4.5", "M5 19.5h14"],
  missing: ["M12 21a9 9 0 1 0 0-18 9 9 0 0 0 0 18Z", "M8.5 12h7"],
  unsupported: ["M12 21a9 9 0 1 0 0-18 9 9 0 0 0 0 18Z", "M5.7 5.7l12.6 12.6"],
  copy: ["M9 9h10v11H9z", "M5 15V4h10"],
  slides: ["M4 8.5h16v7H4z", "M15.5 8.5v7", "M7 12h4.5"],
  check: ["m5 12.5 4.5 4.5L19 7.5"],
  clock: ["M12 21a9 9 0 1 0 0-18 9 9 0 0 0 0 18Z", "M12 7v5.2l3.2 2"],
  folder: ["M3.5 7A1.5 1.5 0 0 1 5 5.5h4l2 2.5h8A1.5 1.5 0 0 1 20.5 9.5v8A1.5 1.5 0 0 1 19 19H5a1.5 1.5 0 0 1-1.5-1.5Z"],
  gridSmall: ["M4.5 4.5h3v3h-3zM10.5 4.5h3v3h-3zM16.5 4.5h3v3h-3zM4.5 10.5h3v3h-3zM10.5 10.5h3v3h-3zM16.5 10.5h3v3h-3zM4.5 16.5h3v3h-3zM10.5 16.5h3v3h-3zM16.5 16.5h3v3h-3z"],
  gridMedium: ["M4.5 4.5h6v6h-6zM13.5 4.5h6v6h-6zM4.5 13.5h6v6h-6zM13.5 13.5h6v6h-6z"],
  gridLarge: ["M4.5 5.5h15v13h-15z"],
  list: ["M9 6.5h11M9 12h11M9 17.5h11", "M4.5 6.5h.1M4.5 12h.1M4.5 17.5h.1"],
  ruler: ["M3.5 15.5 15.5 3.5l5 5-12 12Z", "m7 12 2 2M10 9l3 3M13 6l2 2"],
  palette: ["M12 3.5a8.5 8.5 0 0 0 0 17c1.4 0 2-.9 2-1.8 0-1.3-1-1.6-1-2.7 0-.9.7-1.5 1.7-1.5h2.1a3.7 3.7 0 0 0 3.7-3.7c0-4.1-3.8-7.3-8.5-7.3Z", "M7.5 11.5h.01M10 7.5h.01M14.5 7.5h.01"],
  sliders: ["M4 7.5h9M18 7.5h2M4 16.5h2M11 16.5h9", "M15.5 10a2.5 2.5 0 1 0 0-5 2.5 2.5 0 0 0 0 5Z", "M8.5 19a2.5 2.5 0 1 0 0-5 2.5 2.5 0 0 0 0 5Z"],
  compare: ["M4 5.5h6.5v13H4zM13.5 5.5H20v13h-6.5z"],
  unlink: ["M10 13.5a4 4 0 0 0 6 .4l2.6-2.6a4 4 0 0 0-5.6-5.7l-1.4 1.4", "M14 10.5a4 4 0 0 0-6-.4l-2.6 2.6a4 4 0 0 0 5.6 5.7l1.4-1.4", "M4 4l16 16"],
  more: ["M5.5 12h.1M12 12h.1M18.5 12h.1"],
  person: ["M12 12.2a4 4 0 1 0 0-8 4 4 0 0 0 0 8Z", "M4.5 20c.6-3.6 3.5-5.6 7.5-5.6s6.9 2 7.5 5.6"],
  lock: ["M6 10.5h12a1 1 0 0 1 1 1V19a1 1 0 0 1-1 1H6a1 1 0 0 1-1-1v-7.5a1 1 0 0 1 1-1Z", "M8 10.5V8a4 4 0 0 1 8 0v2.5", "M12 14.5v2"],
  upload: ["M12 15V4.5", "m7.5 9 4.5-4.5L16.5 9", "M5 15v3a1.5 1.5 0 0 0 1.5 1.5h11A1.5 1.5 0 0 0 19 18v-3"],
  pause: ["M9 6v12M15 6v12"],
  edit: ["M4.5 19.5 5.5 15 15.5 5l3.5 3.5-10 10Z", "m13.5 7 3.5 3.5"],
  turn: ["M20 12a8 8 0 1 1-2.5-5.8", "M20 3.5v4.2h-4.2"],
} as const;

export type IconName = keyof typeof paths;

const svg = "http://www.w3.org/2000/svg";

// icon is hidden from screen readers: the button or text beside it has the label.
export function icon(name: IconName, size = 20): SVGSVGElement {
  const element = document.createElementNS(svg, "svg");
  for (const [key, value] of Object.entries({ viewBox: "0 0 24 24", width: size, height: size, class: "icon", "aria-hidden": "true", focusable: "false" })) {
    element.setAttribute(key, String(value));
  }
  for (const d of paths[name]) {
    const path = document.createElementNS(svg, "path");
    path.setAttribute("d", d);
    element.appendChild(path);
  }
  return element;
}

// logo is a pyramid of levels.
export function logo(size = 28): SVGSVGElement {
  const element = document.createElementNS(svg, "svg");
  for (const [key, value] of Object.entries({ viewBox: "0 0 32 32", width: size, height: size, class: "logo", "aria-hidden": "true", focusable: "false" })) {
    element.setAttribute(key, String(value));
  }
  for (const [d, name] of [
    ["M16 17.5 29 23.2 16 29 3 23.2Z", "base"],
    ["M16 10.5 25 14.6 16 18.7 7 14.6Z", "middle"],
    ["M16 3.5 21.5 6.1 16 8.7 10.5 6.1Z", "top"],
  ]) {
    const path = document.createElementNS(svg, "path");
    path.setAttribute("d", d!);
    path.setAttribute("class", `logo-${name}`);
    element.appendChild(path);
  }
  return element;
}
