// DICOMweb, as viewers use it: dicom-microscopy-viewer (which Slim and OHIF draw slides with) and
// dicomweb-client run in a page of another site, with an API token. Because of it, each request has a
// preflight.

import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { basename, join } from "node:path";
import { fileURLToPath } from "node:url";
import { request as requests, type Page } from "@playwright/test";

import type { Token } from "../src/access/types";
import type { ViewableImage } from "../src/api/types";
import { isViewable } from "../src/api/types";
import { expect, test } from "./fixtures";
import { copySlides, startServer } from "./server";

type Attributes = Record<string, { vr: string; Value?: unknown[]; BulkDataURI?: string }>;

interface UIDs {
  studyInstanceUID: string;
  seriesInstanceUID: string;
}

interface Client {
  searchForStudies: (options: { queryParams: object }) => Promise<Attributes[]>;
  searchForSeries: (options: { queryParams: object }) => Promise<Attributes[]>;
  searchForInstances: (options: { studyInstanceUID: string; queryParams: object }) => Promise<Attributes[]>;
  retrieveSeriesMetadata: (options: UIDs) => Promise<Attributes[]>;
  retrieveInstanceFrames: (options: UIDs & { sopInstanceUID: string; frameNumbers: number[]; mediaTypes?: object[] }) => Promise<ArrayBuffer[]>;
  retrieveBulkData: (options: { BulkDataURI: string }) => Promise<ArrayBuffer[]>;
}

interface Formatted {
  ImageType: string[];
}

// OpenLayers, on which the viewer is built.
interface View {
  setRotation: (angle: number) => void;
  setResolution: (pixels: number) => void;
  setCenter: (at: [number, number]) => void;
}

interface OlMap {
  getView: () => View;
  once: (event: "rendercomplete", listener: () => void) => void;
  render: () => void;
}

interface Viewer {
  render: (options: { container: HTMLElement }) => void;
}

type NewViewer = new (options: object) => Viewer;

declare global {
  interface Window {
    client: Client;
    DICOMwebClient: { api: { DICOMwebClient: new (options: { url: string; headers: Record<string, string>; verbose: boolean }) => Client } };
    dicomMicroscopyViewer: {
      metadata: { VLWholeSlideMicroscopyImage: new (options: { metadata: Attributes }) => Formatted };
      viewer: Record<"VolumeImageViewer" | "LabelImageViewer" | "OverviewImageViewer", NewViewer>;
    };
    show: (kind: string, metadata: string) => OlMap;
    map: OlMap; // of the last viewer
    failed: string[]; // errors of viewers
  }
}

interface Site {
  address: string; // of ptiffstore
  pages: string; // the address of the page
  token: string; // with the right to labels
  tiles: string; // a token without it
  image: ViewableImage;
}

test.describe.configure({ mode: "default" }); // in one worker, with one server
test.use({ viewport: { width: 640, height: 480 } });

let site: Site;
let close: () => Promise<void>;

test.beforeAll(async () => {
  test.setTimeout(120_000);
  const pages = servePages();
  await new Promise<void>((resolve) => pages.listen(0, "127.0.0.1", resolve));
  // Not 127.0.0.1, so that the pages are those of another site, not only of another origin.
  const origin = `http://localhost:${(pages.address() as AddressInfo).port}`;
  const data = mkdtempSync(join(process.env.PTIFFSTORE_E2E_DATA!, "dicom-"));
  copySlides(data);
  const server = await startServer(data, "demo", "--auth", "local", "--cors-origin", origin);
  close = async () => {
    await server.stop();
    pages.closeAllConnections();
    pages.close();
    rmSync(data, { recursive: true, force: true });
  };
  site = { address: server.address, pages: origin, ...(await createTokens(server.link)) };
});

test.afterAll(() => close());

