// The types of /api/v1/uploads. Unknown values are null.

import type { ImageState } from "../api/types";

// An UploadView is an upload as the server reports it.
export interface UploadView {
  id: string;
  store: string;
  state: "uploading" | "received" | "refused";
  offset: number; // bytes that the server has stored
  length: number; // bytes of the complete file
  sent_as: string | null; // the original name of the file
  modified: string | null; // modification time of the file, as sent by the page
  file_name: string | null; // its name in the store
  sha256: string | null;
  verdict: "slide" | "broken" | "unsupported" | null;
  reason: string | null;
  image: UploadImage | null;
  conversion: "pending" | "done" | "failed" | null; // an image that is not a pyramid is converted; image is then the pyramid
  own: boolean; // the caller owns the upload
  owner: { id: string; name: string | null } | null; // null if it was started without logging in
  created_at: string;
  updated_at: string; // when the last data was received
  expires_at: string;
}

export interface UploadImage {
  id: string;
  state: ImageState;
  reason: string | null;
  filed: boolean; // processing is complete
  known: boolean; // the store had this slide already
}
