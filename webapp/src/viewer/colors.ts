// The colours of a slide: as the scanner recorded them, or corrected with the colour profile of the
// scanner. The browser converts them: the profile is put into the bytes of each tile before it
// is decoded.

import { fetchProfile } from "../api/client";
import type { ColorProfile, SlideImage, ViewableImage } from "../api/types";
import type { SlideView } from "./slide-view";

const profilePart = 65_519; // bytes of a profile in a segment of a JPEG: ICC.1:2022, annex B.4
const letter = "icc"; // in an address

// A Correction is what the decoder does with the colours of a tile. Without segments the tiles carry
// the profile themselves.
export interface Correction {
  segments: Blob | null;
}

// correctable is the profile of an image that can be corrected with it, or null.
export function correctable(image: Pick<SlideImage, "profile"> | null): ColorProfile | null {
  const profile = image?.profile;
  return profile?.usable && !profile.srgb ? profile : null;
}

// formatCorrection is the choice for the fragment of an address; "" if it is the default of the site.
export function formatCorrection(corrected: boolean, byDefault: boolean): string {
  return corrected ? `${letter}=1` : byDefault ? `${letter}=0` : "";
}

// correctionIn is the choice in a fragment, or null.
export function correctionIn(fragment: string): boolean | null {
  const text = new URLSearchParams(fragment.replace(/^#/, "")).get(letter);
  return text === "1" ? true : text === "0" ? false : null;
}

// profileSegments are the APP2 segments of a JPEG with a profile.
export function profileSegments(profile: ArrayBuffer): Blob {
  const count = Math.ceil(profile.byteLength / profilePart);
  const parts: BlobPart[] = [];
  for (let i = 0; i < count; i++) {
    const part = profile.slice(i * profilePart, (i + 1) * profilePart);
    const length = 2 + 14 + part.byteLength;
    parts.push(new Uint8Array([0xff, 0xe2, length >> 8, length & 0xff, ...new TextEncoder().encode("ICC_PROFILE\0"), i + 1, count]), part);
  }
  return new Blob(parts);
}

// withProfile is a JPEG with the segments behind its start and its JFIF segment.
export async function withProfile(tile: Blob, segments: Blob): Promise<Blob> {
  const head = new Uint8Array(await tile.slice(0, 6).arrayBuffer());
  if (head[0] !== 0xff || head[1] !== 0xd8) return tile;
  const at = head[2] === 0xff && head[3] === 0xe0 ? 4 + (head[4]! << 8) + head[5]! : 2;
  return new Blob([tile.slice(0, at), segments, tile.slice(at)], { type: "image/jpeg" });
}

// Colors decide how the colours of the slides of a view are shown.
export class Colors {
  private readonly listeners: (() => void)[] = [];
  private image: ViewableImage | null = null;
  private on = false;
  private loading = 0;

  constructor(private readonly view: SlideView, private readonly signal: AbortSignal) {}

  get profile(): ColorProfile | null {
    return correctable(this.image);
  }

  // isOpen reports whether colours were chosen for a slide.
  get isOpen(): boolean {
    return this.image !== null;
  }

  get corrected(): boolean {
    return this.on;
  }

  // onChange calls listener now and after each change.
  onChange(listener: () => void): void {
    this.listeners.push(listener);
    listener();
  }

  // open prepares the colours of an image that is about to be shown.
  async open(image: ViewableImage, corrected: boolean): Promise<void> {
    this.image = image;
    await this.apply(corrected && correctable(image) !== null);
  }

  // set changes the colours of the slide that is shown. It throws if the profile cannot be fetched; the colours
  // are then as before.
  async set(corrected: boolean): Promise<void> {
    if (corrected === this.on || (corrected && !this.profile)) return;
    await this.apply(corrected);
    this.view.reload();
  }

  private async apply(corrected: boolean): Promise<void> {
    const mine = ++this.loading;
    let correction: Correction | null = null;
    try {
      if (corrected) correction = { segments: this.image!.profile!.in_tiles ? null : profileSegments(await fetchProfile(this.image!, this.signal)) };
    } catch (err) {
      if (mine === this.loading) this.show(null);
      throw err;
    }
    if (mine === this.loading) this.show(correction);
  }

  private show(correction: Correction | null): void {
    this.on = correction !== null;
    this.view.fetcher.correction = correction;
    for (const listener of this.listeners) listener();
  }
}