// servePages serves the page and the libraries.
function servePages(): ReturnType<typeof createServer> {
  const modules = fileURLToPath(new URL("../node_modules/", import.meta.url));
  const files = new Map<string, string>();
  for (const folder of ["dicom-microscopy-viewer/dist", "dicom-microscopy-viewer/dist/dynamic-import", "dicomweb-client/build"]) {
    for (const name of readdirSync(join(modules, folder))) {
      if (/\.(js|wasm)$/.test(name)) files.set(name, join(modules, folder, name));
    }
  }
  return createServer((request, response) => {
    const file = files.get(basename(request.url!));
    if (request.url !== "/" && !file) return response.writeHead(404).end();
    response.setHeader("Content-Type", !file ? "text/html" : file.endsWith(".wasm") ? "application/wasm" : "text/javascript");
    response.end(file ? readFileSync(file) : html);
  });
}

const html = `<!doctype html><meta charset="utf-8"><title>DICOM</title><link rel="icon" href="data:,">
<style>body { margin: 0 } body > div { width: 640px; height: 480px }</style>
<script src="/dicomweb-client.js"></script><script src="/dicomMicroscopyViewer.bundle.min.js"></script>`;

async function createTokens(link: string): Promise<Pick<Site, "token" | "tiles" | "image">> {
  const admin = await requests.newContext({ baseURL: new URL(link).origin });
  await admin.post("/api/v1/auth/bootstrap", { data: { secret: new URL(link).hash.slice(1), name: "ada", password: "seven brown owls at noon" } });
  const token = async (...scopes: string[]): Promise<string> =>
    ((await (await admin.post("/api/v1/tokens", { data: { label: scopes.join(), scopes } })).json()) as Token).secret!;
  let image: ViewableImage | undefined;
  await expect(async () => {
    const { items } = (await (await admin.get("/api/v1/images?limit=100")).json()) as { items: ViewableImage[] };
    image = items.filter(isViewable).find(({ file_name }) => file_name === "S26-01417_A1_HE.tiff");
    expect(image).toBeTruthy();
  }).toPass({ timeout: 60_000 });
  const found = { token: await token("tiles", "label"), tiles: await token("tiles"), image: image! };
  await admin.dispose();
  return found;
}

// connect gives the page a client with a token.
async function connect(page: Page, site: Site, token: string): Promise<void> {
  await page.evaluate(({ url, token }) => {
    const headers: Record<string, string> = token ? { Authorization: `Bearer ${token}` } : {};
    window.client = new window.DICOMwebClient.api.DICOMwebClient({ url, headers, verbose: false });
  }, { url: `${site.address}/dicom-web`, token });
}

// open opens the page with a client that may see labels.
async function open(page: Page, site: Site): Promise<void> {
  await page.goto(site.pages);
  await connect(page, site, site.token);
  await page.evaluate(() => {
    window.failed = [];
    // show opens a viewer of those images of a series that it is for, and returns its map.
    window.show = (kind, images) => {
      const { viewer, metadata } = window.dicomMicroscopyViewer;
      const all = (JSON.parse(images) as Attributes[]).map((attributes) => new metadata.VLWholeSlideMicroscopyImage({ metadata: attributes }));
      const flavour = { LabelImageViewer: "LABEL", OverviewImageViewer: "OVERVIEW" }[kind] ?? "VOLUME";
      const of = all.filter(({ ImageType }) => ImageType[2] === flavour);
      const options = { client: window.client, metadata: flavour === "VOLUME" ? of : of[0], resizeFactor: 0.8, errorInterceptor: (error: Error) => (window.failed.push(error.message), error) };
      const shown = new viewer[kind as "VolumeImageViewer"](options);
      document.body.replaceChildren(document.createElement("div"));
      shown.render({ container: document.body.firstElementChild as HTMLElement });
      return (shown as unknown as Record<symbol, OlMap>)[Symbol.for("map")]!;
    };
  });
}

const value = (attributes: Attributes, tag: string): unknown => attributes[tag]?.Value?.[0];
const flavours = (metadata: Attributes[]): unknown[] => metadata.map((attributes) => attributes["00080008"]!.Value![2]);

