// The measuring tool: lines and polygons above the slide, which move with it, and the list of them.

import "../styles/measure.css";

import { t } from "../strings";
import { announce, notify } from "../ui/announce";
import { iconButton } from "../ui/button";
import { h, replace } from "../ui/dom";
import { icon } from "../ui/icons";
import { area, centre, crosses, distance, formatAreaOf, formatDistance, formatMeasurements, mostMeasurements, mostPoints, parseMeasurements, perimeter, pixelSize, type Measurement, type MeasurementKind, type PixelSize, type Point } from "./measurements";
import type { SlideView } from "./slide-view";

const near = 12; // page pixels: a click within this distance of the first corner closes an area
const labelSize = { width: 90, height: 24 }; // page pixels, estimated
const colour = "#ffe14d"; // a colour that neither stains nor glass have
const edge = "rgb(20 16 34 / 0.85)";

export interface MeasureToolOptions {
  view: SlideView;
  stage: HTMLElement;
  onChange: () => void; // called when text has changed
  onPanel: () => void; // called when the panel should open
  onKind?: (kind: MeasurementKind | null) => void; // called when the user has chosen what to measure, or ended measuring
}

// A Shape is a measurement on the stage. Its elements are kept while it moves.
interface Shape {
  measurement: Measurement;
  lines: SVGPathElement[];
  handles: SVGCircleElement[];
  label: HTMLElement;
}

export class MeasureTool {
  readonly layer = h("div", { class: "measure-layer" });
  readonly panel: HTMLElement;
  private kind: MeasurementKind | null = null;
  private draft: Point[] = [];
  private pointer: Point | null = null; // position of the pointer on the slide, while it is above the stage
  private byKeys = false;
  private shapes: Shape[] = [];
  private readonly svg = svg("svg", { class: "measure-svg", role: "group", "aria-label": t.measure.onSlide, "data-own-arrows": "" });
  private readonly draftLines = [svg("path", { class: "measure-edge" }), svg("path", { class: "measure-line" })];
  private readonly draftDots = svg("g", { class: "measure-draft" });
  private readonly reticle = svg("path", { class: "measure-reticle", d: "M-14 0H-4M4 0H14M0-14V-4M0 4V14" });
  private readonly draftLabel = h("div", { class: "measure-label", hidden: true, "aria-hidden": "true" });
  private readonly buttons: Record<MeasurementKind, HTMLButtonElement>;
  private readonly hint = h("p", { class: "measure-hint quiet" });
  private readonly unknown = h("p", { class: "measure-unknown", hidden: true }, icon("warning", 16), t.measure.unknown);
  private readonly list = h("ol", { class: "measure-list", "aria-label": t.measure.list });
  private readonly clearButton = h("button", { type: "button", class: "step", onclick: () => this.clear() }, t.measure.clear);

  constructor(private readonly o: MeasureToolOptions) {
    this.buttons = { distance: this.kindButton("distance"), area: this.kindButton("area") };
    this.panel = h("section", { class: "popover measure float", "aria-label": t.measure.title, "data-testid": "measure" },
      h("div", { class: "popover-head" }, this.buttons.distance, this.buttons.area),
      this.hint,
      this.unknown,
      this.list,
      this.clearButton);
    this.svg.append(...this.draftLines, this.draftDots, this.reticle);
    this.layer.append(this.svg, this.draftLabel);
    this.listen();
    this.renderPanel();
    this.place();
  }

  // text is all measurements in the format of parseMeasurements.
  get text(): string {
    return formatMeasurements(this.shapes.map(({ measurement }) => measurement));
  }

  get isActive(): boolean {
    return this.kind !== null;
  }

  // read replaces the measurements by those of text.
  read(text: string): void {
    this.removeAll();
    for (const measurement of parseMeasurements(text)) this.add(measurement);
    this.renderPanel();
    this.place();
  }

  // arm lets clicks set points, or none if kind is null.
  arm(kind: MeasurementKind | null): void {
    if (this.kind === kind) return;
    this.kind = kind;
    this.draft = [];
    this.changed();
  }

  start(kind: MeasurementKind): void {
    this.kind = kind;
    this.draft = [];
    this.o.onKind?.(kind);
    this.o.onPanel();
    this.o.stage.focus({ preventScroll: true });
    announce([t.measure.kinds[kind], this.size ? "" : t.measure.unknown, t.measure.hints[kind]].filter(Boolean).join(". "));
    this.changed();
  }

  stop(): void {
    this.arm(null);
    this.o.onKind?.(null);
  }

  clear(): void {
    this.removeAll();
    this.draft = [];
    announce(t.measure.cleared);
    this.changed();
    this.o.stage.focus({ preventScroll: true });
  }

