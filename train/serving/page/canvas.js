// The paper: a canvas to draw on, or to load a picture into.

const MAX_SIDE = 1024; // px of a loaded picture's longer side; the model sees 128
const MAX_UNDO_STEPS = 30;

export class Paper {
  constructor(canvas, onChange) {
    this.canvas = canvas;
    this.context = canvas.getContext("2d", { willReadFrequently: true });
    this.onChange = onChange;
    this.undoSteps = [];
    this.penWidth = 5;
    this.erasing = false;
    this.hasDrawing = false;
    this.last = null; // where the stroke being drawn is, or null between strokes
    this.fillWhite();
    canvas.addEventListener("pointerdown", (event) => this.beginStroke(event));
    canvas.addEventListener("pointermove", (event) => this.continueStroke(event));
    for (const name of ["pointerup", "pointercancel"]) canvas.addEventListener(name, () => (this.last = null));
  }

  fillWhite() {
    this.context.fillStyle = "#fff";
    this.context.fillRect(0, 0, this.canvas.width, this.canvas.height);
  }

  rememberForUndo() {
    const { width, height } = this.canvas;
    this.undoSteps.push({ pixels: this.context.getImageData(0, 0, width, height), hasDrawing: this.hasDrawing });
    this.undoSteps.splice(0, this.undoSteps.length - MAX_UNDO_STEPS);
  }

  undo() {
    const before = this.undoSteps.pop();
    if (!before) return;
    Object.assign(this.canvas, { width: before.pixels.width, height: before.pixels.height });
    this.context.putImageData(before.pixels, 0, 0);
    this.hasDrawing = before.hasDrawing;
    this.onChange();
  }

  clear() {
    this.rememberForUndo();
    Object.assign(this.canvas, { width: 512, height: 512 });
    this.fillWhite();
    this.hasDrawing = false;
    this.onChange();
  }

  // where an event is, in pixels of the canvas, which may be shown smaller
  position(event) {
    const box = this.canvas.getBoundingClientRect();
    const scale = this.canvas.width / box.width;
    return [(event.clientX - box.left) * scale, (event.clientY - box.top) * scale];
  }

  beginStroke(event) {
    if (event.button) return;
    event.preventDefault();
    this.canvas.setPointerCapture(event.pointerId);
    this.rememberForUndo();
    this.last = this.position(event);
    this.continueStroke(event);
    this.hasDrawing = true;
    this.onChange();
  }

  continueStroke(event) {
    if (!this.last) return;
    const next = this.position(event);
    const context = this.context;
    Object.assign(context, { lineCap: "round", lineJoin: "round", strokeStyle: this.erasing ? "#fff" : "#000" });
    context.lineWidth = this.erasing ? 4 * this.penWidth : this.penWidth;
    context.beginPath();
    context.moveTo(...this.last);
    context.lineTo(...next);
    context.stroke();
    this.last = next;
  }

  async load(file) {
    const picture = await createImageBitmap(file).catch(() => null);
    if (!picture) throw new Error(`The browser cannot read ${file.name} as a picture: choose a PNG or JPEG.`);
    this.rememberForUndo();
    const scale = Math.min(1, MAX_SIDE / Math.max(picture.width, picture.height));
    this.canvas.width = Math.max(1, Math.round(picture.width * scale));
    this.canvas.height = Math.max(1, Math.round(picture.height * scale));
    this.fillWhite();
    this.context.imageSmoothingQuality = "high";
    this.context.drawImage(picture, 0, 0, this.canvas.width, this.canvas.height);
    this.hasDrawing = true;
    this.onChange();
  }

  png() {
    return new Promise((resolve) => this.canvas.toBlob(resolve, "image/png"));
  }
}