interface Series {
  uids: UIDs;
  metadata: Attributes[];
}

// findSeries finds the series of the slide as Slim does, with its attributes.
async function findSeries(page: Page, site: Site): Promise<Series> {
  const all = await page.evaluate(async () => {
    const studies = await window.client.searchForStudies({ queryParams: { ModalitiesInStudy: "SM" } });
    return Promise.all(studies.map(async (study) => {
      const StudyInstanceUID = study["0020000D"]!.Value![0] as string;
      const series = await window.client.searchForSeries({ queryParams: { Modality: "SM", StudyInstanceUID } });
      if (series.length !== 1) throw new Error(`study ${StudyInstanceUID} has ${series.length} series`);
      const uids = { studyInstanceUID: StudyInstanceUID, seriesInstanceUID: series[0]!["0020000E"]!.Value![0] as string };
      return { uids, metadata: await window.client.retrieveSeriesMetadata(uids) };
    }));
  });
  return all.find(({ metadata }) => metadata.some((attributes) => value(attributes, "00480006") === site.image.width))!;
}

let found: Series | undefined; // by the first test that needs it

// openSeries opens the page with a client that may see labels.
async function openSeries(page: Page, site: Site): Promise<Series> {
  await open(page, site);
  return (found ??= await findSeries(page, site));
}

// fetched returns the body of a response of ptiffstore.
async function fetched(site: Site, path: string): Promise<Buffer> {
  const response = await fetch(site.address + path, { headers: { Authorization: `Bearer ${site.token}` } });
  if (!response.ok) throw new Error(`${path}: ${response.status} ${await response.text()}`);
  return Buffer.from(await response.arrayBuffer());
}

test("finds slides as Slim does, and their attributes", async ({ page }) => {
  const { uids, metadata } = await openSeries(page, site);
  const levels = site.image.levels!;
  expect(flavours(metadata)).toEqual([...levels.map(() => "VOLUME"), "OVERVIEW", "LABEL"]);
  expect(metadata.slice(0, levels.length).map((level) => value(level, "00480006"))).toEqual(levels.map(({ width }) => width));
  for (const instance of metadata) expect([value(instance, "0020000D"), value(instance, "0020000E")]).toEqual([uids.studyInstanceUID, uids.seriesInstanceUID]);
  // Slim asks for these once a slide. There are no annotations.
  const others = await page.evaluate(async ({ studyInstanceUID }) => Promise.all([
    ...["SR", "PR"].map((Modality) => window.client.searchForInstances({ studyInstanceUID, queryParams: { Modality } })),
    ...["ANN", "SEG", "OT"].map((Modality) => window.client.searchForSeries({ queryParams: { Modality, StudyInstanceUID: studyInstanceUID } })),
  ]), uids);
  expect(others).toEqual([[], [], [], [], []]);
});