  // escape undoes the last step: it discards an unfinished measurement, ends measuring, or deletes
  // all measurements. It reports whether there was something to undo.
  escape(): boolean {
    if (this.draft.length > 0) {
      this.draft = [];
      announce(t.measure.dropped);
      this.changed();
    } else if (this.kind) {
      this.stop();
      announce(t.measure.stopped);
    } else if (this.shapes.length > 0) {
      this.clear();
    } else {
      return false;
    }
    return true;
  }

  // draw adds the measurements to an image of the stage, in page pixels.
  draw(context: CanvasRenderingContext2D): void {
    context.lineJoin = "round";
    context.font = "600 13px Arial, sans-serif";
    for (const { measurement } of this.shapes) {
      const points = measurement.points.map((point) => this.onStage(point));
      const path = new Path2D(pathOf(points, measurement.kind === "area"));
      for (const { x, y } of points) path.addPath(dot(x, y));
      for (const [style, width] of [[edge, 4.5], [colour, 2]] as const) {
        context.strokeStyle = style;
        context.lineWidth = width;
        context.stroke(path);
      }
    }
    this.shapes.forEach(({ measurement }, i) => {
      const at = labelPlace(measurement.kind, measurement.points.map((point) => this.onStage(point)));
      const text = `${i + 1}  ${this.value(measurement)}`;
      const width = context.measureText(text).width;
      context.fillStyle = edge;
      context.fillRect(at.x - width / 2 - 7, at.y - 11, width + 14, 22);
      context.fillStyle = "#ffffff";
      context.fillText(text, at.x - width / 2, at.y + 5);
    });
  }

  private get size(): PixelSize | null {
    return this.o.view.image ? pixelSize(this.o.view.image) : null;
  }

  private value({ kind, points }: Measurement): string {
    if (kind === "distance") return formatDistance(distance(points[0]!, points[1]!, this.size), this.size);
    return crosses(points) ? t.measure.crossing : formatAreaOf(area(points, this.size), this.size);
  }

  // name is the name of a measurement: its kind and position in the list.
  private name(measurement: Measurement): string {
    return t.measure.name(t.measure.kinds[measurement.kind], this.shapes.findIndex((shape) => shape.measurement === measurement) + 1);
  }

  private listen(): void {
    const { view, stage } = this.o;
    view.onFrame(() => this.place());
    view.onOpen(() => {
      this.renderPanel();
      this.place();
    });
    view.viewer.addHandler("canvas-click", (event) => {
      if (!this.kind) return;
      event.preventDefaultAction = true;
      if (!event.quick) return; // the end of a drag
      this.byKeys = false;
      this.put(view.slidePoint(event.position.x, event.position.y));
    });
    view.viewer.addHandler("canvas-double-click", (event) => {
      if (!this.kind) return;
      event.preventDefaultAction = true;
      this.finish();
    });
    stage.addEventListener("pointermove", (event) => {
      const frame = stage.getBoundingClientRect();
      this.pointer = event.pointerType === "touch" ? null : view.slidePoint(event.clientX - frame.left, event.clientY - frame.top);
      this.byKeys = false;
      if (this.kind) this.place();
    });
    stage.addEventListener("pointerleave", () => {
      this.pointer = null;
      if (this.kind) this.place();
    });
    stage.addEventListener("keydown", (event) => this.onStageKey(event));
  }

  // onStageKey sets points at the centre of the stage by keyboard; the arrow keys move the slide.
  private onStageKey(event: KeyboardEvent): void {
    if (!this.kind) return;
    if (event.key.startsWith("Arrow")) {
      this.byKeys = true;
      this.pointer = null;
      this.place();
    } else if (event.key === " " || (event.key === "Enter" && this.kind === "distance")) {
      event.preventDefault();
      this.byKeys = true;
      this.put(this.middle());
    } else if (event.key === "Enter") {
      event.preventDefault();
      this.finish();
    } else if (event.key === "Backspace" && this.draft.length > 0) {
      event.preventDefault();
      this.draft.pop();
      this.changed();
    }
  }

  private middle(): Point {
    const { view, stage } = this.o;
    return view.slidePoint(stage.clientWidth / 2, stage.clientHeight / 2);
  }

  private onStage({ x, y }: Point): Point {
    return this.o.view.stagePoint(x, y);
  }

  private apart(a: Point, b: Point): number {
    const [p, q] = [this.onStage(a), this.onStage(b)];
    return Math.hypot(p.x - q.x, p.y - q.y);
  }

  // put sets the next point of the unfinished measurement.
  private put(point: Point): void {
    const { draft } = this;
    if (this.shapes.length >= mostMeasurements) {
      notify(t.measure.most(mostMeasurements));
      return;
    }
    const last = draft.at(-1);
    if (last && this.apart(last, point) < 3) return; // the second click of a double click
    if (this.kind === "area" && draft.length >= 3 && this.apart(draft[0]!, point) < near) {
      this.finish();
      return;
    }
    draft.push(point);
    if (draft.length === (this.kind === "distance" ? 2 : mostPoints)) this.finish();
    else {
      announce(t.measure.point(draft.length));
      this.changed();
    }
  }

