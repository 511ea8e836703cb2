// Draws the OpenAPI document as a page: a section for each tag, a fold for each
// operation.
const el = (tag, attrs = {}, ...children) => {
  const e = Object.assign(document.createElement(tag), attrs);
  e.append(...children);
  return e;
};
const typeOf = (schema = {}) => {
  if (schema.$ref) return schema.$ref.split("/").pop();
  const type = [].concat(schema.type ?? "any").join(" or ");
  return schema.enum ? `${type}: ${schema.enum.join(", ")}` : type === "array" ? `array of ${typeOf(schema.items)}` : type;
};
const table = (rows) => el("table", {}, ...rows.map((cells) => el("tr", {}, ...cells.map((c) => el("td", {}, c)))));
const fields = (doc, schema) => {
  const s = schema?.$ref ? doc.components.schemas[schema.$ref.split("/").pop()] : schema;
  return Object.entries(s?.properties ?? {}).filter(([n]) => n !== "$schema").map(([n, p]) => [el("code", {}, n), typeOf(p), p.description ?? ""]);
};
const operation = (doc, method, path, op) => {
  const body = el("div", { className: "body" }, el("p", {}, op.description ?? ""));
  if (op.parameters?.length) body.append(el("h3", {}, "Parameters"), table(op.parameters.map((p) => [el("code", {}, p.name), `${p.in}, ${typeOf(p.schema)}`, p.description ?? p.schema?.description ?? ""])));
  const sent = Object.values(op.requestBody?.content ?? {})[0];
  if (sent) body.append(el("h3", {}, "Request"), table(fields(doc, sent.schema)));
  body.append(el("h3", {}, "Answers"));
  for (const [status, r] of Object.entries(op.responses ?? {})) {
    const [type, media] = Object.entries(r.content ?? {})[0] ?? ["", {}];
    body.append(el("p", {}, el("strong", {}, status), ` ${r.description ?? ""} `, el("code", {}, type)));
    const rows = status.startsWith("2") ? fields(doc, media.schema) : [];
    if (rows.length) body.append(table(rows));
  }
  return el("details", {}, el("summary", {}, el("span", { className: "method" }, method.toUpperCase()), el("code", {}, path), " ", op.summary ?? ""), body);
};
const main = document.getElementById("routes");
try {
  const doc = await (await fetch("/openapi.json")).json();
  const tags = {};
  for (const [path, item] of Object.entries(doc.paths)) {
    for (const [method, op] of Object.entries(item)) (tags[op.tags?.[0] ?? "other"] ??= []).push(operation(doc, method, path, op));
  }
  main.replaceChildren(...Object.entries(tags).flatMap(([tag, ops]) => [el("h2", {}, tag), ...ops]));
} catch (err) {
  main.textContent = `The document could not be read: ${err}`;
}
