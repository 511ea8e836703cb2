// The keyboard shortcuts of the viewer.

import { hasModifier } from "../ui/keyboard";

export interface KeyActions {
  pan: (x: number, y: number) => void; // page pixels
  zoom: (factor: number) => void;
  fit: () => void;
  magnification: (n: number) => void; // the nth step, from 1
  rotate: (degrees: number) => void;
  fullscreen: () => void;
  panel: () => void;
  pictures: () => void;
  minimap: () => void;
  distance: () => void;
  area: () => void;
  adjust: () => void;
  link: () => void;
  snapshot: () => void;
  previous: () => void;
  next: () => void;
  escape: () => void;
  help: () => void;
}

const step = 120; // page pixels per arrow key
const fine = 24;

// listenToKeys calls actions for keys, except in fields and dialogs or with a modifier key. Keys
// without an action are left to the browser.
export function listenToKeys(actions: Partial<KeyActions>, signal: AbortSignal): void {
  document.addEventListener("keydown", (event) => {
    if (event.defaultPrevented || hasModifier(event) || document.querySelector("dialog[open]")) return;
    const target = event.target as HTMLElement;
    if (target.matches?.("input:not([type=range]), select, textarea")) return;
    const arrow = event.key.startsWith("Arrow");
    if (arrow && target.closest?.("[data-own-arrows], [type=range]")) return;
    const action = actionOf(event, actions);
    if (!action) return;
    event.preventDefault();
    action();
  }, { signal });
}

function actionOf(event: KeyboardEvent, a: Partial<KeyActions>): (() => void) | undefined {
  const distance = event.shiftKey ? fine : step;
  const pan = (x: number, y: number) => a.pan && (() => a.pan!(x, y));
  const zoom = (factor: number) => a.zoom && (() => a.zoom!(factor));
  const rotate = (degrees: number) => a.rotate && (() => a.rotate!(degrees));
  switch (event.key) {
    case "ArrowLeft": return pan(-distance, 0);
    case "ArrowRight": return pan(distance, 0);
    case "ArrowUp": return pan(0, -distance);
    case "ArrowDown": return pan(0, distance);
    case "+": case "=": return zoom(1.5);
    case "-": case "_": return zoom(1 / 1.5);
    case "0": return a.fit;
    case "1": case "2": case "3": case "4": case "5": case "6": return a.magnification && (() => a.magnification!(Number(event.key)));
    case "r": return rotate(90);
    case "R": return rotate(-90);
    case "[": return rotate(-5);
    case "]": return rotate(5);
    case "{": return rotate(-1);
    case "}": return rotate(1);
    case "f": case "F": return a.fullscreen;
    case "i": case "I": return a.panel;
    case "l": case "L": return a.pictures;
    case "m": case "M": return a.minimap;
    case "d": case "D": return a.distance;
    case "a": case "A": return a.area;
    case "b": case "B": return a.adjust;
    case "c": case "C": return a.link;
    case "s": case "S": return a.snapshot;
    case "p": case "P": return a.previous;
    case "n": case "N": return a.next;
    case "Escape": return a.escape;
    case "?": return a.help;
  }
  return undefined;
}
