// hatched is the image of a failed tile. It looks like neither tissue nor glass.
export function hatched(width: number, height: number): Promise<ImageBitmap> {
  const canvas = document.createElement("canvas");
  canvas.width = width;
  canvas.height = height;
  const context = canvas.getContext("2d")!;
  context.fillStyle = "#3a3d45";
  context.fillRect(0, 0, width, height);
  context.strokeStyle = "#5c606b";
  context.lineWidth = 9;
  context.beginPath();
  for (let x = -height; x < width; x += 32) {
    context.moveTo(x, height + 8);
    context.lineTo(x + height + 16, -8);
  }
  context.stroke();
  context.strokeStyle = "#f0a53a";
  context.lineWidth = 6;
  context.strokeRect(3, 3, width - 6, height - 6);
  return createImageBitmap(canvas);
}
