// fitScale is the scale, in page pixels per pixel, at which an image rotated by that many degrees
// just fits into a frame.
export function fitScale(width: number, height: number, degrees: number, frameWidth: number, frameHeight: number): number {
  const angle = (degrees * Math.PI) / 180;
  const cos = Math.abs(Math.cos(angle));
  const sin = Math.abs(Math.sin(angle));
  return Math.min(frameWidth / (width * cos + height * sin), frameHeight / (width * sin + height * cos));
}
