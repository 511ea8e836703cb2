// The measurements on one slide: the tool, which is loaded when it is first used, and what was
// measured in this session.

import { throughOutages } from "../api/connection";
import type { SlideImage } from "../api/types";
import { t } from "../strings";
import { notify } from "../ui/announce";
import { keepMeasurements, keptMeasurements, mergeMeasurements } from "./kept-measurements";
import type { MeasureTool } from "./measure-tool";
import type { MeasurementKind } from "./measurements";
import type { SlideView } from "./slide-view";

export interface MeasuringOptions {
  view: SlideView;
  stage: HTMLElement;
  overlay: HTMLElement; // gets the layer with the measurements
  signal: AbortSignal;
  onTool: (tool: MeasureTool) => void; // the tool was loaded
  onChange: () => void; // the measurements, or whether the tool is active, changed
  onPanel: () => void; // the panel should open
  onKind?: (kind: MeasurementKind | null) => void; // the user chose what to measure, or ended measuring
}

export class Measuring {
  tool: MeasureTool | null = null;
  text = ""; // the measurements, in the format of parseMeasurements
  private image: SlideImage | null = null; // whose measurements were restored
  private coming: Promise<MeasureTool> | null = null;

  constructor(private readonly o: MeasuringOptions) {}

  // isMarked reports whether there are measurements, or the tool is active.
  get isMarked(): boolean {
    return this.text !== "" || (this.tool?.isActive ?? false);
  }

  // load loads the tool. It rejects if its code cannot be loaded, which it has then reported.
  load(): Promise<MeasureTool> {
    this.coming ??= throughOutages(() => import("./measure-tool")).then(({ MeasureTool }) => {
      const { view, stage, overlay, onPanel, onKind, onTool } = this.o;
      const tool = new MeasureTool({ view, stage, onPanel, onKind, onChange: () => this.changed() });
      tool.read(this.text);
      overlay.prepend(tool.layer);
      this.tool = tool;
      onTool(tool);
      this.changed();
      return tool;
    });
    this.coming.catch(() => {
      this.coming = null; // the next use tries again
      notify(t.error.page, 8000);
    });
    return this.coming;
  }

  // restore shows the measurements of the address, and those that were made on this slide before.
  async restore(image: SlideImage, inAddress: string): Promise<void> {
    this.text = mergeMeasurements(inAddress, this.text);
    this.text = mergeMeasurements(this.text, await keptMeasurements(image));
    this.image = image;
    if (!this.text || this.o.signal.aborted) return;
    const tool = await this.load().catch(() => null);
    tool?.read(this.text);
    this.changed();
  }

  private changed(): void {
    this.text = this.tool?.text ?? this.text;
    if (this.image) void keepMeasurements(this.image, this.text);
    this.o.onChange();
  }
}