test("sends frames as they are stored, and the colour profile", async ({ page }) => {
  const { uids, metadata } = await openSeries(page, site);
  const level = site.image.levels![1]!;
  const tiles = [[5, 4], [4, 3], [5, 3]].map(([x, y]) => ({ x: x!, y: y! })); // not in the order of frames
  const got = await page.evaluate(async ({ uids, sopInstanceUID, frames, uri }) => {
    const text = (part: ArrayBuffer): string => Array.from(new Uint8Array(part), (byte) => String.fromCharCode(byte)).join("");
    const options = { ...uids, sopInstanceUID, frameNumbers: frames };
    const [stored, jpeg, plain, profile] = await Promise.all([
      window.client.retrieveInstanceFrames({ ...options, mediaTypes: [{ mediaType: "application/octet-stream", transferSyntaxUID: "*" }] }),
      window.client.retrieveInstanceFrames({ ...options, mediaTypes: [{ mediaType: "image/jpeg", transferSyntaxUID: "1.2.840.10008.1.2.4.50" }] }),
      window.client.retrieveInstanceFrames({ ...options, frameNumbers: frames.slice(0, 1) }),
      window.client.retrieveBulkData({ BulkDataURI: uri }),
    ]);
    return { stored: stored.map(text), jpeg: jpeg.map(text), plain: plain.map(text), profile: profile.map(text) };
  }, {
    uids, frames: tiles.map(({ x, y }) => y * level.columns + x + 1), sopInstanceUID: value(metadata[1]!, "00080018") as string,
    uri: (metadata[1]!["00480105"]!.Value![0] as Attributes)["00282000"]!.BulkDataURI!,
  });
  const bytes = await Promise.all(tiles.map(async ({ x, y }) =>
    (await fetched(site, site.image.tile_url.replace("{z}", `${site.image.max_zoom - 1}`).replace("{x}", `${x}`).replace("{y}", `${y}`))).toString("latin1")));
  expect(new Set(bytes).size).toBe(3);
  for (const [form, frames] of [["stored", bytes], ["jpeg", bytes], ["plain", bytes.slice(0, 1)]] as const) {
    expect(got[form].map((frame, i) => frame === frames[i]), form).toEqual(frames.map(() => true));
  }
  expect(got.profile.map((profile) => profile.slice(36, 40))).toEqual(["acsp"]); // as in each ICC profile
});

test("shows neither label nor macro without the right to labels, and strangers nothing", async ({ page }) => {
  const { uids, metadata } = await openSeries(page, site);
  await connect(page, site, site.tiles);
  const seen = await page.evaluate(async (uids) => window.client.retrieveSeriesMetadata(uids), uids);
  expect(flavours(seen)).toEqual(site.image.levels!.map(() => "VOLUME"));
  const frame = (): Promise<unknown> => page.evaluate(async ({ uids, sopInstanceUID }) =>
    window.client.retrieveInstanceFrames({ ...uids, sopInstanceUID, frameNumbers: [1] }).catch((error: { status: number }) => error.status), { uids, sopInstanceUID: value(metadata.at(-1)!, "00080018") as string });
  expect(await frame()).toBe(404);
  await connect(page, site, "");
  expect(await frame()).toBe(401); // after which Slim sends its token
  expect(await page.evaluate(() => window.client.searchForStudies({ queryParams: {} }).catch((error: { status: number }) => error.status))).toBe(401);
});

const [middle, side] = [{ x: 320, y: 240 }, 256]; // of the viewer, and of the compared square there

// show opens a viewer, and waits until it has rendered its images.
async function show(page: Page, kind: string, metadata: Attributes[]): Promise<void> {
  await page.evaluate(async ({ kind, metadata }) => {
    window.map = window.show(kind, metadata);
    await new Promise<void>((resolve) => window.map.once("rendercomplete", resolve));
  }, { kind, metadata: JSON.stringify(metadata) });
}

// move moves the viewer so that a pixel of the image is in its middle. Each pixel of the screen is so
// many of the image.
async function move(page: Page, x: number, y: number, scale: number): Promise<void> {
  await page.evaluate(async ({ x, y, scale }) => {
    const { map } = window;
    const view = map.getView();
    view.setRotation(0); // viewers may turn slides so that the label is on the right
    view.setResolution(scale);
    view.setCenter([x, -1 - y]);
    map.render();
    await new Promise<void>((resolve) => map.once("rendercomplete", resolve));
  }, { x, y, scale });
  expect(await page.evaluate(() => window.failed)).toEqual([]);
}