  private finish(): void {
    const { kind, draft } = this;
    if (!kind || draft.length < (kind === "area" ? 3 : 2)) return;
    this.draft = [];
    const measurement = { kind, points: draft };
    this.add(measurement);
    this.say(measurement);
    this.changed();
  }

  private say(measurement: Measurement): void {
    announce(`${this.name(measurement)}: ${this.value(measurement)}`);
  }

  private add(measurement: Measurement): void {
    const lines = [svg("path", { class: "measure-edge" }), svg("path", { class: "measure-line" })];
    const handles = measurement.points.map(() => svg("circle", { class: "measure-handle", r: "6", tabindex: "0", role: "button" }));
    const label = h("div", { class: "measure-label", "aria-hidden": "true" });
    const shape = { measurement, lines, handles, label };
    handles.forEach((handle, i) => this.movable(handle, shape, i));
    this.draftLines[0]!.before(...lines, ...handles);
    this.layer.append(label);
    this.shapes.push(shape);
  }

  private movable(handle: SVGCircleElement, { measurement }: Shape, i: number): void {
    const { view, stage } = this.o;
    const moveTo = (x: number, y: number): void => {
      measurement.points[i] = view.slidePoint(x, y);
      this.changed();
    };
    handle.addEventListener("pointerdown", (event) => {
      handle.setPointerCapture(event.pointerId);
      event.preventDefault();
      handle.focus({ preventScroll: true });
    });
    handle.addEventListener("pointermove", (event) => {
      if (!handle.hasPointerCapture(event.pointerId)) return;
      const frame = stage.getBoundingClientRect();
      moveTo(event.clientX - frame.left, event.clientY - frame.top);
    });
    handle.addEventListener("pointerup", () => this.say(measurement));
    handle.addEventListener("keydown", (event) => {
      const step = event.shiftKey ? 10 : 1; // page pixels
      const [x, y] = ({ ArrowLeft: [-step, 0], ArrowRight: [step, 0], ArrowUp: [0, -step], ArrowDown: [0, step] } as Record<string, [number, number]>)[event.key] ?? [0, 0];
      if (x || y) {
        event.preventDefault();
        const at = this.onStage(measurement.points[i]!);
        moveTo(at.x + x, at.y + y);
        this.say(measurement);
      } else if (event.key === "Delete" || event.key === "Backspace") {
        event.preventDefault();
        this.remove(measurement);
        stage.focus({ preventScroll: true });
      }
    });
  }

  private remove(measurement: Measurement): void {
    announce(t.measure.deleted(this.name(measurement)));
    const shape = this.shapes.find((shape) => shape.measurement === measurement)!;
    erase(shape);
    this.shapes = this.shapes.filter((other) => other !== shape);
    this.changed();
  }

  private removeAll(): void {
    this.shapes.forEach(erase);
    this.shapes = [];
  }

  private changed(): void {
    this.renderPanel();
    this.place();
    this.o.onChange();
  }

  // place positions all elements on the stage.
  private place(): void {
    const { stage, view } = this.o;
    stage.classList.toggle("measuring", this.kind !== null);
    this.layer.hidden = !view.image || !view.isOpen;
    if (this.layer.hidden) return;
    this.shapes.forEach((shape, n) => this.placeShape(shape, n + 1));
    this.placeDraft();
    this.reticle.toggleAttribute("hidden", !(this.kind && this.byKeys));
    this.reticle.setAttribute("transform", `translate(${stage.clientWidth / 2} ${stage.clientHeight / 2})`);
  }

  private placeShape({ measurement, lines, handles, label }: Shape, n: number): void {
    const points = measurement.points.map((point) => this.onStage(point));
    const d = pathOf(points, measurement.kind === "area");
    for (const line of lines) line.setAttribute("d", d);
    const value = this.value(measurement);
    const name = `${t.measure.name(t.measure.kinds[measurement.kind], n)}: ${value}`;
    points.forEach(({ x, y }, i) => {
      const handle = handles[i]!;
      handle.setAttribute("cx", String(x));
      handle.setAttribute("cy", String(y));
      const said = t.measure.handle(i + 1, points.length, name);
      if (handle.getAttribute("aria-label") !== said) handle.setAttribute("aria-label", said);
    });
    putLabel(label, labelPlace(measurement.kind, points), n, value);
  }

