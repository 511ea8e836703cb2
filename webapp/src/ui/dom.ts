// h makes an element: h("a", { class: "card", href }, "text", child).
//
// Properties whose name begins with "on" are event listeners; true sets a bare
// attribute, false, null and undefined none; everything else is an attribute.
// There are no style attributes: the Content-Security-Policy does not allow them.

export type Child = Node | string | number | null | undefined | false;
export type Props = Record<string, unknown>;

export function h<K extends keyof HTMLElementTagNameMap>(tag: K, props?: Props | null, ...children: Child[]): HTMLElementTagNameMap[K] {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(props ?? {})) {
    if (typeof value === "function") element.addEventListener(name.slice(2), value as EventListener);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) element.setAttribute(name, String(value));
  }
  append(element, ...children);
  return element;
}

export function append(parent: Node, ...children: Child[]): void {
  for (const child of children) {
    if (child === null || child === undefined || child === false) continue;
    parent.appendChild(child instanceof Node ? child : document.createTextNode(String(child)));
  }
}

// replace replaces the content of parent with children.
export function replace(parent: Element, ...children: Child[]): void {
  parent.replaceChildren();
  append(parent, ...children);
}

// highlighted marks the first occurrence of query in text, ignoring case.
export function highlighted(text: string, query: string): Child[] {
  if (!query) return [text];
  const at = text.toLowerCase().indexOf(query.toLowerCase());
  if (at < 0) return [text];
  return [text.slice(0, at), h("mark", null, text.slice(at, at + query.length)), text.slice(at + query.length)];
}
