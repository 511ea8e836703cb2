// The shapes of /api/v1/uploads. Unknown is null.

import type { ImageState } from "../api/types";

// An UploadView is an upload as the server tells its sender of it.
export interface UploadView {
  id: string;
  store: string;
  state: "uploading" | "received" | "refused";
  offset: number; // bytes that the server has on disk
  length: number; // bytes of the whole file
  sent_as: string | null; // name of the file as it was sent
  modified: string | null; // when the file was changed last, as this page said it
  file_name: string | null; // as the store has it
  sha256: string | null;
  verdict: "slide" | "broken" | "unsupported" | null;
  reason: string | null;
  image: UploadImage | null;
  conversion: "pending" | "done" | "failed" | null; // a pyramid is made of a picture that is none; then image is the pyramid
  own: boolean; // the caller has begun it
  owner: { id: string; name: string | null } | null; // null if nobody had signed in
  created_at: string;
  updated_at: string; // bytes came last
  expires_at: string;
}

export interface UploadImage {
  id: string;
  state: ImageState;
  reason: string | null;
  filed: boolean; // nothing is still to be done with it
  known: boolean; // the store had this slide already
}