  private placeDraft(): void {
    const next = this.draft.length === 0 ? null : this.byKeys ? this.middle() : this.pointer;
    const points = next ? [...this.draft, next] : this.draft;
    const onStage = points.map((point) => this.onStage(point));
    const d = pathOf(onStage, this.kind === "area" && points.length > 2);
    for (const line of this.draftLines) line.setAttribute("d", d);
    this.draftDots.replaceChildren(...this.draft.map((_, i) => svg("circle", { class: "measure-dot", cx: String(onStage[i]!.x), cy: String(onStage[i]!.y), r: "4.5" })));
    const measurable = this.kind !== null && points.length >= (this.kind === "area" ? 3 : 2);
    this.draftLabel.hidden = !measurable;
    if (measurable) {
      const measurement = { kind: this.kind!, points };
      putLabel(this.draftLabel, labelPlace(measurement.kind, onStage), this.shapes.length + 1, this.value(measurement));
    }
  }

  private renderPanel(): void {
    for (const kind of ["distance", "area"] as const) this.buttons[kind].setAttribute("aria-pressed", String(this.kind === kind));
    this.hint.textContent = this.kind ? t.measure.hints[this.kind] : this.shapes.length > 0 ? t.measure.movable : t.measure.begin;
    this.unknown.hidden = !this.o.view.image || this.size !== null;
    this.clearButton.hidden = this.shapes.length < 2;
    replace(this.list, ...this.shapes.map(({ measurement }) => this.row(measurement)));
    this.list.hidden = this.shapes.length === 0;
  }

  private row(measurement: Measurement): HTMLElement {
    const name = this.name(measurement);
    const perimeterText = measurement.kind === "area" ? t.measure.perimeter(formatDistance(perimeter(measurement.points, this.size), this.size)) : "";
    const go = h("button", { type: "button", class: "measure-go", title: t.measure.show(name), onclick: () => {
      const { x, y } = centre(measurement);
      this.o.view.panTo(x, y);
    } }, h("span", { class: "quiet" }, name), h("span", { class: "measure-value" }, this.value(measurement)), perimeterText ? h("span", { class: "quiet measure-perimeter" }, perimeterText) : null);
    const remove = iconButton("close", t.measure.delete(name), () => {
      const index = this.shapes.findIndex((shape) => shape.measurement === measurement);
      this.remove(measurement);
      const rest = this.list.querySelectorAll<HTMLElement>(".measure-delete");
      (rest[Math.min(index, rest.length - 1)] ?? this.o.stage).focus({ preventScroll: true });
    }, { class: "icon-button small measure-delete" });
    return h("li", { "data-kind": measurement.kind }, go, remove);
  }

  private kindButton(kind: MeasurementKind): HTMLButtonElement {
    return h("button", { type: "button", class: "step", "aria-pressed": "false", "aria-keyshortcuts": kind === "distance" ? "d" : "a", onclick: () => (this.kind === kind ? this.stop() : this.start(kind)) }, t.measure.kinds[kind]);
  }
}

function putLabel(label: HTMLElement, at: Point, n: number, text: string): void {
  const whole = `${n}\u2002${text}`;
  if (label.textContent !== whole) replace(label, h("b", null, n), `\u2002${text}`);
  label.style.transform = `translate(${at.x}px, ${at.y}px) translate(-50%, -50%)`;
}

// labelPlace is the position of the text of a measurement: beside a distance, within an area, or
// below a small area.
function labelPlace(kind: MeasurementKind, points: Point[]): Point {
  const middle = centre({ kind, points });
  if (kind === "distance") {
    const [a, b] = [points[0]!, points[1]!];
    const length = Math.hypot(b.x - a.x, b.y - a.y) || 1;
    const [across, down] = [(b.y - a.y) / length, (a.x - b.x) / length];
    const side = down > 0 || (down === 0 && across > 0) ? 1 : -1; // below, else to the right
    return { x: middle.x + side * across * labelSize.width * 0.6, y: middle.y + side * down * labelSize.height };
  }
  const xs = points.map(({ x }) => x);
  const bottom = Math.max(...points.map(({ y }) => y));
  if (Math.max(...xs) - Math.min(...xs) > labelSize.width * 1.6) return middle;
  return { x: (Math.max(...xs) + Math.min(...xs)) / 2, y: bottom + labelSize.height };
}

function erase({ lines, handles, label }: Shape): void {
  for (const element of [...lines, ...handles, label]) element.remove();
}

function pathOf(points: Point[], closed: boolean): string {
  if (points.length === 0) return "";
  return `M${points.map(({ x, y }) => `${x.toFixed(2)} ${y.toFixed(2)}`).join("L")}${closed ? "Z" : ""}`;
}

function dot(x: number, y: number): Path2D {
  const path = new Path2D();
  path.arc(x, y, 3, 0, 2 * Math.PI);
  return path;
}

function svg<K extends keyof SVGElementTagNameMap>(name: K, attributes: Record<string, string>): SVGElementTagNameMap[K] {
  const element = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  return element;
}
