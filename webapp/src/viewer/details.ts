// The Details panel: all metadata of a slide.

import { isLabelled } from "../access/session";
import type { ColorProfile, SlideImage } from "../api/types";
import { blockOf, caseAddress } from "../cases/client";
import { formatArea, formatBytes, formatCount, formatPixels, formatTime } from "../format";
import { t } from "../strings";
import { notify } from "../ui/announce";
import { iconButton } from "../ui/button";
import { h, replace, type Child } from "../ui/dom";
import { icon } from "../ui/icons";
import { stateBadge, stateReason } from "../ui/state";
import { formatMagnification, fullMagnification } from "./magnification";
import { readableProperties, type Property } from "./properties";

const filterFrom = 12; // number of properties from which they can be filtered

type Row = [name: string, value: Child, copy?: string];

export function details(image: SlideImage): HTMLElement {
  const properties = readableProperties(image.properties ?? {});
  return h(
    "div",
    { class: "details" },
    section(t.details.slide, slideRows(image)),
    image.state === "available" && image.mpp_x ? otherPrograms(image) : null, // DICOM needs the size of a pixel
    image.width ? section(t.details.image, imageRows(image)) : null,
    image.levels?.length ? levels(image) : null,
    properties.length ? propertySection(properties) : null,
    section(t.details.record, recordRows(image)),
  );
}

function slideRows(image: SlideImage): Row[] {
  return [
    [t.details.label, image.label ?? null],
    [t.details.fileName, image.file_name ?? null, image.file_name ?? undefined],
    [t.details.folder, image.folder ?? null, image.folder ?? undefined],
    [t.details.barcode, image.barcode ?? null, image.barcode ?? undefined],
    [t.details.aliases, image.aliases?.length ? image.aliases.join(", ") : null],
    [t.details.externalId, image.external_id ?? null, image.external_id ?? undefined],
    [t.details.accession, image.accession ? h("a", { href: caseAddress(image.accession, image.store), "data-page": true }, image.accession) : null, image.accession ?? undefined],
    [t.details.block, blockOf(image) || null],
    [t.details.stain, image.stain ?? null],
    [t.details.state, stateBadge(image.state)],
    [t.details.reason, image.state === "available" ? image.reason : stateReason(image)],
    [t.details.fileSize, image.size === null ? null : `${formatBytes(image.size)} (${formatCount(image.size)} bytes)`],
  ];
}

// otherPrograms has links to other viewers, and downloads for other programs.
function otherPrograms(image: SlideImage): HTMLElement {
  const file = (name: string, means: string, query = ""): HTMLElement =>
    h("li", null, h("a", { href: `/api/v1/images/${encodeURIComponent(image.id)}/dicom${query}` }, icon("arriving", 18), h("span", null, h("strong", null, name), h("span", { class: "quiet" }, means))));
  const viewers = (image.viewers ?? []).filter(({ url }) => /^(https?:\/\/|\/(?!\/))/.test(url));
  return h(
    "section",
    { "data-testid": "other-programs" },
    h("h2", null, t.details.otherPrograms),
    viewers.length ? h("p", { class: "links" }, ...viewers.map(({ name, url }) => h("a", { class: "button plain small", href: url, target: "_blank", rel: "noopener noreferrer", title: t.details.newTab }, t.details.openIn(name)))) : null,
    h("h3", null, t.details.dicom),
    h(
      "ul",
      { class: "downloads" },
      file(t.details.dicomPlain, t.details.dicomPlainMeans),
      isLabelled(image) ? file(t.details.dicomLabels, t.details.dicomLabelsMeans, "?labels=true") : null,
      file(t.details.dicomDeidentified, t.details.dicomDeidentifiedMeans, "?deidentify=true"),
    ),
  );
}

