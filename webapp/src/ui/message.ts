import { h, type Child } from "./dom";

export interface Message {
  picture?: Child;
  title: string;
  text?: string;
  action?: Child;
  alert?: boolean; // an error: screen readers announce it at once
}

// message fills an otherwise empty page or panel.
export function message({ picture, title, text, action, alert }: Message, ...more: Child[]): HTMLElement {
  return h("div", { class: "message", role: alert ? "alert" : null }, picture, h("h2", null, title), text ? h("p", null, text) : null, ...more, action);
}
