import { outage } from "../api/connection";

// onPictureError calls failed when a picture cannot be loaded. A picture that fails because the
// server cannot be reached is loaded when it responds again.
export function onPictureError(picture: HTMLImageElement, failed: () => void): void {
  picture.addEventListener("error", async () => {
    const address = picture.getAttribute("src");
    if (!address) return; // no longer needed
    const wasOutage = await outage(false);
    if (picture.getAttribute("src") !== address) return;
    if (wasOutage) picture.src = address;
    else failed();
  });
}