// compare compares the square in the middle of the viewer with the one around a place of a picture that
// is scaled, width and height alike. The difference is the mean one, in steps of 255; the contrast is the mean difference of
// the picture to its own mean.
async function compare(page: Page, picture: Buffer, x: number, y: number, scale = 1, turned = false): Promise<{ difference: number; contrast: number }> {
  if (process.env.PTIFFSTORE_E2E_SHOTS) await page.screenshot({ path: `${process.env.PTIFFSTORE_E2E_SHOTS}/dicom-${picture.length}.png` });
  const shot = await page.screenshot({ clip: { x: middle.x - side / 2, y: middle.y - side / 2, width: side, height: side } });
  return page.evaluate(async ({ shot, picture, x, y, scale, side, turned }) => {
    // turn turns a picture clockwise.
    const turn = (bitmap: ImageBitmap): OffscreenCanvas => {
      const canvas = new OffscreenCanvas(bitmap.height, bitmap.width);
      const context = canvas.getContext("2d")!;
      context.translate(bitmap.height, 0);
      context.rotate(Math.PI / 2);
      context.drawImage(bitmap, 0, 0);
      return canvas;
    };
    const pixels = async (data: string, x: number, y: number, scale: number, turned: boolean): Promise<Uint8ClampedArray> => {
      const upright = await createImageBitmap(new Blob([Uint8Array.from(atob(data), (c) => c.charCodeAt(0))]), { colorSpaceConversion: "none" });
      const bitmap = turned ? turn(upright) : upright;
      const context = new OffscreenCanvas(side, side).getContext("2d")!;
      context.imageSmoothingQuality = "high";
      context.drawImage(bitmap, side / 2 - x, side / 2 - y, bitmap.width * scale, bitmap.height * scale);
      return context.getImageData(0, 0, side, side).data.filter((_, i) => i % 4 !== 3);
    };
    const [got, want] = await Promise.all([pixels(shot, side / 2, side / 2, 1, false), pixels(picture, x, y, scale, turned)]);
    const mean = want.reduce((sum, value) => sum + value, 0) / want.length;
    return {
      difference: want.reduce((sum, value, i) => sum + Math.abs(value - got[i]!), 0) / want.length,
      contrast: want.reduce((sum, value) => sum + Math.abs(value - mean), 0) / want.length,
    };
  }, { shot: shot.toString("base64"), picture: picture.toString("base64"), x, y, scale, side, turned });
}

test("looks in dicom-microscopy-viewer as the server renders it", async ({ page }) => {
  const { metadata } = await openSeries(page, site);
  const [x, y] = [site.image.width / 2 - 64, site.image.height / 2 + 64]; // several tiles
  await show(page, "VolumeImageViewer", metadata);
  for (const scale of [8, 1]) {
    await move(page, x, y, scale);
    const part = side * scale;
    const region = await fetched(site, `/api/v1/images/${site.image.id}/region?x=${x - part / 2}&y=${y - part / 2}&w=${part}&h=${part}&width=${side}&format=png`);
    const { difference, contrast } = await compare(page, region, side / 2, side / 2);
    expect(contrast).toBeGreaterThan(10);
    expect(difference).toBeLessThan(2);
  }
});

test("has label and macro in dicom-microscopy-viewer", async ({ page }) => {
  const { metadata } = await openSeries(page, site);
  for (const [kind, flavour, name] of [["LabelImageViewer", "LABEL", "label"], ["OverviewImageViewer", "OVERVIEW", "macro"]] as const) {
    const instance = metadata.find((attributes) => flavours([attributes])[0] === flavour)!;
    const [width, height] = ["00480006", "00480007"].map((tag) => Math.round((value(instance, tag) as number) * 0.8));
    const rendered = page.waitForResponse((response) => response.url().includes("/rendered"));
    const [x, y] = [Math.floor(width! / 2), Math.floor(height! / 2)];
    await show(page, kind, metadata);
    await move(page, x, y, 1);
    expect((await rendered).url()).toContain(`/rendered?viewport=${width}%2C${height}`);
    expect((await rendered).headers()["content-type"]).toBe("image/png");
    const { difference, contrast } = await compare(page, await fetched(site, `/api/v1/images/${site.image.id}/associated/${name}`), x, y, 0.8, name === "label"); // DICOM has the label on its side, as the file does
    expect(contrast, name).toBeGreaterThan(10);
    expect(difference, name).toBeLessThan(4); // the scaling differs
  }
});