function imageRows(image: SlideImage): Row[] {
  const { width, height, mpp_x, mpp_y } = image;
  const full = fullMagnification(image);
  const power = full ? formatMagnification(full.power) : t.details.unknown;
  const largest = image.levels?.[0];
  return [
    [t.details.pixels, width && height ? formatPixels(width, height) : null],
    [t.details.area, width && height && mpp_x ? formatArea(width, height, mpp_x, mpp_y ?? mpp_x) : null],
    [t.details.mpp, mpp_x ? t.details.mppValue(micrometres(mpp_x), micrometres(mpp_y ?? mpp_x)) : t.details.unknown],
    [t.details.objective, full?.derived ? `${t.details.unknown} (≈ ${power})` : power],
    [t.details.format, image.format],
    [t.details.vendor, image.vendor],
    [t.colors.label, profileText(image.profile)],
    [t.details.tiles, image.tile_width && image.tile_height ? (largest ? t.details.tilesValue(image.tile_width, image.tile_height, largest.columns * largest.rows) : `${image.tile_width} × ${image.tile_height} px`) : null],
  ];
}

function profileText(profile: ColorProfile | null | undefined): string | null {
  if (!profile) return null;
  const state = profile.srgb ? t.colors.srgb : profile.usable ? "" : t.colors.unusable(profile.reason ?? "");
  return [profile.name, state].filter(Boolean).join(" · ") || `${profile.class} ${profile.version}`;
}

function recordRows(image: SlideImage): Row[] {
  return [
    [t.details.id, h("code", null, image.id), image.id],
    [t.details.revision, image.revision ? h("code", null, image.revision) : null],
    [t.details.digest, image.digest ? h("code", null, image.digest) : image.format === "slideatlas" ? null : t.details.digestPending, image.digest ?? undefined], // only files have one
    [t.details.created, image.created_at ? formatTime(image.created_at) : null],
    [t.details.updated, image.updated_at ? formatTime(image.updated_at) : null],
    [t.details.missingSince, image.missing_since ? formatTime(image.missing_since) : null],
  ];
}

function micrometres(value: number): string {
  return String(Number(value.toPrecision(5)));
}

// section lists known values; rows without a value are omitted.
function section(title: string, rows: Row[]): HTMLElement {
  return h("section", null, h("h2", null, title), definitions(rows));
}

function definitions(rows: Row[]): HTMLElement {
  const list = h("dl");
  for (const [name, value, copy] of rows) {
    if (value === null || value === undefined || value === "") continue;
    list.append(h("div", null, h("dt", null, name), h("dd", null, h("span", null, value), copy ? copyButton(name, copy) : null)));
  }
  return list;
}

function copyButton(name: string, value: string): HTMLElement {
  return iconButton("copy", `${t.copy}: ${name}`, () => {
    navigator.clipboard.writeText(value).then(() => notify(t.copied, 1800), () => {});
  }, { class: "icon-button small copy" });
}

function levels(image: SlideImage): HTMLElement {
  const [level, size, tiles, scale] = t.details.levelColumns;
  return h(
    "section",
    null,
    h("h2", null, t.details.levels),
    h(
      "table",
      null,
      h("thead", null, h("tr", null, ...[level, size, tiles, scale].map((text) => h("th", { scope: "col" }, text)))),
      h("tbody", null, ...image.levels!.map((l, i) => h("tr", null, h("td", null, i), h("td", null, `${formatCount(l.width)} × ${formatCount(l.height)}`), h("td", null, formatCount(l.columns * l.rows)), h("td", null, `1 : ${Number(l.downsample.toPrecision(4))}`)))),
    ),
  );
}

function propertySection(properties: Property[]): HTMLElement {
  const body = h("div");
  const show = (query: string): void => {
    const wanted = query.trim().toLowerCase();
    const found = properties.filter((p) => !wanted || [p.name, p.key, p.value].some((text) => text.toLowerCase().includes(wanted)));
    replace(body, found.length ? definitions(found.map((p): Row => [p.name, h("span", { title: p.key }, p.value)])) : h("p", { class: "quiet" }, t.details.noMatch));
  };
  const filter = properties.length < filterFrom ? null : h("input", { type: "search", class: "filter", placeholder: t.details.filter, "aria-label": t.details.filter, oninput: (event: Event) => show((event.target as HTMLInputElement).value) });
  show("");
  return h("section", null, h("h2", null, t.details.properties), filter, body);
}
